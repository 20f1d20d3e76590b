//! A line: one JSON object.

use std::time::SystemTime;

use hmac::{Hmac, Mac as _};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Actor, End, Kind, Masking};
use crate::{
    domain::{self, FieldSet, Fields, NumberId},
    telemetry::call_trace,
};

/// A line that is being made.
pub(super) struct Line(Map<String, Value>);

impl Line {
    /// Starts a line with what every line has.
    pub(super) fn new(phase: &str, actor: &Actor, kind: Kind, number: Option<NumberId>) -> Self {
        let caller = match actor.caller.as_str() {
            "" => "anonymous",
            caller => caller,
        };
        let time = humantime::format_rfc3339_micros(SystemTime::now());
        let kind: &str = kind.into();
        let mut line = Self(Map::new());
        line.put("time", time.to_string());
        line.put("target", "audit");
        line.put("phase", phase);
        line.put("caller", caller);
        line.put("tenant", actor.tenant.as_str());
        line.put("method", actor.method);
        line.put("write", kind);
        line.put("account_id", actor.account.value());
        if let Some(number) = number {
            line.put("number_id", number.value());
        }
        if let Some(id) = &actor.request_id {
            line.put("request_id", id.as_str());
        }
        if let Some((trace, _)) = call_trace::ids() {
            line.put("trace_id", trace.to_string());
        }
        line
    }

    /// Makes the line of an operator's action.
    pub(super) fn of_operator(operator: &str, action: &str, record: &str) -> Self {
        let time = humantime::format_rfc3339_micros(SystemTime::now());
        let mut line = Self(Map::new());
        line.put("time", time.to_string());
        line.put("target", "audit");
        line.put("phase", "operator");
        line.put("operator", operator);
        line.put("action", action);
        line.put("record", record);
        line
    }

    pub(super) fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// Puts the fields of a number, where they are known.
    pub(super) fn put_fields(&mut self, key: &str, fields: Option<&Fields>, masker: &Masker) {
        if let Some(fields) = fields {
            self.put(key, masker.fields(fields));
        }
    }

    /// Puts the end of a write.
    pub(super) fn put_end(&mut self, end: End<'_>, masker: &Masker) {
        let outcome: &str = end.outcome.into();
        self.put("outcome", outcome);
        if !end.reason.is_empty() {
            self.put("reason", end.reason);
        }
        self.put_fields("after", end.after, masker);
        if !end.unapplied.is_empty() {
            let names: Vec<&str> = end.unapplied.iter().map(domain::Field::name).collect();
            self.put("unapplied", names);
        }
    }

    /// Returns the text of the line, with its newline.
    pub(super) fn into_text(self) -> String {
        Value::Object(self.0).to_string() + "\n"
    }
}

/// Masks personal texts.
pub(super) struct Masker {
    pub(super) masking: Masking,
    /// The key of the hashes.
    pub(super) key: Zeroizing<Vec<u8>>,
}

impl Masker {
    /// Returns the fields that are set, by their names in the contract.
    fn fields(&self, fields: &Fields) -> Value {
        let set = FieldSet::all().iter().filter(|field| fields.is_set(*field));
        let object: Map<String, Value> = set
            .map(|field| {
                let value = match (fields.get(field), field.masked()) {
                    (domain::Value::Text(text), Some(shown)) => self.personal(text, shown),
                    (domain::Value::Text(text), None) => text.into(),
                    (domain::Value::Integer(value), _) => json!(value),
                    (domain::Value::Flag(value), _) => json!(value),
                };
                (field.name().to_owned(), value)
            })
            .collect();
        Value::Object(object)
    }

    /// Returns a personal text, or its last characters and a keyed hash.
    fn personal(&self, text: &str, shown: usize) -> Value {
        if self.masking == Masking::Full || text.is_empty() {
            return text.into();
        }
        let count = text.chars().count();
        // The end of a short text would be most of it.
        let shown = if count > 2 * shown { shown } else { 0 };
        let end: String = text.chars().skip(count - shown).collect();
        json!({ "masked": format!("…{end}"), "hash": self.hash(text) })
    }

    pub(super) fn hash(&self, text: &str) -> Option<String> {
        // HMAC takes a key of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(text.as_bytes());
        let hash = mac.finalize().into_bytes();
        Some(
            hash[..16]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masker(masking: Masking, key: &[u8]) -> Masker {
        Masker {
            masking,
            key: Zeroizing::new(key.to_vec()),
        }
    }

    #[test]
    fn masked_values_of_two_lines_can_be_matched() {
        let fields = Fields {
            name: "Ann".to_owned(),
            redirect_number: "15550100".to_owned(),
            domain: "sip.example.com".to_owned(),
            ..Fields::default()
        };
        let masked = |key: &[u8]| masker(Masking::Masked, key).fields(&fields);
        let (one, other) = (masked(b"0123456789abcdef"), masked(b"fedcba9876543210"));
        assert_eq!(one["redirect_number"]["masked"], "…100");
        assert_eq!(one["name"]["masked"], "…");
        assert_eq!(one["domain"], "sip.example.com");
        let hash = one["redirect_number"]["hash"].as_str().unwrap();
        assert_eq!(hash.len(), 32);
        assert_ne!(
            one["redirect_number"]["hash"],
            other["redirect_number"]["hash"]
        );
        assert_eq!(one, masked(b"0123456789abcdef"));
        let text = one.to_string();
        assert!(!text.contains("Ann") && !text.contains("15550"), "{text}");
        // The whole of a short number would be its last three digits.
        let short = masker(Masking::Masked, b"0123456789abcdef").personal("911", 3);
        assert_eq!(short["masked"], "…");
    }

    #[test]
    fn full_values_are_written_as_they_are() {
        let fields = Fields {
            redirect_number: "15550100".to_owned(),
            ..Fields::default()
        };
        let value = masker(Masking::Full, b"").fields(&fields);
        assert_eq!(value, json!({ "redirect_number": "15550100" }));
    }
}
