//! The operation behind each RPC, over the upstream client and the journal.
//!
//! A write is a plan of steps: Add, Update and Delete have one, ReplaceAll has many. It claims its
//! record in the journal (`write`), reads the list and plans (`plan`), and carries each step out
//! (`execute`): audit log, journal, commit point, request (`deliver`), verification (`verify`),
//! repair of the fields that upstream did not apply (`repair`), detection and restoration of
//! collateral changes (`collateral`, `restore`). A call with the same request id, or the next start
//! (`recovery`), resolves what an earlier attempt left open, by reading (`resolve`).
//!
//! What the journal keeps of a write is in `record`; `recovery`, `resolve` and `operator` continue
//! from there.

mod account_locks;
mod audited;
mod call;
mod collateral;
mod deliver;
mod error;
mod execute;
mod expectation;
mod messages;
mod operator;
mod plan;
mod precondition;
mod read;
mod recent_deletes;
mod record;
mod recovery;
mod repair;
mod replace_all;
mod request_id;
mod resolve;
mod restore;
mod single;
mod task;
mod verify;
mod whole_list;
mod write;

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, SetOnce},
    time::Instant,
};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

pub use call::{Call, Fingerprint, Idempotency};
pub use error::Error;
pub use expectation::Expectation;
pub use messages::{
    AddRequest, DeleteRequest, Etags, GetReply, GetRequest, ListReply, ListRequest, NumberView,
    ReplaceAllRequest, StepOutcome, StepReport, UpdateRequest, WriteReply,
};
pub use replace_all::Incomplete;
pub use request_id::RequestId;

pub use crate::journal::Limits as RequestIdLimits;
use crate::{
    domain::{FieldSet, List, Rules},
    journal::{self, Journal, RecordId, UPDATE_ALL},
    security::Authorizer,
    telemetry::{audit::Audit, in_flight::Phase, metrics::UpstreamFigures},
    upstream::Client,
};
use account_locks::AccountLocks;
use plan::Planner;
use recent_deletes::RecentDeletes;
use recovery::Recovery;
use write::Command;

/// What the operations depend on besides upstream.
#[derive(Debug, Clone)]
pub struct Config {
    /// Checks and defaults of fields.
    pub rules: Rules,
    /// How long a single write may take, verification included.
    pub write_limit: Duration,
    /// The time limit of a replace-all that has begun. It stops between two steps.
    pub replace_limit: Duration,
    /// How long upstream may still carry out a request after we aborted it; `None` if that is not
    /// known.
    pub write_horizon: Option<Duration>,
    /// How long and how much is remembered of writes with a request id.
    pub request_ids: RequestIdLimits,
    /// How many numbers a replace-all may hold.
    pub max_numbers: usize,
    /// The strict fields: if upstream does not apply one, the write fails.
    pub strict_fields: FieldSet,
}

/// The operations.
#[derive(Debug)]
pub struct Operations {
    client: Client,
    config: Config,
    audit: Audit,
    authorizer: Arc<Authorizer>,
    /// Empty until it is open: another process may still hold it.
    journal: Arc<SetOnce<Journal>>,
    /// Bounds the writes that keep their permit while the journal records them.
    recording: Semaphore,
    locks: AccountLocks,
    recent_deletes: RecentDeletes,
    /// The writes in flight.
    writes: TaskTracker,
    /// Whether the process shuts down.
    stopping: AtomicBool,
    /// When this process aborted the requests of writes whose outcome is unknown.
    closed: Mutex<HashMap<RecordId, Instant>>,
    /// When this process opened the journal: the process before has ended by then.
    started: OnceLock<Instant>,
    recovery: Recovery,
}

impl Operations {
    /// Makes the operations over a client. They refuse writes until
    /// [`start`](Self::start).
    #[must_use]
    pub fn new(client: Client, config: Config, audit: Audit, authorizer: Arc<Authorizer>) -> Self {
        Self {
            recording: Semaphore::new(client.permits() / 2),
            client,
            config,
            audit,
            authorizer,
            journal: Arc::default(),
            locks: AccountLocks::default(),
            recent_deletes: RecentDeletes::default(),
            writes: TaskTracker::new(),
            stopping: AtomicBool::new(false),
            closed: Mutex::default(),
            started: OnceLock::new(),
            recovery: Recovery::default(),
        }
    }

    /// Returns the upstream client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Starts to write, with a journal that was opened: first begins to resolve what an earlier
    /// process left open.
    pub async fn start(self: &Arc<Self>, journal: Journal) {
        if journal.host_fact(UPDATE_ALL).is_some() {
            self.client.stop_using_update_all();
        }
        self.started.get_or_init(Instant::now);
        self.recover(&journal).await;
        // Later calls change nothing.
        let _ = self.journal.set(journal);
    }

