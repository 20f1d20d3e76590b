//! Request bodies: which reader takes one, and the small readers (docs/upstream/wire.md 7).

use serde_json::Value;

use super::{
    csv_reader,
    failure::BodyError,
    jsv_reader,
    options::Dialect,
    parameters::{Parameters, lossy},
    request_object::{Property, RequestObject},
};

/// A reader of request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Json,
    Jsv,
    Csv,
    Xml,
}

impl Reader {
    /// Finds the reader of a Content-Type; none means that the body is silently ignored.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        match essence(content_type).as_str() {
            "application/json" | "text/json" => Some(Self::Json),
            "application/jsv" | "text/jsv" => Some(Self::Jsv),
            "text/csv" => Some(Self::Csv),
            "application/xml" | "text/xml" => Some(Self::Xml),
            _ => None,
        }
    }

    /// Returns the Content-Type that the framework names in its errors.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Jsv => "application/jsv",
            Self::Csv => "text/csv",
            Self::Xml => "application/xml",
        }
    }

    /// Reads a body that is not empty into one object, or several when it is CSV.
    ///
    /// XML is always refused: it needs a namespace that no page shows.
    pub(crate) fn read(
        self,
        body: &[u8],
        dialect: Dialect,
        reads_csv: bool,
    ) -> Result<Vec<RequestObject>, BodyError> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        match self {
            Self::Json => json(body, dialect).map(|bound| vec![bound]),
            Self::Jsv => jsv_reader::read(&lossy(body), dialect).map(|bound| vec![bound]),
            Self::Csv if reads_csv => csv_reader::read(&lossy(body), dialect),
            Self::Csv => Err(BodyError::new(
                "System.NotImplementedException",
                "The method or operation is not implemented.",
            )),
            Self::Xml => Err(BodyError::new(
                "System.Runtime.Serialization.SerializationException",
                "Error in line 1 position 16. Expecting element 'PortaFollowMe' from namespace \
                 'http://schemas.datacontract.org/2004/07/Porta'",
            )),
        }
    }
}

/// Returns a Content-Type without its parameters, in lower case.
pub(crate) fn essence(content_type: &str) -> String {
    content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Reads a JSON object: names without case, numbers and booleans also as strings, nulls skipped,
/// bad integers and booleans silently the default.
///
/// The framework accepts some broken JSON too. Here that is `{` only, an object of defaults
/// (docs/upstream/wire.md 12.3).
fn json(body: &[u8], dialect: Dialect) -> Result<RequestObject, BodyError> {
    let refuse = |message: String| {
        BodyError::new(
            "System.Runtime.Serialization.SerializationException",
            message,
        )
    };
    if body.trim_ascii() == b"{" {
        return Ok(RequestObject::default());
    }
    let value: Value =
        serde_json::from_str(&lossy(body)).map_err(|error| refuse(error.to_string()))?;
    let Value::Object(members) = value else {
        return Err(refuse(
            "Type definitions should start with a '{'".to_owned(),
        ));
    };
    let mut bound = RequestObject::default();
    for (name, value) in members {
        let Some(property) = Property::named(&name) else {
            continue;
        };
        match value {
            Value::Null => {}
            Value::String(text) => bound.bind_leniently(property, &text, dialect),
            other => bound.bind_leniently(property, &other.to_string(), dialect),
        }
    }
    Ok(bound)
}

/// Reads the values of a form body; None when the Content-Type is no form's.
pub(crate) fn form(content_type: &str, body: &[u8]) -> Option<Parameters> {
    match essence(content_type).as_str() {
        "application/x-www-form-urlencoded" => Some(Parameters::parse(body)),
        "multipart/form-data" => Some(multipart(content_type, body)),
        _ => None,
    }
}

/// Reads the plain values of a multipart form.
fn multipart(content_type: &str, body: &[u8]) -> Parameters {
    let mut params = Parameters::default();
    let Some((_, boundary)) = content_type.split_once("boundary=") else {
        return params;
    };
    let boundary = boundary
        .split(';')
        .next()
        .unwrap_or_default()
        .trim_matches('"');
    for part in lossy(body).split(&format!("--{boundary}")) {
        let Some((head, value)) = part.split_once("\r\n\r\n") else {
            continue;
        };
        let name = head
            .split_once("name=\"")
            .and_then(|(_, rest)| rest.split_once('"'))
            .map(|(name, _)| name);
        if let Some(name) = name {
            let value = value.strip_suffix("\r\n").unwrap_or(value);
            params.add(name.to_owned(), value.to_owned());
        }
    }
    params
}
