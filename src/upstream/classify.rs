//! Classifies HTTP replies: by status, content type, header record, data record and `success`, in
//! this order.

use std::{cell::RefCell, time::Duration};

use bytes::Bytes;

use super::{
    Error, Kind, Route, record,
    redact::{Sensitive, redact},
};
use crate::{
    domain::{AccountId, License, List, Number, Settings},
    format::{csv, jsv},
};

/// An HTTP reply, whole.
pub(super) struct Reply {
    pub(super) status: u16,
    /// The reason phrase, if it is not the standard one of the status. An exception of the
    /// service puts its type name there (docs/upstream/wire.md 8).
    pub(super) reason: Option<String>,
    /// In lower case.
    pub(super) content_type: String,
    /// The content coding, in lower case.
    pub(super) coding: String,
    /// The `Server` header field.
    pub(super) server: String,
    /// Whether the reply has `Connection: close`.
    pub(super) closes: bool,
    /// The delay of `Retry-After`.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

/// The answer to a write.
#[derive(Debug)]
pub struct Written {
    /// Whether the service says that it did the write: weak evidence (docs/upstream/domain.md 2).
    pub success: Option<bool>,
    /// The numbers in the answer, which are not always the whole list.
    pub list: Option<List>,
}

/// The content of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// The numbers; `None` if the field is empty, which is no list.
    pub(super) numbers: Option<Vec<Number>>,
    /// How many elements of the list are not in `numbers`.
    pub(super) unidentified: usize,
    pub(super) settings: Option<Settings>,
    pub(super) success: Option<bool>,
}

impl Answer {
    pub(super) fn into_list(self) -> Option<List> {
        let settings = self.settings;
        let unidentified = self.unidentified;
        self.numbers
            .map(|numbers| List::new(numbers, settings, unidentified))
    }
}

thread_local! {
    // Making a CSV parser costs more than a small answer's parse; parsing never awaits.
    static READER: RefCell<csv::Reader> = RefCell::new(csv::Reader::new());
}

/// Classifies a reply.
///
/// # Errors
/// Every reply without the columns of an answer is an error, and so is every status that is not
/// 2xx, which is the only reliable sign of failure (docs/upstream/wire.md 8).
pub(super) fn classify_response(
    reply: &Reply,
    route: Route,
    account: AccountId,
    license: &License,
    personal_data: &[String],
) -> Result<Answer, Error> {
    let sensitive = Sensitive {
        license,
        personal_data,
    };
    READER.with_borrow_mut(|reader| {
        let is_csv = reply.content_type.starts_with("text/csv");
        let table = is_csv.then(|| reader.read(&reply.body)).transpose();
        let parsed = table.as_ref().ok().and_then(Option::as_ref);
        let error_code = parsed.and_then(error_code);
        // Only the service writes these, whatever gateways there are.
        let is_services = error_code.is_some() || parsed.and_then(columns).is_some();
        let result = if (200..300).contains(&reply.status) {
            match table {
                _ if is_csv && has_foreign_charset(reply) => Err(bad_response(
                    route,
                    "the charset is not UTF-8, and the body is not ASCII",
                )),
                Ok(Some(table)) => answer(&table, route, account),
                Ok(None) => Err(bad_response(route, "the content type is not text/csv")),
                Err(error) => Err(bad_response(route, "the body is not CSV").with_source(error)),
            }
            .map_err(|error| error.with_detail(outline(reply)))
        } else {
            let has_record = parsed.is_some_and(|table| !table.is_empty());
            let error = failure(reply, route, has_record, error_code.as_deref());
            Err(error.with_detail(excerpt(reply, &sensitive)))
        };
        result.map_err(|error| error.with_status(reply.status).with_answered(is_services))
    })
}

/// Returns whether a reply names a charset other than UTF-8 and has bytes that depend on it. The
/// framework writes UTF-8 whatever a gateway labels it, so neither reading is safe.
fn has_foreign_charset(reply: &Reply) -> bool {
    let charset = charset(&reply.content_type);
    charset.is_some_and(|charset| !["utf-8", "utf8", "us-ascii"].contains(&charset))
        && !reply.body.is_ascii()
}

/// Returns the charset of a content type in lower case.
fn charset(content_type: &str) -> Option<&str> {
    let mut parameters = content_type.split(';').skip(1);
    let charset = parameters.find_map(|parameter| parameter.trim().strip_prefix("charset="))?;
    Some(charset.trim().trim_matches('"'))
}

fn bad_response(route: Route, what: &'static str) -> Error {
    Error::new(Kind::BadResponse(what), route)
}

/// Returns the columns of the numbers, the settings and `success`, if the header record is that of
/// an answer.
fn columns(table: &csv::Table<'_>) -> Option<[usize; 3]> {
    Some([
        table.column("FollowMeNumbers")?,
        table.column("FollowMeinfo")?,
        table.column("success")?,
    ])
}

