//! The CSV reader of v4, leniencies included (docs/upstream/wire.md 7, `csv_reader_v4`).
//!
//! It is the server's reader and no model for a client's.

use super::{
    failure::BodyError,
    options::Dialect,
    request_object::{Property, RequestObject},
};

/// Reads a `text/csv` body into one object per data record.
///
/// # Errors
/// Refuses a body without a data record, a record longer than the header, and an integer or
/// boolean that is empty or bad, each with the exception that .NET throws.
pub(crate) fn read(text: &str, dialect: Dialect) -> Result<Vec<RequestObject>, BodyError> {
    let mut records = lines(text).into_iter().map(fields);
    let header = records.next().transpose()?.unwrap_or_default();
    let bound = records
        .map(|record| object(&header, &record?, dialect))
        .collect::<Result<Vec<_>, _>>()?;
    if bound.is_empty() {
        return Err(BodyError::new(
            "System.NullReferenceException",
            "Object reference not set to an instance of an object",
        ));
    }
    Ok(bound)
}

fn object(
    header: &[Option<String>],
    record: &[Option<String>],
    dialect: Dialect,
) -> Result<RequestObject, BodyError> {
    let mut bound = RequestObject::default();
    for (index, field) in record.iter().enumerate() {
        let name = header.get(index).ok_or_else(|| {
            BodyError::new(
                "System.ArgumentOutOfRangeException",
                "Index was out of range.",
            )
        })?;
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
            None if bound.bind(property, "", dialect) => bound.unset(property),
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
fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut quoted = false;
    let mut start = 0;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => {
                lines.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    lines.push(&text[start..]);
    lines
        .into_iter()
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .filter(|line| !line.is_empty())
        .collect()
}

/// Splits a line into fields; an empty field without quotes is null.
///
/// A brace or bracket at the start of a bare field takes all that follows up to its match, commas
/// included, and a `}` ends a bare field (docs/upstream/wire.md 12.2).
fn fields(line: &str) -> Result<Vec<Option<String>>, BodyError> {
    let bytes = line.as_bytes();
    let mut fields = Vec::new();
    let mut at = 0;
    while at <= bytes.len() {
        let start = at;
        match bytes.get(at) {
            None | Some(b',' | b'}') => {}
            Some(b'"') => at = end_of_quotes(bytes, at),
            Some(b'{') => at = end_of_block(bytes, at, b'{', b'}'),
            Some(b'[') => at = end_of_block(bytes, at, b'[', b']'),
            Some(_) => {
                let ends = |byte: &&u8| !matches!(**byte, b',' | b'}');
                at += bytes[at..].iter().take_while(ends).count();
            }
        }
        let text = &line[start..at];
        fields.push(match text {
            "" => None,
            text => Some(unescape(text)?),
        });
        // Any character behind a field counts as the comma.
        at += line
            .get(at..)
            .and_then(|rest| rest.chars().next())
            .map_or(1, char::len_utf8);
    }
    Ok(fields)
}

fn end_of_quotes(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        if bytes[at] == b'"' {
            if bytes.get(at + 1) != Some(&b'"') {
                return at + 1;
            }
            at += 1;
        }
        at += 1;
    }
    bytes.len()
}

/// A field that starts like an object or list runs to the matching end, or to the end of the line.
fn end_of_block(bytes: &[u8], start: usize, open: u8, close: u8) -> usize {
    let mut depth = 0;
    let mut quoted = false;
    for (index, byte) in bytes.iter().enumerate().skip(start) {
        if *byte == b'"' {
            quoted = !quoted;
        } else if !quoted && *byte == open {
            depth += 1;
        } else if !quoted && *byte == close {
            depth -= 1;
            if depth == 0 {
                return index + 1;
            }
        }
    }
    bytes.len()
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
