//! The store: SQLite on a thread of its own, which commits all waiting writes together.

pub(super) mod lock;
pub(super) mod open;
pub(super) mod schema;
mod thread;

use std::{
    borrow::Cow,
    sync::{Arc, atomic::AtomicU64, mpsc},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch},
    time::timeout,
};

pub(super) use schema::Row;

use super::{Availability, Error, RecordId, State, table::Table};

/// How many jobs may wait for the thread.
const QUEUE: usize = 4096;

/// One change of what is stored.
#[derive(Debug)]
pub(super) enum Change {
    /// Writes a record, or its new state and body.
    Put(Row),
    /// Replaces the body of an open record, which keeps its state.
    Amend(Row),
    /// Changes the state of a record and leaves its body.
    State(RecordId, State, i64),
    /// Deletes a record.
    Delete(RecordId),
    /// Deletes the body of an unknown record.
    Shrink(RecordId, i64),
    /// Sets a fact about the upstream.
    Fact(String, Option<String>),
    /// Answers an operator's request.
    Answer(i64, Result<String, String>),
    /// Deletes what other upstreams left settled before a time.
    ExpireOthers(i64),
    /// Tests whether the disk can be written.
    Probe,
}

/// A job for the thread.
enum Job {
    Write {
        changes: Vec<Change>,
        /// Whether it is retried until it is stored, even if no caller waits for it.
        keep: bool,
        reply: Option<oneshot::Sender<Result<(), Error>>>,
        _slot: Option<OwnedSemaphorePermit>,
    },
    Read {
        ids: Vec<RecordId>,
        reply: oneshot::Sender<Result<Vec<Option<Row>>, Error>>,
        _slot: OwnedSemaphorePermit,
    },
    Sweep(oneshot::Sender<()>),
}

/// Why a write was not acknowledged.
#[derive(Debug)]
pub(super) enum WriteError {
    /// Nothing was written.
    NotWritten(Error),
    /// It may have been written, or may still be.
    Unanswered(Error),
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        let (WriteError::NotWritten(error) | WriteError::Unanswered(error)) = error;
        error
    }
}

/// Sends jobs to the thread. The thread ends when the last of these is dropped.
#[derive(Clone)]
pub(super) struct Store {
    jobs: mpsc::Sender<Job>,
    slots: Arc<Semaphore>,
    /// `None` where nothing can be slow: in memory.
    timeout: Option<Duration>,
    state: Arc<Shared>,
}

/// What the thread and its callers share.
pub(super) struct Shared {
    pub(super) table: Mutex<Table>,
    pub(super) availability: watch::Sender<Availability>,
    pub(super) commits: AtomicU64,
}

impl Store {
    /// Writes changes, unless the future is dropped before. They are on the disk when it returns.
    pub(super) async fn write(&self, changes: Vec<Change>) -> Result<(), WriteError> {
        let written = self.in_time(async {
            let slot = self.slot().await?;
            let (reply, answer) = oneshot::channel();
            self.send(Job::Write {
                changes,
                keep: false,
                reply: Some(reply),
                _slot: Some(slot),
            });
            // An answer that is an error is known: nothing was written.
            Ok(answer.await.unwrap_or_else(|_| Err(ended())))
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(WriteError::NotWritten(error)),
            Err(error) => Err(WriteError::Unanswered(error)),
        }
    }

    /// Writes changes that must not be lost, however long it takes and whether or not the future is
    /// dropped.
    ///
    /// # Errors
    /// Fails if nothing can be written until a restart.
    pub(super) fn finish(
        &self,
        changes: Vec<Change>,
    ) -> impl Future<Output = Result<(), Error>> + use<> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Write {
            changes,
            keep: true,
            reply: Some(reply),
            _slot: None,
        });
        async move { answer.await.unwrap_or_else(|_| Err(ended())) }
    }

    /// As [`Store::finish`], without waiting.
    pub(super) fn finish_unattended(&self, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.send(Job::Write {
                changes,
                keep: true,
                reply: None,
                _slot: None,
            });
        }
    }

    /// Reads records.
    pub(super) async fn read(&self, ids: Vec<RecordId>) -> Result<Vec<Option<Row>>, Error> {
        self.in_time(async {
            let slot = self.slot().await?;
            let (reply, answer) = oneshot::channel();
            self.send(Job::Read {
                ids,
                reply,
                _slot: slot,
            });
            answer.await.unwrap_or_else(|_| Err(ended()))
        })
        .await
    }

    /// Expires what is due.
    pub(super) async fn sweep(&self) {
        let (reply, done) = oneshot::channel();
        self.send(Job::Sweep(reply));
        let _ = done.await;
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.state
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, Error> {
        let slots = Arc::clone(&self.slots);
        slots.acquire_owned().await.map_err(|_| ended())
    }

    fn send(&self, job: Job) {
        // If the thread has ended, the caller sees that the reply is missing.
        let _ = self.jobs.send(job);
    }

    /// Waits at most the timeout. After one, claims are refused until the thread commits again.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let Some(limit) = self.timeout else {
            return work.await;
        };
        timeout(limit, work).await.unwrap_or_else(|_| {
            let reason: Cow<'static, str> = format!("no answer within {limit:?}").into();
            self.state.unavailable(reason.clone());
            Err(Error::Unavailable(reason))
        })
    }
}

impl Shared {
    /// Records that the journal cannot be written now.
    fn unavailable(&self, reason: Cow<'static, str>) {
        self.change(Availability::Unavailable(reason));
    }

    fn available(&self) {
        self.change(Availability::Available);
    }

    fn poisoned(&self, reason: Cow<'static, str>) {
        self.change(Availability::Poisoned(reason));
    }

    fn change(&self, to: Availability) {
        self.availability.send_if_modified(|now| {
            if *now == to || matches!(now, Availability::Poisoned(_)) {
                return false;
            }
            match &to {
                Availability::Available => tracing::info!("the journal is available again"),
                Availability::Unavailable(reason) => {
                    tracing::error!(%reason, "the journal is not available; writes are refused");
                }
                Availability::Poisoned(reason) => tracing::error!(
                    %reason,
                    "the journal cannot be trusted any more; writes are refused until a restart"
                ),
            }
            *now = to;
            true
        });
    }
}

fn ended() -> Error {
    Error::Unavailable("it has been closed".into())
}
