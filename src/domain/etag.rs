//! Etags of numbers and of lists.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::{
    Field, List, Number,
    fields::{Fields, Value},
};

/// The version of the hash, at the start of each etag. An etag of another version matches nothing,
/// so change it with everything that changes a hash.
const VERSION: &str = "v1.";

/// How many hexadecimal digits the hash in an etag has.
const DIGITS: usize = 32;

/// A fingerprint of a number or of a list: a version, then 32 hexadecimal digits.
///
/// It depends on the ids and on the fields that only writes change, each in its canonical form, and
/// on nothing else: not on the process, nor on the sequence in which the upstream lists the
/// numbers. `status`, the settings and values that are not recognized do not count, so a phone
/// that registers changes no etag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etag(String);

impl Etag {
    /// Computes the etag of a number.
    #[must_use]
    pub fn of_number(number: &Number) -> Self {
        let mut hash = Sha256::new();
        feed(&mut hash, number);
        Self::finish(hash)
    }

    /// Computes the etag of a list.
    #[must_use]
    pub fn of_list(list: &List) -> Self {
        let mut numbers: Vec<&Number> = list.numbers.iter().collect();
        numbers.sort_by_key(|number| number.id);
        let mut hash = Sha256::new();
        hash.update(b"list");
        for number in numbers {
            feed(&mut hash, number);
        }
        Self::finish(hash)
    }

    fn finish(hash: Sha256) -> Self {
        let mut text = VERSION.to_owned();
        for byte in &hash.finalize()[..DIGITS / 2] {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// Returns whether a text has the form of an etag of any version; the first had no prefix.
    #[must_use]
    pub fn is_well_formed(text: &str) -> bool {
        let hash = match text.strip_prefix('v').and_then(|rest| rest.split_once('.')) {
            Some((version, hash)) if version.parse::<u16>().is_ok() => hash,
            _ => text,
        };
        hash.len() == DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    /// Takes an etag that was computed before.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Returns the etag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Etag> for String {
    fn from(etag: Etag) -> Self {
        etag.0
    }
}

/// Feeds a number in its canonical form to a hash. The length of each part is fed before it, so
/// that two different numbers never feed the same bytes.
fn feed(hash: &mut Sha256, number: &Number) {
    hash.update(number.account_id.value().to_be_bytes());
    hash.update(number.id.value().to_be_bytes());
    for field in Field::caller_owned() {
        feed_field(hash, &number.fields, field);
    }
}

fn feed_field(hash: &mut Sha256, fields: &Fields, field: Field) {
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    match fields.get(field) {
        Value::Text(_) if fields.is_recognized(field) => part(fields.canonical(field).as_bytes()),
        Value::Integer(Some(value)) => part(&value.to_be_bytes()),
        Value::Flag(Some(value)) => part(&[u8::from(*value)]),
        _ => part(&[]),
    }
}
