use std::fmt;

use csv_core::ReadFieldResult;

use super::{Error, Kind};

/// The longest body that [`Reader::read`] takes, in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The most fields that a record may have. The upstream's have six.
pub const MAX_FIELDS: usize = 256;

/// The most data records that a body may have. The upstream's answers have one.
pub const MAX_RECORDS: usize = 10_000;

/// What a reader keeps of its buffer between bodies: one huge answer must not stay in memory for
/// as long as the reader lives.
const KEPT_BYTES: usize = 64 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A CSV parser with its buffers, to be used again and again.
///
/// Making one builds the parser's transition tables, which takes several times as long as
/// reading an answer, so callers keep theirs. A reader can be used again after any body, also after
/// an error.
pub struct Reader {
    parser: csv_core::Reader,
    /// The unescaped fields of the last body, end to end.
    text: Vec<u8>,
    /// Where each field ends in `text`.
    ends: Vec<usize>,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows no content.
impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Reader {
    /// Makes a reader.
    #[must_use]
    pub fn new() -> Self {
        // Its `Default` has no tables, and parses nothing.
        Self {
            parser: csv_core::Reader::new(),
            text: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Reads a body: a header record and any number of data records.
    ///
    /// Takes CRLF and LF, a missing last newline, blank lines at the end, and a byte order mark
    /// (docs/upstream/wire.md 10.11). In a body with one column a blank line is no record.
    ///
    /// # Errors
    /// Everything else that is not RFC 4180 with UTF-8; see [`Kind`]. The parser underneath
    /// accepts such bodies and guesses.
    pub fn read(&mut self, body: &[u8]) -> Result<Table<'_>, Error> {
        if body.len() > MAX_BYTES {
            return Err(Error::at(Kind::TooLong, MAX_BYTES));
        }
        if let Err(error) = std::str::from_utf8(body) {
            return Err(Error::at(Kind::InvalidUtf8, error.valid_up_to()));
        }
        let start = if body.starts_with(BYTE_ORDER_MARK) {
            BYTE_ORDER_MARK.len()
        } else {
            0
        };
        let (width, length) = self.split(body, start)?;
        let text = self.text.get(..length).unwrap_or_default();
        let table = Table {
            // Unescaping drops ASCII characters only, so what is left is UTF-8 as well.
            text: std::str::from_utf8(text).map_err(|_| Error::at(Kind::InvalidUtf8, start))?,
            ends: &self.ends,
            width,
        };
        let header = table.header();
        for (index, name) in header.iter().enumerate() {
            if header.iter().take(index).any(|earlier| earlier == name) {
                return Err(Error::at(Kind::DuplicateColumn, start));
            }
        }
        Ok(table)
    }

    /// Fills `text` and `ends`. Returns the number of columns and the length of the text.
    fn split(&mut self, body: &[u8], start: usize) -> Result<(usize, usize), Error> {
        self.parser.reset();
        self.ends.clear();
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES);
        // Unescaping never lengthens, but the parser needs a byte even if it writes nothing.
        self.text.resize(body.len() + 1, 0);

        let (mut width, mut records) = (None, 0);
        let (mut pos, mut length) = (start, 0);
        let (mut field_start, mut record_start) = (start, start);
        let mut fields = 0;
        loop {
            // An empty rest tells the parser that the body ended.
            let rest = &body[pos..];
            let (result, read, written) = self.parser.read_field(rest, &mut self.text[length..]);
            pos += read;
            length += written;
            let record_end = match result {
                ReadFieldResult::InputEmpty => continue,
                ReadFieldResult::OutputFull => return Err(Error::at(Kind::TooLong, pos)),
                ReadFieldResult::End => break,
                ReadFieldResult::Field { record_end } => record_end,
            };
            if fields == 0 {
                field_start = skip_newline(body, field_start, start);
                record_start = field_start;
            }
            // The field's last byte is its delimiter, unless the body ended.
            let field_end = if rest.is_empty() { pos } else { pos - 1 };
            check_field(&body[field_start..field_end], fields == 0)
                .map_err(|(kind, at)| Error::at(kind, field_start + at))?;
            if fields == MAX_FIELDS {
                return Err(Error::at(Kind::TooManyFields, field_start));
            }
            fields += 1;
            self.ends.push(length);
            field_start = pos;
            if record_end {
                let expected = *width.get_or_insert(fields);
                if fields != expected {
                    let kind = Kind::FieldCount {
                        expected,
                        found: fields,
                    };
                    return Err(Error::at(kind, record_start));
                }
                if records > MAX_RECORDS {
                    return Err(Error::at(Kind::TooManyRecords, record_start));
                }
                // Counts the header record too.
                records += 1;
                fields = 0;
            }
        }
        match width {
            Some(width) => Ok((width, length)),
            None => Err(Error::at(Kind::Empty, start)),
        }
    }
}

/// Skips the LF of a CRLF: the parser ends a record at the CR, and takes the LF as the first
/// byte of what follows.
fn skip_newline(body: &[u8], at: usize, start: usize) -> usize {
    let crlf = at > start && body[at - 1] == b'\r' && body.get(at) == Some(&b'\n');
    if crlf { at + 1 } else { at }
}

/// Checks what the parser underneath lets pass: that a field without quotes holds none, and that
/// a quoted one ends with its closing quote. An error comes with its offset in the field.
fn check_field(raw: &[u8], first: bool) -> Result<(), (Kind, usize)> {
    let quote = |from: usize| {
        let rest = raw.get(from..).unwrap_or_default();
        rest.iter()
            .position(|&byte| byte == b'"')
            .map(|at| from + at)
    };
    // The parser skips blank lines before a record.
    if first && matches!(raw.first(), Some(b'\r' | b'\n')) {
        return Err((Kind::BlankLine, 0));
    }
    if raw.first() != Some(&b'"') {
        return match quote(0) {
            Some(at) => Err((Kind::QuoteInBareField, at)),
            None => Ok(()),
        };
    }
    let mut from = 1;
    while let Some(at) = quote(from) {
        match raw.get(at + 1) {
            None => return Ok(()),
            Some(b'"') => from = at + 2,
            Some(_) => return Err((Kind::TextAfterQuote, at + 1)),
        }
    }
    Err((Kind::UnclosedQuote, 0))
}

/// A body that was read: a header record, and data records with as many fields each.
///
/// Borrows from its [`Reader`].
#[derive(Clone, Copy)]
pub struct Table<'r> {
    text: &'r str,
    ends: &'r [usize],
    /// The number of columns, at least one.
    width: usize,
}

