//! The errors of operations.

mod row;

use crate::{
    domain::{AccountId, Etag, Field, FieldSet, NumberId, Violations},
    journal,
    security::Denied,
    telemetry::audit,
    upstream::{self, Tenant},
};

use super::{Expectation, Incomplete, RequestId};
use row::Proof;

/// An error of an operation. What depends on its kind is in `Error::row`, and the
/// gRPC code of each reason in `grpc/status/reasons.rs`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request breaks rules. Nothing was sent, or only reads.
    #[error("the request breaks {} rules", .0.count())]
    Invalid(Violations),
    /// The account does not have the number.
    #[error("account {account} has no number {number}")]
    NumberNotFound {
        /// The account.
        account: AccountId,
        /// The number.
        number: NumberId,
    },
    /// The list has unidentified elements (without an id). Each may be a number,
    /// so a number that is not listed may exist. Nothing was sent, or only reads.
    #[error("the list has unidentified elements")]
    UnidentifiedNumbers,
    /// Upstream says that there is no such account.
    #[error("upstream does not know account {account}")]
    AccountNotFound {
        /// The account.
        account: AccountId,
        /// What upstream said.
        source: upstream::Error,
    },
    /// The caller may not write now.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The caller may not forward calls to the new destination. Nothing was sent, or only
    /// reads.
    #[error("the caller may not forward calls to the destination in {field}")]
    DestinationDenied {
        /// The path from the request to the redirect number or the domain.
        field: String,
    },
    /// A read failed, or a write of which it is proved that it did not run.
    #[error("upstream failed")]
    Upstream {
        /// Whether the License is the caller's own.
        license_is_callers: bool,
        /// What happened.
        source: upstream::Error,
    },
    /// The write had no effect, as reading back shows, and upstream had said so: `success=False`
    /// or a 4xx.
    #[error("upstream refused the write")]
    Refused {
        /// What upstream said, where it was a failure.
        source: Option<upstream::Error>,
    },
    /// The write had no effect, as reading back shows, although upstream did not refuse it.
    #[error("the write had no effect")]
    NotApplied {
        /// What happened to the request, where it failed.
        source: Option<upstream::Error>,
    },
    /// The write may or may not have had its effect.
    #[error("the outcome of the write is unknown")]
    OutcomeUnknown {
        /// What the list must show.
        expectation: Box<Expectation>,
        /// The numbers that may be the one that was written.
        candidates: Vec<NumberId>,
        /// What happened to the request, where it failed.
        source: Option<upstream::Error>,
    },
    /// The write was applied, but whether a repair of its fields was is not known.
    #[error("whether fields were applied is unknown")]
    FieldsUnverified {
        /// The fields.
        fields: FieldSet,
        /// The number, and its expected fields.
        expectation: Box<Expectation>,
        /// What happened to the request, where it failed.
        source: Option<upstream::Error>,
    },
    /// The deadline passed before the write was sent; it will not be sent.
    #[error("the write was not sent")]
    NotSent,
    /// The deadline passed while the write was in progress; it continues to its end.
    #[error("the write is in progress")]
    InProgress {
        /// The request id that returns its outcome.
        request_id: Option<RequestId>,
    },
    /// The audit log cannot be written, so nothing was sent.
    #[error("the audit log cannot be written, so the write was not sent")]
    AuditUnavailable(#[from] audit::Unavailable),
    /// The journal cannot record the write, so nothing was sent.
    #[error("the write cannot be recorded, so it was not sent")]
    JournalUnavailable(#[from] journal::Error),
    /// The write may have been applied, and the journal can neither read nor record its outcome.
    #[error("the outcome of the write cannot be read or recorded")]
    OutcomeUnrecorded(#[source] journal::Error),
    /// The outcome of an earlier attempt was never resolved, and its record has expired.
    #[error("the outcome of the write was never resolved")]
    Forgotten,
    /// The deadline passed during a read.
    #[error("the deadline passed during a read")]
    ReadDeadline,
    /// The id was used for another request.
    #[error("the request id was used for another request")]
    RequestIdConflict,
    /// The limit of writes with request ids in flight is reached.
    #[error("too many writes with a request id are in flight")]
    TooManyRequestIds,
    /// Too many writes of the account or of the caller wait. Nothing was sent.
    #[error("too many writes wait for the account, or of the caller")]
    TooManyWaiting,
    /// The number or the list has another etag than the request.
    #[error("the etag does not match")]
    EtagMismatch {
        /// The etag now; `None` where the number is gone.
        etag: Option<Etag>,
        /// The number, where its etag was given.
        number: Option<NumberId>,
    },
    /// The write was applied, but not all of its strict fields.
    #[error("fields were not applied")]
    FieldsNotApplied {
        /// The number.
        number: NumberId,
        /// The fields.
        fields: FieldSet,
    },
    /// The task of the write panicked.
    #[error("the task of the write panicked")]
    Panicked {
        /// Whether something had been sent.
        begun: bool,
    },
    /// `UpdateFollowmeAll` changed numbers that it was not asked to change.
    #[error("upstream changed other numbers of the account")]
    CollateralChange {
        /// The numbers that it changed.
        affected: Vec<NumberId>,
        /// Those of them that could not be restored.
        not_restored: Vec<NumberId>,
    },
    /// The number vanished from the list while it was being changed.
    #[error("number {number} was deleted meanwhile")]
    Vanished {
        /// The number.
        number: NumberId,
    },
    /// Upstream holds a value that no request can carry, in a field that is not being changed.
    #[error("upstream holds a {} that cannot be sent back", .field.name())]
    Unreadable {
        /// The field.
        field: Field,
    },
    /// The list changed between two pages.
    #[error("the list changed between two pages")]
    ListChanged {
        /// Its etag now.
        etag: Etag,
    },
    /// A replace-all stopped before its last step.
    #[error("the list is not yet the requested one")]
    ReplaceIncomplete(Box<Incomplete>),
}

impl Error {
    /// Makes an error of a request that had no effect.
    pub(super) fn from_upstream(tenant: &Tenant, source: upstream::Error) -> Self {
        Self::Upstream {
            license_is_callers: tenant.license_is_callers,
            source,
        }
    }

    /// Returns the reason of its ErrorInfo: UPPER_SNAKE_CASE, stable.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.row().reason.as_str()
    }

    /// Returns whether the write was applied, but differs from the request.
    pub(super) fn was_applied(&self) -> bool {
        self.row().proof == Proof::Applied
    }

    /// Returns whether the caller would conclude that the write was not applied.
    pub(super) fn proves_not_applied(&self) -> bool {
        self.row().proof == Proof::NotApplied
    }

    /// Returns whether upstream did not answer a read in time.
    pub(super) fn timed_out(&self) -> bool {
        match self {
            Self::Upstream { source, .. } => source.kind() == upstream::Kind::Timeout,
            _ => false,
        }
    }

    /// Takes out the upstream error that caused it.
    pub(super) fn into_upstream(self) -> Option<upstream::Error> {
        match self {
            Self::AccountNotFound { source, .. } | Self::Upstream { source, .. } => Some(source),
            Self::Refused { source }
            | Self::NotApplied { source }
            | Self::OutcomeUnknown { source, .. }
            | Self::FieldsUnverified { source, .. } => source,
            _ => None,
        }
    }

    /// Returns the upstream error that caused it.
    #[must_use]
    pub fn upstream(&self) -> Option<&upstream::Error> {
        std::error::Error::source(self)?.downcast_ref()
    }
}
