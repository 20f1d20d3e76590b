//! The table of errors: the reason, the proof and the message of each kind.

use std::borrow::Cow;

use super::Error;
use crate::{
    domain::{Field, Reason},
    upstream,
};

/// What an error proves about the write of its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// The write was not applied.
    NotApplied,
    /// The write was applied, but differs from the request.
    Applied,
    /// Nothing: the write may or may not have been applied.
    Nothing,
}

/// All that depends on the kind of an error.
pub(crate) struct Row {
    /// The reason of its ErrorInfo.
    pub(crate) reason: Reason,
    pub(super) proof: Proof,
    /// What the caller reads: what happened, and what to do.
    pub(crate) message: Cow<'static, str>,
}

impl Error {
    /// Returns the row of this kind of error.
    pub(crate) fn row(&self) -> Row {
        use Proof::{Applied, NotApplied, Nothing};
        let (reason, proof, message): (_, _, Cow<'static, str>) = match self {
            Self::Invalid(violations) => {
                (Reason::InvalidRequest, NotApplied, violations.summary().into())
            }
            Self::Denied(denied) => (denied.reason(), NotApplied, denied.to_string().into()),
            Self::DestinationDenied { field } => (
                Reason::DestinationDenied,
                NotApplied,
                format!(
                    "{field}: the caller may not forward calls to this destination; nothing was written"
                )
                .into(),
            ),
            Self::NumberNotFound { account, number } => (
                Reason::NumberNotFound,
                NotApplied,
                format!("account {account} has no number {number}; List shows those that it has")
                    .into(),
            ),
            Self::UnidentifiedNumbers => (
                Reason::UpstreamBadResponse,
                NotApplied,
                "upstream listed elements without an id, so a number that is absent may \
                 still exist; nothing was written by this call; report it to the operator"
                    .into(),
            ),
            Self::AccountNotFound { account, .. } => (
                Reason::AccountNotFound,
                NotApplied,
                format!("upstream has no account {account}; check the account id").into(),
            ),
            Self::Upstream {
                license_is_callers,
                source,
            } => {
                let facts = source.kind().facts();
                let action = match source.kind() {
                    upstream::Kind::Denied if *license_is_callers => {
                        "check the License in x-porta-license"
                    }
                    _ => facts.action,
                };
                (
                    facts.reason,
                    NotApplied,
                    format!("{}; {action}; nothing was changed by this call", facts.text).into(),
                )
            }
            Self::Refused { .. } => (
                Reason::UpstreamRefused,
                NotApplied,
                "upstream refused the write, and reading back shows that it was not applied; check \
                 that the account exists and may be changed"
                    .into(),
            ),
            Self::NotApplied { .. } => (
                Reason::WriteNotDone,
                NotApplied,
                "the write was sent, and reading back shows that it was not applied; try again"
                    .into(),
            ),
            Self::OutcomeUnknown { expectation, .. } => (
                Reason::OutcomeUnknown,
                Nothing,
                format!(
                    "the write was sent, and may or may not have been applied: the list does not \
                     show {}; retry with the same request_id, or List the account first",
                    expectation.describe()
                )
                .into(),
            ),
            Self::FieldsUnverified { fields, .. } => (
                Reason::OutcomeUnknown,
                Applied,
                format!(
                    "the number was written, but {} may or may not have been; retry with the same \
                     request_id, or List the account first",
                    fields.iter().map(Field::name).collect::<Vec<_>>().join(",")
                )
                .into(),
            ),
            Self::Panicked { begun: true } => (
                Reason::OutcomeUnknown,
                Nothing,
                "followme failed in the middle of the write; List the account first".into(),
            ),
            Self::Panicked { begun: false } => (
                Reason::InternalError,
                NotApplied,
                "followme failed before anything was sent; try again, and report it to the operator"
                    .into(),
            ),
            Self::NotSent => (
                Reason::NotSent,
                NotApplied,
                "the deadline passed before the write was sent; it will not be sent; try again with \
                 more time"
                    .into(),
            ),
            Self::InProgress { request_id } => (
                Reason::WriteInProgress,
                Nothing,
                match request_id {
                    Some(_) => {
                        "the deadline passed while the write was in progress; it continues to its \
                         end; retry with the same request_id for its outcome"
                    }
                    None => {
                        "the deadline passed while the write was in progress; it continues to its \
                         end; List the account for its outcome (a write with a request_id can be \
                         retried)"
                    }
                }
                .into(),
            ),
            Self::AuditUnavailable(_) => (
                Reason::AuditUnavailable,
                NotApplied,
                "the audit log cannot be written, so the write was not sent; try again later".into(),
            ),
            Self::JournalUnavailable(_) => (
                Reason::JournalUnavailable,
                NotApplied,
                "the journal cannot record the write, so it was not sent; try again later".into(),
            ),
            Self::OutcomeUnrecorded(_) => (
                Reason::OutcomeUnknown,
                Nothing,
                "the write may have been applied, and the journal can neither read nor record its \
                 outcome now; retry with the same request_id, or List the account first"
                    .into(),
            ),
            Self::Forgotten => (
                Reason::OutcomeUnknown,
                Nothing,
                "the outcome of this write was never resolved, and its record has expired; List \
                 the account first"
                    .into(),
            ),
            Self::ReadDeadline => (
                Reason::DeadlineExceeded,
                NotApplied,
                "the deadline passed before upstream had answered; nothing was written by this call; \
                 try again with more time"
                    .into(),
            ),
            Self::RequestIdConflict => (
                Reason::RequestIdConflict,
                NotApplied,
                "the request_id was used for a request with other content; use a new one".into(),
            ),
            Self::TooManyRequestIds => (
                Reason::TooManyRequestIds,
                NotApplied,
                "too many writes with a request_id are in flight; nothing was sent; try again".into(),
            ),
            Self::TooManyWaiting => (
                Reason::Overloaded,
                NotApplied,
                "too many writes wait for this account, or of this caller; nothing was sent; try \
                 again, more slowly"
                    .into(),
            ),
            Self::EtagMismatch { number, .. } => (
                Reason::EtagMismatch,
                NotApplied,
                match number {
                    Some(id) => format!("number {id} changed since its etag was read"),
                    None => "the list changed since its etag was read".to_owned(),
                }
                .into(),
            ),
            Self::FieldsNotApplied { number, fields } => (
                Reason::FieldsNotApplied,
                Applied,
                format!(
                    "number {number} was written, but upstream did not store {}",
                    fields.iter().map(Field::name).collect::<Vec<_>>().join(",")
                )
                .into(),
            ),
            Self::CollateralChange { not_restored, .. } => (
                Reason::UpstreamWroteTooMuch,
                Applied,
                if not_restored.is_empty() {
                    "upstream's UpdateFollowmeAll changed other numbers of the account as well; they \
                     were restored, and the route is off until an operator allows it again; List the account"
                } else {
                    "upstream's UpdateFollowmeAll changed other numbers of the account as well, and \
                     not all of them could be restored; the route is off until an operator allows it again; List \
                     the account and correct those in not_restored_number_ids"
                }
                .into(),
            ),
            Self::Vanished { number } => (
                Reason::NumberVanished,
                Applied,
                format!("number {number} was deleted by somebody else while it was being written")
                    .into(),
            ),
            Self::Unreadable { field } => {
                let field = field.name();
                (
                    Reason::UnreadableField,
                    NotApplied,
                    format!(
                        "upstream holds a value in {field} that cannot be sent back; give {field} a \
                         value in the same call"
                    )
                    .into(),
                )
            }
            Self::ListChanged { .. } => (
                Reason::ListChanged,
                NotApplied,
                "the list changed since the first page; start again without page_token".into(),
            ),
            Self::ReplaceIncomplete(incomplete) => (
                Reason::ReplaceIncomplete,
                Nothing,
                format!(
                    "{} of {} steps were applied, then one was not; to continue, call again with the \
                     same list: with the same request_id, or without etags",
                    incomplete.done(),
                    incomplete.reports.len()
                )
                .into(),
            ),
        };
        Row {
            reason,
            proof,
            message,
        }
    }
}
