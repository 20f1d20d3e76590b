//! The deadline of each call.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, Request, Response};
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tower::Service;

use super::status;

/// How long before the caller's deadline the reply leaves, so that it arrives in time: at most a
/// tenth of the timeout.
const REPLY_MARGIN: Duration = Duration::from_millis(50);

/// From this timeout on, gRPC's C core (C++, Python, Ruby, PHP) rounds `grpc-timeout` up, by up to
/// a hundredth: the caller gives up earlier than it says.
const ROUNDED_FROM: Duration = Duration::from_secs(10);

/// The instants of a call.
#[derive(Debug, Clone, Copy)]
struct Deadlines {
    /// When its handler replies: a margin before the deadline.
    reply_by: Instant,
    /// When a call is answered whose message has not arrived: a message has the default timeout at
    /// most, whatever timeout the caller sets.
    receive_by: Instant,
    /// When a streaming response ends; `None` where the caller sets no timeout.
    stream_until: Option<Instant>,
}

/// Returns how long before its deadline a call with this timeout is answered.
fn margin(timeout: Duration) -> Duration {
    let rounding = match timeout >= ROUNDED_FROM {
        true => timeout / 100,
        false => Duration::ZERO,
    };
    REPLY_MARGIN.min(timeout / 10) + rounding
}

impl Deadlines {
    /// Returns the instants of a call that starts now.
    fn new(headers: &HeaderMap, default: Duration) -> Self {
        let now = Instant::now();
        let set = headers
            .get("grpc-timeout")
            .and_then(|value| value.to_str().ok())
            .and_then(parse_timeout);
        // A timeout beyond what the clock can represent counts as none.
        let timeout = set
            .filter(|timeout| now.checked_add(*timeout).is_some())
            .unwrap_or(default);
        let margin = margin(timeout);
        let reply_by = now + (timeout - margin);
        Self {
            reply_by,
            receive_by: now + (timeout - margin / 2).min(default),
            stream_until: set.map(|_| reply_by),
        }
    }
}

/// When a call is to be answered, in the extensions of its request.
#[derive(Debug, Clone)]
pub(super) struct ReplyDeadline {
    reply_by: Instant,
    of_caller: Option<Instant>,
    claimed: Arc<AtomicBool>,
}

impl ReplyDeadline {
    /// Returns the instant to the handler, which from now on answers the call itself.
    pub(super) fn claim(&self) -> Instant {
        self.claimed.store(true, Ordering::Relaxed);
        self.reply_by
    }

    /// Returns when a streaming response ends; `None` if the caller sets no timeout.
    pub(super) fn of_caller(&self) -> Option<Instant> {
        self.of_caller
    }
}

/// Ends a call at its deadline. Once the request has arrived whole, the handler answers at the
/// deadline, because it alone knows the outcome; this is for calls before that.
pub(super) fn deadline<S>(
    default: Duration,
    mut request: Request<Body>,
    mut next: S,
) -> impl Future<Output = Result<Response<Body>, S::Error>> + use<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    // Counted from here, before the first poll.
    let deadlines = Deadlines::new(request.headers(), default);
    let claimed = Arc::new(AtomicBool::new(false));
    request.extensions_mut().insert(ReplyDeadline {
        reply_by: deadlines.reply_by,
        of_caller: deadlines.stream_until,
        claimed: Arc::clone(&claimed),
    });
    let is_doubled = request.headers().get_all("grpc-timeout").iter().count() > 1;
    let response = (!is_doubled).then(|| next.call(request));
    async move {
        let Some(response) = response else {
            return Ok(status::doubled_timeout().into_http());
        };
        let mut response = pin!(response);
        // Lets the server see first whether the call is still wanted: of calls that were cancelled
        // together with their beginning, none may cost an upstream connection.
        tokio::task::yield_now().await;
        match timeout_at(deadlines.receive_by, &mut response).await {
            Ok(response) => response,
            // On a busy machine the handler is late, but its reply is on its way.
            Err(_) if claimed.load(Ordering::Relaxed) => response.await,
            Err(_) => Ok(status::deadline_exceeded().into_http()),
        }
    }
}

/// Parses `grpc-timeout`: at most eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tower::{Layer as _, Service as _};

    use super::*;
    use crate::grpc::middleware::Middleware;

    #[tokio::test(start_paused = true)]
    async fn a_late_handler_replies_itself_and_a_missing_message_is_answered_for_it() {
        for (claims, code) in [(true, "0"), (false, "4")] {
            let handler = tower::service_fn(move |request: Request<Body>| async move {
                if claims && let Some(deadline) = request.extensions().get::<ReplyDeadline>() {
                    deadline.claim();
                }
                tokio::time::sleep(Duration::from_secs(2)).await;
                Ok::<_, std::convert::Infallible>(Status::ok("").into_http::<Body>())
            });
            let default = Duration::from_secs(1);
            let layer = Middleware(move |request, next| deadline(default, request, next));
            let mut service = layer.layer(handler);
            let answer = service.call(Request::new(Body::empty())).await.unwrap();
            assert_eq!(answer.headers()["grpc-status"], code);
            // Health checks never call upstream, so their deadline must not blame it.
            let status = Status::from_header_map(answer.headers()).unwrap();
            assert!(!status.message().contains("upstream"), "{status}");
        }
    }

    #[test]
    fn a_reply_leaves_before_the_deadline_that_the_caller_did_not_round() {
        for (timeout, wanted) in [
            (20, 2),
            (400, 40),
            (9_990, 50),
            (10_099, 150),
            (30_099, 350),
            (121_000, 1_260),
        ] {
            let margin = margin(Duration::from_millis(timeout));
            assert_eq!(margin.as_millis(), wanted, "{timeout} ms");
        }
    }

    #[test]
    fn reads_every_unit_and_refuses_the_rest() {
        for (text, wanted) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("100m", Some(Duration::from_millis(100))),
            ("7u", Some(Duration::from_micros(7))),
            ("7n", Some(Duration::from_nanos(7))),
            ("", None),
            ("S", None),
            ("1", None),
            ("-1S", None),
            ("123456789S", None),
            ("1é", None),
        ] {
            assert_eq!(parse_timeout(text), wanted, "{text:?}");
        }
    }
}
