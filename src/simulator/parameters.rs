//! Names and values of query strings and forms, and percent-decoding as the hosts do it.

/// The values of a query string or form: names without case, repeats joined with a comma.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads `a=b&c=d`. A part without `=` has no name and is dropped; a malformed `%` stays as it
    /// is.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut params = Self::default();
        for part in text.split(|b| *b == b'&') {
            if let Some(equals) = part.iter().position(|b| *b == b'=') {
                params.add(
                    decode_value(&part[..equals]),
                    decode_value(&part[equals + 1..]),
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

    /// Adds a value; a known name, in any case, keeps its first spelling.
    pub(crate) fn add(&mut self, name: String, value: String) {
        match self
            .0
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(&name))
        {
            Some((_, values)) => {
                values.push(',');
                values.push_str(&value);
            }
            None => self.0.push((name, value)),
        }
    }

    /// Returns the value of a name, without case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Iterates over names and values in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn decode_value(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => match hex(tail) {
                Some(byte) => {
                    bytes.push(byte);
                    rest = &tail[2..];
                }
                None => bytes.push(b'%'),
            },
            other => bytes.push(*other),
        }
    }
    lossy(&bytes)
}

/// What is wrong with a `%` in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedEscape {
    /// The message of the framework's `FormatException`.
    pub(crate) message: &'static str,
}

/// Percent-decodes a whole path once (docs/upstream/wire.md 5); `plus_is_space` on self-host.
pub(crate) fn decode_path(path: &[u8], plus_is_space: bool) -> Result<String, MalformedEscape> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' if plus_is_space => bytes.push(b' '),
            b'%' => {
                let byte = hex(tail).ok_or_else(|| MalformedEscape {
                    message: if tail.first().is_some_and(u8::is_ascii_hexdigit) {
                        "Additional non-parsable characters are at the end of the string."
                    } else {
                        "Could not find any recognizable digits."
                    },
                })?;
                bytes.push(byte);
                rest = &tail[2..];
            }
            other => bytes.push(*other),
        }
    }
    Ok(lossy(&bytes))
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let high = digit(*digits.first()?)?;
    let low = digit(*digits.get(1)?)?;
    u8::try_from(high * 16 + low).ok()
}

/// Bad UTF-8 becomes U+FFFD, as in .NET.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
