//! Statuses: what an error becomes for the caller.
//!
//! Architecture invariant: every status of followme is built here, and carries an ErrorInfo. What
//! depends on the kind of an error is in its row (`operations::Error::row`,
//! `upstream::Kind::facts`), what depends on the reason in [`reasons`]; here only details are
//! added.
//!
//! The text for the caller is our own: a text of upstream can echo the License, so it stays in the
//! log. The whole status stays under 4 KiB, since it travels in trailers, which peers cap at 8 kB.

mod builder;
mod reasons;

use std::time::Duration;

use tonic::{Code, Status, metadata::MetadataValue};

pub use reasons::error_reference;

use self::builder::{StatusBuilder, any, bad_request, precondition, resource};
use super::{convert, pb};
use crate::{
    domain::{Etag, FieldSet, Method, Reason, Violation, Violations},
    operations::{Call, Error, Incomplete, RequestId},
    security::Denied,
    upstream::{self, Kind},
};

/// The domain of every ErrorInfo.
pub const DOMAIN: &str = "followme.porta";

/// The largest serialized status, in bytes.
const MAX_STATUS_BYTES: usize = 4096 - 128;

/// The most field violations that a status names.
const MAX_VIOLATIONS: usize = 20;

/// The rule of call metadata that names the tenant or the deadline.
pub(super) const MUST_BE_THERE_ONCE: &str = "must be there once";

/// How long a caller waits before it retries where nothing better is known.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Writes the failure of a call to the log, once, and returns its status.
pub(super) fn failed(call: &Call, error: &Error) -> Status {
    if let Error::Denied(error) = error {
        return denied(call.method, &call.caller.name, error, call.request_id());
    }
    let status = from_error(error, call.request_id());
    tracing::info!(
        method = call.method.name(),
        code = ?status.code(),
        reason = error.reason(),
        error = error as &dyn std::error::Error,
        upstream = error.upstream().and_then(|error| error.detail()),
        "call failed"
    );
    status
}

/// Writes the refusal of a call to the log, once, and returns its status.
pub(super) fn denied(
    method: Method,
    caller: &str,
    error: &Denied,
    request_id: Option<&RequestId>,
) -> Status {
    tracing::info!(
        method = method.name(),
        caller,
        reason = error.reason().as_str(),
        error = error as &dyn std::error::Error,
        "call denied"
    );
    from_denied(error, request_id)
}

/// Returns the status of an error, with the details of its kind.
fn from_error(error: &Error, request_id: Option<&RequestId>) -> Status {
    let row = error.row();
    let text = row.message.clone();
    let status = StatusBuilder::new(row.reason, row.message);
    let status = match error {
        Error::Invalid(violations) => return invalid(violations, request_id),
        Error::Denied(denied) => return from_denied(denied, request_id),
        Error::ReplaceIncomplete(incomplete) => {
            return replace_incomplete(&text, incomplete, request_id);
        }
        Error::DestinationDenied { field } => status.with("field", field),
        Error::NumberNotFound { account, number } => status
            .with("number_id", number)
            .detail(resource("FollowMeNumber", format!("{account}/{number}"))),
        Error::AccountNotFound { account, .. } => {
            status.detail(resource("Account", account.to_string()))
        }
        Error::Upstream {
            license_is_callers,
            source,
        } => {
            let status = match source.kind() {
                Kind::Denied if *license_is_callers => status.code(Code::PermissionDenied),
                _ => status,
            };
            status.retry_after(match source.kind() {
                Kind::BreakerOpen(delay) => Some(delay),
                Kind::Overloaded => Some(RETRY_DELAY),
                _ => source.retry_after(),
            })
        }
        Error::OutcomeUnknown { candidates, .. } => {
            status.with_ids("candidate_number_ids", candidates)
        }
        Error::FieldsUnverified {
            fields,
            expectation,
            ..
        } => status
            .with("unapplied_fields", names(*fields))
            .with_some("number_id", expectation.number()),
        Error::RequestIdConflict => status.detail(bad_request([("request_id", &*text)])),
        Error::TooManyRequestIds | Error::TooManyWaiting | Error::JournalUnavailable(_) => {
            status.retry_after(Some(RETRY_DELAY))
        }
        Error::EtagMismatch { etag, number } => {
            let subject = number.map_or("the list".to_owned(), |id| format!("number {id}"));
            status
                .with("etag", etag.as_ref().map_or("", Etag::as_str))
                .with_some("number_id", *number)
                .detail(precondition(row.reason, &subject, &text))
        }
        Error::FieldsNotApplied { number, fields } => status
            .with("number_id", number)
            .with("unapplied_fields", names(*fields))
            .detail(precondition(row.reason, &names(*fields), &text)),
        Error::CollateralChange {
            affected,
            not_restored,
        } => status
            .with_ids("touched_number_ids", affected)
            .with_ids("not_restored_number_ids", not_restored),
        Error::Vanished { number } => status.with("number_id", number),
        Error::Unreadable { field } => status.detail(precondition(row.reason, field.name(), &text)),
        Error::ListChanged { etag } => status.with("etag", etag.as_str()),
        // These have nothing but their text.
        _ => status,
    };
    // Repeated without a request id, the write might be done twice.
    let may_be_done = matches!(row.reason, Reason::OutcomeUnknown | Reason::WriteInProgress);
    let status = match request_id {
        None if may_be_done => status.never_retried_by_libraries(),
        _ => status,
    };
    status
        .with_some(
            "upstream_http_status",
            error.upstream().and_then(upstream::Error::status),
        )
        .with_some("request_id", request_id.map(RequestId::as_str))
        .build()
}

