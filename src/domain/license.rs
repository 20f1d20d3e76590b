//! The tenant's API key.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use zeroize::Zeroizing;

/// The License: the API key that stands in nearly every upstream path (docs/upstream/domain.md 2).
///
/// It has no `Display`, its `Debug` prints nothing of it, and its memory is overwritten when it is
/// dropped. Only `upstream` asks for its text.
#[derive(Clone, PartialEq, Eq)]
pub struct License(Zeroizing<String>);

impl License {
    /// The longest License that is taken, in bytes: it has to fit the query next to other values.
    pub const MAX_BYTES: usize = 256;

    /// Takes the text of a License.
    ///
    /// # Errors
    /// Says what is wrong, without printing the text: empty, longer than [`Self::MAX_BYTES`], or
    /// with control characters.
    pub fn new(text: impl Into<String>) -> Result<Self, &'static str> {
        let text = Zeroizing::new(text.into());
        if text.is_empty() {
            Err("is empty")
        } else if text.len() > Self::MAX_BYTES {
            Err("is longer than 256 bytes")
        } else if text.chars().any(char::is_control) {
            Err("holds control characters")
        } else {
            Ok(Self(text))
        }
    }

    /// Returns the text, to be written into an upstream request or to be looked for in a text that
    /// must not hold it, and for nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Hash for License {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_bytes().hash(state);
    }
}

impl fmt::Debug for License {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("License(…)")
    }
}
