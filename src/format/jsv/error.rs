use std::fmt;

/// An error of reading JSV: its kind and the byte where it was found.
///
/// Neither the message nor the `Debug` form repeats any of the input. Messages that a type's own
/// `Deserialize` makes are dropped for that reason, and become
/// [`Kind::InvalidValue`].
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    position: Option<usize>,
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Kind {
    /// The text is longer than [`MAX_BYTES`](super::MAX_BYTES).
    #[error("text too long")]
    TooLong,
    /// Lists and objects nest deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    #[error("nested too deeply")]
    TooDeep,
    /// The text ends inside an object or a list.
    #[error("text ends inside an object or a list")]
    UnexpectedEnd,
    /// The text ends inside a quoted string.
    #[error("unterminated quoted string")]
    UnterminatedQuote,
    /// A quoted string is followed by something that is not a separator.
    #[error("text after a closing quote")]
    TextAfterQuote,
    /// A string without quotes holds a character that only a quoted one may.
    #[error("special character in a string without quotes")]
    SpecialInBare,
    /// The value is complete, but the text goes on.
    #[error("text after the value")]
    TrailingText,
    /// A key is empty, as after a superfluous comma, or is a quoted one.
    #[error("expected a key")]
    ExpectedKey,
    /// A key is not followed by a colon.
    #[error("expected a colon after the key")]
    ExpectedColon,
    /// An element or a member is followed by neither a comma nor the bracket that closes.
    #[error("expected a comma or the closing bracket")]
    ExpectedSeparator,
    /// The type that is read wants an object here.
    #[error("expected an object")]
    ExpectedObject,
    /// The type that is read wants a list here.
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
    /// The type that is read refused the value.
    #[error("invalid value")]
    InvalidValue,
    /// The type that is read wants another number of elements or members.
    #[error("wrong number of elements")]
    InvalidLength,
    /// A key that must be there is absent.
    #[error("missing key `{0}`")]
    MissingKey(&'static str),
    /// A key is given twice.
    #[error("duplicate key `{0}`")]
    DuplicateKey(&'static str),
    /// The type that is read refuses keys that it does not know.
    #[error("unknown key")]
    UnknownKey,
    /// The enum that is read has no such variant.
    #[error("unknown variant")]
    UnknownVariant,
    /// The type has no JSV form.
    #[error("{0} not supported")]
    Unsupported(&'static str),
}

impl Error {
    /// Makes an error found at a byte of the text.
    pub(super) fn at(kind: Kind, position: usize) -> Self {
        Self(Box::new(Inner {
            kind,
            position: Some(position),
        }))
    }

    /// Makes an error whose position is not known yet.
    pub(super) fn new(kind: Kind) -> Self {
        Self(Box::new(Inner {
            kind,
            position: None,
        }))
    }

    /// Adds a position unless the error has one: the innermost is the most exact.
    pub(super) fn or_at(mut self, position: usize) -> Self {
        self.0.position.get_or_insert(position);
        self
    }

    /// Returns what is wrong.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Returns the byte offset where the fault was found; `None` for an error of writing.
    ///
    /// For a value that a type refused it is the offset where that value starts.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.0.position
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.position {
            Some(position) => write!(f, "{} at byte {position}", self.0.kind),
            None => self.0.kind.fmt(f),
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
