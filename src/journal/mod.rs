//! The journal: what must survive a crash.
//!
//! Upstream takes no idempotency key and its writes cannot be fenced, so the facade records a write
//! before it sends it. A write record goes `claimed -> begun -> settled`, or
//! `begun -> unknown -> settled`:
//!
//! - A record is [begun](Record::begin) on the disk before the first byte of its request goes
//!   upstream.
//! - A record that was begun is freed only by proof of its outcome, never by time alone. So a
//!   request
//!   id leads to one add at most, whatever the clocks say. (The documented limit is
//!   [`Config::unknown_ttl`].)
//! - A final answer is sent only after the journal has stored it.
//! - A claim ends with its process: nothing was sent.
//!
//! Claims are in memory, because one process owns the file: a lock file proves that the process
//! before has ended. The bodies of the records are in SQLite. One thread writes them, and commits
//! all waiting writes together.

pub mod body;
mod claimed;
mod clock;
pub mod command;
mod config;
mod error;
mod operator;
mod record;
mod seal;
mod store;
mod table;

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};
use prost::Message as _;
use tokio::sync::watch;

pub use body::Body;
pub use claimed::{Claimed, InFlight};
pub use clock::{Clock, ManualClock};
pub use config::{Config, Keys, Limits, Location};
pub use error::{Error, OpenError};
pub use operator::{Action, OperatorRequest, OperatorRequests};
pub use record::{OpenWrite, Record, RecordId, State};
pub use table::Figures;

/// The host fact that `UpdateFollowmeAll` is not used, since it changed other numbers.
pub const UPDATE_ALL: &str = "update_all";

use crate::{domain::AccountId, telemetry::metrics};
use clock::JournalTime;
use seal::{Hash, Seal};
use store::{Change, Row, Store};
use table::{About, Found, Table};

/// The journal: the write records, and facts about upstream. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

/// The state that a journal and its records share.
struct Inner {
    store: Store,
    seal: Seal,
    time: JournalTime,
    upstream: String,
    facts: Mutex<HashMap<String, String>>,
    requests: Mutex<Option<OperatorRequests>>,
    calls: AtomicU64,
}

/// A write that is to be recorded.
#[derive(Debug, Clone)]
pub struct NewWrite {
    /// The request id of the caller, and its scope.
    pub request: Option<RequestKey>,
    /// The name of the caller; empty for the anonymous one.
    pub caller: String,
    /// The account whose list is written.
    pub account: AccountId,
}

/// A request id and its scope, besides the caller.
#[derive(Debug, Clone)]
pub struct RequestKey {
    /// The stable name of the tenant; never the text of a License.
    pub tenant: String,
    /// The RPC.
    pub method: &'static str,
    /// The request id.
    pub request_id: String,
    /// The fingerprint of the request.
    pub fingerprint: [u8; 32],
}

