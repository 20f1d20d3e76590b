use std::fmt;

/// An error of reading JSV: its kind and the byte where it was found.
///
/// Neither the message nor the `Debug` form repeats any of the input. Messages that a type's own
/// `Deserialize` makes are dropped for that reason, and become
/// [`Kind::InvalidValue`].
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    position: Option<usize>,
}

/// What is wrong with a text, or with what the type that is read wants of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message says what is wrong")]
pub enum Kind {
    #[error("text too long")]
    TooLong,
    #[error("nested too deeply")]
    TooDeep,
    #[error("text ends inside an object or a list")]
    UnexpectedEnd,
    #[error("unterminated quoted string")]
    UnterminatedQuote,
    #[error("text after a closing quote")]
    TextAfterQuote,
    #[error("special character in a string without quotes")]
    SpecialInBare,
    #[error("text after the value")]
    TrailingText,
    /// A key is empty, as after a superfluous comma, or is a quoted one.
    #[error("expected a key")]
    ExpectedKey,
    #[error("expected a colon after the key")]
    ExpectedColon,
    #[error("expected a comma or the closing bracket")]
    ExpectedSeparator,
    #[error("expected an object")]
    ExpectedObject,
    #[error("expected a list")]
    ExpectedList,
    /// The type that is read wants a string, a number or a boolean here.
    #[error("expected a scalar")]
    ExpectedScalar,
    /// Not a decimal integer.
    #[error("invalid integer")]
    InvalidInteger,
    /// A decimal integer that the type which is read can't hold.
    #[error("integer out of range")]
    IntegerOutOfRange,
    /// Neither `True` nor `False`.
    #[error("invalid boolean")]
    InvalidBoolean,
    #[error("invalid value")]
    InvalidValue,
    #[error("wrong number of elements")]
    InvalidLength,
    #[error("missing key `{0}`")]
    MissingKey(&'static str),
    #[error("duplicate key `{0}`")]
    DuplicateKey(&'static str),
    /// The type that is read refuses keys that it does not know.
    #[error("unknown key")]
    UnknownKey,
    #[error("unknown variant")]
    UnknownVariant,
    /// The type has no JSV form.
    #[error("{0} not supported")]
    Unsupported(&'static str),
}

impl Error {
    /// Makes an error found at a byte of the text.
    pub(super) fn at(kind: Kind, position: usize) -> Self {
        Self {
            kind,
            position: Some(position),
        }
    }

    /// Makes an error whose position is not known yet.
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            position: None,
        }
    }

    /// Adds a position unless the error has one: the innermost is the most exact.
    pub(super) fn or_at(mut self, position: usize) -> Self {
        self.position.get_or_insert(position);
        self
    }

    /// Returns what is wrong.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the byte offset where the fault was found; `None` for an error of writing.
    ///
    /// For a value that a type refused it is the offset where that value starts.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.position
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "{} at byte {position}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

/// Every text that could hold input (`msg`, an unexpected value, an unknown key) is dropped.
impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(_msg: T) -> Self {
        Self::new(Kind::InvalidValue)
    }

    fn invalid_length(_len: usize, _exp: &dyn serde::de::Expected) -> Self {
        Self::new(Kind::InvalidLength)
    }

    fn unknown_variant(_variant: &str, _expected: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownVariant)
    }

    fn unknown_field(_field: &str, _expected: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownKey)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Kind::MissingKey(field))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(Kind::DuplicateKey(field))
    }
}
