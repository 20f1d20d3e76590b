//! The audit log: who changed whose forwarding, from what to what.
//!
//! Each single write has two lines, joined by `entry`: `begin` stands there before its first byte
//! goes upstream, `end` says what became of it. A `begin` without an `end` means that the process
//! died in between. What was unknown and is found out later gets a line of its own, with `later`.
//! A line is one JSON object; it goes to the file or to standard error in one piece.

use std::{
    fmt,
    fs::{OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use hmac::{Hmac, Mac as _};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{logs, metrics};
use crate::domain::{self, AccountId, FieldSet, Fields, Number, NumberId};

/// How the audit log is kept.
#[derive(Clone)]
pub struct Config {
    /// `telemetry.audit_file`: the file that lines are appended to; `None` for standard error.
    pub file: Option<PathBuf>,
    /// `telemetry.audit_required`: whether writes are refused where it cannot be written (true).
    pub required: bool,
    /// `telemetry.audit_numbers`: how redirect numbers and names stand in it (full).
    pub masking: Masking,
    /// `telemetry.audit_key_file`: the key of the hashes of masked values; `None` for a new one in
    /// each process.
    pub key: Option<Zeroizing<Vec<u8>>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            required: true,
            masking: Masking::Full,
            key: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("file", &self.file)
            .field("required", &self.required)
            .field("masking", &self.masking)
            .finish_non_exhaustive()
    }
}

/// How redirect numbers and names stand in the audit log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Masking {
    /// As they are.
    #[default]
    Full,
    /// The last three digits of a number and nothing of a name, and beside them a keyed hash by
    /// which two lines can be matched.
    Masked,
}

/// The shortest key that is taken, in bytes.
pub const MIN_KEY_BYTES: usize = 16;

/// The audit log could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct Unavailable(#[source] io::Error);

/// Who writes, and by which call.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The caller, as it is known; empty for anonymous.
    pub caller: String,
    /// The RPC.
    pub method: &'static str,
    /// The account.
    pub account: AccountId,
    /// The request id.
    pub request_id: Option<String>,
}

/// A single write.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What it does: `add`, `update`, `delete`, `put_back`.
    pub kind: &'static str,
    /// The number; `None` for one that is added.
    pub number: Option<NumberId>,
    /// What it holds before.
    pub before: Option<&'a Fields>,
    /// What it shall hold.
    pub after: Option<&'a Fields>,
}

impl<'a> Change<'a> {
    /// A number is added.
    #[must_use]
    pub fn add(after: &'a Fields) -> Self {
        Self {
            kind: "add",
            number: None,
            before: None,
            after: Some(after),
        }
    }

    /// A number gets other values.
    #[must_use]
    pub fn update(before: &'a Number, after: &'a Fields) -> Self {
        Self {
            kind: "update",
            number: Some(before.id),
            before: Some(&before.fields),
            after: Some(after),
        }
    }

    /// A number is deleted.
    #[must_use]
    pub fn delete(before: &'a Number) -> Self {
        Self {
            kind: "delete",
            number: Some(before.id),
            before: Some(&before.fields),
            after: None,
        }
    }
}

/// What became of a write.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome<'a> {
    /// `done`, `not_done`, `unknown`.
    pub outcome: &'static str,
    /// The reason of the error, or empty.
    pub reason: &'static str,
    /// The number, where it is known only now.
    pub number: Option<NumberId>,
    /// What reads back, where it was read.
    pub after: Option<&'a Fields>,
    /// The fields that did not take.
    pub unapplied: FieldSet,
}

/// The audit log.
#[derive(Clone)]
pub struct Audit(Arc<Inner>);

struct Inner {
    config: Config,
    key: Zeroizing<Vec<u8>>,
    /// One line is appended at a time, so that one that fails can be taken back.
    appending: Mutex<()>,
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Audit").field(&self.0.config).finish()
    }
}

impl Audit {
    /// Makes the audit log. Nothing is written yet.
    ///
    /// # Errors
    /// Fails where a key is needed and the system gives no random bytes.
    pub fn new(config: Config) -> io::Result<Self> {
        let key = match (&config.key, config.masking) {
            (Some(key), _) => key.clone(),
            (None, Masking::Full) => Zeroizing::default(),
            (None, Masking::Masked) => {
                let mut key = Zeroizing::new(vec![0; 32]);
                getrandom::fill(&mut key).map_err(io::Error::other)?;
                key
            }
        };
        Ok(Self(Arc::new(Inner {
            config,
            key,
            appending: Mutex::default(),
        })))
    }