/// Shows the dimensions only: the content holds the License.
impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("columns", &self.width)
            .field("records", &self.len())
            .finish_non_exhaustive()
    }
}

impl<'r> Table<'r> {
    /// Returns the header record.
    #[must_use]
    pub fn header(&self) -> Record<'r> {
        self.row(0)
    }

    /// Finds a column by its exact name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.header().iter().position(|column| column == name)
    }

    /// Returns the number of data records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len() / self.width - 1
    }

    /// Returns whether there is no data record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a data record, the first being 0.
    #[must_use]
    pub fn record(&self, index: usize) -> Option<Record<'r>> {
        (index < self.len()).then(|| self.row(index + 1))
    }

    /// Returns the data records.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'r>> + use<'r> {
        let table = *self;
        (0..self.len()).map(move |index| table.row(index + 1))
    }

    fn row(&self, row: usize) -> Record<'r> {
        let first = row * self.width;
        Record {
            text: self.text,
            start: first.checked_sub(1).map_or(0, |before| self.ends[before]),
            ends: &self.ends[first..first + self.width],
        }
    }
}

/// One record of a [`Table`].
#[derive(Clone, Copy)]
pub struct Record<'r> {
    text: &'r str,
    start: usize,
    ends: &'r [usize],
}

/// Shows the number of fields only.
impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("fields", &self.ends.len())
            .finish_non_exhaustive()
    }
}

impl<'r> Record<'r> {
    /// Returns a field, unescaped. Null and the empty string look the same
    /// (docs/upstream/wire.md 2.5).
    #[must_use]
    pub fn get(&self, column: usize) -> Option<&'r str> {
        let end = *self.ends.get(column)?;
        let start = match column {
            0 => self.start,
            _ => self.ends[column - 1],
        };
        self.text.get(start..end)
    }

    /// Returns the fields in their order.
    pub fn iter(&self) -> impl Iterator<Item = &'r str> + use<'r> {
        let record = *self;
        (0..record.ends.len()).map_while(move |column| record.get(column))
    }
}
