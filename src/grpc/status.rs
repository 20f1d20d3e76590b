//! The one table of errors: what each becomes for the caller.
//!
//! Every status carries an ErrorInfo. What it says to the caller is our own text: a text of upstream
//! can echo the License, so it stays in the log. The whole status stays under 4 KiB, since it
//! travels in trailers, which peers cap at 8 kB.

mod answer;

use std::time::Duration;

use tonic::{Code, Status};

use self::answer::{Answer, bad_request, precondition, resource, violated};
use super::{convert, pb};
use crate::{
    domain::{Etag, Method, Violations},
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
        reason = error.reason(),
        error = error as &dyn std::error::Error,
        "call denied"
    );
    from_denied(error, request_id)
}

/// Makes the status of an error of a call, which had the request id.
fn from_error(error: &Error, request_id: Option<&RequestId>) -> Status {
    let reason = error.reason();
    let answer = match error {
        Error::Invalid(violations) => return invalid(violations, request_id),
        Error::Denied(denied) => return from_denied(denied, request_id),
        Error::DestinationDenied { field } => Answer::new(
            Code::PermissionDenied,
            reason,
            format!(
                "{field}: the caller may not forward calls to this number; nothing was written"
            ),
        )
        .with("field", field),
        Error::NumberNotFound { account, number } => Answer::new(
            Code::NotFound,
            reason,
            format!("account {account} has no number {number}; List shows those that it has"),
        )
        .with("number_id", number)
        .detail(
            "google.rpc.ResourceInfo",
            &resource("FollowMeNumber", format!("{account}/{number}")),
        ),
        Error::IdsLost => Answer::new(
            Code::Internal,
            reason,
            "upstream listed elements without an id, or of another account, so that nobody can tell \
             which numbers are missing; nothing was written by this call",
        ),
        Error::AccountNotFound { account, .. } => Answer::new(
            Code::NotFound,
            reason,
            format!("upstream does not know account {account}"),
        )
        .detail(
            "google.rpc.ResourceInfo",
            &resource("Account", account.to_string()),
        ),
        Error::Upstream {
            license_is_callers,
            source,
        } => from_upstream(reason, *license_is_callers, source),
        Error::Refused { .. } => Answer::new(
            Code::FailedPrecondition,
            reason,
            "upstream refused the write, and reading back shows that it was not done; check that \
             the account exists and may be changed",
        ),
        Error::NotDone { .. } => Answer::new(
            Code::Aborted,
            reason,
            "the write was sent, and reading back shows that it was not done; it can be tried \
             again",
        ),
        Error::OutcomeUnknown {
            effect, candidates, ..
        } => Answer::new(
            Code::Unknown,
            reason,
            format!(
                "the write was sent, and whether it was done could not be found out; looked for \
                 was {}; ask again with the same request_id, or List the account, before anything \
                 else",
                effect.looked_for()
            ),
        )
        .with_ids("candidate_number_ids", candidates),
        Error::RestUnknown { fields, effect, .. } => {
            let names = convert::names(*fields).join(",");
            let answer = Answer::new(
                Code::Unknown,
                reason,
                format!(
                    "the number was written, and whether upstream took {names} could not be found \
                     out; ask again with the same request_id, or List the account, before anything \
                     else"
                ),
            )
            .with("unapplied_fields", names);
            match effect.number() {
                Some(id) => answer.with("number_id", id),
                None => answer,
            }
        }
        Error::Panicked { begun: true } => Answer::new(
            Code::Unknown,
            reason,
            "followme failed in the middle of the write; List the account before anything else",
        ),
        Error::Panicked { begun: false } => Answer::new(
            Code::Internal,
            reason,
            "followme failed before anything was sent",
        ),
        Error::NotSent => Answer::new(
            Code::DeadlineExceeded,
            reason,
            "the deadline came before the write was sent; it was not sent and will not be",
        ),
        Error::InProgress { request_id } => {
            let how = match request_id {
                Some(_) => "ask again with the same request_id for its outcome",
                None => "List the account for its outcome; with a request_id it could be asked for",
            };
            Answer::new(
                Code::DeadlineExceeded,
                reason,
                format!(
                    "the deadline came while the write was going on; it goes on to its end; {how}"
                ),
            )
        }
        Error::AuditUnavailable(_) => Answer::new(
            Code::Unavailable,
            reason,
            "the audit log cannot be written, so the write was not sent; try again later",
        ),
        Error::ReadDeadline => Answer::new(
            Code::DeadlineExceeded,
            reason,
            "the deadline came before upstream had answered; nothing was written by this call",
        ),
        Error::RequestIdConflict => Answer::new(
            Code::InvalidArgument,
            reason,
            "the request_id was used for a request with other content; use a new one",
        )
        .detail(
            "google.rpc.BadRequest",
            &bad_request(
                "request_id",
                "was used for a request with other content; use a new one",
            ),
        ),
        Error::TooManyRequestIds => Answer::new(
            Code::ResourceExhausted,
            reason,
            "too many writes with a request_id are under way; nothing was sent; try again",
        )
        .with_retry_after(Duration::from_secs(1)),
        Error::EtagMismatch { etag, number } => {
            let what = number.map_or("the list".to_owned(), |id| format!("number {id}"));
            let answer = Answer::new(
                Code::Aborted,
                reason,
                format!("{what} is not what the etag is of; read it again; nothing was written"),
            )
            .with("etag", etag.as_ref().map_or("", Etag::as_str))
            .detail(
                "google.rpc.PreconditionFailure",
                &precondition(reason, &what, "read it again"),
            );
            match number {
                Some(id) => answer.with("number_id", id),
                None => answer,
            }
        }
        Error::FieldsNotApplied { number, fields } => {
            let names = convert::names(*fields).join(",");
            Answer::new(
                Code::FailedPrecondition,
                reason,
                format!("number {number} was written, but upstream did not take {names}"),
            )
            .with("number_id", number)
            .with("unapplied_fields", &names)
            .detail(
                "google.rpc.PreconditionFailure",
                &precondition(reason, &names, "upstream did not take it"),
            )
        }
        Error::WroteTooMuch {
            touched,
            not_restored,
        } => {
            let state = if not_restored.is_empty() {
                "they were put back"
            } else {
                "not all of them could be put back; List the account and mend those in \
                 not_restored_number_ids"
            };
            Answer::new(
                Code::Internal,
                reason,
                format!(
                    "upstream's UpdateFollowmeAll changed other numbers of the account as well; \
                     {state}; the route is not used any more until restart"
                ),
            )
            .with_ids("touched_number_ids", touched)
            .with_ids("not_restored_number_ids", not_restored)
        }
        Error::Vanished { number } => Answer::new(
            Code::Aborted,
            reason,
            format!("number {number} was deleted by somebody else while it was being written"),
        )
        .with("number_id", number),
        Error::Unreadable { field } => {
            let field = field.name();
            Answer::new(
                Code::FailedPrecondition,
                reason,
                format!(
                    "upstream holds a value in {field} that cannot be sent back; give {field} a \
                     value in the same call"
                ),
            )
            .detail(
                "google.rpc.PreconditionFailure",
                &precondition(
                    "UNREADABLE_FIELD",
                    field,
                    "give it a value in the same call",
                ),
            )
        }
        Error::ListChanged { etag } => Answer::new(
            Code::Aborted,
            reason,
            "the list changed since the first page; start again without page_token",
        )
        .with("etag", etag.as_str()),
        Error::ReplaceIncomplete(incomplete) => {
            return replace_incomplete(reason, incomplete, request_id);
        }
    };
    let answer = match error.upstream().and_then(upstream::Error::status) {
        Some(status) => answer.with("upstream_http_status", status),
        None => answer,
    };
    with_request_id(answer, request_id).into_status()
}

