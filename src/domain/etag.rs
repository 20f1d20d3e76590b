//! Etags of numbers and of lists.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::{
    Field, FieldSet, List, Number,
    fields::{Fields, Value},
};

/// The version of the hash, at the start of each etag. An etag of another version matches nothing,
/// so change it with everything that changes a hash.
const VERSION: &str = "v1.";

/// How many hexadecimal digits the hash in an etag has.
const DIGITS: usize = 32;

const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";

/// How many bytes of a number are hashed, as a rule at most.
const USUAL_BYTES: usize = 256;

/// The fields that count.
static CALLER_OWNED: LazyLock<FieldSet> = LazyLock::new(Field::caller_owned);

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
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        feed(&mut bytes, number);
        Self::finish(Sha256::new_with_prefix(bytes))
    }

    /// Computes the etag of a list.
    #[must_use]
    pub fn of_list(list: &List) -> Self {
        let mut numbers: Vec<&Number> = list.numbers.iter().collect();
        numbers.sort_unstable_by_key(|number| number.id);
        let mut hash = Sha256::new_with_prefix(b"list");
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        for number in numbers {
            bytes.clear();
            feed(&mut bytes, number);
            hash.update(&bytes);
        }
        Self::finish(hash)
    }

    fn finish(hash: Sha256) -> Self {
        let mut text = String::with_capacity(VERSION.len() + DIGITS);
        text.push_str(VERSION);
        for byte in &hash.finalize()[..DIGITS / 2] {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from(HEXADECIMAL[usize::from(digit)]));
            }
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

/// Appends a number in its canonical form. The length of each part is appended before it, so that
/// two different numbers never append the same bytes.
fn feed(bytes: &mut Vec<u8>, number: &Number) {
    bytes.extend_from_slice(&number.account_id.value().to_be_bytes());
    bytes.extend_from_slice(&number.id.value().to_be_bytes());
    for field in *CALLER_OWNED {
        feed_field(bytes, &number.fields, field);
    }
}

fn feed_field(bytes: &mut Vec<u8>, fields: &Fields, field: Field) {
    let mut part = |part: &[u8]| {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    };
    match fields.get(field) {
        Value::Text(_) if fields.is_recognized(field) => part(fields.canonical(field).as_bytes()),
        Value::Integer(Some(value)) => part(&value.to_be_bytes()),
        Value::Flag(Some(value)) => part(&[u8::from(*value)]),
        _ => part(&[]),
    }
}