/// Whether the journal takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// It does.
    Available,
    /// It does not now, and tries again each second. The reason is for operators.
    Unavailable(Cow<'static, str>),
    /// It does not until a restart. The reason is for operators.
    Poisoned(Cow<'static, str>),
}

impl Availability {
    /// Returns whether the journal takes writes.
    #[must_use]
    pub fn is_available(&self) -> bool {
        *self == Self::Available
    }
}

impl Journal {
    /// Opens the journal, or creates it. Waits until another process releases it.
    ///
    /// # Errors
    /// Returns which configuration key is wrong, and what to do.
    pub async fn open(config: &Config) -> Result<Self, OpenError> {
        let config = config.clone();
        let upstream = config.upstream.clone();
        let opened = tokio::task::spawn_blocking(move || store::open::open(&config))
            .await
            .map_err(|error| OpenError::Thread(error.into()))??;
        let requests = opened.requests.with(opened.store.clone());
        Ok(Self {
            inner: Arc::new(Inner {
                store: opened.store,
                seal: opened.seal,
                time: opened.time,
                upstream,
                facts: Mutex::new(opened.facts.into_iter().collect()),
                requests: Mutex::new(Some(requests)),
                calls: AtomicU64::new(0),
            }),
        })
    }

    /// Claims a write: no other call carries it out until the returned record is dropped or
    /// ended. Nothing is on the disk before [`Record::begin`].
    ///
    /// # Errors
    /// Fails where the journal does not take writes now, and nothing was sent under this request
    /// id.
    pub async fn claim(&self, write: &NewWrite) -> Result<Claimed, Error> {
        let inner = &self.inner;
        inner.count();
        let about = inner.about(write);
        loop {
            let new = RecordId::random()?;
            let mut evicted = Vec::new();
            let (id, found) = {
                let available = inner.store.shared().availability.borrow().clone();
                let mut table = inner.table();
                let now = inner.time.now();
                match available {
                    Availability::Available => table.claim(new, about.clone(), now, &mut evicted),
                    // A claim that needs no write is answered.
                    Availability::Unavailable(reason) | Availability::Poisoned(reason) => {
                        match table.look_up(&about, now) {
                            None => return Err(refused(reason)),
                            Some((_, Found::TakenUp(_))) => {
                                return Ok(Claimed::Unreachable(refused(reason)));
                            }
                            Some(found) => found,
                        }
                    }
                }
            };
            let evicted = evicted.into_iter().map(Change::Delete);
            inner.store.finish_unattended(evicted.collect());
            let record = |earlier| Record::new(Arc::clone(inner), id, about.clone(), earlier);
            return Ok(match found {
                Found::New => Claimed::New(record(None)),
                Found::TakenUp(earlier) => Claimed::TakenUp(record(Some(earlier))),
                Found::Settled => match inner.read_body(id).await {
                    Ok(Some(body)) => Claimed::Replay(body),
                    // It was evicted meanwhile.
                    Ok(None) if inner.table().get(id).is_none() => continue,
                    Ok(None) => Claimed::Unreachable(Error::Unreadable(id)),
                    Err(error) => Claimed::Unreachable(error),
                },
                Found::InFlight(running) => Claimed::InFlight(InFlight(running)),
                Found::Conflict => Claimed::Conflict,
                Found::Full => {
                    metrics::journal_refused("full");
                    Claimed::Full
                }
                Found::Tombstone => Claimed::Tombstone(id),
            });
        }
    }

    /// Claims an open write by its id, to resolve it; `None` where another call carries it out, or
    /// it is not open any more.
    ///
    /// # Errors
    /// Fails where the journal does not take writes now.
    pub fn claim_open(&self, id: RecordId) -> Result<Option<Record>, Error> {
        self.inner.count();
        if let Availability::Unavailable(reason) | Availability::Poisoned(reason) =
            &*self.inner.store.shared().availability.borrow()
        {
            return Err(Error::Unavailable(reason.clone()));
        }
        let claimed = self
            .inner
            .table()
            .claim_open(id)
            .map(|entry| (entry.about.clone(), entry.state));
        Ok(claimed
            .map(|(about, state)| Record::new(Arc::clone(&self.inner), id, about, Some(state))))
    }

    /// Replaces the body of an open record of another write, and keeps its state. Hold the account
    /// lock.
    ///
    /// # Errors
    /// Fails if the journal cannot store it.
    pub async fn amend(&self, id: RecordId, body: &Body) -> Result<(), Error> {
        let inner = &self.inner;
        inner.count();
        let row = {
            let table = inner.table();
            let Some(entry) = table.get(id).filter(|entry| entry.state.is_open()) else {
                return Ok(());
            };
            Row {
                id,
                key: entry.about.key,
                account: entry.about.account,
                caller: entry.about.caller,
                fingerprint: entry.about.fingerprint,
                state: entry.state,
                at: entry.at,
                body: Some(inner.seal.seal(id, body.encode_to_vec())?),
            }
        };
        Ok(inner.store.write(vec![Change::Amend(row)]).await?)
    }

    /// Returns the writes of this upstream whose outcome is open and can still be found out.
    #[must_use]
    pub fn all_open(&self) -> Vec<(RecordId, State)> {
        self.inner.count();
        self.inner.table().all_open()
    }

    /// Returns a fact about the upstream.
    #[must_use]
    pub fn host_fact(&self, name: &str) -> Option<String> {
        self.inner.facts.lock().get(name).cloned()
    }

    /// Stores a fact about the upstream; `None` deletes it. When this returns, it is on the
    /// disk.
    ///
    /// # Errors
    /// Fails if the journal cannot store it; then it holds for this process only.
    pub async fn set_host_fact(&self, name: &str, value: Option<&str>) -> Result<(), Error> {
        self.inner.count();
        let (name, value) = (name.to_owned(), value.map(str::to_owned));
        {
            let mut facts = self.inner.facts.lock();
            match &value {
                Some(value) => facts.insert(name.clone(), value.clone()),
                None => facts.remove(&name),
            };
        }
        Ok(self
            .inner
            .store
            .write(vec![Change::Fact(name, value)])
            .await?)
    }

    /// Returns whether the journal takes writes, and every change of that.
    #[must_use]
    pub fn availability(&self) -> watch::Receiver<Availability> {
        self.inner.store.shared().availability.subscribe()
    }

    /// Returns the requests of operators; `None` after the first time.
    #[must_use]
    pub fn operator_requests(&self) -> Option<OperatorRequests> {
        self.inner.requests.lock().take()
    }

    /// Expires what is due. The journal does so by itself each minute.
    pub async fn sweep(&self) {
        self.inner.store.sweep().await;
    }

    /// Returns the number of records, and their size.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            commits: self.inner.store.shared().commits.load(Ordering::Relaxed),
            ..self.inner.table().figures()
        }
    }

    /// Registers the figures with the metrics until the journal is dropped.
    pub(crate) fn observe(&self) {
        let inner = Arc::downgrade(&self.inner);
        metrics::observe_journal(move || {
            let inner = inner.upgrade()?;
            let figures = Self { inner }.figures();
            Some(metrics::JournalFigures {
                records: State::ALL.map(|state| (state.name(), figures.by_state[state as usize])),
                bytes: figures.bytes,
                evicted: figures.evicted,
            })
        });
    }

    /// Returns how many calls of the journal there were. Reading RPCs make none.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.inner.calls.load(Ordering::Relaxed)
    }
}

