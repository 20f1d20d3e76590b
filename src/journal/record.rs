//! The record of one write, and the right to carry it out.

use std::{fmt, str::FromStr, sync::Arc};

use prost::Message as _;

use super::{
    Body, Error, Inner,
    store::{Change, Row, WriteError},
    table::About,
};

/// The id of a record: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId([u8; 16]);

impl RecordId {
    /// Makes a record id of its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(super) fn random() -> Result<Self, Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|_| Error::Unavailable("the system gives no random bytes".into()))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RecordId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u128::from_str_radix(text, 16)
            .ok()
            .filter(|_| is_hex)
            .map(|id| Self(id.to_be_bytes()))
            .ok_or("must be the id of a record: 32 hexadecimal digits")
    }
}

/// The state of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[repr(u8)]
pub enum State {
    /// Nothing was sent. In memory only.
    Claimed = 0,
    /// It may have been sent, and is carried out now.
    Begun = 1,
    /// It may have been sent, and its outcome is not known.
    Unknown = 2,
    /// A replace-all that stopped between two steps.
    Incomplete = 3,
    /// Its final answer is known.
    Settled = 4,
    /// Its outcome is not known, and its body has expired.
    Tombstone = 5,
}

impl State {
    /// All states, in their order.
    pub const ALL: [Self; 6] = [
        Self::Claimed,
        Self::Begun,
        Self::Unknown,
        Self::Incomplete,
        Self::Settled,
        Self::Tombstone,
    ];

    /// Returns whether the outcome is open: only proof ends such a record.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(
            self,
            Self::Begun | Self::Unknown | Self::Incomplete | Self::Tombstone
        )
    }

    /// Returns the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    pub(super) fn from_stored(stored: i64) -> Option<Self> {
        Some(match stored {
            1 => Self::Begun,
            2 => Self::Unknown,
            3 => Self::Incomplete,
            4 => Self::Settled,
            5 => Self::Tombstone,
            _ => return None,
        })
    }
}

/// An open write of the same account.
#[derive(Debug, Clone)]
pub struct OpenWrite {
    /// Its record.
    pub id: RecordId,
    /// Its state.
    pub state: State,
    /// The body of its record; `None` for a tombstone.
    pub body: Option<Body>,
}

/// The record of a write, owned by the task that carries the write out.
///
/// Dropping it before [`begin`](Self::begin) undoes the claim. Dropping it after that leaves the
/// outcome unknown.
pub struct Record {
    inner: Arc<Inner>,
    id: RecordId,
    about: About,
    phase: Phase,
    /// What a record that was claimed again was before; `None` for a new one.
    earlier: Option<Earlier>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing of this attempt is on the disk.
    Claimed,
    /// A begin was not acknowledged, and may be on the disk.
    Beginning,
    /// A begin was acknowledged.
    Begun,
    /// The record has ended.
    Ended,
}

/// What a record was before it was claimed again.
#[derive(Debug, Clone)]
struct Earlier {
    state: State,
    /// Read at first need.
    row: Option<Row>,
}

impl Record {
    pub(super) fn new(
        inner: Arc<Inner>,
        id: RecordId,
        about: About,
        earlier: Option<State>,
    ) -> Self {
        Self {
            inner,
            id,
            about,
            phase: Phase::Claimed,
            earlier: earlier.map(|state| Earlier { state, row: None }),
        }
    }

    /// Returns the id.
    #[must_use]
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// Reads the body that a record had before it was claimed again. Hold the account lock: without
    /// it another write of the account may amend the body.
    ///
    /// # Errors
    /// Fails where the journal does not answer, or the record cannot be read.
    pub async fn stored(&mut self) -> Result<(State, Option<Body>), Error> {
        self.inner.count();
        let state = self
            .earlier
            .as_ref()
            .map_or(State::Claimed, |earlier| earlier.state);
        let row = self.read_earlier().await?;
        let body = row.and_then(|row| row.body);
        let body = body.map(|body| self.inner.open_body(self.id, &body));
        Ok((state, body.transpose()?))
    }

    async fn read_earlier(&mut self) -> Result<Option<Row>, Error> {
        let Some(earlier) = &mut self.earlier else {
            return Ok(None);
        };
        let row = self.inner.store.read(vec![self.id]).await?.pop().flatten();
        earlier.row.clone_from(&row);
        Ok(row)
    }

    /// Records that the write is about to be sent, and what the list must show of it. When this
    /// returns, it is on the disk.
    ///
    /// # Errors
    /// Fails if the journal cannot store it; then nothing may be sent.
    pub async fn begin(&mut self, body: &Body) -> Result<(), Error> {
        self.inner.count();
        if self
            .earlier
            .as_ref()
            .is_some_and(|earlier| earlier.row.is_none())
        {
            self.read_earlier().await?;
        }
        let row = self.row(State::Begun, body)?;
        let begins = self.phase == Phase::Claimed;
        if begins {
            self.phase = Phase::Beginning;
        }
        match self.inner.store.write(vec![Change::Put(row)]).await {
            Ok(()) => {
                self.phase = Phase::Begun;
                Ok(())
            }
            Err(WriteError::NotWritten(error)) => {
                if begins {
                    self.phase = Phase::Claimed;
                }
                Err(error)
            }
            Err(WriteError::Unanswered(error)) => Err(error),
        }
    }

