//! Fingerprints of a number and of a list.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::{List, Number, number::without_plus};

/// A stable fingerprint: 32 hexadecimal digits.
///
/// It depends on what the numbers say and on nothing else: not on the process, its version, or the
/// order in which upstream lists them. `status`, the settings and what could not be understood are
/// left out, so that a phone that registers changes nothing.
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
        let mut text = String::with_capacity(32);
        for byte in &hash.finalize()[..16] {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// Returns the etag as it stands in messages.
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

/// Feeds a number in its canonical form. Each part is preceded by its length, so that no two
/// different numbers feed the same bytes.
fn feed(hash: &mut Sha256, number: &Number) {
    let fields = &number.fields;
    hash.update(number.account_id.value().to_be_bytes());
    hash.update(number.id.value().to_be_bytes());
    for value in [fields.order, fields.ring_timeout] {
        match value {
            None => hash.update([0]),
            Some(value) => {
                hash.update([1]);
                hash.update(value.to_be_bytes());
            }
        }
    }
    let domain = fields.domain.to_ascii_lowercase();
    let understood = |text: &'_ str, known: bool| {
        if known {
            text.to_owned()
        } else {
            String::new()
        }
    };
    for text in [
        fields.name.as_str(),
        without_plus(&fields.redirect_number),
        &domain,
        &understood(&fields.active, fields.is_active().is_some()),
        &understood(
            &fields.keep_original_cld,
            fields.keeps_original_cld().is_some(),
        ),
        &understood(&fields.keep_original_cli, fields.caller_id_mode().is_some()),
        &fields.period,
        &fields.period_description,
    ] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
}
