//! The audit log: who changed whose forwarding, from what to what.
//!
//! Every single write has two lines, joined by `entry`: `begin` is written before its first byte is
//! sent to the upstream, `end` has its outcome. A `begin` without an `end` means that the process
//! died in between. An unknown outcome that is resolved later gets a line of its own, with `later`.
//! A line is one JSON object, written in one piece to the file or to standard error.

mod config;
mod line;

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use zeroize::Zeroizing;

pub use self::config::{Config, Masking};
use self::line::{Line, Masker};
use super::{
    line_writer::{LineWriter, NotWritten, STDERR, Target},
    metrics,
};
use crate::domain::{AccountId, FieldSet, Fields, Number, NumberId};

/// The minimum length of a key, in bytes.
pub const MIN_KEY_BYTES: usize = 16;

/// The error of a line that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct Unavailable(#[source] NotWritten);

/// Who writes, and by which call.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The caller's name; empty for an anonymous one.
    pub caller: String,
    /// The tenant: the keyed hash of its License.
    pub tenant: String,
    /// The RPC.
    pub method: &'static str,
    /// The account.
    pub account: AccountId,
    /// The request id.
    pub request_id: Option<String>,
}

/// What a single write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// It adds a number.
    Add,
    /// It updates a number.
    Update,
    /// It deletes a number.
    Delete,
    /// It restores a number that a write of another one changed.
    #[strum(serialize = "put_back")]
    Restore,
}

/// A single write.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What it does.
    pub kind: Kind,
    /// The number; `None` for one that is added.
    pub number: Option<NumberId>,
    /// Its fields before the write.
    pub before: Option<&'a Fields>,
    /// Its fields as written.
    pub after: Option<&'a Fields>,
}

impl<'a> Change<'a> {
    /// Returns the change that adds a number.
    #[must_use]
    pub fn add(after: &'a Fields) -> Self {
        Self {
            kind: Kind::Add,
            number: None,
            before: None,
            after: Some(after),
        }
    }

    /// Returns the change that updates a number.
    #[must_use]
    pub fn update(before: &'a Number, after: &'a Fields) -> Self {
        Self {
            kind: Kind::Update,
            number: Some(before.id),
            before: Some(&before.fields),
            after: Some(after),
        }
    }

    /// Returns the change that deletes a number.
    #[must_use]
    pub fn delete(before: &'a Number) -> Self {
        Self {
            kind: Kind::Delete,
            number: Some(before.id),
            before: Some(&before.fields),
            after: None,
        }
    }
}

/// The outcome of a write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// The list shows it.
    Done,
    /// The list proves that it had no effect.
    NotDone,
    /// Neither is proved.
    #[default]
    Unknown,
}

/// The end of a write.
#[derive(Debug, Clone, Copy, Default)]
pub struct End<'a> {
    /// The outcome.
    pub outcome: Outcome,
    /// The reason of the error; empty for none.
    pub reason: &'static str,
    /// The number, where it was not known before.
    pub number: Option<NumberId>,
    /// The fields as read back, where they were read.
    pub after: Option<&'a Fields>,
    /// The fields that the upstream did not apply.
    pub unapplied: FieldSet,
}

/// The audit log.
#[derive(Clone)]
pub struct Audit(Arc<Inner>);

struct Inner {
    required: bool,
    timeout: Duration,
    masker: Masker,
    /// The writer of the file; `None` for standard error.
    file: Option<LineWriter>,
    /// Whether the last line that was awaited was not written in time.
    stalled: AtomicBool,
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit")
            .field("required", &self.0.required)
            .finish_non_exhaustive()
    }
}

impl Audit {
    /// Creates the audit log. Nothing is written yet.
    ///
    /// # Errors
    /// Fails where a key is needed and the system gives no random bytes.
    pub fn new(config: Config) -> io::Result<Self> {
        let key = match config.key {
            Some(key) => key,
            None => {
                let mut key = Zeroizing::new(vec![0; 32]);
                getrandom::fill(&mut key).map_err(io::Error::other)?;
                key
            }
        };
        Ok(Self(Arc::new(Inner {
            required: config.required,
            timeout: config.timeout,
            masker: Masker {
                masking: config.masking,
                key,
            },
            file: config
                .file
                .map(|path| LineWriter::start(Target::File(path))),
            stalled: AtomicBool::new(false),
        })))
    }

    /// Returns the keyed hash of a text that the log must not hold, by which lines can be matched.
    pub(crate) fn hash(&self, text: &str) -> String {
        self.0.masker.hash(text).unwrap_or_default()
    }