/// Returns the status of a refusal.
pub(super) fn from_denied(denied: &Denied, request_id: Option<&RequestId>) -> Status {
    let text = denied.to_string();
    let status = StatusBuilder::new(denied.reason(), text.clone());
    let status = match denied {
        Denied::Unauthenticated(_) | Denied::Method => status,
        Denied::Account { account } => status.with("account_id", account),
        // Not UNAVAILABLE, which clients retry automatically: it may last for hours.
        Denied::ReadOnly => status.detail(precondition(denied.reason(), "followme", &text)),
        Denied::WriteRate {
            account,
            retry_after,
        } => status
            .with("account_id", account)
            .retry_after(Some(*retry_after)),
    };
    status
        .with_some("request_id", request_id.map(RequestId::as_str))
        .build()
}

/// Returns the status of an invalid request: as many violations as fit, at most 20, and their
/// count.
pub(super) fn invalid(violations: &Violations, request_id: Option<&RequestId>) -> Status {
    let all = violations.as_slice();
    let mut shown = all.len().min(MAX_VIOLATIONS);
    loop {
        let status = StatusBuilder::new(Reason::InvalidRequest, violations.summary())
            .with("violations", violations.count())
            .with_some("request_id", request_id.map(RequestId::as_str))
            .detail(bad_request(fields(all).take(shown)))
            .build();
        if fits(&status) || shown <= 1 {
            return status;
        }
        shown -= 1;
    }
}

/// Returns the status of a ReplaceAll that stopped before its last step: as many steps as fit,
/// first those that were not applied.
fn replace_incomplete(
    text: &str,
    incomplete: &Incomplete,
    request_id: Option<&RequestId>,
) -> Status {
    let mut steps: Vec<pb::ReplaceStep> = incomplete.reports.iter().map(convert::step).collect();
    let done = pb::replace_step::Outcome::Done as i32;
    steps.sort_by_key(|step| step.outcome == done);
    let list_etag: String = incomplete
        .list
        .as_ref()
        .map(|list| Etag::of_list(list).into())
        .unwrap_or_default();
    let total = steps.len();
    loop {
        let detail = pb::ReplaceIncomplete {
            steps: steps.clone(),
            omitted_steps: i32::try_from(total - steps.len()).unwrap_or(i32::MAX),
            list_etag: list_etag.clone(),
        };
        let mut status = StatusBuilder::new(Reason::ReplaceIncomplete, text.to_owned())
            .with("etag", &list_etag)
            .with_some("request_id", request_id.map(RequestId::as_str))
            .detail(any("porta.followme.v1.ReplaceIncomplete", &detail));
        if let Some(violations) = &incomplete.violations {
            let fields = fields(violations.as_slice());
            status = status.detail(bad_request(fields.take(MAX_VIOLATIONS)));
        }
        let status = status.build();
        if fits(&status) || steps.is_empty() {
            return status;
        }
        steps.pop();
    }
}

