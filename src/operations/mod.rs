//! What each RPC does, in terms of the upstream client.
//!
//! Every write goes the same way: read the list, plan, send, settle what became of it by reading
//! back (`settle`), compare every field, try what did not take a second way (`second_way`).

mod add;
mod audited;
mod call;
mod delete;
mod effect;
mod error;
mod gate;
mod guard;
mod messages;
mod read;
mod replace_all;
mod request_ids;
mod second_way;
mod settle;
mod turns;
mod unsettled;
mod update;
mod write;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

pub use call::{Call, Fingerprint, Idempotency};
pub use effect::{Before, Effect};
pub use error::Error;
pub use messages::{
    AddReply, AddRequest, DeleteReply, DeleteRequest, Etags, GetReply, GetRequest, ListReply,
    ListRequest, NumberView, ReplaceAllReply, ReplaceAllRequest, StepOutcome, StepReport,
    UpdateReply, UpdateRequest,
};
pub use replace_all::Incomplete;
pub use request_ids::{Limits as RequestIdLimits, RequestId};

use crate::{
    domain::{AccountId, Etag, FieldSet, List, Number, NumberId, Rules},
    security::Authorizer,
    telemetry::{
        audit::{self, Audit, Change},
        in_flight::Phase,
    },
    upstream::{self, Client, ReadPurpose, RequestOptions},
};
use gate::Gate;
use request_ids::RequestIds;
use turns::Turns;
use unsettled::UnsettledAdds;

/// What the operations depend on besides upstream.
#[derive(Debug, Clone)]
pub struct Config {
    /// Checks and defaults of fields.
    pub rules: Rules,
    /// How long a single write may take, settling included.
    pub write_limit: Duration,
    /// How many numbers a replace-all may hold.
    pub max_numbers: usize,
    /// The fields of which one that does not take makes a write fail.
    pub strict_fields: FieldSet,
    /// How long and how much is remembered of writes with a request id.
    pub request_ids: RequestIdLimits,
}

/// The operations.
#[derive(Debug)]
pub struct Operations {
    client: Client,
    config: Config,
    turns: Turns,
    request_ids: RequestIds,
    unsettled: UnsettledAdds,
    /// The writes under way.
    writes: TaskTracker,
    audit: Audit,
    authorizer: Arc<Authorizer>,
}

/// A write under way.
#[derive(Debug)]
struct Run {
    call: Arc<Call>,
    /// Their deadline is the caller's before the write has begun, and the write's own after that.
    options: RequestOptions,
    gate: Gate,
    /// Who writes, for the audit log.
    actor: Arc<audit::Actor>,
}

impl Run {
    /// Begins a write, or a further step of one, which has a limit of its own.
    ///
    /// # Errors
    /// [`Error::NotSent`] after the caller has gone.
    fn begin(&self, limit: Duration) -> Result<Self, Error> {
        self.gate.begin()?;
        Ok(self.with_limit(limit))
    }

    /// Gives what is left to be done a limit of its own.
    fn with_limit(&self, limit: Duration) -> Self {
        Self {
            call: Arc::clone(&self.call),
            options: RequestOptions {
                deadline: Some(Instant::now() + limit),
                purpose: ReadPurpose::Verify,
                ..self.options.clone()
            },
            gate: self.gate.clone(),
            actor: Arc::clone(&self.actor),
        }
    }

    /// Returns until when the write that has begun is to be settled.
    fn until(&self) -> Instant {
        self.options.deadline.unwrap_or_else(Instant::now)
    }
}

/// A number that was written, and the list as it was read back.
#[derive(Debug, Clone)]
struct Applied {
    /// The number as it was read back.
    number: Number,
    /// The fields that did not take.
    unapplied: FieldSet,
    /// The list as it was read back.
    list: List,
}

impl Operations {
    /// Makes the operations over a client.
    #[must_use]
    pub fn new(client: Client, config: Config, audit: Audit, authorizer: Arc<Authorizer>) -> Self {
        Self {
            client,
            turns: Turns::default(),
            writes: TaskTracker::new(),
            request_ids: RequestIds::new(config.request_ids),
            unsettled: UnsettledAdds::new(config.request_ids),
            config,
            audit,
            authorizer,
        }
    }

    /// Returns the upstream client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits until every write that has begun is finished. None may begin meanwhile.
    pub async fn settled_all(&self) {
        self.writes.close();
        self.writes.wait().await;
    }

    /// Returns what the operations were made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Begins a write, or a further step of one: writes into the audit log what it is to change, then
    /// see [`Run::begin`].
    ///
    /// # Errors
    /// [`Error::AuditUnavailable`], [`Error::NotSent`].
    fn begin(&self, run: &Run, change: Change<'_>) -> Result<(Run, audit::Entry), Error> {
        let entry = self.audit.begin(&run.actor, change)?;
        run.call.progress.enter(Phase::Writing);
        match run.begin(self.config.write_limit) {
            Ok(run) => Ok((run, entry)),
            Err(error) => Err(audited::end_unsent(entry, error)),
        }
    }

    /// Reads the list, as the first step of a write.
    #[tracing::instrument(name = "plan", skip_all)]
    async fn current(&self, run: &Run) -> Result<List, Error> {
        run.call.progress.enter(Phase::Planning);
        self.read_list(&run.call, &run.options).await
    }
}

/// Checks that a number or a list is still the one that the caller saw.
fn check_etag(wanted: Option<&str>, now: Etag, number: Option<&Number>) -> Result<(), Error> {
    match wanted {
        Some(wanted) if wanted != now.as_str() => Err(Error::EtagMismatch {
            etag: Some(now),
            number: number.map(|number| number.id),
        }),
        _ => Ok(()),
    }
}

/// Checks that the caller may forward calls to a redirect number that is new at its place, which the
/// path names.
fn check_destination(call: &Call, path: &str, redirect_number: &str) -> Result<(), Error> {
    if call.destinations().allows(redirect_number) {
        Ok(())
    } else {
        Err(Error::DestinationDenied {
            field: format!("{path}.redirect_number"),
        })
    }
}

/// Makes an error of a number that is not in the list.
fn missing(list: &List, account: AccountId, number: NumberId) -> Error {
    if list.unidentified > 0 {
        Error::IdsLost
    } else {
        Error::NumberNotFound { account, number }
    }
}

/// Makes an error of a read that failed.
fn read_error(call: &Call, source: upstream::Error) -> Error {
    if source.kind() == upstream::Kind::NotFound {
        Error::AccountNotFound {
            account: call.account,
            source,
        }
    } else {
        upstream_error(call, source)
    }
}

/// Makes an error of a request that had no effect.
fn upstream_error(call: &Call, source: upstream::Error) -> Error {
    Error::Upstream {
        license_is_callers: call.tenant.license_is_callers,
        source,
    }
}

/// Makes an error of a write that had no effect, as reading back shows.
fn not_done(call: &Call, sent: Result<upstream::Written, upstream::Error>) -> Error {
    match sent {
        Ok(written) if written.success == Some(false) => Error::Refused { source: None },
        Ok(_) => Error::NotDone { source: None },
        // Whose License it is decides what the caller can do about it, on a write as on a read.
        Err(error) if error.kind() == upstream::Kind::Denied => upstream_error(call, error),
        Err(error)
            if matches!(
                error.kind(),
                upstream::Kind::Refused | upstream::Kind::NotFound
            ) =>
        {
            Error::Refused {
                source: Some(error),
            }
        }
        Err(error) => Error::NotDone {
            source: Some(error),
        },
    }
}