/// Makes the status of a call that is refused for who calls, or for what the caller may.
#[must_use]
pub(super) fn from_denied(denied: &Denied, request_id: Option<&RequestId>) -> Status {
    let reason = denied.reason();
    let answer = match denied {
        Denied::Unauthenticated(why) => Answer::new(Code::Unauthenticated, reason, why.to_string()),
        Denied::Method => Answer::new(
            Code::PermissionDenied,
            reason,
            "the method is not among those that the caller may call",
        ),
        Denied::Account { account } => Answer::new(
            Code::PermissionDenied,
            reason,
            format!("account {account} is not among those of the caller"),
        )
        .with("account_id", account),
        // Not UNAVAILABLE, at which clients try again by themselves: it may last for hours.
        Denied::ReadOnly => Answer::new(
            Code::FailedPrecondition,
            reason,
            "followme is read-only for now; nothing was written by this call",
        )
        .detail(
            "google.rpc.PreconditionFailure",
            &precondition(reason, "followme", "is read-only for now"),
        ),
        Denied::WriteRate {
            account,
            retry_after,
        } => Answer::new(
            Code::ResourceExhausted,
            reason,
            format!(
                "too many writes of the caller to account {account}; nothing was written by this call"
            ),
        )
        .with("account_id", account)
        .with_retry_after(*retry_after),
    };
    with_request_id(answer, request_id).into_status()
}

