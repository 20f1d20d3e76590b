//! How a call ends: the access line, the end of the server span, the metrics of the call.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use http_body::{Frame, SizeHint};
use prost::Message as _;
use tonic::{Code, Status, body::Body};
use tower::{BoxError, Layer, Service};
use tracing::Span;

use super::accept::Peer;
use crate::telemetry::{
    in_flight::{Calls, Progress},
    metrics, names,
};

/// Follows each call from its first byte to its last.
#[derive(Debug, Clone)]
pub(super) struct EndingLayer(pub(super) Calls);

impl<S> Layer<S> for EndingLayer {
    type Service = EndingService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        EndingService {
            inner,
            calls: self.0.clone(),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct EndingService<S> {
    inner: S,
    calls: Calls,
}

impl<S, B> Service<http::Request<Body>> for EndingService<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>>,
    B: http_body::Body<Data = bytes::Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let call = self.calls.begin(names::method(request.uri().path()));
        request.extensions_mut().insert(call.clone());
        let mut end = End {
            call,
            span: Span::none(),
            peer: request.extensions().get::<Peer>().cloned(),
            begun: Instant::now(),
            received: Arc::default(),
            sent: 0,
            status: None,
        };
        let received = Arc::clone(&end.received);
        let request = request.map(|body| Body::new(Received { body, received }));
        let answer = self.inner.call(request);
        Box::pin(async move {
            // tonic enters the span of the call to poll its answer, not to call for it.
            end.span = Span::current();
            let response = answer.await?;
            end.take_status(response.headers());
            Ok(response.map(|body| Body::new(Sent { body, end })))
        })
    }
}

/// The end of a call. Dropped before a status is known, the caller has gone.
struct End {
    call: Progress,
    span: Span,
    peer: Option<Peer>,
    begun: Instant,
    received: Arc<AtomicU64>,
    sent: u64,
    status: Option<(Code, String)>,
}

impl End {
    /// Takes the status out of header fields or trailers that hold it, and the reason of its
    /// ErrorInfo.
    fn take_status(&mut self, headers: &http::HeaderMap) {
        let Some(status) = Status::from_header_map(headers) else {
            return;
        };
        let reason = match status.code() {
            Code::Ok => String::new(),
            _ => reason(&status),
        };
        self.status = Some((status.code(), reason));
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let (code, reason) = self
            .status
            .take()
            .unwrap_or((Code::Cancelled, String::new()));
        let method = self.call.method();
        let took = self.begun.elapsed();
        let name = names::code(code);
        let received = self.received.load(Ordering::Relaxed);
        metrics::call(method, code, took);
        metrics::bytes("caller", received, self.sent);
        self.span.record("rpc.response.status_code", name);
        if !reason.is_empty() {
            self.span.record("porta.reason", reason.as_str());
        }
        if names::is_server_error(code) {
            self.span.record("error.type", name);
            self.span.record("otel.status_code", "ERROR");
        }
        let caller = self.call.caller();
        let peer = self.peer.as_ref().map(|peer| peer.remote.to_string());
        let upstream = self.call.upstream_requests();
        let milliseconds = (took.as_secs_f64() * 1e6).round() / 1e3;
        // Balancers ask for the health all day long; nobody wants to read that.
        let is_health = method.starts_with("grpc.health.v1.");
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "access",
                    method,
                    caller,
                    peer,
                    code = name,
                    reason,
                    duration_ms = milliseconds,
                    upstream_requests = upstream,
                    received_bytes = received,
                    sent_bytes = self.sent,
                    "call"
                )
            };
        }
        self.span.in_scope(|| {
            if is_health {
                line!(debug);
            } else {
                line!(info);
            }
        });
    }
}

/// Returns the reason of a status' ErrorInfo, or nothing: tonic makes statuses of its own, without
/// details.
fn reason(status: &Status) -> String {
    let details = tonic_types::pb::Status::decode(status.details()).unwrap_or_default();
    details
        .details
        .iter()
        .find(|detail| detail.type_url.ends_with("/google.rpc.ErrorInfo"))
        .and_then(|detail| tonic_types::pb::ErrorInfo::decode(detail.value.as_slice()).ok())
        .map(|info| info.reason)
        .unwrap_or_default()
}

/// The body of a request, whose bytes are counted.
struct Received {
    body: Body,
    received: Arc<AtomicU64>,
}

impl http_body::Body for Received {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.received
                .fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, with whose end the call ends.
struct Sent<B> {
    body: B,
    end: End,
}

impl<B> http_body::Body for Sent<B>
where
    B: http_body::Body<Data = bytes::Bytes> + Unpin,
{
    type Data = bytes::Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            if let Some(data) = frame.data_ref() {
                self.end.sent += data.len() as u64;
            } else if let Some(trailers) = frame.trailers_ref() {
                self.end.take_status(trailers);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
