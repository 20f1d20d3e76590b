//! How an operation can end other than as asked.

use crate::{
    domain::{AccountId, Etag, Field, FieldSet, NumberId, Violations},
    security::Denied,
    telemetry::audit,
    upstream,
};

use super::{effect::Effect, replace_all::Incomplete, request_ids::RequestId};

/// An operation that did not end as asked. What each becomes for the caller stands in
/// `grpc/status.rs`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request breaks rules. Nothing was sent, or only reads.
    #[error("the request breaks {} rules", .0.as_slice().len())]
    Invalid(Violations),
    /// The account does not have the number.
    #[error("account {account} has no number {number}")]
    NumberNotFound {
        /// The account.
        account: AccountId,
        /// The number.
        number: NumberId,
    },
    /// The list holds elements without an id or of another account: each may be a number of which a
    /// part was lost, so that what is missing cannot be told. Nothing was sent, or only reads.
    #[error("the list lost ids")]
    IdsLost,
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
    /// The caller may not forward calls to a redirect number that is new. Nothing was sent, or only
    /// reads.
    #[error("the caller may not forward calls to {field}")]
    DestinationDenied {
        /// The path from the request to the redirect number.
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
    NotDone {
        /// What happened to the request, where it failed.
        source: Option<upstream::Error>,
    },
    /// The write may or may not have had its effect.
    #[error("the outcome of the write is unknown")]
    OutcomeUnknown {
        /// What was looked for in the list.
        effect: Box<Effect>,
        /// The numbers that may be the one that was written.
        candidates: Vec<NumberId>,
        /// What happened to the request, where it failed.
        source: Option<upstream::Error>,
    },
    /// The write was done, but whether upstream took fields that were sent once more is not known.
    #[error("whether fields took is unknown")]
    RestUnknown {
        /// The fields.
        fields: FieldSet,
        /// What number it is, and what it shall be.
        effect: Box<Effect>,
        /// What happened to the request, where it failed.
        source: Option<upstream::Error>,
    },
    /// The caller had to be answered before the write began; it will not be sent.
    #[error("the write was not sent")]
    NotSent,
    /// The caller had to be answered while the write was going on; it is finished.
    #[error("the write is going on")]
    InProgress {
        /// The id by which its outcome can be asked for.
        request_id: Option<RequestId>,
    },
    /// The audit log cannot be written, and without it nothing is; nothing was sent.
    #[error("the write cannot be noted, so it was not sent")]
    AuditUnavailable(#[from] audit::Unavailable),
    /// The caller had to be answered before a read was over.
    #[error("the deadline came during a read")]
    ReadDeadline,
    /// The id was used for another request.
    #[error("the request id was used for another request")]
    RequestIdConflict,
    /// So many writes with ids are under way that no more can be remembered.
    #[error("too many writes with a request id are under way")]
    TooManyRequestIds,
    /// The number or the list is not the one that the caller saw.
    #[error("the etag does not match")]
    EtagMismatch {
        /// The etag now; `None` where the number is gone.
        etag: Option<Etag>,
        /// The number, where its etag was given.
        number: Option<NumberId>,
    },
    /// The write was done, and fields that matter did not take.
    #[error("fields did not take")]
    FieldsNotApplied {
        /// The number.
        number: NumberId,
        /// The fields.
        fields: FieldSet,
    },
    /// The task of the write died.
    #[error("a task died")]
    Panicked {
        /// Whether something had been sent.
        begun: bool,
    },
    /// `UpdateFollowmeAll` changed numbers that it was not asked to change.
    #[error("upstream changed other numbers of the account")]
    WroteTooMuch {
        /// The numbers that it changed.
        touched: Vec<NumberId>,
        /// Those of them that could not be put back.
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
    /// A replace-all stopped on its way.
    #[error("the list is not yet the one asked for")]
    ReplaceIncomplete(Box<Incomplete>),
}

impl Error {
    /// Returns the reason of ErrorInfo: UPPER_SNAKE_CASE, stable.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_REQUEST",
            Self::Denied(denied) => denied.reason(),
            Self::DestinationDenied { .. } => "DESTINATION_DENIED",
            Self::NumberNotFound { .. } => "NUMBER_NOT_FOUND",
            Self::IdsLost => "UPSTREAM_BAD_RESPONSE",
            Self::AccountNotFound { .. } => "ACCOUNT_NOT_FOUND",
            Self::Upstream { source, .. } => upstream_reason(source.kind()),
            Self::Refused { .. } => "UPSTREAM_REFUSED",
            Self::NotDone { .. } => "WRITE_NOT_DONE",
            Self::OutcomeUnknown { .. } | Self::RestUnknown { .. } => "OUTCOME_UNKNOWN",
            Self::NotSent => "NOT_SENT",
            Self::InProgress { .. } => "WRITE_IN_PROGRESS",
            Self::AuditUnavailable(_) => "AUDIT_UNAVAILABLE",
            Self::ReadDeadline => "DEADLINE_EXCEEDED",
            Self::RequestIdConflict => "REQUEST_ID_CONFLICT",
            Self::TooManyRequestIds => "TOO_MANY_REQUEST_IDS",
            Self::EtagMismatch { .. } => "ETAG_MISMATCH",
            Self::FieldsNotApplied { .. } => "FIELDS_NOT_APPLIED",
            Self::Panicked { begun: true } => "OUTCOME_UNKNOWN",
            Self::Panicked { begun: false } => "INTERNAL_ERROR",
            Self::WroteTooMuch { .. } => "UPSTREAM_WROTE_TOO_MUCH",
            Self::Vanished { .. } => "NUMBER_VANISHED",
            Self::Unreadable { .. } => "UNREADABLE_FIELD",
            Self::ListChanged { .. } => "LIST_CHANGED",
            Self::ReplaceIncomplete(_) => "REPLACE_INCOMPLETE",
        }
    }

    /// Tells whether the write was done, although not as asked.
    pub(super) fn write_was_done(&self) -> bool {
        matches!(
            self,
            Self::WroteTooMuch { .. }
                | Self::Vanished { .. }
                | Self::FieldsNotApplied { .. }
                | Self::RestUnknown { .. }
        )
    }

    /// Tells whether the caller would take it that the write was not done.
    pub(super) fn says_not_done(&self) -> bool {
        !self.write_was_done() && !matches!(self, Self::OutcomeUnknown { .. })
    }

    /// Takes out what upstream did, where that is the cause.
    pub(super) fn into_upstream(self) -> Option<upstream::Error> {
        match self {
            Self::AccountNotFound { source, .. } | Self::Upstream { source, .. } => Some(source),
            Self::Refused { source }
            | Self::NotDone { source }
            | Self::OutcomeUnknown { source, .. }
            | Self::RestUnknown { source, .. } => source,
            _ => None,
        }
    }

    /// Returns what upstream did, where that is the cause.
    #[must_use]
    pub fn upstream(&self) -> Option<&upstream::Error> {
        match self {
            Self::AccountNotFound { source, .. } | Self::Upstream { source, .. } => Some(source),
            Self::Refused { source }
            | Self::NotDone { source }
            | Self::OutcomeUnknown { source, .. }
            | Self::RestUnknown { source, .. } => source.as_ref(),
            Self::Invalid(_)
            | Self::Denied(_)
            | Self::DestinationDenied { .. }
            | Self::NumberNotFound { .. }
            | Self::IdsLost
            | Self::NotSent
            | Self::InProgress { .. }
            | Self::AuditUnavailable(_)
            | Self::ReadDeadline
            | Self::RequestIdConflict
            | Self::TooManyRequestIds
            | Self::EtagMismatch { .. }
            | Self::FieldsNotApplied { .. }
            | Self::Panicked { .. }
            | Self::WroteTooMuch { .. }
            | Self::Vanished { .. }
            | Self::Unreadable { .. }
            | Self::ListChanged { .. }
            | Self::ReplaceIncomplete(_) => None,
        }
    }
}

fn upstream_reason(kind: upstream::Kind) -> &'static str {
    use upstream::Kind;
    match kind {
        Kind::Connect | Kind::Broken | Kind::BreakerOpen(_) => "UPSTREAM_UNAVAILABLE",
        Kind::Overloaded => "OVERLOADED",
        Kind::Timeout => "UPSTREAM_TIMEOUT",
        Kind::Denied => "UPSTREAM_DENIED",
        Kind::RouteMissing => "UPSTREAM_ROUTE_MISSING",
        Kind::NotFound => "ACCOUNT_NOT_FOUND",
        Kind::LooksLikeHtml | Kind::DoesNotFit | Kind::UnsafeValue(_) => "INVALID_REQUEST",
        Kind::Refused => "UPSTREAM_REFUSED",
        Kind::ServerError => "UPSTREAM_ERROR",
        Kind::BadResponse(_) | Kind::TooLarge => "UPSTREAM_BAD_RESPONSE",
    }
}
