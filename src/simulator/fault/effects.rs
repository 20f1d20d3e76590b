//! From a call of the service to its reply: the effect, and the fault that changes it.

use std::time::Duration;

use super::{
    FaultKind,
    HangAt::{BeforeHead, MidBody, MidHead},
    Odd, Run,
};
use crate::simulator::{
    Dialect, Handle, answer,
    framework::{
        RequestObject, Value,
        failure::{Failure, exception_status},
        format::Format,
    },
    host::{
        Host, gateway,
        reply::{Cut, Reply, reason_of},
        stream::{End, Script, StreamControl},
    },
    service::{Call, Outcome},
};

/// Where an answer is cut when the host falls silent within its head.
const MID_HEAD: usize = 24;

/// Serves one call: takes the fault that is armed for it, runs the service, shapes the reply.
pub(crate) async fn serve(
    handle: &Handle,
    stream: &StreamControl,
    request: u64,
    call: Call,
) -> Reply {
    // Listen before the fault counts as fired: a release may come at once.
    let mut releases = handle.releases();
    let (fault, mut outcome) = handle.begin(request, &call);
    match &fault {
        Some(FaultKind::Delay { ms }) => tokio::time::sleep(Duration::from_millis(*ms)).await,
        Some(FaultKind::Hold { .. }) => {
            // The sender lives in the handle, so this ends by a release only.
            let _ = releases.changed().await;
        }
        _ => {}
    }
    match fault.as_ref().map(FaultKind::run) {
        Some(Run::AfterWaiting) => outcome = Some(handle.serve(request, &call)),
        Some(Run::Late(later)) => handle.serve_later(request, call.clone(), later),
        _ => {}
    }
    let outcome = outcome.unwrap_or_default();
    let host = handle.host();
    let Some(fault) = fault else {
        return host.answer(&answer::response(&outcome, &call.bound), &call);
    };
    *stream.lock() = script(&fault);
    let reply = host.answer(&response(&fault, outcome, &call.bound), &call);
    change_reply(fault, reply, &host, &call.format)
}

/// Makes the response object of a call that a fault hits.
fn response(fault: &FaultKind, mut outcome: Outcome, bound: &RequestObject) -> Value {
    match fault {
        FaultKind::Exception { .. }
        | FaultKind::HttpError { .. }
        | FaultKind::DefaultRecord { .. } => {
            return answer::response(&Outcome::default(), &RequestObject::default());
        }
        FaultKind::NotSuccess { .. } => {
            outcome.success = false;
            outcome.numbers = None;
        }
        FaultKind::NullList => outcome.numbers = None,
        FaultKind::Stale => outcome.numbers = outcome.before.take(),
        FaultKind::Duplicate => {
            if let Some(numbers) = &mut outcome.numbers {
                numbers.extend(numbers.last().cloned());
            }
        }
        _ => {}
    }
    let mut response = answer::response(&outcome, bound);
    if let FaultKind::OddElement { odd } = fault
        && let Some(Value::List(numbers)) = response.member(answer::NUMBERS)
        && let Some(first) = numbers.first_mut()
    {
        make_odd(first, *odd);
    }
    response
}

fn make_odd(element: &mut Value, odd: Odd) {
    let (member, value) = match odd {
        Odd::Null => {
            *element = Value::Null;
            return;
        }
        Odd::NoId => ("i_follow_me_number", Value::Null),
        Odd::ZeroId => ("i_follow_me_number", Value::Int(0)),
        Odd::OtherAccount => match element.member("i_account") {
            Some(Value::Int(id)) => ("i_account", Value::Int(id.wrapping_add(1))),
            _ => return,
        },
        Odd::TextTimeout => ("timeout", "soon".into()),
    };
    if let Some(member) = element.member(member) {
        *member = value;
    }
}

/// Returns what the stream of the connection does to the reply.
fn script(fault: &FaultKind) -> Script {
    let cut = |keep, end| Script::Cut { keep, end };
    match fault {
        FaultKind::Reset { .. } => cut(0, End::Reset),
        FaultKind::Close { .. } => cut(0, End::Close),
        FaultKind::Hang { at: BeforeHead } => cut(0, End::Hang),
        FaultKind::Hang { at: MidHead } => cut(MID_HEAD, End::Hang),
        FaultKind::Trickle {
            bytes_per,
            every_ms,
        } => Script::Trickle {
            bytes: *bytes_per,
            every: Duration::from_millis(*every_ms),
        },
        FaultKind::Raw { text } => Script::Replace {
            bytes: text.clone().into_bytes(),
        },
        _ => Script::Pass,
    }
}

/// Returns the reply that a fault makes of the written answer.
fn change_reply(fault: FaultKind, reply: Reply, host: &Host, format: &Format) -> Reply {
    let dialect = host.dialect;
    match fault {
        FaultKind::Status {
            status,
            reason,
            body,
            content_type,
        } => Reply {
            status,
            reason,
            content_type,
            body: body.into_bytes(),
            sized: true,
            ..Reply::default()
        },
        FaultKind::Exception { type_name, .. } => Reply {
            status: exception_status(&type_name, dialect),
            reason: Some(type_name),
            ..reply
        },
        FaultKind::HttpError {
            status,
            code,
            message,
            returned,
            ..
        } => {
            // An HTML 404 is plain in v4.
            if dialect == Dialect::V4 && status == 404 && *format == Format::Html {
                return Reply::text(404, "404");
            }
            // If there is no code, v3 takes the message for it, v4 the status's name.
            let reason = code.unwrap_or_else(|| match dialect {
                Dialect::V4 => reason_of(status).replace(' ', ""),
                Dialect::V3 | Dialect::AspNet => message,
            });
            // A returned error has no body in v3.
            let empty = returned && dialect != Dialect::V4;
            Reply {
                status,
                reason: Some(reason),
                body: if empty { Vec::new() } else { reply.body },
                sized: empty,
                ..reply
            }
        }
        FaultKind::Truncated { bytes } => Reply {
            sized: true,
            cut: Some(Cut {
                keep: bytes.min(reply.body.len().saturating_sub(1)),
                hangs: false,
            }),
            ..reply
        },
        FaultKind::TruncatedQuietly { bytes } => Reply {
            body: reply.body.into_iter().take(bytes).collect(),
            ..reply
        },
        FaultKind::Html { status } => Reply {
            powered: true,
            ..Reply::html(status, "text/html", "Service")
        },
        FaultKind::DefaultRecord { status, .. } => Reply { status, ..reply },
        FaultKind::NullResult => Reply {
            status: if dialect == Dialect::V3 { 200 } else { 204 },
            content_type: (dialect == Dialect::AspNet).then(|| "text/html".to_owned()),
            body: Vec::new(),
            sized: true,
            ..reply
        },
        FaultKind::Hang { at: MidBody } => Reply {
            cut: Some(Cut {
                keep: reply.body.len() / 2,
                hangs: true,
            }),
            ..reply
        },
        FaultKind::ResponseStatus {
            error_code: type_name,
            message,
            reason,
            ..
        } => Reply {
            reason,
            ..host.failure(&Failure::Thrown { type_name, message }, format)
        },
        FaultKind::Gateway { status, .. } => gateway::page(status),
        FaultKind::HttpSys => gateway::http_sys_unavailable(),
        _ => reply,
    }
}
