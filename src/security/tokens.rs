//! Bearer tokens.

use std::{fmt, time::SystemTime};

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// The hash of a bearer token, and its caller.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The name of the caller.
    pub caller: String,
    /// The SHA-256 of the token.
    pub hash: [u8; 32],
    /// When it expires; `None` for never.
    pub expires: Option<SystemTime>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("caller", &self.caller)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// The tokens of all callers.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Vec<Token>);

impl Tokens {
    /// Parses tokens, one a line: the name of the caller, the SHA-256 of the token in hexadecimal,
    /// and optionally its expiry, such as `2027-01-31T00:00:00Z`. Empty lines and lines that start
    /// with `#` are skipped.
    ///
    /// # Errors
    /// Returns the number of every wrong line, counted from 1, and the problem, without any text of
    /// the line: it might be a token.
    pub fn parse(text: &str) -> Result<Self, Vec<(usize, &'static str)>> {
        let (mut tokens, mut problems) = (Vec::new(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            match token(line) {
                Ok(token) => tokens.push(token),
                Err(problem) => problems.push((index + 1, problem)),
            }
        }
        if problems.is_empty() {
            Ok(Self(tokens))
        } else {
            Err(problems)
        }
    }

    /// Iterates over the tokens.
    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.0.iter()
    }

    /// Finds a token, in a time that does not depend on which one matches or nearly matches.
    pub(super) fn find(&self, token: &str) -> Option<&Token> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let (mut position, mut found) = (0u64, Choice::from(0));
        for (index, token) in (0u64..).zip(&self.0) {
            let equal = token.hash.ct_eq(&hash);
            position.conditional_assign(&index, equal);
            found |= equal;
        }
        let position = usize::try_from(position).ok()?;
        if found.into() {
            self.0.get(position)
        } else {
            None
        }
    }
}

fn token(line: &str) -> Result<Token, &'static str> {
    let mut words = line.split_whitespace();
    let (Some(caller), Some(hash), expiry, None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("must hold the name of a caller, a SHA-256, and optionally an expiry");
    };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let bytes: Option<Vec<u8>> = hash
        .as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect();
    let hash = bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or("must hold a SHA-256 of 64 hexadecimal digits as its second word")?;
    let expires = expiry
        .map(humantime::parse_rfc3339)
        .transpose()
        .map_err(|_| "must hold an expiry such as 2027-01-31T00:00:00Z")?;
    Ok(Token {
        caller: caller.to_owned(),
        hash,
        expires,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    #[test]
    fn parses_names_hashes_expiries_and_comments() {
        let text = format!(
            "# caller, sha256, expiry\r\n\nportal {SECRET}\r\n  batch\t{} 1970-01-02T00:00:00Z\n",
            "0F".repeat(32)
        );
        let tokens = Tokens::parse(&text).unwrap();
        let portal = tokens.find("secret").unwrap();
        assert_eq!((portal.caller.as_str(), portal.expires), ("portal", None));
        let batch = tokens.iter().nth(1).unwrap();
        let day = SystemTime::UNIX_EPOCH + Duration::from_secs(24 * 60 * 60);
        assert_eq!((batch.caller.as_str(), batch.expires), ("batch", Some(day)));
        assert_eq!(batch.hash, [0x0f; 32]);
        assert!(tokens.find("Secret").is_none());
        assert!(tokens.find("").is_none());
        assert!(!format!("{tokens:?}").contains("15"));
    }

    #[test]
    fn names_every_wrong_line_and_none_of_its_text() {
        let text = format!(
            "portal\nportal secret\nportal {SECRET} tomorrow\nportal {SECRET}\n\
             portal {SECRET} 2027-01-31T00:00:00Z more\nportal {}é\n",
            &SECRET[..62]
        );
        let problems = Tokens::parse(&text).unwrap_err();
        let lines: Vec<usize> = problems.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 3, 5, 6]);
    }
}
