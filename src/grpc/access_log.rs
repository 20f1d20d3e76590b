//! The end of each call: its access line, its server span, its metrics.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use prost::Message as _;
use tonic::{Code, Status, body::Body};
use tower::{BoxError, Service};
use tracing::{Instrument as _, Span};

use super::{
    incoming::{ActiveCall, Peer},
    pb::SERVICE,
};
use crate::{
    domain::AccountId,
    telemetry::{
        call_trace::CallTrace,
        in_flight::{Calls, Progress},
        metrics, names,
    },
};

/// What the observation of calls needs.
pub(super) struct Observer {
    /// The calls in flight.
    pub(super) calls: Calls,
    /// The address of the server.
    pub(super) local: SocketAddr,
    /// The keys of W3C baggage that are passed on to upstream.
    pub(super) baggage_keys: Vec<String>,
}

/// Observes a call from its first byte to its last, and puts its [`Progress`] into the extensions
/// of the request.
pub(super) fn access_log<S, B>(
    observer: &Observer,
    mut request: Request<Body>,
    mut next: S,
) -> impl Future<Output = Result<Response<Body>, S::Error>> + use<S, B>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    // Other paths are the caller's own text: only known methods become names.
    let method = names::method(request.uri().path());
    let progress = observer.calls.begin(method);
    request.extensions_mut().insert(progress.clone());
    let peer = request.extensions().get::<Peer>().map(|peer| peer.remote);
    let is_ours = request
        .uri()
        .path()
        .trim_start_matches('/')
        .starts_with(SERVICE);
    let (trace, span) = is_ours
        .then(|| {
            let (keys, local) = (&observer.baggage_keys, observer.local);
            CallTrace::begin(&request, method, keys, local, peer)
        })
        .unzip();
    let span = span.unwrap_or_else(Span::none);
    let mut observed = ObservedCall {
        progress,
        trace: trace.clone(),
        span: span.clone(),
        peer,
        _active: request.extensions().get::<Peer>().map(Peer::track),
        begun: Instant::now(),
        received: Arc::default(),
        sent: 0,
        status: None,
    };
    let received = Arc::clone(&observed.received);
    let request = request.map(|body| {
        Body::new(body.inspect_frame(move |frame| {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            received.fetch_add(bytes as u64, Ordering::Relaxed);
        }))
    });
    let response = next.call(request);
    async move {
        let response = match trace {
            Some(trace) => trace.scope(response).instrument(span).await?,
            None => response.await?,
        };
        observed.take_status(response.headers());
        // The call ends when its response body is dropped, and `observed` with it.
        Ok(response.map(|body| {
            Body::new(body.inspect_frame(move |frame| {
                if let Some(data) = frame.data_ref() {
                    observed.sent += data.len() as u64;
                } else if let Some(trailers) = frame.trailers_ref() {
                    observed.take_status(trailers);
                }
            }))
        }))
    }
}

/// A call that is observed until it is dropped. Dropped before its status is known, it was
/// cancelled.
struct ObservedCall {
    progress: Progress,
    /// The trace, if it is a call of our service.
    trace: Option<CallTrace>,
    span: Span,
    peer: Option<SocketAddr>,
    /// Until then the connection is not idle.
    _active: Option<ActiveCall>,
    begun: Instant,
    received: Arc<AtomicU64>,
    sent: u64,
    status: Option<(Code, String)>,
}

impl ObservedCall {
    /// Takes the status, and the reason of its ErrorInfo, out of header fields or trailers that
    /// hold one.
    fn take_status(&mut self, headers: &HeaderMap) {
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

impl Drop for ObservedCall {
    fn drop(&mut self) {
        let (code, reason) = self
            .status
            .take()
            .unwrap_or((Code::Cancelled, String::new()));
        let method = self.progress.method();
        let took = self.begun.elapsed();
        let name = names::code(code);
        let received = self.received.load(Ordering::Relaxed);
        metrics::call(method, code, took);
        metrics::bytes("caller", received, self.sent);
        if !reason.is_empty() {
            metrics::error(&reason);
        }
        if !self.span.is_none() {
            self.span.record("rpc.response.status_code", name);
            if !reason.is_empty() {
                self.span.record("porta.reason", reason.as_str());
            }
            if names::is_server_error(code) {
                self.span.record("error.type", name);
                self.span.record("otel.status_code", "ERROR");
            }
        }
        let caller = self.progress.caller();
        let account = self.progress.account().map(AccountId::value);
        let peer = self.peer.map(tracing::field::display);
        let upstream = self.progress.upstream_requests();
        let milliseconds = (took.as_secs_f64() * 1e6).round() / 1e3;
        // Balancers check the health, or a path that is not served, all day long; their lines would
        // hide the others.
        let is_probe = method.starts_with("grpc.health.v1.") || method == names::OTHER;
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "access",
                    method,
                    caller,
                    account_id = account,
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
        let line = || {
            if is_probe {
                line!(debug);
            } else {
                line!(info);
            }
        };
        match self.trace.take() {
            Some(trace) => trace.sync_scope(line),
            None => line(),
        }
    }
}

/// Returns the reason of a status' ErrorInfo; empty for the statuses that tonic makes itself, which
/// have no details.
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
