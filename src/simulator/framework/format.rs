//! The formats of bodies and answers, and which one an answer takes (docs/upstream/wire.md 4).

use strum::EnumString;

use super::parameters::Parameters;
use crate::simulator::Dialect;

/// A serializer of the framework: it reads bodies, writes answers, and has paths of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Serializer {
    Csv,
    Json,
    Jsv,
    Xml,
}

impl Serializer {
    /// Finds the serializer of a Content-Type.
    pub(crate) fn of_content_type(content_type: &str) -> Option<Self> {
        Some(match essence(content_type).as_str() {
            "text/csv" => Self::Csv,
            "application/json" | "text/json" => Self::Json,
            "application/jsv" | "text/jsv" => Self::Jsv,
            "application/xml" | "text/xml" => Self::Xml,
            _ => return None,
        })
    }

    /// Returns the Content-Type by which the framework knows it.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Json => "application/json",
            Self::Jsv => "application/jsv",
            Self::Xml => "application/xml",
        }
    }
}

/// The format of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Serialized(Serializer),
    /// JSON in a call of the named function.
    Jsonp(String),
    Html,
    /// A Content-Type that the framework knows and cannot write: 500 after the service has run.
    Unwritable(String),
}

impl Format {
    fn of_content_type(content_type: &str) -> Self {
        match essence(content_type).as_str() {
            "text/html" => Self::Html,
            other => Serializer::of_content_type(other)
                .map_or_else(|| Self::Unwritable(other.to_owned()), Self::Serialized),
        }
    }

    fn of_suffix(suffix: &str) -> Option<Self> {
        match suffix {
            "html" => Some(Self::Html),
            "plain" | "markdown" => Some(Self::Unwritable(format!("text/{suffix}"))),
            _ => suffix.parse().ok().map(Self::Serialized),
        }
    }

    /// Returns the format that `?callback=` or `?format=` asks for.
    pub(crate) fn of_query(query: &Parameters) -> Option<Self> {
        if let Some(callback) = query.get("callback").filter(|name| !name.is_empty()) {
            return Some(Self::Jsonp(callback.to_owned()));
        }
        let wanted = query.get("format")?.to_ascii_lowercase();
        let contained = ["json", "xml", "jsv"]
            .into_iter()
            .find(|name| wanted.contains(name));
        let starting = || {
            let names = ["csv", "html", "plain", "markdown"];
            names.into_iter().find(|name| wanted.starts_with(name))
        };
        contained.or_else(starting).and_then(Self::of_suffix)
    }

    /// Returns the format that `Accept` asks for, else the default.
    ///
    /// HTML, JSON, XML and JSV come first in that order, quality values do not count, and a v3
    /// self-host does not trim the blank after a comma.
    pub(crate) fn of_accept(accept: &str, content_type: &str, dialect: Dialect) -> Self {
        const PREFERRED: [&str; 4] = [
            "text/html",
            "application/json",
            "application/xml",
            "application/jsv",
        ];
        const OTHERS: [&str; 3] = ["text/csv", "text/plain", "text/markdown"];
        let own = if is_form(content_type) {
            "text/html"
        } else {
            content_type
        };
        let trim = |part| match dialect {
            Dialect::V3 => part,
            Dialect::V4 | Dialect::AspNet => str::trim(part),
        };
        let types: Vec<&str> = accept.split(',').map(trim).collect();
        let accepts = |wanted: &str| types.iter().any(|part| part.starts_with(wanted));
        if PREFERRED.contains(&own) && accepts(own) {
            return Self::of_content_type(own);
        }
        if let Some(found) = PREFERRED.into_iter().find(|wanted| accepts(wanted)) {
            return Self::of_content_type(found);
        }
        if types.contains(&"*/*") && !own.is_empty() {
            return Self::of_content_type(own);
        }
        types
            .iter()
            .find_map(|part| OTHERS.into_iter().find(|wanted| part.starts_with(wanted)))
            .map_or(Self::Html, Self::of_content_type)
    }

    /// Returns the Content-Type that goes on the wire.
    pub(crate) fn content_type(&self) -> &str {
        match self {
            Self::Serialized(Serializer::Json) => "application/json; charset=utf-8",
            Self::Serialized(serializer) => serializer.content_type(),
            Self::Jsonp(_) => "application/javascript",
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
    if let Some((before, suffix)) = seen.rsplit_once('.')
        && let Some(format) = Format::of_suffix(suffix)
    {
        return (before, Some(format));
    }
    (path, None)
}

/// Returns a Content-Type without its parameters, in lower case.
pub(crate) fn essence(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// Returns whether a body of this Content-Type is a form.
fn is_form(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence == "application/x-www-form-urlencoded" || essence == "multipart/form-data"
}
