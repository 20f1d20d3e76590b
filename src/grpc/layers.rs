//! What stands between the server and every call: the deadline, the count of the connection's
//! calls, and a net for panics.

use std::{
    any::Any,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};
use tower::{Layer, Service};
use tower_http::catch_panic::{CatchPanicLayer, ResponseForPanic};

use super::{accept::Peer, deadline, lasting::Lasting, status};

/// When a call has to be answered; stands in the extensions of its request.
#[derive(Debug, Clone)]
pub(super) struct AnswerBy {
    at: Instant,
    taken: Arc<AtomicBool>,
}

impl AnswerBy {
    fn new(at: Instant) -> Self {
        Self {
            at,
            taken: Arc::default(),
        }
    }

    /// Returns the instant to the handler, who from now on answers for the call.
    pub(super) fn take(&self) -> Instant {
        self.taken.store(true, Ordering::Relaxed);
        self.at
    }
}

/// Ends calls at their deadline.
///
/// tonic does that too, but answers CANCELLED. The handler answers where it runs, since it alone
/// knows what became of the call; this layer is for the calls whose request never comes whole.
#[derive(Debug, Clone)]
pub(super) struct DeadlineLayer {
    /// The time of a call that names none.
    pub(super) default: Duration,
    /// When the server lets its calls finish: those that would last end then.
    pub(super) stopping: CancellationToken,
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService {
            inner,
            default: self.default,
            stopping: self.stopping.clone(),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct DeadlineService<S> {
    inner: S,
    default: Duration,
    stopping: CancellationToken,
}

/// A boxed future of an answer.
type Answering<E> = Pin<Box<dyn Future<Output = Result<http::Response<Body>, E>> + Send>>;

impl<S> Service<http::Request<Body>> for DeadlineService<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Answering<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let times = deadline::times(request.headers(), self.default);
        let path = request.uri().path();
        let lasts = (path.ends_with("/Watch") || path.contains("ServerReflection/"))
            .then(|| self.stopping.clone());
        let answer_by = AnswerBy::new(times.answer_by);
        let taken = Arc::clone(&answer_by.taken);
        request.extensions_mut().insert(answer_by);
        let counted = request.extensions().get::<Peer>().map(Peer::call);
        let mut answer = Box::pin(self.inner.call(request));
        Box::pin(async move {
            // Lets the server look first whether the call is still wanted: of calls that were
            // cancelled together with their beginning, none may cost an upstream connection.
            tokio::task::yield_now().await;
            if let Ok(answer) = timeout_at(times.last_call, &mut answer).await {
                return answer.map(|answer| match lasts {
                    None => answer,
                    Some(stopping) => {
                        answer.map(|body| Lasting::body(body, times.ends, stopping, counted))
                    }
                });
            }
            if taken.load(Ordering::Relaxed) {
                // On a busy machine it is late, but on its way.
                let answer = answer.await;
                drop(counted);
                return answer;
            }
            Ok(status::deadline_exceeded().into_http())
        })
    }
}

/// Answers a panic of a handler with INTERNAL. The process goes on.
pub(super) fn catch_panic() -> CatchPanicLayer<Panicked> {
    CatchPanicLayer::custom(Panicked)
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Panicked;

impl ResponseForPanic for Panicked {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, _: Box<dyn Any + Send>) -> http::Response<Body> {
        // The panic hook has written where it was. Its text may hold anything, so it goes nowhere.
        tracing::error!("a handler panicked");
        let status: Status = status::panicked();
        status.into_http()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_late_handler_answers_itself_and_for_a_missing_message_the_layer_does() {
        for (takes, code) in [(true, "0"), (false, "4")] {
            let handler = tower::service_fn(move |request: http::Request<Body>| async move {
                if takes && let Some(answer_by) = request.extensions().get::<AnswerBy>() {
                    answer_by.take();
                }
                tokio::time::sleep(Duration::from_secs(2)).await;
                Ok::<_, std::convert::Infallible>(Status::ok("").into_http::<Body>())
            });
            let default = Duration::from_secs(1);
            let stopping = CancellationToken::new();
            let mut service = DeadlineLayer { default, stopping }.layer(handler);
            let answer = service
                .call(http::Request::new(Body::empty()))
                .await
                .unwrap();
            assert_eq!(answer.headers()["grpc-status"], code);
            // A health check asks upstream for nothing, so its deadline says nothing of upstream.
            let status = Status::from_header_map(answer.headers()).unwrap();
            assert!(!status.message().contains("upstream"), "{status}");
        }
    }

    #[tokio::test]
    async fn a_panic_becomes_internal_with_details() {
        let handler = tower::service_fn(|_: http::Request<Body>| async move {
            if true {
                std::panic::panic_any("the handler's own words");
            }
            Ok::<_, std::convert::Infallible>(http::Response::new(Body::empty()))
        });
        let mut service = catch_panic().layer(handler);
        let answer = service
            .call(http::Request::new(Body::empty()))
            .await
            .unwrap();
        assert_eq!(answer.headers()["grpc-status"], "13");
        assert!(answer.headers().contains_key("grpc-status-details-bin"));
        assert!(!format!("{:?}", answer.headers()).contains("own words"));
    }
}