    /// Records what is to be sent next by a write that was begun: a repair, a restore, or the end
    /// of one step together with the begin of the next. When this returns, it is on the disk.
    ///
    /// # Errors
    /// Fails if the journal cannot store it; then nothing more may be sent.
    pub async fn update(&mut self, body: &Body) -> Result<(), Error> {
        self.begin(body).await
    }

    /// Records the final answer. The record of a write without a request id is deleted. Once
    /// polled, the journal retries until it is stored, even if the future is dropped.
    ///
    /// # Errors
    /// Fails if the journal stores nothing until a restart.
    pub async fn settle(self, body: &Body) -> Result<(), Error> {
        if self.about.key.is_none() {
            return self.forget().await;
        }
        self.end(State::Settled, body).await
    }

    /// Records that the outcome is unknown, and what is known of it. As [`settle`](Self::settle).
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    pub async fn leave_unknown(self, body: &Body) -> Result<(), Error> {
        self.end(State::Unknown, body).await
    }

    /// Records that a replace-all stopped between two steps. As [`settle`](Self::settle).
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    pub async fn leave_incomplete(self, body: &Body) -> Result<(), Error> {
        self.end(State::Incomplete, body).await
    }

    async fn end(mut self, state: State, body: &Body) -> Result<(), Error> {
        self.inner.count();
        let row = self.row(state, body)?;
        self.finish(Change::Put(row)).await
    }

    /// Deletes the record of a write that provably was not applied.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    pub async fn forget(mut self) -> Result<(), Error> {
        self.inner.count();
        if self.phase == Phase::Claimed && self.earlier.is_none() {
            return Ok(());
        }
        self.finish(Change::Delete(self.id)).await
    }

    /// Undoes the claim of a write of which this attempt sent nothing: the record is deleted, or as
    /// it was before.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    pub async fn release(mut self) -> Result<(), Error> {
        self.inner.count();
        match self.undo() {
            Some(change) => self.finish(change).await,
            None => Ok(()),
        }
    }

    /// Reads the other open writes of the account. Hold the account lock.
    ///
    /// # Errors
    /// Fails where the journal does not answer, or a record cannot be read.
    pub async fn open_writes(&self) -> Result<Vec<OpenWrite>, Error> {
        self.inner.count();
        self.inner.open_writes(&self.about.account, self.id).await
    }

    async fn finish(&mut self, change: Change) -> Result<(), Error> {
        self.phase = Phase::Ended;
        let finished = self.inner.store.finish(vec![change]).await;
        if finished.is_err() {
            // Nothing is recorded until a restart, so no call may wait for it.
            self.inner.table().update(self.id, |entry| {
                entry.state = State::Unknown;
                entry.running = None;
            });
        }
        finished
    }

    /// Returns what undoes this try on the disk; `None` where nothing is there, after undoing it in
    /// memory.
    fn undo(&mut self) -> Option<Change> {
        match (self.phase, self.earlier.take()) {
            (Phase::Ended, _) => None,
            (Phase::Claimed, None) => {
                self.phase = Phase::Ended;
                self.inner.table().remove(self.id);
                None
            }
            (Phase::Claimed, Some(earlier)) => {
                self.phase = Phase::Ended;
                let at = self.inner.time.now();
                self.inner.table().update(self.id, |entry| {
                    entry.at = at;
                    entry.running = None;
                });
                // When a call asked for it last, for the next process.
                let state = earlier.state;
                self.inner
                    .store
                    .finish_unattended(vec![Change::State(self.id, state, at)]);
                None
            }
            (Phase::Beginning | Phase::Begun, Some(earlier)) => {
                let row = earlier.row?;
                Some(Change::Put(Row {
                    state: earlier.state,
                    at: self.inner.time.now(),
                    ..row
                }))
            }
            (Phase::Beginning | Phase::Begun, None) => Some(Change::Delete(self.id)),
        }
    }

    fn row(&self, state: State, body: &Body) -> Result<Row, Error> {
        let body = self.inner.seal.seal(self.id, body.encode_to_vec())?;
        Ok(Row {
            id: self.id,
            key: self.about.key,
            account: self.about.account,
            caller: self.about.caller,
            fingerprint: self.about.fingerprint,
            state,
            at: self.inner.time.now(),
            body: Some(body),
        })
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.phase == Phase::Begun {
            let at = self.inner.time.now();
            self.inner.table().update(self.id, |entry| {
                entry.state = State::Unknown;
                entry.at = at;
                entry.running = None;
            });
            let change = Change::State(self.id, State::Unknown, at);
            self.inner.store.finish_unattended(vec![change]);
        } else if let Some(change) = self.undo() {
            self.inner.store.finish_unattended(vec![change]);
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("id", &self.id)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
