//! The thread that writes the journal.

use std::{
    fs::File,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior, ffi, params};
use tokio::sync::oneshot;

use super::{
    super::{Error, RecordId, State, clock::JournalTime, operator},
    Change, Job, Row, Shared, schema,
};
use crate::telemetry::metrics;

/// How often the thread looks whether the file is still there, an operator asks for something, or
/// the disk takes writes again.
const TICK: Duration = Duration::from_secs(1);

/// How often it expires what is due and shortens the write-ahead log.
const SWEEP: Duration = Duration::from_secs(60);

/// After how many commits the write-ahead log is written into the file.
const CHECKPOINT: u32 = 500;

/// The most jobs in one commit.
const BATCH: usize = 1024;

/// SQLite, and what the thread knows.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) time: JournalTime,
    pub(super) upstream: String,
    /// How long settled records are kept, in milliseconds.
    pub(super) ttl: i64,
    /// The file, and its device and inode; `None` in memory.
    pub(super) file: Option<(PathBuf, (u64, u64))>,
    /// Held as long as the thread lives.
    pub(super) lock: Option<File>,
    pub(super) requests: operator::Inbox,
}

type Answer = oneshot::Sender<Result<(), Error>>;

/// What the thread keeps between commits.
#[derive(Default)]
struct Kept {
    /// What must not be lost and could not be written yet, in order.
    owed: Vec<(Vec<Change>, Option<Answer>)>,
    poisoned: bool,
    /// How many commits the write-ahead log holds.
    commits: u32,
}

