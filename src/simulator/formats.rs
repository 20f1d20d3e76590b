//! Which format an answer takes, and how it is written (docs/upstream/wire.md 2, 3, 4).

use std::fmt::Write as _;

use serde::Serialize;

use super::answer::Answer;
use super::body::essence;
use super::errors::Failure;
use super::options::{Dialect, Newline};
use super::params::Params;
use super::reply::Reply;
use super::routing::Endpoint;
use crate::format::csv::{Field, write_record};
use crate::format::jsv::{self, EmptyString};

/// Names the format of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    Json,
    /// JSON in a call of the named function.
    Jsonp(String),
    Jsv,
    Xml,
    Html,
    /// A Content-Type that the framework knows and cannot write: 500 after the service has run.
    Unwritable(String),
}

impl Format {
    fn of_content_type(content_type: &str) -> Self {
        match essence(content_type).as_str() {
            "text/csv" => Self::Csv,
            "application/json" | "text/json" => Self::Json,
            "application/jsv" | "text/jsv" => Self::Jsv,
            "application/xml" | "text/xml" => Self::Xml,
            "text/html" => Self::Html,
            other => Self::Unwritable(other.to_owned()),
        }
    }

    /// Returns the format of a predefined path.
    pub(crate) fn of_endpoint(endpoint: Endpoint) -> Self {
        match endpoint {
            Endpoint::Csv => Self::Csv,
            Endpoint::Json => Self::Json,
            Endpoint::Jsv => Self::Jsv,
            Endpoint::Xml => Self::Xml,
        }
    }

    fn of_suffix(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "csv" => Self::Csv,
            "json" => Self::Json,
            "xml" => Self::Xml,
            "jsv" => Self::Jsv,
            "html" => Self::Html,
            "plain" => Self::Unwritable("text/plain".to_owned()),
            "markdown" => Self::Unwritable("text/markdown".to_owned()),
            _ => return None,
        })
    }

    /// Returns the Content-Type that goes on the wire.
    pub(crate) fn content_type(&self) -> &str {
        match self {
            Self::Csv => "text/csv",
            Self::Json => "application/json; charset=utf-8",
            Self::Jsonp(_) => "application/javascript",
            Self::Jsv => "application/jsv",
            Self::Xml => "application/xml",
            Self::Html => "text/html",
            Self::Unwritable(content_type) => content_type,
        }
    }
}

/// Cuts a suffix that chooses the format off the last segment of a decoded path.
pub(crate) fn cut_suffix(path: &str, dialect: Dialect) -> (&str, Option<Format>) {
    // ASP.NET hands over the path without its trailing slashes.
    let seen = match dialect {
        Dialect::AspNet => path.trim_end_matches('/'),
        Dialect::V3 | Dialect::V4 => path,
    };
    let last = seen.rsplit('/').next().unwrap_or_default();
    if let Some((_, suffix)) = last.rsplit_once('.')
        && let Some(format) = Format::of_suffix(suffix)
    {
        return (&seen[..seen.len() - suffix.len() - 1], Some(format));
    }
    (path, None)
}

/// Returns the format that `?callback=` or `?format=` asks for.
pub(crate) fn asked_by_query(query: &Params) -> Option<Format> {
    if let Some(callback) = query.get("callback").filter(|name| !name.is_empty()) {
        return Some(Format::Jsonp(callback.to_owned()));
    }
    let wanted = query.get("format")?.to_ascii_lowercase();
    if wanted.contains("json") {
        Some(Format::Json)
    } else if wanted.contains("xml") {
        Some(Format::Xml)
    } else if wanted.contains("jsv") {
        Some(Format::Jsv)
    } else {
        ["csv", "html", "plain", "markdown"]
            .into_iter()
            .find(|name| wanted.starts_with(name))
            .and_then(Format::of_suffix)
    }
}

/// Returns the format that `Accept` asks for, else the default.
///
/// HTML, JSON, XML and JSV are looked for first in that order, quality values are ignored, and a
/// self-host does not trim the blank after a comma.
pub(crate) fn asked_by_accept(accept: &str, content_type: &str, dialect: Dialect) -> Format {
    const PREFERRED: [&str; 4] = [
        "text/html",
        "application/json",
        "application/xml",
        "application/jsv",
    ];
    const OTHERS: [&str; 3] = ["text/csv", "text/plain", "text/markdown"];
    let own = match essence(content_type).as_str() {
        "application/x-www-form-urlencoded" | "multipart/form-data" => "text/html",
        _ => content_type,
    };
    let types: Vec<&str> = accept
        .split(',')
        .map(|part| {
            if dialect.is_self_host() {
                part
            } else {
                part.trim()
            }
        })
        .collect();
    let accepts = |wanted: &str| types.iter().any(|part| part.starts_with(wanted));
    if PREFERRED.contains(&own) && accepts(own) {
        return Format::of_content_type(own);
    }
    if let Some(found) = PREFERRED.into_iter().find(|wanted| accepts(wanted)) {
        return Format::of_content_type(found);
    }
    if types.contains(&"*/*") && !own.is_empty() {
        return Format::of_content_type(own);
    }
    types
        .iter()
        .find_map(|part| OTHERS.into_iter().find(|wanted| part.starts_with(wanted)))
        .map_or(Format::Html, Format::of_content_type)
}

/// Says how a host writes its answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) dialect: Dialect,
    pub(crate) newline: Newline,
}

impl Style {
    /// Writes a value as JSV. Our own records always have a JSV text; an error would show in it.
    fn jsv<T: Serialize>(self, value: &T) -> String {
        let empty = match self.dialect {
            Dialect::V4 => EmptyString::Quoted,
            Dialect::V3 | Dialect::AspNet => EmptyString::Bare,
        };
        jsv::to_string_with(value, empty).unwrap_or_else(|error| error.to_string())
    }