fn refused(reason: Cow<'static, str>) -> Error {
    metrics::journal_refused("unavailable");
    Error::Unavailable(reason)
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

impl Inner {
    fn count(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.store.shared().table.lock()
    }

    /// Hashes what a record is about.
    fn about(&self, write: &NewWrite) -> About {
        let upstream = self.upstream.as_bytes();
        let caller = write.caller.as_bytes();
        let key = write.request.as_ref().map(|request| {
            self.hash(
                "key",
                &[
                    upstream,
                    caller,
                    request.tenant.as_bytes(),
                    request.method.as_bytes(),
                    request.request_id.as_bytes(),
                ],
            )
        });
        let fingerprint = write.request.as_ref().map_or([0; 32], |request| {
            self.hash("fingerprint", &[&request.fingerprint])
        });
        let account = write.account.value().to_be_bytes();
        About {
            key,
            account: self.hash("account", &[upstream, &account]),
            caller: self.hash("caller", &[caller]),
            fingerprint,
        }
    }

    fn hash(&self, purpose: &str, values: &[&[u8]]) -> Hash {
        let values = values.iter().copied();
        self.seal
            .hash([purpose.as_bytes()].into_iter().chain(values))
    }

    async fn read_body(&self, id: RecordId) -> Result<Option<Body>, Error> {
        let row = self.store.read(vec![id]).await?.pop().flatten();
        row.and_then(|row| row.body)
            .map(|body| self.open_body(id, &body))
            .transpose()
    }

    fn open_body(&self, id: RecordId, stored: &[u8]) -> Result<Body, Error> {
        let plain = self.seal.open(id, stored);
        let plain = plain.ok_or(Error::Unreadable(id))?;
        Body::read(&plain).map_err(|error| {
            tracing::error!(%id, %error, "a record of the journal cannot be read");
            Error::Unreadable(id)
        })
    }

    async fn open_writes(&self, account: &Hash, but: RecordId) -> Result<Vec<OpenWrite>, Error> {
        let ids = self.table().open_of(account, but);
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.store.read(ids).await?;
        rows.into_iter()
            .flatten()
            .filter(|row| row.state.is_open())
            .map(|row| {
                let body = row.body.map(|body| self.open_body(row.id, &body));
                Ok(OpenWrite {
                    id: row.id,
                    state: row.state,
                    body: body.transpose()?,
                })
            })
            .collect()
    }
}