    /// Writes the `begin` of a write, before anything of it is sent: it is written when this
    /// returns, unless the audit log is not required. Lines of several writes are written together.
    ///
    /// # Errors
    /// [`Unavailable`], at the latest after the timeout, unless the audit log is not required.
    pub async fn begin(
        &self,
        actor: &Arc<Actor>,
        change: Change<'_>,
    ) -> Result<Entry, Unavailable> {
        let mut entry = Entry {
            audit: self.clone(),
            actor: Arc::clone(actor),
            id: format!("{:016x}", fastrand::u64(..)),
            kind: change.kind,
            number: change.number,
            ended: false,
        };
        let mut line = entry.line("begin");
        line.put_fields("before", change.before, &self.0.masker);
        line.put_fields("after", change.after, &self.0.masker);
        match self.write(line).await {
            Ok(()) => Ok(entry),
            Err(error) => {
                // The line of a write that is refused may still come, and then it has an end.
                if matches!(error, NotWritten::InFlight) {
                    entry.write_end(End {
                        outcome: Outcome::NotDone,
                        reason: "AUDIT_UNAVAILABLE",
                        ..End::default()
                    });
                }
                entry.ended = true;
                Err(Unavailable(error))
            }
        }
    }

    /// Waits until the lines that were queued are written, at most for the timeout.
    pub async fn flush(&self) {
        // Who has just waited for nothing does not wait once more.
        if !self.0.stalled.load(Ordering::Relaxed) {
            self.writer().flush(self.0.timeout).await;
        }
    }

    /// Writes the outcome of a write that was unknown until now.
    pub fn resolved_later(&self, actor: &Arc<Actor>, kind: Kind, entry: &str, end: End<'_>) {
        let mut line = Line::new("end", actor, kind, end.number);
        line.put("later", true);
        if !entry.is_empty() {
            line.put("entry", entry);
        }
        line.put_end(end, &self.0.masker);
        self.queue(line);
    }

    /// Writes what an operator does to the journal, before it is done.
    ///
    /// # Errors
    /// As [`Audit::begin`].
    pub async fn operator(
        &self,
        operator: &str,
        action: &str,
        record: &str,
    ) -> Result<(), Unavailable> {
        let line = Line::of_operator(operator, action, record);
        self.write(line).await.map_err(Unavailable)
    }

    /// As [`Audit::operator`], for a command, which has no runtime.
    ///
    /// # Errors
    /// As [`Audit::begin`].
    pub fn operator_blocking(
        &self,
        operator: &str,
        action: &str,
        record: &str,
    ) -> Result<(), Unavailable> {
        let line = Line::of_operator(operator, action, record).into_text();
        let written = self.writer().write_blocking(line, self.0.timeout);
        match written.map_err(|error| self.late(error)) {
            Err(error) if self.0.required => Err(Unavailable(error)),
            _ => Ok(()),
        }
    }

    /// Writes a line, and waits for it if the audit log is required.
    async fn write(&self, line: Line) -> Result<(), NotWritten> {
        if !self.0.required {
            self.queue(line);
            return Ok(());
        }
        let written = self.writer().write(line.into_text(), self.0.timeout).await;
        written.map_err(|error| self.late(error)).inspect(|()| {
            self.0.stalled.store(false, Ordering::Relaxed);
        })
    }

    /// Records a line that was not written in time. The writer reports every other error itself.
    fn late(&self, error: NotWritten) -> NotWritten {
        if error.is_late() {
            self.0.stalled.store(true, Ordering::Relaxed);
            metrics::audit_failure();
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the audit log cannot be written in time"
            );
        }
        error
    }

    /// Queues a line of a write that cannot be refused any more.
    fn queue(&self, line: Line) {
        self.writer().queue_required(line.into_text());
    }

    fn writer(&self) -> &LineWriter {
        self.0.file.as_ref().unwrap_or(&STDERR)
    }
}

/// A write that has begun. Dropped without its end, its outcome is unknown.
#[derive(Debug)]
#[must_use = "the end of the write has to be written"]
pub struct Entry {
    audit: Audit,
    actor: Arc<Actor>,
    id: String,
    kind: Kind,
    number: Option<NumberId>,
    ended: bool,
}

impl Entry {
    /// Returns the id that its lines share.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    fn line(&self, phase: &str) -> Line {
        let mut line = Line::new(phase, &self.actor, self.kind, self.number);
        line.put("entry", self.id.as_str());
        line
    }

    /// Writes the `end` of the write.
    pub fn end(mut self, end: End<'_>) {
        self.write_end(end);
    }

    fn write_end(&mut self, end: End<'_>) {
        self.ended = true;
        self.number = end.number.or(self.number);
        let mut line = self.line("end");
        line.put_end(end, &self.audit.0.masker);
        self.audit.queue(line);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.ended {
            self.write_end(End {
                reason: "INTERNAL_ERROR",
                ..End::default()
            });
        }
    }
}