fn from_upstream(
    reason: &'static str,
    license_is_callers: bool,
    error: &upstream::Error,
) -> Answer {
    let (code, message) = match error.kind() {
        Kind::Connect => (
            Code::Unavailable,
            "upstream cannot be reached; try again later",
        ),
        Kind::Broken => (
            Code::Unavailable,
            "the connection to upstream broke; try again",
        ),
        Kind::Timeout => (
            Code::Unavailable,
            "upstream did not answer in time; try again",
        ),
        Kind::ServerError => (Code::Unavailable, "upstream failed; try again later"),
        Kind::Denied if license_is_callers => (
            Code::PermissionDenied,
            "upstream denies access to the License of x-porta-license",
        ),
        Kind::Denied => (
            Code::Internal,
            "upstream denies access to the configured License",
        ),
        Kind::RouteMissing => (
            Code::Internal,
            "upstream does not have the route; check upstream.url",
        ),
        Kind::NotFound => (Code::NotFound, "upstream does not know it"),
        Kind::Refused => (
            Code::FailedPrecondition,
            "upstream refused; check that the account exists and has follow-me settings",
        ),
        Kind::BreakerOpen(_) => (
            Code::Unavailable,
            "upstream did not answer lately and is not asked for a moment; try again later",
        ),
        Kind::Overloaded => (
            Code::ResourceExhausted,
            "too many calls wait for upstream; try again later, and more slowly",
        ),
        Kind::LooksLikeHtml => (
            Code::InvalidArgument,
            "upstream refused a value that looks like HTML",
        ),
        Kind::DoesNotFit => (
            Code::InvalidArgument,
            "the values are too long for upstream; shorten them",
        ),
        Kind::UnsafeValue(_) => (
            Code::InvalidArgument,
            "a value cannot stand in an upstream path, and upstream.unsafe_values refuses those",
        ),
        Kind::BadResponse(_) => (
            Code::Internal,
            "upstream answered something else than the service writes; the log of followme says \
             what",
        ),
        Kind::TooLarge => (
            Code::Internal,
            "upstream's answer is larger than upstream.max_answer_bytes",
        ),
    };
    // What is made of a write here had no effect: a read before it failed, or it did not run.
    let answer = Answer::new(
        code,
        reason,
        format!("{message}; nothing was changed by this call"),
    );
    match error.kind() {
        Kind::BreakerOpen(span) => answer.with_retry_after(span),
        Kind::Overloaded => answer.with_retry_after(Duration::from_secs(1)),
        _ => match error.retry_after() {
            Some(span) => answer.with_retry_after(span),
            None => answer,
        },
    }
}

