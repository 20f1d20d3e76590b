//! From a call of the service to its reply: the effect, and the fault that spoils it.

use std::time::Duration;

use super::answer::Answer;
use super::errors::exception_status;
use super::faults::{FaultKind, HangAt, When};
use super::formats::{Format, Style};
use super::framework::Run;
use super::handle::{Handle, Served};
use super::options::Dialect;
use super::reply::{Reply, reason_of};
use super::wire::{End, Script, Wire};

/// Where an answer is cut when the host falls silent within its head.
const MID_HEAD: usize = 24;

/// Serves one call: takes the fault that is armed for it, runs the service, shapes the reply.
pub(crate) async fn serve(handle: &Handle, wire: &Wire, request: u64, run: Run) -> Reply {
    // Listen before the fault counts as fired: a release may come at once.
    let mut releases = handle.releases();
    let (fault, mut served) = handle.begin(request, &run.call);
    match &fault {
        Some(FaultKind::Delay { ms }) => tokio::time::sleep(Duration::from_millis(*ms)).await,
        Some(FaultKind::Hold { .. }) => {
            // The sender lives in the handle, so this ends by a release only.
            let _ = releases.changed().await;
        }
        _ => {}
    }
    let waited = matches!(
        fault,
        Some(FaultKind::Delay { .. } | FaultKind::Hold { when: When::Before })
    );
    if waited && served.is_none() {
        served = Some(handle.serve(request, &run.call));
    }
    let mut reply = shape(handle.style(), wire, &run, fault, served);
    if handle.options().report_bound {
        reply.bound = serde_json::to_string(&run.call.bound).ok();
    }
    reply
}

fn shape(
    style: Style,
    wire: &Wire,
    run: &Run,
    fault: Option<FaultKind>,
    served: Option<Served>,
) -> Reply {
    let write = |answer: &Answer| style.answer(answer, &run.format, &run.operation);
    let default_record = |status: u16, reason: Option<String>| Reply {
        status,
        reason,
        ..write(&Answer::default())
    };
    let bound = &run.call.bound;
    let before = served.as_ref().and_then(|served| served.before.clone());
    let outcome = served.map(|served| served.outcome).unwrap_or_default();
    let mut answer = Answer::new(&outcome, bound);
    match fault {
        None | Some(FaultKind::Delay { .. } | FaultKind::Hold { .. }) => write(&answer),
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
        }) => http_error(style, run, &default_record, status, code, message, returned),
        Some(FaultKind::Reset { .. }) => {
            wire.follow(Script::CutHead {
                keep: 0,
                end: End::Reset,
            });
            write(&answer)
        }
        Some(FaultKind::Close { .. }) => {
            wire.follow(Script::CutHead {
                keep: 0,
                end: End::Close,
            });
            write(&answer)
        }
        Some(FaultKind::Truncated { bytes }) => {
            let reply = Reply {
                sized: true,
                ..write(&answer)
            };
            let keep = bytes.min(reply.body.len().saturating_sub(1));
            wire.follow(Script::CutBody {
                keep,
                end: End::Close,
            });
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
            answer.numbers = None;
            write(&answer)
        }
        Some(FaultKind::NullList) => {
            answer.numbers = None;
            write(&answer)
        }
        Some(FaultKind::DefaultRecord { status, .. }) => default_record(status, None),
        Some(FaultKind::NullResult) => null_result(style.dialect, write(&answer)),
        Some(FaultKind::Hang { at }) => {
            let reply = write(&answer);
            wire.follow(match at {
                HangAt::BeforeHead => Script::CutHead {
                    keep: 0,
                    end: End::Hang,
                },
                HangAt::MidHead => Script::CutHead {
                    keep: MID_HEAD,
                    end: End::Hang,
                },
                HangAt::MidBody => Script::CutBody {
                    keep: reply.body.len() / 2,
                    end: End::Hang,
                },
            });
            reply
        }
        Some(FaultKind::Trickle {
            bytes_per,
            every_ms,
        }) => {
            let every = Duration::from_millis(every_ms);
            wire.follow(Script::Trickle {
                bytes: bytes_per,
                every,
            });
            write(&answer)
        }
        Some(FaultKind::Stale) => {
            let outcome = super::service::Outcome {
                numbers: before,
                ..outcome
            };
            write(&Answer::new(&outcome, bound))
        }
        Some(FaultKind::Duplicate) => {
            if let Some(numbers) = &mut answer.numbers
                && let Some(last) = numbers.last().cloned()
            {
                numbers.push(last);
            }
            write(&answer)
        }
        Some(FaultKind::OddElement { odd }) => {
            if let Some(first) = answer
                .numbers
                .as_mut()
                .and_then(|numbers| numbers.first_mut())
            {
                first.make_odd(odd);
            }
            write(&answer)
        }
        Some(FaultKind::Raw { text }) => {
            wire.follow(Script::Replace {
                bytes: text.into_bytes(),
            });
            write(&answer)
        }
    }
}

/// v3 takes the error code for the reason phrase, and the message for the code where none is given;
/// v4 takes the status's name. A returned error has no body in v3; an HTML 404 is plain in v4.
fn http_error(
    style: Style,
    run: &Run,
    default_record: &dyn Fn(u16, Option<String>) -> Reply,
    status: u16,
    code: Option<String>,
    message: String,
    returned: bool,
) -> Reply {
    let v4 = style.dialect == Dialect::V4;
    if v4 && status == 404 && run.format == Format::Html {
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