    /// Writes that a write begins, before anything of it is sent.
    ///
    /// # Errors
    /// [`Unavailable`], unless the audit log is not required: then only a line of the log says so.
    pub fn begin(&self, actor: &Arc<Actor>, change: Change<'_>) -> Result<Entry, Unavailable> {
        let mut entry = Entry {
            audit: self.clone(),
            actor: Arc::clone(actor),
            id: format!("{:016x}", fastrand::u64(..)),
            kind: change.kind,
            number: change.number,
            ended: false,
        };
        let mut line = entry.line("begin");
        self.put(&mut line, "before", change.before);
        self.put(&mut line, "after", change.after);
        match self.write(line) {
            Ok(()) => Ok(entry),
            Err(error) if self.0.config.required => {
                // What does not begin has no end.
                entry.ended = true;
                Err(Unavailable(error))
            }
            Err(_) => Ok(entry),
        }
    }

    /// Writes what became of a write whose outcome was unknown.
    pub fn resolved_later(&self, actor: &Arc<Actor>, kind: &'static str, outcome: Outcome<'_>) {
        let mut line = head(actor, "end", kind, outcome.number);
        line.insert("later".to_owned(), true.into());
        self.put_outcome(&mut line, outcome);
        // It was said already that it could not be written; there is nothing left to refuse.
        let _ = self.write(line);
    }

    fn put(&self, line: &mut Map<String, Value>, key: &str, fields: Option<&Fields>) {
        if let Some(fields) = fields {
            line.insert(key.to_owned(), self.fields(fields));
        }
    }

    fn put_outcome(&self, line: &mut Map<String, Value>, outcome: Outcome<'_>) {
        line.insert("outcome".to_owned(), outcome.outcome.into());
        if !outcome.reason.is_empty() {
            line.insert("reason".to_owned(), outcome.reason.into());
        }
        self.put(line, "after", outcome.after);
        if !outcome.unapplied.is_empty() {
            let names: Vec<&str> = outcome.unapplied.iter().map(|field| field.name()).collect();
            line.insert("unapplied".to_owned(), names.into());
        }
    }

    /// Writes the fields of a number, by the names of the contract; empty ones are left out.
    fn fields(&self, fields: &Fields) -> Value {
        let mut object = Map::new();
        for field in FieldSet::all() {
            if fields.is_set(field) {
                let value = match (fields.get(field), field.masked()) {
                    (domain::Value::Text(text), Some(shown)) => self.personal(text, shown),
                    (domain::Value::Text(text), None) => text.into(),
                    (domain::Value::Integer(value), _) => json!(value),
                    (domain::Value::Flag(value), _) => json!(value),
                };
                object.insert(field.name().to_owned(), value);
            }
        }
        Value::Object(object)
    }

    /// Writes a personal text: as it is, or its last characters and a keyed hash.
    fn personal(&self, text: &str, shown: usize) -> Value {
        if self.0.config.masking == Masking::Full || text.is_empty() {
            return text.into();
        }
        // A short number would be shown whole.
        let count = text.chars().count();
        let skip = if count > 2 * shown {
            count - shown
        } else {
            count
        };
        let end: String = text.chars().skip(skip).collect();
        json!({ "masked": format!("…{end}"), "hash": self.hash(text) })
    }

    fn hash(&self, text: &str) -> Option<String> {
        // HMAC takes a key of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0.key).ok()?;
        mac.update(text.as_bytes());
        let hash = mac.finalize().into_bytes();
        Some(
            hash[..16]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }

    /// Writes a line in one piece. A small append to a local file takes microseconds, so it is done
    /// in place; the file is opened for each, so that it can be moved away.
    fn write(&self, line: Map<String, Value>) -> io::Result<()> {
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        let result = match &self.0.config.file {
            Some(file) => {
                let appending = &self.0.appending;
                let _one = appending.lock().unwrap_or_else(PoisonError::into_inner);
                append(file, text.as_bytes())
            }
            None => {
                let mut stderr = io::stderr().lock();
                stderr
                    .write_all(text.as_bytes())
                    .and_then(|()| stderr.flush())
            }
        };
        if let Err(error) = &result {
            metrics::audit_failure();
            tracing::error!(
                error = error as &dyn std::error::Error,
                "the audit log cannot be written"
            );
        }
        result
    }
}

/// Appends to a file that only its owner may read: everything or nothing, since half a line would
/// spoil the next one.
fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    const OWNER_ONLY: u32 = 0o600;
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(OWNER_ONLY)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.permissions().mode() & 0o777 != OWNER_ONLY {
        file.set_permissions(Permissions::from_mode(OWNER_ONLY))?;
    }
    let written = file.write_all(bytes);
    if written.is_err() && metadata.is_file() {
        // What cannot be taken back stays as it is: the failure is told in any case.
        let _ = file.set_len(metadata.len());
    }
    written
}