/// Makes the status of a request that breaks rules: at most 20 of them, and a count.
#[must_use]
pub(super) fn invalid(violations: &Violations, request_id: Option<&RequestId>) -> Status {
    let all = violations.as_slice();
    let count = all.len();
    let mut shown = count.min(MAX_VIOLATIONS);
    loop {
        let bad_request = violated(all[..shown].iter());
        let first = all
            .first()
            .map(|violation| format!("{} {}", violation.field, violation.description))
            .unwrap_or_default();
        let message = match count {
            0 | 1 => first,
            2 => format!("{first} (and 1 more violation)"),
            _ => format!("{first} (and {} more violations)", count - 1),
        };
        let answer = Answer::new(Code::InvalidArgument, "INVALID_REQUEST", message)
            .with("violations", count)
            .detail("google.rpc.BadRequest", &bad_request);
        let status = with_request_id(answer, request_id).into_status();
        if fits(&status) || shown <= 1 {
            return status;
        }
        shown -= 1;
    }
}

/// Makes the status of a call whose request did not come whole before its deadline, or that would
/// have gone on beyond it.
pub(super) fn deadline_exceeded() -> Status {
    Answer::new(
        Code::DeadlineExceeded,
        Error::ReadDeadline.reason(),
        "the deadline came before the call was over; nothing was written by this call",
    )
    .into_status()
}

/// Makes the status of a call that ends well in the middle, since the server stops.
pub(super) fn ended() -> Status {
    Status::ok("")
}

/// Makes the status of a call whose message found no room.
pub(super) fn no_room() -> Status {
    Answer::new(
        Code::ResourceExhausted,
        "OVERLOADED",
        "too many large messages are being received; nothing was sent; try again, more slowly",
    )
    .with_retry_after(Duration::from_secs(1))
    .into_status()
}

/// Makes the status of a health check of a service that nobody knows.
pub(super) fn unknown_service() -> Status {
    Answer::new(
        Code::NotFound,
        "SERVICE_UNKNOWN",
        "no such service is known here",
    )
    .into_status()
}

/// Makes the status of a call whose handler panicked.
pub(super) fn panicked() -> Status {
    Answer::new(
        Code::Internal,
        "INTERNAL_ERROR",
        "followme failed; if the call was a write, List the account before anything else",
    )
    .into_status()
}

fn with_request_id(answer: Answer, id: Option<&RequestId>) -> Answer {
    match id {
        Some(id) => answer.with("request_id", id.as_str()),
        None => answer,
    }
}

fn replace_incomplete(
    reason: &'static str,
    incomplete: &Incomplete,
    request_id: Option<&RequestId>,
) -> Status {
    let mut steps: Vec<pb::ReplaceStep> = incomplete.reports.iter().map(convert::step).collect();
    let done = pb::replace_step::Outcome::Done as i32;
    let count = steps.iter().filter(|step| step.outcome == done).count();
    let message = format!(
        "{count} of {} steps were done, then one was not; call again with the same list to go on: with \
         the same request_id, or without etags",
        steps.len()
    );
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
        let mut answer = Answer::new(Code::Aborted, reason, message.as_str())
            .with("etag", &list_etag)
            .detail("porta.followme.v1.ReplaceIncomplete", &detail);
        if let Some(violations) = &incomplete.violations {
            let shown = violations.as_slice().iter().take(MAX_VIOLATIONS);
            answer = answer.detail("google.rpc.BadRequest", &violated(shown));
        }
        let status = with_request_id(answer, request_id).into_status();
        if fits(&status) || steps.is_empty() {
            return status;
        }
        steps.pop();
    }
}

/// The message travels twice: in the details and, percent-encoded, in its own trailer.
fn fits(status: &Status) -> bool {
    status.details().len() + status.message().len() <= MAX_STATUS_BYTES
}