fn answer(table: &csv::Table<'_>, route: Route, account: AccountId) -> Result<Answer, Error> {
    let bad = |what| bad_response(route, what);
    let [numbers, info, success] =
        columns(table).ok_or_else(|| bad("the header record lacks a column"))?;
    let record = table.record(0).filter(|_| table.len() == 1);
    let record = record.ok_or_else(|| bad("there is not exactly one data record"))?;
    let field = |column: usize| record.get(column).unwrap_or_default();

    let list = match field(numbers) {
        "" => None,
        text => Some(record::numbers(text, account).map_err(bad)?),
    };
    let unidentified = list.as_ref().map_or(0, |list| list.unidentified);
    if unidentified > 0 {
        tracing::warn!(
            unidentified,
            account_id = account.value(),
            "the list has elements without a positive id"
        );
    }
    let settings = match field(info) {
        "" => None,
        text => Some(record::settings(text).map_err(bad)?),
    };
    Ok(Answer {
        numbers: list.map(|list| list.numbers),
        unidentified,
        settings,
        success: record::bool(field(success)),
    })
}

/// The framework's own refusals, which come before the service runs: status and ErrorCode.
///
/// `SerializationException` is not among them: a handler that fails to parse what it got from
/// PortaBilling throws it after the write.
const FRAMEWORK_REFUSALS: [(u16, &str); 2] =
    [(400, "RequestBindingException"), (500, HTML_REFUSED)];

/// The ErrorCode of ASP.NET for a value that looks like HTML (docs/upstream/wire.md 5).
const HTML_REFUSED: &str = "HttpRequestValidationException";

/// Classifies a reply whose status is not 2xx.
fn failure(reply: &Reply, route: Route, has_record: bool, error_code: Option<&str>) -> Error {
    // An exception of the service replaces the reason phrase by its type's name, but a gateway may
    // write the standard phrase again: so the proof needs both.
    let refused_by_framework = reply.reason.is_none()
        && error_code.is_some_and(|code| FRAMEWORK_REFUSALS.contains(&(reply.status, code)));
    let kind = match reply.status {
        404 if reply.content_type.starts_with("text/plain") => Kind::RouteMissing,
        401 | 403 => Kind::Denied,
        _ if refused_by_framework && error_code == Some(HTML_REFUSED) => Kind::LooksLikeHtml,
        429 => Kind::ServerError,
        404 if has_record => Kind::NotFound,
        400..500 if has_record => Kind::Refused,
        500.. => Kind::ServerError,
        300..400 => Kind::BadResponse("a redirect, which is never followed"),
        _ => Kind::BadResponse("an error page, not a record"),
    };
    let queue_full = is_http_sys_503(reply);
    Error::new(kind, route)
        .with_answered(queue_full)
        .with_nothing_ran(refused_by_framework || queue_full)
        .with_unconfirmed(!queue_full)
        .with_retry_after(reply.retry_after)
}

/// Returns whether a reply is the page of HTTP.sys, the kernel part of Windows' HTTP server, for a
/// request that it did not pass on. `Server` alone proves nothing: self-hosted services send it on
/// all their answers.
fn is_http_sys_503(reply: &Reply) -> bool {
    reply.status == 503
        && reply.closes
        && reply.content_type.starts_with("text/html")
        && reply.server.starts_with("Microsoft-HTTPAPI/")
        && String::from_utf8_lossy(&reply.body).contains("Service Unavailable")
}

/// Returns the ErrorCode of a `ResponseStatus` that is alone in its record, which the framework
/// writes; empty if it cannot be read.
fn error_code(table: &csv::Table<'_>) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct ResponseStatus {
        #[serde(default)]
        error_code: String,
    }
    // The service can write a response that has such a member besides others.
    if table.header().iter().count() != 1 || table.len() != 1 {
        return None;
    }
    let text = table.record(0)?.get(table.column("ResponseStatus")?)?;
    let status = jsv::from_str::<ResponseStatus>(text).map(|status| status.error_code);
    // v4 cuts its stack trace out, older ones print many lines: whatever the field holds, the
    // record is a ResponseStatus.
    Some(status.unwrap_or_default())
}

/// Returns what may be logged of a reply with an error status, which can echo the request.
fn excerpt(reply: &Reply, sensitive: &Sensitive<'_>) -> String {
    let reason = reply.reason.as_deref().unwrap_or_default();
    let text = format!("{reason} {}", String::from_utf8_lossy(&reply.body));
    redact(text.trim(), sensitive)
}

/// Returns what may be logged of a reply with a good status that is no answer. Its text may not: it
/// can hold the list in any form.
fn outline(reply: &Reply) -> String {
    let known = ["text/html", "text/csv", "text/plain", "application/json"];
    let content_type = known
        .into_iter()
        .find(|known| reply.content_type.starts_with(known));
    let is_name = |text: &&str| {
        text.len() <= 20
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let named = |name: Option<&str>| match name {
        Some(name) if is_name(&name) => name.to_owned(),
        name => name.map_or("none", |_| "other").to_owned(),
    };
    format!(
        "{} bytes, content type {}, charset {}, content coding {}",
        reply.body.len(),
        content_type.unwrap_or("other"),
        named(charset(&reply.content_type)),
        named(Some(&*reply.coding).filter(|coding| !coding.is_empty())),
    )
}