fn head(actor: &Actor, phase: &str, kind: &str, number: Option<NumberId>) -> Map<String, Value> {
    let mut line = Map::new();
    let mut put = |key: &str, value: Value| line.insert(key.to_owned(), value);
    let caller = if actor.caller.is_empty() {
        "anonymous"
    } else {
        &actor.caller
    };
    let time = humantime::format_rfc3339_micros(SystemTime::now());
    put("time", time.to_string().into());
    put("target", "audit".into());
    put("phase", phase.into());
    put("caller", caller.into());
    put("method", actor.method.into());
    put("write", kind.into());
    put("account_id", actor.account.value().into());
    if let Some(number) = number {
        put("number_id", number.value().into());
    }
    if let Some(id) = &actor.request_id {
        put("request_id", id.as_str().into());
    }
    if let Some((trace, _)) = logs::trace_ids() {
        put("trace_id", trace.into());
    }
    line
}

/// A write that has begun. Dropped without its end, its outcome is unknown.
#[derive(Debug)]
#[must_use = "what became of the write has to be told"]
pub struct Entry {
    audit: Audit,
    actor: Arc<Actor>,
    id: String,
    kind: &'static str,
    number: Option<NumberId>,
    ended: bool,
}

impl Entry {
    fn line(&self, phase: &str) -> Map<String, Value> {
        let mut line = head(&self.actor, phase, self.kind, self.number);
        line.insert("entry".to_owned(), self.id.as_str().into());
        line
    }

    /// Writes what became of the write.
    pub fn end(mut self, outcome: Outcome<'_>) {
        self.number = outcome.number.or(self.number);
        self.write_end(outcome);
    }

    fn write_end(&mut self, outcome: Outcome<'_>) {
        self.ended = true;
        let mut line = self.line("end");
        self.audit.put_outcome(&mut line, outcome);
        // The write is done or not; the failure is in the log, and the next write is refused.
        let _ = self.audit.write(line);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.ended {
            self.write_end(Outcome {
                outcome: "unknown",
                reason: "INTERNAL_ERROR",
                ..Outcome::default()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(masking: Masking, key: &[u8]) -> Audit {
        Audit::new(Config {
            masking,
            key: Some(Zeroizing::new(key.to_vec())),
            ..Config::default()
        })
        .unwrap()
    }

    #[test]
    fn masks_numbers_and_names_so_that_two_lines_can_be_matched() {
        let fields = Fields {
            name: "Ann".to_owned(),
            redirect_number: "15550100".to_owned(),
            domain: "sip.example.com".to_owned(),
            ..Fields::default()
        };
        let (one, other) = (
            audit(Masking::Masked, b"0123456789abcdef").fields(&fields),
            audit(Masking::Masked, b"fedcba9876543210").fields(&fields),
        );
        assert_eq!(one["redirect_number"]["masked"], "…100");
        assert_eq!(one["name"]["masked"], "…");
        assert_eq!(one["domain"], "sip.example.com");
        let hash = one["redirect_number"]["hash"].as_str().unwrap();
        assert_eq!(hash.len(), 32);
        assert_ne!(
            one["redirect_number"]["hash"],
            other["redirect_number"]["hash"]
        );
        assert_eq!(
            one,
            audit(Masking::Masked, b"0123456789abcdef").fields(&fields)
        );
        let text = one.to_string();
        assert!(!text.contains("Ann") && !text.contains("15550"), "{text}");
        // The whole of a short number would be its last three digits.
        let short = audit(Masking::Masked, b"0123456789abcdef").personal("911", 3);
        assert_eq!(short["masked"], "…");
    }

    #[test]
    fn writes_full_values_where_that_is_asked_for() {
        let fields = Fields {
            redirect_number: "15550100".to_owned(),
            ..Fields::default()
        };
        let value = audit(Masking::Full, b"").fields(&fields);
        assert_eq!(value, json!({ "redirect_number": "15550100" }));
    }
}