impl Writer {
    /// Does jobs until every sender is dropped.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        let mut kept = Kept::default();
        let mut tick = Instant::now() + TICK;
        let mut sweep = Instant::now() + SWEEP;
        loop {
            let first = match jobs.recv_timeout(tick.saturating_duration_since(Instant::now())) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let batch = first.into_iter().chain(jobs.try_iter().take(BATCH - 1));
            self.work(batch.collect(), &mut kept);
            if kept.commits >= CHECKPOINT {
                self.checkpoint("passive", &mut kept);
            }
            let now = Instant::now();
            if now >= tick {
                tick = now + TICK;
                self.tick(&mut kept);
            }
            if now >= sweep {
                sweep = now + SWEEP;
                self.sweep(&mut kept);
            }
        }
        if !kept.owed.is_empty() {
            self.work(Vec::new(), &mut kept);
        }
        self.checkpoint("truncate", &mut kept);
        drop(self.connection);
        // After the connection: the next holder of the lock must be the only writer.
        drop(self.lock);
    }

    fn work(&mut self, jobs: Vec<Job>, kept: &mut Kept) {
        let mut changes: Vec<(Vec<Change>, bool, Option<Answer>)> = Vec::new();
        let mut reads = Vec::new();
        let mut sweeps = Vec::new();
        for job in jobs {
            match job {
                // Its caller is gone, so it must not be done.
                Job::Write {
                    keep: false,
                    reply: Some(reply),
                    ..
                } if reply.is_closed() => {}
                Job::Write {
                    changes: wanted,
                    keep,
                    reply,
                    ..
                } => changes.push((wanted, keep, reply)),
                Job::Read { ids, reply, .. } => reads.push((ids, reply)),
                Job::Sweep(done) => sweeps.push(done),
            }
        }
        if !changes.is_empty() || !kept.owed.is_empty() {
            let owed = std::mem::take(&mut kept.owed);
            let owed = owed
                .into_iter()
                .map(|(changes, reply)| (changes, true, reply));
            self.commit_all(owed.chain(changes).collect(), kept);
        }
        for (ids, reply) in reads {
            let _ = reply.send(self.read(&ids).map_err(|error| unavailable(&error)));
        }
        if !sweeps.is_empty() {
            self.sweep(kept);
        }
        for done in sweeps {
            let _ = done.send(());
        }
    }

    /// Commits everything that waits, and answers it.
    fn commit_all(&mut self, jobs: Vec<(Vec<Change>, bool, Option<Answer>)>, kept: &mut Kept) {
        let result = if kept.poisoned {
            Err(None)
        } else {
            let changes = jobs.iter().flat_map(|(changes, ..)| changes);
            let started = Instant::now();
            let committed = self.commit(changes);
            metrics::journal_commit(started.elapsed());
            match committed {
                // Looked up after the commit: what went into another file is lost.
                Ok(()) if self.is_removed() => {
                    self.poison_as_removed(kept);
                    Err(None)
                }
                committed => committed.map_err(Some),
            }
        };
        match result {
            Ok(()) => {
                kept.commits += 1;
                self.shared.commits.fetch_add(1, Ordering::Relaxed);
                {
                    let mut table = self.shared.table.lock();
                    for change in jobs.iter().flat_map(|(changes, ..)| changes) {
                        apply(&mut table, change);
                    }
                }
                self.shared.available();
                for reply in jobs.into_iter().filter_map(|(.., reply)| reply) {
                    let _ = reply.send(Ok(()));
                }
            }
            Err(error) => {
                let error = match error {
                    Some(error) if is_failed_sync(&error) => {
                        // What the system holds and what the disk holds may differ from here on; a
                        // second sync that succeeds would prove nothing.
                        self.poison(kept, format!("a sync failed: {error}"));
                        unavailable(&error)
                    }
                    Some(error) => {
                        self.shared.unavailable(error.to_string().into());
                        unavailable(&error)
                    }
                    None => Error::Unavailable("it failed earlier; see the log".into()),
                };
                for (changes, keep, reply) in jobs {
                    if keep && !kept.poisoned {
                        kept.owed.push((changes, reply));
                    } else if let Some(reply) = reply {
                        let _ = reply.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    fn commit<'a>(&mut self, changes: impl Iterator<Item = &'a Change>) -> rusqlite::Result<()> {
        let wall = self.time.wall();
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for change in changes {
            match change {
                Change::Put(row) | Change::Amend(row) => {
                    schema::put(&transaction, &self.upstream, wall, row)?
                }
                Change::State(id, state, at) => {
                    transaction
                        .prepare_cached(
                            "update record set state = ?2, at = ?3, wall = ?4 where id = ?1",
                        )?
                        .execute(params![id.as_bytes(), *state as i64, at, wall])?;
                }
                Change::Delete(id) => {
                    transaction
                        .prepare_cached("delete from record where id = ?1")?
                        .execute([id.as_bytes()])?;
                }
                Change::Shrink(id, at) => {
                    transaction
                        .prepare_cached(
                            "update record set state = ?2, at = ?3, wall = ?4, body = null
                             where id = ?1",
                        )?
                        .execute(params![id.as_bytes(), State::Tombstone as i64, at, wall])?;
                }
                Change::Fact(name, Some(value)) => {
                    transaction
                        .prepare_cached(
                            "insert into fact (upstream, name, value) values (?1, ?2, ?3)
                             on conflict (upstream, name) do update set value = excluded.value",
                        )?
                        .execute(params![self.upstream, name, value])?;
                }
                Change::Fact(name, None) => {
                    transaction
                        .prepare_cached("delete from fact where upstream = ?1 and name = ?2")?
                        .execute(params![self.upstream, name])?;
                }
                Change::Answer(id, answer) => {
                    let (done, text) = match answer {
                        Ok(text) => (true, text),
                        Err(text) => (false, text),
                    };
                    transaction
                        .prepare_cached("update request set done = ?2, answer = ?3 where id = ?1")?
                        .execute(params![id, done, text])?;
                }
                Change::ExpireOthers(before) => {
                    transaction
                        .prepare_cached(
                            "delete from record where upstream <> ?1 and state = ?2 and at < ?3",
                        )?
                        .execute(params![self.upstream, State::Settled as i64, before])?;
                }
                Change::Probe => write_time(&transaction, &self.time)?,
            }
        }
        transaction.commit()
    }

    fn read(&self, ids: &[RecordId]) -> rusqlite::Result<Vec<Option<Row>>> {
        let mut statement = self.connection.prepare_cached(
            "select id, key, account, caller, fingerprint, state, at, body from record
             where id = ?1",
        )?;
        ids.iter()
            .map(|id| {
                statement
                    .query_row([id.as_bytes()], schema::read_row)
                    .optional()
            })
            .collect()
    }

    /// Does the periodic work.
    fn tick(&mut self, kept: &mut Kept) {
        if kept.poisoned {
            return;
        }
        if self.is_removed() {
            self.poison_as_removed(kept);
            self.work(Vec::new(), kept);
            return;
        }
        if !self.shared.availability.borrow().is_available() {
            self.commit_all(vec![(vec![Change::Probe], false, None)], kept);
        }
        if !kept.owed.is_empty() {
            self.work(Vec::new(), kept);
        }
        if let Err(error) = self.requests.hand_out(&self.connection) {
            tracing::warn!(%error, "operators' requests cannot be read");
        }
    }

    /// Returns true if the file that is open is no longer at its path.
    fn is_removed(&self) -> bool {
        self.file.as_ref().is_some_and(|(path, identity)| {
            let file = std::fs::metadata(path).map(|file| (file.dev(), file.ino()));
            file.ok() != Some(*identity)
        })
    }

    fn poison_as_removed(&self, kept: &mut Kept) {
        if let Some((path, _)) = &self.file {
            self.poison(kept, format!("{} was removed or replaced", path.display()));
        }
    }

    fn poison(&self, kept: &mut Kept, reason: String) {
        kept.poisoned = true;
        self.shared.poisoned(reason.into());
    }

    /// Expires what is due, keeps the time, and shortens the write-ahead log.
    fn sweep(&mut self, kept: &mut Kept) {
        let now = self.time.now();
        let due = self.shared.table.lock().sweep(now);
        let keeping = [Change::ExpireOthers(now - self.ttl), Change::Probe];
        let deleted = due.delete.into_iter().map(Change::Delete);
        // The time stays when a call asked for it last: the rest of the record expires by it.
        let shrunk = due
            .shrink
            .into_iter()
            .map(|(id, at)| Change::Shrink(id, at));
        let changes: Vec<_> = deleted.chain(shrunk).chain(keeping).collect();
        if kept.commits > 0 || changes.len() > 2 {
            self.commit_all(vec![(changes, true, None)], kept);
        }
        self.checkpoint("truncate", kept);
    }

    /// Writes the write-ahead log into the file, so that it does not grow.
    fn checkpoint(&mut self, mode: &str, kept: &mut Kept) {
        if kept.commits == 0 || kept.poisoned || self.file.is_none() {
            return;
        }
        let checkpoint = format!("pragma wal_checkpoint({mode})");
        match self.connection.query_row(&checkpoint, [], |_| Ok(())) {
            Ok(()) => kept.commits = 0,
            Err(error) if is_failed_sync(&error) => {
                self.poison(kept, format!("a sync failed: {error}"));
            }
            Err(error) => {
                kept.commits = 1;
                tracing::warn!(%error, "the journal's log cannot be shortened");
            }
        }
    }
}

/// Stores the time, so that the next process continues from it.
pub(super) fn write_time(connection: &Connection, time: &JournalTime) -> rusqlite::Result<()> {
    schema::set_meta(connection, "at", &time.now().to_be_bytes())?;
    schema::set_meta(connection, "boot", &time.boot().to_be_bytes())?;
    schema::set_meta(connection, "wall", &time.wall().to_be_bytes())
}

/// Applies to the table in memory what was committed.
fn apply(table: &mut super::Table, change: &Change) {
    match change {
        Change::Put(row) => table.update(row.id, |entry| {
            entry.state = row.state;
            entry.at = row.at;
            entry.body_bytes = row.body.as_ref().map_or(0, Vec::len);
            if row.state != State::Begun {
                entry.running = None;
            }
        }),
        Change::Amend(row) => table.update(row.id, |entry| {
            entry.body_bytes = row.body.as_ref().map_or(0, Vec::len);
        }),
        Change::Delete(id) => table.remove(*id),
        // What is in memory came first.
        Change::State(..)
        | Change::Shrink(..)
        | Change::Fact(..)
        | Change::Answer(..)
        | Change::ExpireOthers(_)
        | Change::Probe => {}
    }
}

fn unavailable(error: &rusqlite::Error) -> Error {
    Error::Unavailable(error.to_string().into())
}

/// Returns whether an error leaves it open what the disk holds.
fn is_failed_sync(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_extended_error_code(),
        Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
    ) || matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}
