//! The framework's own reader of JSV request bodies, leniencies included (docs/upstream/wire.md 3,
//! `jsv_reader_v3`).
//!
//! It is the server's reader and no model for a client's: see `format::jsv` for that.

use super::{
    failure::BodyError,
    options::Dialect,
    request_object::{Property, RequestObject},
};

/// Reads one JSV object into the request object.
///
/// Keys match without case, unknown ones are skipped, the last duplicate wins, `key:` is null, a
/// bad integer or boolean stays at its default.
///
/// # Errors
/// Refuses text that does not start with `{` and a key without a colon, as the framework does.
pub(crate) fn read(text: &str, dialect: Dialect) -> Result<RequestObject, BodyError> {
    if !text.starts_with('{') {
        let start: String = text.chars().take(50).collect();
        return Err(BodyError::new(
            "System.Runtime.Serialization.SerializationException",
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
    let chars: Vec<char> = text.chars().collect();
    let mut at = 1;
    while at < chars.len() {
        let key_start = at;
        // The search for the colon starts one character in, so a key is never empty.
        at += 1;
        while *chars.get(at).ok_or_else(out_of_bounds)? != ':' {
            at += 1;
        }
        let key: String = chars[key_start..at].iter().collect();
        at += 1;
        let end = end_of_value(&chars, at);
        let value: String = chars[at..end].iter().collect();
        // One character behind the value is skipped, whatever it is.
        at = end + 1;
        if let Some(property) = Property::named(&key)
            && let Some(value) = unquote(&value)
        {
            bound.bind_leniently(property, &value, dialect);
        }
    }
    Ok(bound)
}

fn out_of_bounds() -> BodyError {
    BodyError::new(
        "System.IndexOutOfRangeException",
        "Index was outside the bounds of the array.",
    )
}

fn end_of_value(chars: &[char], start: usize) -> usize {
    let mut at = start;
    match chars.get(at) {
        None | Some(',' | '}') => at,
        Some('"') => {
            at += 1;
            while at < chars.len() {
                if chars[at] == '"' {
                    at += 1;
                    if chars.get(at) != Some(&'"') {
                        return at;
                    }
                }
                at += 1;
            }
            chars.len()
        }
        Some(open @ ('{' | '[')) => {
            let close = if *open == '{' { '}' } else { ']' };
            let (mut depth, mut quoted) = (0, false);
            for (index, char) in chars.iter().enumerate().skip(start) {
                if *char == '"' {
                    quoted = !quoted;
                } else if !quoted && char == open {
                    depth += 1;
                } else if !quoted && *char == close {
                    depth -= 1;
                    if depth == 0 {
                        return index + 1;
                    }
                }
            }
            chars.len()
        }
        Some(_) => {
            while at < chars.len() && !matches!(chars[at], ',' | '}') {
                at += 1;
            }
            at
        }
    }
}

fn unquote(value: &str) -> Option<String> {
    if value.is_empty() {
        return None;
    }
    match value.strip_prefix('"') {
        Some(inner) => {
            let inner = inner.strip_suffix('"').unwrap_or(inner);
            Some(inner.replace("\"\"", "\""))
        }
        None => Some(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str) -> String {
        match read(text, Dialect::V3) {
            Ok(bound) => format!(
                "{} {:?} {:?}",
                bound.int(Property::Account),
                bound.text(Property::Name),
                bound.text(Property::Domain)
            ),
            Err(error) => error.exception.to_owned(),
        }
    }

    #[test]
    fn reads_what_the_framework_read() {
        // After `jsv_reader_v3`, with the request's keys.
        for (text, expected) in [
            ("{}", "0 None None"),
            ("{", "0 None None"),
            ("{IAccount:1,Name:x}", "1 Some(\"x\") None"),
            ("{IAccount: 1 ,Name: x}", "1 Some(\" x\") None"),
            ("{IAccount:1, Name:x}", "1 None None"),
            ("{NAME:x,name:y}", "0 Some(\"y\") None"),
            ("{Name:,Domain:y}", "0 None Some(\"y\")"),
            ("{Name:\"\"}", "0 Some(\"\") None"),
            ("{IAccount:abc,Name:x}", "0 Some(\"x\") None"),
            ("{IAccount:99999999999,Name:x}", "0 Some(\"x\") None"),
            ("{unknown:{a:1,b:[1,2]},Name:x}", "0 Some(\"x\") None"),
            ("{Name:a[b,Domain:y}", "0 Some(\"a[b\") Some(\"y\")"),
            ("{Name:{b},Domain:y}", "0 Some(\"{b}\") Some(\"y\")"),
            (
                "{Name:a\"\"b,Domain:y}",
                "0 Some(\"a\\\"\\\"b\") Some(\"y\")",
            ),
            (
                "{Name:\"a\"\"b\",Domain:y}",
                "0 Some(\"a\\\"b\") Some(\"y\")",
            ),
            ("{Name:\"a\"b,Domain:y}", "0 Some(\"a\") None"),
            ("{Name:\"a}b\"}", "0 Some(\"a}b\") None"),
            ("{IAccount:1;Name:x}", "0 None None"),
            ("{,Name:x}", "0 None None"),
            ("{Name:x,}", "System.IndexOutOfRangeException"),
            ("{Name}", "System.IndexOutOfRangeException"),
            (
                "Name:x",
                "System.Runtime.Serialization.SerializationException",
            ),
        ] {
            assert_eq!(bound(text), expected, "{text}");
        }
    }
}
