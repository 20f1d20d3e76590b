/// An error of reading CSV: its kind and the byte where it was found.
///
/// Neither the message nor the `Debug` form repeats any of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {position}")]
pub struct Error {
    kind: Kind,
    position: usize,
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message says what is wrong")]
pub enum Kind {
    /// The body holds nothing, or nothing but a byte order mark and blank lines. A service that
    /// returns null answers so (docs/upstream/wire.md 2.7).
    #[error("empty body")]
    Empty,
    #[error("body too long")]
    TooLong,
    #[error("invalid UTF-8")]
    InvalidUtf8,
    /// A quoted field does not end, as in a body that was cut.
    #[error("unclosed quote")]
    UnclosedQuote,
    /// A quoted field goes on after its closing quote.
    #[error("text after a closing quote")]
    TextAfterQuote,
    /// A field that does not start with a quote holds one.
    #[error("quote inside a bare field")]
    QuoteInBareField,
    #[error("blank line")]
    BlankLine,
    #[error("expected {expected} fields, found {found}")]
    FieldCount { expected: usize, found: usize },
    #[error("duplicate column name")]
    DuplicateColumn,
    #[error("too many fields")]
    TooManyFields,
    #[error("too many records")]
    TooManyRecords,
}

impl Error {
    pub(super) fn at(kind: Kind, position: usize) -> Self {
        Self { kind, position }
    }

    /// Returns what is wrong.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the byte offset in the body where the fault was found.
    ///
    /// For a wrong number of fields it is the start of the record, for a duplicate name the
    /// start of the header record.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }
}
