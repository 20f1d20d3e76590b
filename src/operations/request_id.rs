//! The id by which a write can be repeated (AIP-155).

/// An id that a caller gave a write: 1 to 64 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// Takes an id.
    ///
    /// # Errors
    /// Says what to do where it is none.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (1..=64).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be 1 to 64 visible ASCII characters, for example a UUID")
        }
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
