//! The License: the API key of a tenant.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use zeroize::Zeroizing;

/// The API key of a tenant, which is part of nearly every upstream path
/// (docs/upstream/domain.md 2).
///
/// It has no `Display`, its `Debug` hides the text, and its memory is overwritten when the last copy
/// is dropped. Only `upstream` exposes the text.
#[derive(Clone, PartialEq, Eq)]
pub struct License(Arc<Zeroizing<String>>);

impl License {
    /// The maximum length in bytes: it has to fit the query next to other values.
    pub const MAX_BYTES: usize = 256;

    /// Creates a License from its text.
    ///
    /// # Errors
    /// The rule that is broken, without the text: empty, longer than [`Self::MAX_BYTES`], or
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
            Ok(Self(Arc::new(text)))
        }
    }

    /// Returns the text: only to write it into an upstream request, or to redact it from a text.
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
