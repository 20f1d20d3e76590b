//! The table of reasons: which gRPC code each has, what it means, and what the caller does.

use std::fmt::Write as _;

use strum::VariantArray as _;
use tonic::Code;

use crate::{domain::Reason, telemetry::names};

/// All that depends on a reason alone.
pub(super) struct Row {
    /// The gRPC code.
    pub(super) code: Code,
    meaning: &'static str,
    /// The details besides `ErrorInfo`, and its metadata besides those of every error.
    details: &'static str,
    /// What the caller does.
    action: &'static str,
}

/// Returns the row of a reason.
pub(super) fn row(reason: Reason) -> Row {
    let (code, meaning, details, action) = match reason {
        Reason::InvalidRequest => (
            Code::InvalidArgument,
            "the request breaks rules, or no upstream request can carry its values",
            "`BadRequest` (up to 20 violations), `violations` (their count); neither where no field is to blame",
            "correct the request",
        ),
        Reason::NumberNotFound => (
            Code::NotFound,
            "the account has no such number",
            "`ResourceInfo`, `number_id`",
            "do not retry",
        ),
        Reason::AccountNotFound => (
            Code::NotFound,
            "upstream answered 404 with a record when the list was read",
            "`ResourceInfo`",
            "do not retry",
        ),
        Reason::RequestIdConflict => (
            Code::InvalidArgument,
            "the `request_id` was used for a request with other content",
            "`BadRequest`",
            "retry with a new id",
        ),
        Reason::TooManyRequestIds => (
            Code::ResourceExhausted,
            "too many writes with a `request_id` are in flight to remember another; nothing was sent",
            "`RetryInfo`",
            "retry after the delay",
        ),
        Reason::Unauthenticated => (
            Code::Unauthenticated,
            "the call has no credential, or one that is unknown, expired or sent over plaintext; the message says which",
            "",
            "retry with a credential",
        ),
        Reason::MethodDenied => (
            Code::PermissionDenied,
            "the caller may not call this method",
            "",
            "do not retry",
        ),
        Reason::AccountDenied => (
            Code::PermissionDenied,
            "the caller may not access this account",
            "`account_id`",
            "do not retry",
        ),
        Reason::DestinationDenied => (
            Code::PermissionDenied,
            "the caller may not forward calls to the new redirect number or domain; nothing was written",
            "`field`",
            "do not retry",
        ),
        Reason::ReadOnly => (
            Code::FailedPrecondition,
            "followme is read-only for now; nothing was written",
            "`PreconditionFailure`",
            "do not retry automatically: it may last",
        ),
        Reason::WriteRate => (
            Code::ResourceExhausted,
            "the caller writes to the account more often than its rate limit allows; nothing was written",
            "`RetryInfo`, `account_id`",
            "retry after the delay",
        ),
        Reason::EtagMismatch => (
            Code::Aborted,
            "the number or the list changed since the `etag` or `list_etag` was read; nothing was written",
            "`PreconditionFailure`, `etag` (the current one; empty where the number is gone), `number_id`",
            "read again, then retry",
        ),
        Reason::NumberVanished => (
            Code::Aborted,
            "somebody else deleted the number while it was being written",
            "`number_id`",
            "do not retry: the number is gone",
        ),
        Reason::ListChanged => (
            Code::Aborted,
            "the list changed between two pages",
            "`etag` (of the current list)",
            "start again from the first page",
        ),
        Reason::UnreadableField => (
            Code::FailedPrecondition,
            "a field that the call does not change holds a value that cannot be sent back",
            "`PreconditionFailure`",
            "give the field a value in the same call",
        ),
        Reason::UpstreamRefused => (
            Code::FailedPrecondition,
            "upstream refused (`success=False`, a read without a list, or a 4xx); nothing was written",
            "",
            "check the account",
        ),
        Reason::UpstreamUnavailable => (
            Code::Unavailable,
            "no connection to upstream, or it broke during a read, or the circuit breaker is open; nothing was written by this call",
            "`RetryInfo` where the breaker is open",
            "retry later",
        ),
        Reason::UpstreamTimeout => (
            Code::Unavailable,
            "upstream did not answer a read in time; nothing was written by this call",
            "",
            "retry",
        ),
        Reason::UpstreamError => (
            Code::Unavailable,
            "upstream answered 5xx to a read, or before a write ran",
            "`RetryInfo` where upstream sent `Retry-After`",
            "retry later",
        ),
        Reason::UpstreamDenied => (
            Code::Internal,
            "upstream answered 401 or 403 to a read, or to a write that was not applied; PERMISSION_DENIED where the caller sent the License",
            "",
            "check the License",
        ),
        Reason::UpstreamRouteMissing => (
            Code::Internal,
            "upstream does not have the route: `upstream.url` is wrong",
            "",
            "report it to the operator",
        ),
        Reason::UpstreamBadResponse => (
            Code::Internal,
            "the upstream reply is HTML, broken or too large, lacks a column or names an id twice; or the list holds elements without an id, so that absence proves nothing; nothing was written by this call",
            "",
            "report it to the operator: the log says more",
        ),
        Reason::FieldsNotApplied => (
            Code::FailedPrecondition,
            "the write was applied, but not one of the fields in `calls.strict_fields`",
            "`PreconditionFailure`, `number_id`, `unapplied_fields`",
            "do not retry: the number is written",
        ),
        Reason::UpstreamWroteTooMuch => (
            Code::Internal,
            "`UpdateFollowmeAll` changed other numbers of the account as well",
            "`touched_number_ids`, `not_restored_number_ids`",
            "List the account; a ReplaceAll continues with the same `request_id`",
        ),
        Reason::AuditUnavailable => (
            Code::Unavailable,
            "the audit log cannot be written, so the write was not sent; a step of a ReplaceAll can have it too",
            "",
            "retry later",
        ),
        Reason::JournalUnavailable => (
            Code::Unavailable,
            "the journal does not take the write, so it was not sent; a step of a ReplaceAll can have it too",
            "`RetryInfo`",
            "retry after the delay",
        ),
        Reason::WriteNotDone => (
            Code::Aborted,
            "the write was sent, and reading back shows that it was not applied",
            "",
            "retry",
        ),
        Reason::OutcomeUnknown => (
            Code::Unknown,
            "the write was sent, by this call or an earlier one with the same `request_id`, and may or may not have been applied; with `unapplied_fields`: the number was written, and these fields may or may not have been",
            "`candidate_number_ids`, or `number_id` and `unapplied_fields`",
            "retry with the same `request_id`, or List the account first",
        ),
        Reason::NotSent => (
            Code::DeadlineExceeded,
            "the deadline passed before the write was sent; it will not be sent",
            "",
            "retry",
        ),
        Reason::WriteInProgress => (
            Code::DeadlineExceeded,
            "the deadline passed while the write, or an earlier one with the same `request_id`, was in progress; it continues to its end",
            "",
            "retry with the same `request_id`, or List the account first",
        ),
        Reason::Overloaded => (
            Code::ResourceExhausted,
            "too many calls wait for upstream, too many writes for the account or of the caller, or too many large messages are in flight; nothing was sent",
            "`RetryInfo`",
            "retry, more slowly",
        ),
        Reason::DeadlineExceeded => (
            Code::DeadlineExceeded,
            "the deadline passed before the message or the reply to a read had arrived, or during a health watch or reflection; nothing was written by this call",
            "",
            "retry",
        ),
        Reason::ReplaceIncomplete => (
            Code::Aborted,
            "a ReplaceAll stopped before its last step",
            "`porta.followme.v1.ReplaceIncomplete` with the steps, `BadRequest` where values of a step are why, `etag` (of the current list; empty where it could not be read)",
            "retry with the same list: with the same `request_id`, or without etags",
        ),
        Reason::ServiceUnknown => (
            Code::NotFound,
            "a health check names a service that is not served here",
            "",
            "do not retry",
        ),
        Reason::MethodUnknown => (
            Code::Unimplemented,
            "no method of this path is served; nothing was done",
            "",
            "correct the address, or update the client",
        ),
        Reason::UnsupportedCall => (
            Code::Unimplemented,
            "the request is no gRPC request with protobuf, is compressed, or does not hold exactly one message; nothing was done",
            "",
            "correct the client",
        ),
        Reason::MalformedMessage => (
            Code::Internal,
            "the message cannot be decoded; nothing was done",
            "",
            "correct the client",
        ),
        Reason::MessageTooLarge => (
            Code::ResourceExhausted,
            "the message is larger than the server accepts; nothing was done",
            "`max_bytes`",
            "send less",
        ),
        Reason::InternalError => (
            Code::Internal,
            "followme itself failed: before anything was sent, unless the message says otherwise",
            "",
            "report it to the operator; after a write, List the account before a retry",
        ),
    };
    Row {
        code,
        meaning,
        details,
        action,
    }
}