    /// Returns the journal, which is empty until [`start`](Self::start).
    #[must_use]
    pub fn journal(&self) -> Arc<SetOnce<Journal>> {
        Arc::clone(&self.journal)
    }

    /// Returns when the process before had ended.
    fn started(&self) -> Instant {
        self.started.get().copied().unwrap_or_else(Instant::now)
    }

    /// Returns the journal if it is open.
    fn open_journal(&self) -> Result<&Journal, journal::Error> {
        let waits = || journal::Error::Unavailable("another process still has it".into());
        self.journal.get().ok_or_else(waits)
    }

    /// Returns the configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns what protects upstream now.
    pub(crate) fn figures(&self) -> UpstreamFigures {
        UpstreamFigures {
            waiting_writes: self.locks.waiting(),
            ..self.client.figures()
        }
    }

    /// Stops each replace-all before its next step.
    pub fn stop_replacing(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Waits until every write that has begun is finished. No write may begin meanwhile.
    pub async fn finish_writes(&self) {
        self.stop_replacing();
        self.writes.close();
        self.writes.wait().await;
    }

    /// Adds a number.
    ///
    /// # Errors
    /// [`Error::DestinationDenied`], [`Error::Invalid`]; [`Error::Upstream`] where nothing was
    /// written; [`Error::Refused`], [`Error::NotApplied`], [`Error::OutcomeUnknown`],
    /// [`Error::FieldsNotApplied`], [`Error::FieldsUnverified`], [`Error::CollateralChange`]; those
    /// of every write.
    pub async fn add(
        self: &Arc<Self>,
        call: &Arc<Call>,
        request: AddRequest,
    ) -> Result<WriteReply, Error> {
        if request.validate_only {
            let plan = |list: &List, planner: Planner<'_>| {
                let step = planner.add(list, &request.draft)?;
                let number = NumberView::Planned(call.account, step.expectation.target);
                Ok(WriteReply::planned(number))
            };
            return self.plan_only(call, plan).await;
        }
        self.write(call, Command::Add(request)).await
    }

    /// Changes the fields of a number that the mask names. A number that
    /// already has the requested values is not written.
    ///
    /// # Errors
    /// [`Error::NumberNotFound`], [`Error::UnidentifiedNumbers`], [`Error::EtagMismatch`],
    /// [`Error::Unreadable`], [`Error::Vanished`], and those of [`add`](Self::add).
    pub async fn update(
        self: &Arc<Self>,
        call: &Arc<Call>,
        request: UpdateRequest,
    ) -> Result<WriteReply, Error> {
        if request.validate_only {
            let plan = |list: &List, planner: Planner<'_>| {
                let number = planner.update(list, &request)?.number;
                Ok(WriteReply::planned(NumberView::Stored(number)))
            };
            return self.plan_only(call, plan).await;
        }
        self.write(call, Command::Update(request)).await
    }

    /// Deletes a number, after checking that the account has it: upstream does not
    /// (docs/upstream/domain.md 4).
    ///
    /// # Errors
    /// [`Error::NumberNotFound`], unless missing is allowed; [`Error::UnidentifiedNumbers`],
    /// [`Error::EtagMismatch`], [`Error::Upstream`], [`Error::Refused`], [`Error::NotApplied`],
    /// [`Error::OutcomeUnknown`]; those of every write.
    pub async fn delete(
        self: &Arc<Self>,
        call: &Arc<Call>,
        request: DeleteRequest,
    ) -> Result<WriteReply, Error> {
        self.write(call, Command::Delete(request)).await
    }

    /// Makes the list of an account the desired one.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::UnidentifiedNumbers`], [`Error::EtagMismatch`],
    /// [`Error::Unreadable`], [`Error::DestinationDenied`], [`Error::Upstream`] before the first
    /// write; [`Error::ReplaceIncomplete`], [`Error::CollateralChange`]; those of every write.
    pub async fn replace_all(
        self: &Arc<Self>,
        call: &Arc<Call>,
        request: ReplaceAllRequest,
    ) -> Result<WriteReply, Error> {
        if request.validate_only {
            let plan = |list: &List, planner: Planner<'_>| {
                let steps = planner.replace_all(list, &request.desired, &request.etags)?;
                Ok(replace_all::planned(call.account, list, steps))
            };
            return self.plan_only(call, plan).await;
        }
        self.write(call, Command::ReplaceAll(request)).await
    }

    /// Plans a write and sends nothing.
    async fn plan_only(
        &self,
        call: &Call,
        plan: impl FnOnce(&List, Planner<'_>) -> Result<WriteReply, Error>,
    ) -> Result<WriteReply, Error> {
        call.progress.enter(Phase::Planning);
        let planned = async {
            let list = self.read_list(call, &call.options()).await?;
            plan(&list, self.planner(call, &call.caller))
        };
        call.read(planned.instrument(tracing::info_span!("plan")))
            .await
    }
}