    fn json<T: Serialize>(value: &T) -> String {
        serde_json::to_string(value).unwrap_or_else(|error| error.to_string())
    }

    /// Writes an answer of the service, or of nothing at all where its format cannot be written.
    pub(crate) fn answer(self, answer: &Answer, format: &Format, operation: &str) -> Reply {
        let mut reply = Reply {
            status: 200,
            content_type: Some(format.content_type().to_owned()),
            powered: true,
            ..Reply::default()
        };
        let body = match format {
            Format::Csv => {
                reply.attachment = Some(operation.to_owned());
                self.csv(answer)
            }
            Format::Json => Self::json(answer),
            Format::Jsonp(function) => format!("{function}({})", Self::json(answer)),
            Format::Jsv => self.jsv(answer),
            Format::Xml => answer.to_xml(self.dialect),
            Format::Html => {
                return Reply {
                    powered: true,
                    ..html_snapshot("PortaFollowMe", 200, &Self::json(answer))
                };
            }
            Format::Unwritable(_) => {
                reply.status = 500;
                String::new()
            }
        };
        reply.body = body.into_bytes();
        reply
    }

    fn csv(self, answer: &Answer) -> String {
        let numbers = answer.numbers.as_ref().map(|numbers| self.jsv(numbers));
        let info = answer.info.as_ref().map(|info| self.jsv(info));
        let content_id = answer.content_id.to_string();
        let values = [
            numbers.as_deref(),
            info.as_deref(),
            Some(if answer.success { "True" } else { "False" }),
            answer.license.as_deref(),
            Some(content_id.as_str()),
            answer.feature_name.as_deref(),
        ];
        let header = [
            "FollowMeNumbers",
            "FollowMeinfo",
            "success",
            "License",
            "ContentId",
            "FeatureName",
        ];
        let mut out = String::new();
        write_record(&mut out, header.map(Field::Text), self.newline);
        // Null and the empty string look the same in an answer (docs/upstream/wire.md 2.5).
        let fields = values.into_iter().map(|value| match value {
            None | Some("") => Field::Null,
            Some(text) => Field::Text(text),
        });
        write_record(&mut out, fields, self.newline);
        out
    }

    /// Writes a failure that the framework reports itself.
    pub(crate) fn failure(self, failure: &Failure, format: &Format) -> Reply {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct ErrorResponse<'a> {
            response_status: &'a super::errors::ResponseStatus,
        }
        let response = ErrorResponse {
            response_status: &failure.response_status,
        };
        let body = match format {
            Format::Csv => {
                let text = self.jsv(&failure.response_status);
                let mut out = String::new();
                write_record(&mut out, [Field::Text("ResponseStatus")], self.newline);
                write_record(&mut out, [Field::Text(&text)], self.newline);
                out
            }
            Format::Json => Self::json(&response),
            Format::Jsonp(function) => format!("{function}({})", Self::json(&response)),
            Format::Jsv => self.jsv(&response),
            Format::Xml => failure_xml(failure, self.dialect),
            Format::Html => {
                let title = match self.dialect {
                    Dialect::V4 => "PortaFollowMe",
                    Dialect::V3 | Dialect::AspNet => "",
                };
                return html_snapshot(title, failure.status, &Self::json(&response));
            }
            Format::Unwritable(_) => String::new(),
        };
        Reply {
            status: failure.status,
            content_type: Some(format.content_type().to_owned()),
            body: body.into_bytes(),
            ..Reply::default()
        }
    }
}

fn html_snapshot(title: &str, status: u16, json: &str) -> Reply {
    let mut reply = Reply::html(status, "text/html", &format!("{title} Snapshot"));
    let script = format!(
        "<script id=\"dto\" type=\"text/json\">{}</script>\r\n",
        escape_xml(json)
    );
    reply.body.extend_from_slice(script.as_bytes());
    reply
}

fn failure_xml(failure: &Failure, dialect: Dialect) -> String {
    let status = &failure.response_status;
    let mut xml = xml_start(dialect).to_owned();
    let nil = |name: &str| format!("<{name} i:nil=\"true\" />");
    let _ = write!(
        xml,
        "<ErrorResponse xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xmlns=\"http://schemas.servicestack.net/types\"><ResponseStatus>\
         <ErrorCode>{}</ErrorCode><Message>{}</Message>{}",
        escape_xml(&status.error_code),
        escape_xml(&status.message),
        status.stack_trace.as_ref().map_or_else(
            || nil("StackTrace"),
            |trace| format!("<StackTrace>{}</StackTrace>", escape_xml(trace))
        ),
    );
    match &status.errors {
        None => xml.push_str(&nil("Errors")),
        Some(errors) => {
            xml.push_str("<Errors>");
            for error in errors {
                let _ = write!(
                    xml,
                    "<ResponseError><ErrorCode>{}</ErrorCode><FieldName>{}</FieldName>\
                     <Message>{}</Message></ResponseError>",
                    escape_xml(&error.error_code),
                    escape_xml(&error.field_name),
                    escape_xml(&error.message),
                );
            }
            xml.push_str("</Errors>");
        }
    }
    if dialect == Dialect::V4 {
        xml.push_str(
            "<Meta xmlns:d3p1=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\" \
             i:nil=\"true\" />",
        );
    }
    xml.push_str("</ResponseStatus></ErrorResponse>");
    xml
}

/// v3 starts its XML with a byte order mark, v4 with a declaration.
pub(crate) fn xml_start(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::V4 => "<?xml version=\"1.0\" encoding=\"utf-8\"?>",
        Dialect::V3 | Dialect::AspNet => "\u{feff}",
    }
}

/// Escapes text for XML and HTML content.
pub(crate) fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
