//! From a reply to what it says, in this order: status, content type, header record, records,
//! `success`. (The transport was looked at before.)

use std::{cell::RefCell, time::Duration};

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
    /// The reason phrase, where it is not the standard one of the status. An exception of the
    /// service puts its type name there (docs/upstream/wire.md 8).
    pub(super) reason: Option<String>,
    pub(super) content_type: String,
    /// `Retry-After`, where it is a number of seconds.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// What an answer says.
#[derive(Debug)]
pub(super) struct Answer {
    /// The numbers; `None` where the field is empty, which is no list.
    pub(super) numbers: Option<Vec<Number>>,
    /// How many elements of the list were left out.
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

/// Understands a reply.
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
    let fail = |kind| Error::new(kind, route).with_status(reply.status);
    READER.with_borrow_mut(|reader| {
        let is_csv = reply.content_type.starts_with("text/csv");
        if !(200..300).contains(&reply.status) {
            let table = if is_csv {
                reader.read(&reply.body).ok()
            } else {
                None
            };
            return Err(failure(reply, route, &sensitive, table.as_ref()));
        }
        if !is_csv {
            return Err(fail(Kind::BadResponse("the content type is not text/csv"))
                .with_detail(outline(reply)));
        }
        let table = reader.read(&reply.body).map_err(|error| {
            fail(Kind::BadResponse("the body is not CSV"))
                .with_detail(outline(reply))
                .with_source(error)
        })?;
        answer(&table, account, &fail)
    })
}

fn answer(
    table: &csv::Table<'_>,
    account: AccountId,
    fail: &impl Fn(Kind) -> Error,
) -> Result<Answer, Error> {
    let column = |name| table.column(name);
    let (Some(numbers), Some(info), Some(success)) = (
        column("FollowMeNumbers"),
        column("FollowMeinfo"),
        column("success"),
    ) else {
        return Err(fail(Kind::BadResponse("the header record lacks a column")));
    };
    let Some(record) = table.record(0).filter(|_| table.len() == 1) else {
        return Err(fail(Kind::BadResponse(
            "there is not exactly one data record",
        )));
    };
    let field = |column: usize| record.get(column).unwrap_or_default();
    let bad = |what| fail(Kind::BadResponse(what));

    let mut unidentified = 0;
    let numbers = match field(numbers) {
        "" => None,
        text => {
            let list = record::numbers(text, account).map_err(bad)?;
            if list.unidentified > 0 {
                tracing::warn!(
                    unidentified = list.unidentified,
                    account_id = account.value(),
                    "left out elements without a positive id or of another account"
                );
            }
            unidentified = list.unidentified;
            Some(list.numbers)
        }
    };
    let settings = match field(info) {
        "" => None,
        text => Some(record::settings(text).map_err(bad)?),
    };
    Ok(Answer {
        numbers,
        unidentified,
        settings,
        success: record::bool(field(success)),
    })
}

/// Understands a reply whose status is not 2xx. The status is the only reliable sign of failure;
/// what the body is tells whether the service ran (docs/upstream/wire.md 8).
fn failure(
    reply: &Reply,
    route: Route,
    sensitive: &Sensitive<'_>,
    table: Option<&csv::Table<'_>>,
) -> Error {
    let status_record = table.and_then(response_status);
    let has_record = table.is_some_and(|table| !table.is_empty());
    let looks_like_html = status_record.as_deref() == Some("HttpRequestValidationException");
    // The framework's own refusals come before the service runs: a ResponseStatus record behind a
    // standard reason phrase. An exception of the service replaces the phrase by its type's name.
    let nothing_ran = status_record.is_some()
        && reply.reason.is_none()
        && matches!(reply.status, 400 | 405 | 500);
    let kind = match reply.status {
        404 if reply.content_type.starts_with("text/plain") => Kind::RouteMissing,
        401 | 403 => Kind::Denied,
        _ if looks_like_html && nothing_ran => Kind::LooksLikeHtml,
        404 if has_record => Kind::NotFound,
        400..500 if has_record => Kind::Refused,
        500.. => Kind::ServerError,
        300..400 => Kind::BadResponse("a redirect, which is never followed"),
        _ => Kind::BadResponse("an error page, not a record"),
    };
    Error::new(kind, route)
        .with_status(reply.status)
        .with_nothing_ran(nothing_ran)
        .with_retry_after(reply.retry_after)
        .with_detail(excerpt(reply, sensitive))
}

/// Returns the ErrorCode of a `ResponseStatus` record.
fn response_status(table: &csv::Table<'_>) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct ResponseStatus {
        #[serde(default)]
        error_code: String,
    }
    // Alone in its record: a response that has such a member was made by the service.
    if table.header().iter().count() != 1 || table.len() != 1 {
        return None;
    }
    let text = table.record(0)?.get(table.column("ResponseStatus")?)?;
    let status = jsv::from_str::<ResponseStatus>(text).map(|status| status.error_code);
    // v4 cuts its stack trace out, older ones print many lines: whatever the field holds, the
    // record is a ResponseStatus.
    Some(status.unwrap_or_default())
}

/// Returns what may be logged of a reply whose status says that it failed: it can echo the request.
fn excerpt(reply: &Reply, sensitive: &Sensitive<'_>) -> String {
    let reason = reply.reason.as_deref().unwrap_or_default();
    let text = format!("{reason} {}", String::from_utf8_lossy(&reply.body));
    redact(text.trim(), sensitive)
}

/// Returns what may be logged of a reply that cannot be understood although its status is good. It
/// can hold the list in any form, so its text cannot be.
fn outline(reply: &Reply) -> String {
    let known = ["text/html", "text/csv", "text/plain", "application/json"];
    let content_type = known
        .into_iter()
        .find(|known| reply.content_type.starts_with(known));
    format!(
        "{} bytes, content type {}",
        reply.body.len(),
        content_type.unwrap_or("other")
    )
}
