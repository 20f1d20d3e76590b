//! How the framework reads request bodies, leniencies included (docs/upstream/wire.md 3, 7).
//!
//! These are the server's readers and no model for a client's: see [`crate::format`] for those.

use serde_json::Value as Json;

use super::{
    failure::BodyError,
    format::Serializer,
    parameters::lossy,
    request_object::{Property, RequestObject},
};
use crate::simulator::Dialect;

const SERIALIZATION: &str = "System.Runtime.Serialization.SerializationException";

impl Serializer {
    /// Reads a body that is not empty into one object, or several when it is CSV.
    ///
    /// XML is always refused: it needs a namespace that no page shows.
    pub(crate) fn read(
        self,
        body: &[u8],
        dialect: Dialect,
        reads_csv: bool,
    ) -> Result<Vec<RequestObject>, BodyError> {
        let text = lossy(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
        match self {
            Self::Json => json(&text, dialect).map(|bound| vec![bound]),
            Self::Jsv => jsv(&text, dialect).map(|bound| vec![bound]),
            Self::Csv if reads_csv => csv(&text, dialect),
            Self::Csv => Err(BodyError::new(
                "System.NotImplementedException",
                "The method or operation is not implemented.",
            )),
            Self::Xml => Err(BodyError::new(
                SERIALIZATION,
                "Error in line 1 position 16. Expecting element 'PortaFollowMe' from namespace \
                 'http://schemas.datacontract.org/2004/07/Porta'",
            )),
        }
    }
}

/// Reads a JSON object: names without case, numbers and booleans also as strings, nulls skipped,
/// bad integers and booleans silently the default.
///
/// The framework accepts some broken JSON too. Here that is `{` only, an object of defaults
/// (docs/upstream/wire.md 12.3).
fn json(text: &str, dialect: Dialect) -> Result<RequestObject, BodyError> {
    let mut bound = RequestObject::default();
    if text.trim_ascii() == "{" {
        return Ok(bound);
    }
    let value = serde_json::from_str(text);
    let value = value.map_err(|error| BodyError::new(SERIALIZATION, error.to_string()))?;
    let Json::Object(members) = value else {
        let message = "Type definitions should start with a '{'";
        return Err(BodyError::new(SERIALIZATION, message));
    };
    for (name, value) in members {
        match value {
            Json::Null => {}
            Json::String(text) => bound.bind_leniently(&name, &text, dialect),
            other => bound.bind_leniently(&name, &other.to_string(), dialect),
        }
    }
    Ok(bound)
}

/// Reads one JSV object (`jsv_reader_v3` of the vectors).
///
/// Keys match without case, unknown ones are skipped, the last duplicate wins, `key:` is null, a
/// bad integer or boolean stays at its default. Refused are a text that does not start with `{`
/// and a key without a colon.
fn jsv(text: &str, dialect: Dialect) -> Result<RequestObject, BodyError> {
    if !text.starts_with('{') {
        let start: String = text.chars().take(50).collect();
        return Err(BodyError::new(
            SERIALIZATION,
            format!(
                "Type definitions should start with a '{{', expecting serialized type \
                 'PortaFollowMe', got string starting with: {start}"
            ),
        ));
    }
    let mut bound = RequestObject::default();
    if text == "{}" {
        return Ok(bound);
    }
    let mut at = 1;
    while at < text.len() {
        // The search for the colon starts one character in, so a key is never empty.
        let mut colons = text.bytes().enumerate().skip(at + 1);
        let Some((colon, _)) = colons.find(|(_, byte)| *byte == b':') else {
            return Err(BodyError::new(
                "System.IndexOutOfRangeException",
                "Index was outside the bounds of the array.",
            ));
        };
        let end = end_of_value(text, colon + 1);
        let value = &text[colon + 1..end];
        let unquoted = value.strip_prefix('"').map(|inner| {
            let inner = inner.strip_suffix('"').unwrap_or(inner);
            inner.replace("\"\"", "\"")
        });
        if !value.is_empty() {
            let value = unquoted.as_deref().unwrap_or(value);
            bound.bind_leniently(&text[at..colon], value, dialect);
        }
        at = behind_separator(text, end);
    }
    Ok(bound)
}

/// Reads a CSV body as v4 does, one object per data record (`csv_reader_v4` of the vectors).
///
/// Refused are a body without a data record, a record longer than the header, and an integer or
/// boolean that is empty or bad, each with the exception that .NET throws.
fn csv(text: &str, dialect: Dialect) -> Result<Vec<RequestObject>, BodyError> {
    let mut records = lines(text).map(fields);
    let header = records.next().transpose()?.unwrap_or_default();
    let bound = records
        .map(|record| csv_object(&header, &record?, dialect))
        .collect::<Result<Vec<_>, _>>()?;
    if bound.is_empty() {
        return Err(BodyError::new(
            "System.NullReferenceException",
            "Object reference not set to an instance of an object",
        ));
    }
    Ok(bound)
}

fn csv_object(
    header: &[Option<String>],
    record: &[Option<String>],
    dialect: Dialect,
) -> Result<RequestObject, BodyError> {
    let mut bound = RequestObject::default();
    for (index, field) in record.iter().enumerate() {
        let out_of_range = || {
            BodyError::new(
                "System.ArgumentOutOfRangeException",
                "Index was out of range.",
            )
        };
        let name = header.get(index).ok_or_else(out_of_range)?;
        let Some(property) = name.as_deref().and_then(Property::named) else {
            continue;
        };
        // A string is unescaped once more (docs/upstream/wire.md 12.2).
        let field = match field {
            Some(text) if property.is_text() => Some(unescape(text)?),
            other => other.clone(),
        };
        match field {
            Some(text) if bound.bind(property, &text, dialect) => {}
            Some(_) => {
                return Err(BodyError::new(
                    "System.FormatException",
                    "Input string was not in a correct format.",
                ));
            }
            // Null is a value for a string and for nothing else.
            None if property.is_text() => bound.unset(property),
            None => {
                return Err(BodyError::new(
                    "System.ArgumentNullException",
                    "Value cannot be null.\nParameter name: s",
                ));
            }
        }
    }
    Ok(bound)
}

/// Splits on LF or CRLF outside quotes and drops blank lines; a lone CR is no newline.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let newline = move |char| {
        quoted ^= char == '"';
        char == '\n' && !quoted
    };
    text.split(newline)
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .filter(|line| !line.is_empty())
}

