//! Names and values of query strings and forms, and percent-decoding as the hosts do it.

use percent_encoding::percent_decode;

use super::format::essence;

/// The values of a query string or form: names without case, repeats joined with a comma.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads `a=b&c=d`. A part without `=` has no name and is dropped; a malformed `%` stays as it
    /// is.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut params = Self::default();
        for part in text.split(|byte| *byte == b'&') {
            if let Some(equals) = part.iter().position(|byte| *byte == b'=') {
                params.add(
                    decode(&part[..equals], true),
                    decode(&part[equals + 1..], true),
                );
            }
        }
        params
    }

    /// Reads a query as a self-host does: the URL library underneath drops the characters that
    /// control the direction of text (docs/upstream/wire.md 12.1).
    pub(crate) fn parse_self_hosted_query(text: &[u8]) -> Self {
        let mut params = Self::parse(text);
        let kept = |char| !matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}');
        for (name, value) in &mut params.0 {
            name.retain(kept);
            value.retain(kept);
        }
        params
    }

    /// Reads the values of a form body; None when the Content-Type is no form's.
    pub(crate) fn of_form(content_type: &str, body: &[u8]) -> Option<Self> {
        match essence(content_type).as_str() {
            "application/x-www-form-urlencoded" => Some(Self::parse(body)),
            "multipart/form-data" => Some(Self::multipart(content_type, body)),
            _ => None,
        }
    }

    /// Reads the plain values of a multipart form.
    fn multipart(content_type: &str, body: &[u8]) -> Self {
        let mut params = Self::default();
        let Some((_, boundary)) = content_type.split_once("boundary=") else {
            return params;
        };
        let boundary = boundary.split(';').next().unwrap_or_default();
        let boundary = format!("--{}", boundary.trim_matches('"'));
        for part in lossy(body).split(&boundary) {
            if let Some((head, value)) = part.split_once("\r\n\r\n")
                && let Some((_, name)) = head.split_once("name=\"")
                && let Some((name, _)) = name.split_once('"')
            {
                let value = value.strip_suffix("\r\n").unwrap_or(value);
                params.add(name.to_owned(), value.to_owned());
            }
        }
        params
    }

    /// Adds a value; a known name, in any case, keeps its first spelling.
    fn add(&mut self, name: String, value: String) {
        let mut known = self.0.iter_mut();
        match known.find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            Some((_, values)) => {
                values.push(',');
                values.push_str(&value);
            }
            None => self.0.push((name, value)),
        }
    }

    /// Returns the value of a name, without case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.iter();
        values
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Iterates over names and values in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.0.iter();
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Percent-decodes a whole path once (docs/upstream/wire.md 5); `plus_is_space` on self-host.
///
/// # Errors
/// Returns the message of the framework's `FormatException` over a malformed `%`.
pub(crate) fn decode_path(path: &str, plus_is_space: bool) -> Result<String, &'static str> {
    for (_, after) in path.match_indices('%').map(|(at, _)| path.split_at(at + 1)) {
        let digits = after.bytes().take(2).take_while(u8::is_ascii_hexdigit);
        match digits.count() {
            2 => {}
            1 => {
                return Err("Additional non-parsable characters are at the end of the string.");
            }
            _ => return Err("Could not find any recognizable digits."),
        }
    }
    Ok(decode(path.as_bytes(), plus_is_space))
}

fn decode(text: &[u8], plus_is_space: bool) -> String {
    let space = |byte: &u8| {
        if *byte == b'+' && plus_is_space {
            b' '
        } else {
            *byte
        }
    };
    let text: Vec<u8> = text.iter().map(space).collect();
    percent_decode(&text).decode_utf8_lossy().into_owned()
}

/// Bad UTF-8 becomes U+FFFD, as in .NET.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
