//! The grammar, without serde: a cursor over the text.

use std::borrow::Cow;

use super::{Error, Kind, MAX_DEPTH, is_special};

/// A cursor over a text.
///
/// `pos` is never inside a character: it only ever moves past ASCII bytes that the grammar
/// names, or up to one.
#[derive(Clone)]
pub(super) struct Scanner<'de> {
    text: &'de str,
    pos: usize,
    depth: u32,
}

impl<'de> Scanner<'de> {
    pub(super) fn new(text: &'de str) -> Self {
        Self {
            text,
            pos: 0,
            depth: 0,
        }
    }

    pub(super) fn position(&self) -> usize {
        self.pos
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    pub(super) fn error(&self, kind: Kind) -> Error {
        Error::at(kind, self.pos)
    }

    /// Checks that nothing follows the value.
    pub(super) fn end(&self) -> Result<(), Error> {
        if self.pos == self.text.len() {
            Ok(())
        } else {
            Err(self.error(Kind::TrailingText))
        }
    }

    /// Returns whether an empty bare value is here.
    pub(super) fn at_empty(&self) -> bool {
        matches!(self.peek(), None | Some(b',' | b'}' | b']'))
    }

    /// Enters a list or an object, or fails with the kind `otherwise`.
    pub(super) fn open(&mut self, bracket: u8, otherwise: Kind) -> Result<(), Error> {
        if self.peek() != Some(bracket) {
            return Err(self.error(otherwise));
        }
        if self.depth == MAX_DEPTH {
            return Err(self.error(Kind::TooDeep));
        }
        self.pos += 1;
        self.depth += 1;
        Ok(())
    }

    /// Leaves the list or the object if it closes here.
    pub(super) fn close(&mut self, bracket: u8) -> bool {
        let closes = self.peek() == Some(bracket);
        if closes {
            self.pos += 1;
            self.depth -= 1;
        }
        closes
    }

    /// Moves on to an element or a member: past the comma unless it is the first one. Returns
    /// `false`, and leaves the list or the object, if there is none left.
    pub(super) fn advance(&mut self, first: bool, bracket: u8) -> Result<bool, Error> {
        if self.close(bracket) {
            return Ok(false);
        }
        match self.peek() {
            None => Err(self.error(Kind::UnexpectedEnd)),
            Some(_) if first => Ok(true),
            Some(b',') => {
                self.pos += 1;
                Ok(true)
            }
            Some(_) => Err(self.error(Kind::ExpectedSeparator)),
        }
    }

    /// Reads a key and the colon after it. Returns a cursor over the key alone, so that the key
    /// is read like any bare value and its errors know their position in the whole text.
    pub(super) fn key(&mut self) -> Result<Scanner<'de>, Error> {
        let start = self.pos;
        self.skip_bare();
        if self.pos == start {
            return Err(match self.peek() {
                None => self.error(Kind::UnexpectedEnd),
                Some(_) => self.error(Kind::ExpectedKey),
            });
        }
        let key = Scanner {
            text: &self.text[..self.pos],
            pos: start,
            depth: self.depth,
        };
        match self.peek() {
            Some(b':') => {
                self.pos += 1;
                Ok(key)
            }
            None => Err(self.error(Kind::UnexpectedEnd)),
            Some(_) => Err(self.error(Kind::ExpectedColon)),
        }
    }

    /// Reads a bare or a quoted string. Borrows unless a doubled quote has to become one.
    pub(super) fn scalar(&mut self) -> Result<Cow<'de, str>, Error> {
        match self.peek() {
            Some(b'"') => {
                let (inner, doubled) = self.quoted()?;
                Ok(if doubled {
                    Cow::Owned(inner.replace("\"\"", "\""))
                } else {
                    Cow::Borrowed(inner)
                })
            }
            Some(b'{' | b'[') => Err(self.error(Kind::ExpectedScalar)),
            _ => self.bare().map(Cow::Borrowed),
        }
    }

    /// Skips a value of any kind and returns its text, quotes included.
    ///
    /// The recursion is bounded by [`MAX_DEPTH`].
    pub(super) fn raw(&mut self) -> Result<&'de str, Error> {
        let start = self.pos;
        match self.peek() {
            Some(b'{') => {
                self.open(b'{', Kind::ExpectedObject)?;
                let mut first = true;
                while self.advance(first, b'}')? {
                    first = false;
                    self.key()?;
                    self.raw()?;
                }
            }
            Some(b'[') => {
                self.open(b'[', Kind::ExpectedList)?;
                let mut first = true;
                while self.advance(first, b']')? {
                    first = false;
                    self.raw()?;
                }
            }
            Some(b'"') => {
                self.quoted()?;
            }
            _ => {
                self.bare()?;
            }
        }
        Ok(&self.text[start..self.pos])
    }

    fn skip_bare(&mut self) {
        let rest = &self.text.as_bytes()[self.pos..];
        self.pos += rest
            .iter()
            .position(|&byte| is_special(byte))
            .unwrap_or(rest.len());
    }

    fn bare(&mut self) -> Result<&'de str, Error> {
        let start = self.pos;
        self.skip_bare();
        if self.at_empty() {
            Ok(&self.text[start..self.pos])
        } else {
            Err(self.error(Kind::SpecialInBare))
        }
    }

    /// Reads a quoted string; returns the text between the quotes, and whether that holds
    /// doubled quotes.
    fn quoted(&mut self) -> Result<(&'de str, bool), Error> {
        let opening = self.pos;
        let bytes = self.text.as_bytes();
        let mut doubled = false;
        self.pos += 1;
        loop {
            let Some(length) = bytes[self.pos..].iter().position(|&byte| byte == b'"') else {
                return Err(Error::at(Kind::UnterminatedQuote, opening));
            };
            self.pos += length + 1;
            if self.peek() != Some(b'"') {
                break;
            }
            doubled = true;
            self.pos += 1;
        }
        if self.at_empty() {
            Ok((&self.text[opening + 1..self.pos - 1], doubled))
        } else {
            Err(self.error(Kind::TextAfterQuote))
        }
    }
}