/// Splits a line into fields; an empty field without quotes is null (docs/upstream/wire.md 12.2).
fn fields(line: &str) -> Result<Vec<Option<String>>, BodyError> {
    let mut fields = Vec::new();
    let mut at = 0;
    while at <= line.len() {
        let end = end_of_value(line, at);
        fields.push(match &line[at..end] {
            "" => None,
            text => Some(unescape(text)?),
        });
        at = behind_separator(line, end);
    }
    Ok(fields)
}

/// Takes the first and the last character off a text that starts with a quote, whatever the last
/// one is, and halves the quotes between them.
fn unescape(text: &str) -> Result<String, BodyError> {
    if !text.starts_with('"') {
        return Ok(text.to_owned());
    }
    let mut inner = text.chars();
    match (inner.next(), inner.next_back()) {
        (Some(_), Some(_)) => Ok(inner.as_str().replace("\"\"", "\"")),
        _ => Err(BodyError::new(
            "System.ArgumentOutOfRangeException",
            "Length cannot be less than zero.\nParameter name: length",
        )),
    }
}

/// Returns where the value that starts at `start` ends, in JSV and in CSV.
///
/// A brace or bracket at the start takes all that follows up to its match, commas included, and a
/// `}` ends a bare value. What does not end takes the rest of the text.
fn end_of_value(text: &str, start: usize) -> usize {
    let rest = &text.as_bytes()[start..];
    let length = match rest.first() {
        Some(b'"') => end_of_quotes(rest),
        Some(b'{') => end_of_block(rest, b'{', b'}'),
        Some(b'[') => end_of_block(rest, b'[', b']'),
        _ => rest.iter().position(|byte| matches!(byte, b',' | b'}')),
    };
    length.map_or(text.len(), |length| start + length)
}

fn end_of_quotes(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text.get(at..)?.iter().position(|byte| *byte == b'"')? + 1;
        // A doubled quote is a quote of the text.
        if text.get(at) != Some(&b'"') {
            return Some(at);
        }
        at += 1;
    }
}

fn end_of_block(text: &[u8], open: u8, close: u8) -> Option<usize> {
    let (mut depth, mut quoted) = (0, false);
    let closes = |byte: &u8| {
        match *byte {
            b'"' => quoted = !quoted,
            byte if byte == open && !quoted => depth += 1,
            byte if byte == close && !quoted => depth -= 1,
            _ => {}
        }
        depth == 0
    };
    text.iter().position(closes).map(|at| at + 1)
}

/// Skips one character behind a value, whatever it is.
fn behind_separator(text: &str, end: usize) -> usize {
    end + text[end..].chars().next().map_or(1, char::len_utf8)
}