/// Returns the status of a call whose request was not whole before its deadline, or that would
/// have gone on beyond it.
pub(super) fn deadline_exceeded() -> Status {
    let text = "the deadline passed before the call had ended; nothing was written by this call; try \
                again with more time";
    StatusBuilder::new(Reason::DeadlineExceeded, text).build()
}

/// Returns the status of a streaming response that ends because the server stops.
pub(super) fn stopped() -> Status {
    Status::ok("")
}

/// Returns the status of a call whose message exceeds the request memory budget.
pub(super) fn memory_exhausted() -> Status {
    let text = "too many large messages are in flight; nothing was sent; try again, more slowly";
    StatusBuilder::new(Reason::Overloaded, text)
        .retry_after(Some(RETRY_DELAY))
        .build()
}

/// Returns the status of a health check of an unknown service.
pub(super) fn unknown_service() -> Status {
    let text = "no such service is served here; check its name";
    StatusBuilder::new(Reason::ServiceUnknown, text).build()
}

/// Returns the status of a call whose handler panicked.
pub(super) fn panicked() -> Status {
    let text = "followme failed; if the call was a write, List the account first";
    StatusBuilder::new(Reason::InternalError, text)
        .never_retried_by_libraries()
        .build()
}

/// Returns the status of a call with several `grpc-timeout`.
pub(super) fn doubled_timeout() -> Status {
    let mut violations = Violations::default();
    violations.push("metadata.grpc-timeout", MUST_BE_THERE_ONCE);
    invalid(&violations, None)
}

/// Returns the status of a call of a path that is not served.
pub(super) fn unknown_method() -> Status {
    let text = "no method of this path is served here; check the address and the path";
    StatusBuilder::new(Reason::MethodUnknown, text).build()
}

/// Returns the status of a request that is not gRPC with protobuf.
pub(super) fn not_grpc() -> Status {
    let text = "only gRPC is served: POST with content-type application/grpc; nothing was done";
    StatusBuilder::new(Reason::UnsupportedCall, text).build()
}

/// Returns the status of a compressed request.
pub(super) fn compressed() -> Status {
    let text = "compressed messages are not accepted; nothing was done; send them as they are";
    let mut status = StatusBuilder::new(Reason::UnsupportedCall, text).build();
    let identity = MetadataValue::from_static("identity");
    status
        .metadata_mut()
        .insert("grpc-accept-encoding", identity);
    status
}

/// Returns the status of a request with no message, or with several.
pub(super) fn not_one_message() -> Status {
    let text = "the call takes exactly one message; nothing was done";
    StatusBuilder::new(Reason::UnsupportedCall, text).build()
}

/// Returns the status of a message that cannot be decoded.
pub(super) fn malformed(problem: &str) -> Status {
    let text = format!("the message cannot be decoded: {problem}; nothing was done");
    StatusBuilder::new(Reason::MalformedMessage, text).build()
}

/// Returns the status of a message that is larger than the limit.
pub(super) fn message_too_large(max: usize) -> Status {
    let text = format!("the message is larger than {max} bytes; nothing was done; send less");
    StatusBuilder::new(Reason::MessageTooLarge, text)
        .with("max_bytes", max)
        .build()
}

/// Returns a status that tonic made itself, with details.
pub(super) fn of_library(status: &Status) -> Status {
    if !status.details().is_empty() {
        return status.clone();
    }
    match status.code() {
        Code::Unimplemented => unknown_method(),
        Code::Internal => malformed(status.message()),
        code => {
            let text = format!("the call failed: {}", status.message());
            StatusBuilder::new(Reason::InternalError, text)
                .code(code)
                .build()
        }
    }
}

fn fields(violations: &[Violation]) -> impl Iterator<Item = (&str, &str)> {
    violations
        .iter()
        .map(|violation| (&*violation.field, &*violation.description))
}

fn names(fields: FieldSet) -> String {
    convert::names(fields).join(",")
}

/// Returns whether a status is small enough. Its message travels twice: in the details and,
/// percent-encoded, in its own trailer.
fn fits(status: &Status) -> bool {
    status.details().len() + status.message().len() <= MAX_STATUS_BYTES
}