/// Returns the table of all reasons as Markdown, for the documentation.
#[must_use]
pub fn error_reference() -> String {
    let mut table =
        "| reason | code | meaning | further details, metadata | what the caller does |\n\
                     |---|---|---|---|---|\n"
            .to_owned();
    for reason in Reason::VARIANTS {
        let row = row(*reason);
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| `{reason}` | {} | {} | {} | {} |",
            names::code(row.code),
            row.meaning,
            row.details,
            row.action
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_keeps_its_name_and_code() {
        let codes: Vec<_> = Reason::VARIANTS
            .iter()
            .map(|reason| (reason.as_str(), names::code(row(*reason).code)))
            .collect();
        assert_eq!(
            codes,
            [
                ("INVALID_REQUEST", "INVALID_ARGUMENT"),
                ("NUMBER_NOT_FOUND", "NOT_FOUND"),
                ("ACCOUNT_NOT_FOUND", "NOT_FOUND"),
                ("REQUEST_ID_CONFLICT", "INVALID_ARGUMENT"),
                ("TOO_MANY_REQUEST_IDS", "RESOURCE_EXHAUSTED"),
                ("UNAUTHENTICATED", "UNAUTHENTICATED"),
                ("METHOD_DENIED", "PERMISSION_DENIED"),
                ("ACCOUNT_DENIED", "PERMISSION_DENIED"),
                ("DESTINATION_DENIED", "PERMISSION_DENIED"),
                ("READ_ONLY", "FAILED_PRECONDITION"),
                ("WRITE_RATE", "RESOURCE_EXHAUSTED"),
                ("ETAG_MISMATCH", "ABORTED"),
                ("NUMBER_VANISHED", "ABORTED"),
                ("LIST_CHANGED", "ABORTED"),
                ("UNREADABLE_FIELD", "FAILED_PRECONDITION"),
                ("UPSTREAM_REFUSED", "FAILED_PRECONDITION"),
                ("UPSTREAM_UNAVAILABLE", "UNAVAILABLE"),
                ("UPSTREAM_TIMEOUT", "UNAVAILABLE"),
                ("UPSTREAM_ERROR", "UNAVAILABLE"),
                ("UPSTREAM_DENIED", "INTERNAL"),
                ("UPSTREAM_ROUTE_MISSING", "INTERNAL"),
                ("UPSTREAM_BAD_RESPONSE", "INTERNAL"),
                ("FIELDS_NOT_APPLIED", "FAILED_PRECONDITION"),
                ("UPSTREAM_WROTE_TOO_MUCH", "INTERNAL"),
                ("AUDIT_UNAVAILABLE", "UNAVAILABLE"),
                ("JOURNAL_UNAVAILABLE", "UNAVAILABLE"),
                ("WRITE_NOT_DONE", "ABORTED"),
                ("OUTCOME_UNKNOWN", "UNKNOWN"),
                ("NOT_SENT", "DEADLINE_EXCEEDED"),
                ("WRITE_IN_PROGRESS", "DEADLINE_EXCEEDED"),
                ("OVERLOADED", "RESOURCE_EXHAUSTED"),
                ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"),
                ("REPLACE_INCOMPLETE", "ABORTED"),
                ("SERVICE_UNKNOWN", "NOT_FOUND"),
                ("METHOD_UNKNOWN", "UNIMPLEMENTED"),
                ("UNSUPPORTED_CALL", "UNIMPLEMENTED"),
                ("MALFORMED_MESSAGE", "INTERNAL"),
                ("MESSAGE_TOO_LARGE", "RESOURCE_EXHAUSTED"),
                ("INTERNAL_ERROR", "INTERNAL"),
            ]
        );
    }

    #[test]
    fn the_reference_has_a_row_for_every_reason() {
        let table = error_reference();
        assert_eq!(table.lines().count(), 2 + Reason::VARIANTS.len());
        assert!(
            table.contains("| `NOT_SENT` | DEADLINE_EXCEEDED | "),
            "{table}"
        );
    }
}
