//! Which format an answer takes (docs/upstream/wire.md 4).

use super::{body::essence, options::Dialect, parameters::Parameters, routing::Endpoint};

/// The format of an answer.
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
pub(crate) fn of_query(query: &Parameters) -> Option<Format> {
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
/// HTML, JSON, XML and JSV come first in that order, quality values do not count, and a v3
/// self-host does not trim the blank after a comma.
pub(crate) fn of_accept(accept: &str, content_type: &str, dialect: Dialect) -> Format {
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
        .map(|part| match dialect {
            Dialect::V3 => part,
            Dialect::V4 | Dialect::AspNet => part.trim(),
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
