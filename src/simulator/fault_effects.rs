//! From a call of the service to its reply: the effect, and the fault that changes it.

use std::time::Duration;

use super::{
    answer::Answer,
    control_handle::Handle,
    failure::{Failure, exception_status},
    fault_kind::{FaultKind, HangAt, Odd, Run},
    fault_stream::{End, Script, StreamControl},
    framework::ServiceCall,
    gateway,
    negotiation::Format,
    options::Dialect,
    reply::{Reply, reason_of},
    service::Outcome,
    state::Served,
    value::Value,
    writer::Style,
};

/// Where an answer is cut when the host falls silent within its head.
const MID_HEAD: usize = 24;

/// Serves one call: takes the fault that is armed for it, runs the service, shapes the reply.
pub(crate) async fn serve(
    handle: &Handle,
    stream: &StreamControl,
    request: u64,
    call: ServiceCall,
) -> Reply {
    // Listen before the fault counts as fired: a release may come at once.
    let mut releases = handle.releases();
    let (fault, mut served) = handle.begin(request, &call.call);
    match &fault {
        Some(FaultKind::Delay { ms }) => tokio::time::sleep(Duration::from_millis(*ms)).await,
        Some(FaultKind::Hold { .. }) => {
            // The sender lives in the handle, so this ends by a release only.
            let _ = releases.changed().await;
        }
        _ => {}
    }
    match fault.as_ref().map(FaultKind::run) {
        Some(Run::AfterWaiting) => served = Some(handle.serve(request, &call.call)),
        Some(Run::Late(later)) => handle.serve_later(request, call.call.clone(), later),
        _ => {}
    }
    let mut reply = shape(handle.style(), stream, &call, fault, served);
    if handle.options().report_bound {
        reply.bound = serde_json::to_string(&call.call.bound).ok();
    }
    reply
}

fn shape(
    style: Style,
    stream: &StreamControl,
    call: &ServiceCall,
    fault: Option<FaultKind>,
    served: Option<Served>,
) -> Reply {
    let write = |answer: &Answer| style.answer(answer, &call.format, &call.operation);
    let default_record = |status: u16, reason: Option<String>| Reply {
        status,
        reason,
        ..write(&Answer::default())
    };
    let cut_head = |keep, end| stream.set(Script::CutHead { keep, end });
    let cut_body = |keep, end| stream.set(Script::CutBody { keep, end });
    let bound = &call.call.bound;
    let before = served.as_ref().and_then(|served| served.before.clone());
    let outcome = served.map(|served| served.outcome).unwrap_or_default();
    let mut answer = Answer::new(&outcome, bound);
    match fault {
        None
        | Some(
            FaultKind::Delay { .. }
            | FaultKind::Hold { .. }
            | FaultKind::Doubled
            | FaultKind::NoEffect
            | FaultKind::ChangesUnasked { .. },
        ) => write(&answer),
        Some(FaultKind::ResponseStatus {
            error_code,
            message,
            reason,
            ..
        }) => {
            let failure = Failure::thrown(&error_code, message, style.dialect);
            Reply {
                reason,
                ..style.failure(&failure, &call.format)
            }
        }
        Some(FaultKind::Gateway { status, .. }) => gateway::page(status),
        Some(FaultKind::HttpSys) => gateway::http_sys_unavailable(),
        Some(FaultKind::Status {
            status,
            reason,
            body,
            content_type,
        }) => Reply {
            status,
            reason,
            content_type,
            body: body.into_bytes(),
            sized: true,
            ..Reply::default()
        },
        Some(FaultKind::Exception { type_name, .. }) => {
            default_record(exception_status(&type_name, style.dialect), Some(type_name))
        }
        Some(FaultKind::HttpError {
            status,
            code,
            message,
            returned,
            ..
        }) => http_error(
            style,
            call,
            &default_record,
            status,
            code,
            message,
            returned,
        ),
        Some(FaultKind::Reset { .. }) => {
            cut_head(0, End::Reset);
            write(&answer)
        }
        Some(FaultKind::Close { .. }) => {
            cut_head(0, End::Close);
            write(&answer)
        }
        Some(FaultKind::Truncated { bytes }) => {
            let reply = Reply {
                sized: true,
                ..write(&answer)
            };
            let keep = bytes.min(reply.body.len().saturating_sub(1));
            cut_body(keep, End::Close);
            reply
        }
        Some(FaultKind::TruncatedQuietly { bytes }) => {
            let mut reply = write(&answer);
            reply.body.truncate(bytes);
            reply
        }
        Some(FaultKind::Html { status }) => Reply {
            powered: true,
            ..Reply::html(status, "text/html", "Service")
        },
        Some(FaultKind::NotSuccess { .. }) => {
            answer.success = false;
            answer.numbers = Value::Null;
            write(&answer)
        }
        Some(FaultKind::NullList) => {
            answer.numbers = Value::Null;
            write(&answer)
        }
        Some(FaultKind::DefaultRecord { status, .. }) => default_record(status, None),
        Some(FaultKind::NullResult) => null_result(style.dialect, write(&answer)),
        Some(FaultKind::Hang { at }) => {
            let reply = write(&answer);
            match at {
                HangAt::BeforeHead => cut_head(0, End::Hang),
                HangAt::MidHead => cut_head(MID_HEAD, End::Hang),
                HangAt::MidBody => cut_body(reply.body.len() / 2, End::Hang),
            }
            reply
        }
        Some(FaultKind::Trickle {
            bytes_per,
            every_ms,
        }) => {
            let every = Duration::from_millis(every_ms);
            stream.set(Script::Trickle {
                bytes: bytes_per,
                every,
            });
            write(&answer)
        }
        Some(FaultKind::Stale) => {
            let outcome = Outcome {
                numbers: before,
                ..outcome
            };
            write(&Answer::new(&outcome, bound))
        }
        Some(FaultKind::Duplicate) => {
            if let Value::List(numbers) = &mut answer.numbers {
                numbers.extend(numbers.last().cloned());
            }
            write(&answer)
        }
        Some(FaultKind::OddElement { odd }) => {
            if let Some(first) = answer.elements().first_mut() {
                make_odd(first, odd);
            }
            write(&answer)
        }
        Some(FaultKind::Raw { text }) => {
            stream.set(Script::Replace {
                bytes: text.into_bytes(),
            });
            write(&answer)
        }
    }
}

fn make_odd(element: &mut Value, odd: Odd) {
    let Value::Object(members) = element else {
        return;
    };
    let mut set = |name: &str, change: &dyn Fn(&Value) -> Value| {
        let members = members.iter_mut().filter(|(known, _)| *known == name);
        members.for_each(|(_, value)| *value = change(value));
    };
    match odd {
        Odd::Null => *element = Value::Null,
        Odd::NoId => set("i_follow_me_number", &|_| Value::Null),
        Odd::ZeroId => set("i_follow_me_number", &|_| Value::Int(0)),
        Odd::OtherAccount => set("i_account", &|id| match id {
            Value::Int(id) => Value::Int(id.wrapping_add(1)),
            other => other.clone(),
        }),
        Odd::TextTimeout => set("timeout", &|_| "soon".into()),
    }
}

/// v3 takes the error code for the reason phrase, and the message for the code where none is given;
/// v4 takes the status's name. A returned error has no body in v3; an HTML 404 is plain in v4.
fn http_error(
    style: Style,
    call: &ServiceCall,
    default_record: &dyn Fn(u16, Option<String>) -> Reply,
    status: u16,
    code: Option<String>,
    message: String,
    returned: bool,
) -> Reply {
    let v4 = style.dialect == Dialect::V4;
    if v4 && status == 404 && call.format == Format::Html {
        return Reply::text(404, "404");
    }
    let reason = code.unwrap_or_else(|| {
        if v4 {
            reason_of(status).replace(' ', "")
        } else {
            message
        }
    });
    let mut reply = default_record(status, Some(reason));
    if returned && !v4 {
        reply.body.clear();
        reply.sized = true;
    }
    reply
}

fn null_result(dialect: Dialect, reply: Reply) -> Reply {
    let (status, content_type) = match dialect {
        Dialect::V3 => (200, None),
        Dialect::V4 => (204, None),
        Dialect::AspNet => (204, Some("text/html".to_owned())),
    };
    Reply {
        status,
        content_type,
        body: Vec::new(),
        sized: true,
        ..reply
    }
}
