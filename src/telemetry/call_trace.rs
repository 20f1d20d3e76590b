//! The trace of a call: its ids, for the log and for requests to the upstream, and its server span.
//!
//! A call that is not sampled has no span objects: they would cost more than all else that telemetry
//! does. Its caller's context is propagated all the same, with a new parent id for each request.

use std::{cell::Cell, net::SocketAddr, sync::OnceLock};

use http::{HeaderMap, Request};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{IdGenerator, SamplingDecision, ShouldSample};
use tracing::{Instrument as _, Span, field::Empty, instrument::Instrumented};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::propagation;

/// The name of the server span.
pub(super) const SERVER_SPAN: &str = "call";

/// Decides which calls are sampled; empty if no spans are exported.
static SAMPLER: OnceLock<Box<dyn ShouldSample>> = OnceLock::new();

tokio::task_local! {
    static CURRENT: CallTrace;
}

thread_local! {
    /// The ids of the next span that the SDK begins on this thread.
    static NEXT: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// The trace of a call.
#[derive(Debug, Clone)]
pub(crate) struct CallTrace {
    trace: TraceId,
    /// The id of the server span, whether or not there is one.
    span: SpanId,
    flags: TraceFlags,
    /// The context that the caller sent.
    caller: Option<Context>,
}

/// Makes spans for the calls that `sampler` samples.
pub(super) fn sample_by(sampler: Box<dyn ShouldSample>) {
    // Telemetry is installed once.
    let _ = SAMPLER.set(sampler);
}

impl CallTrace {
    /// Begins the trace of a call, as a child of the caller's, and its server span: none if the
    /// call is not sampled.
    pub(crate) fn begin<B>(
        request: &Request<B>,
        method: &'static str,
        baggage_keys: &[String],
        local: SocketAddr,
        peer: Option<SocketAddr>,
    ) -> (Self, Span) {
        let mut call = Self::of(request.headers(), baggage_keys);
        let Some(sampler) = SAMPLER.get() else {
            return (call, Span::none());
        };
        let parent = call.caller.clone().unwrap_or_default();
        let sampled = sampler.should_sample(
            Some(&parent),
            call.trace,
            method,
            &SpanKind::Server,
            &[],
            &[],
        );
        let records = sampled.decision != SamplingDecision::Drop;
        let is_sampled = sampled.decision == SamplingDecision::RecordAndSample;
        call.flags = call.flags.with_sampled(is_sampled);
        if !records {
            return (call, Span::none());
        }
        let span = tracing::info_span!(
            SERVER_SPAN,
            otel.name = method,
            otel.kind = "server",
            otel.status_code = Empty,
            rpc.system.name = "grpc",
            rpc.method = method,
            rpc.response.status_code = Empty,
            server.address = tracing::field::display(local.ip()),
            server.port = local.port(),
            network.peer.address = peer.map(|peer| tracing::field::display(peer.ip())),
            error.type = Empty,
            porta.reason = Empty,
        );
        // It fails only if no OpenTelemetry layer is installed.
        let _ = span.set_parent(parent);
        NEXT.set(Some((call.trace, call.span)));
        // The span begins here.
        let _ = span.context();
        NEXT.set(None);
        (call, span)
    }

    fn of(headers: &HeaderMap, baggage_keys: &[String]) -> Self {
        let caller = propagation::extract(headers, baggage_keys);
        let parent = caller
            .as_ref()
            .map(|context| context.span().span_context().clone())
            .filter(SpanContext::is_valid);
        Self {
            trace: parent
                .as_ref()
                .map_or_else(|| TraceId::from(fastrand::u128(1..)), SpanContext::trace_id),
            span: SpanId::from(fastrand::u64(1..)),
            flags: parent.map_or(TraceFlags::NOT_SAMPLED, |parent| parent.trace_flags()),
            caller,
        }
    }

    /// Runs a future as a part of the call.
    pub(crate) fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// Runs a function as a part of the call.
    pub(crate) fn sync_scope<T>(self, function: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, function)
    }
}

/// Returns a future that is a part of the current call, even as a task of its own.
pub(crate) fn in_current_call<F: Future>(
    future: F,
) -> Instrumented<impl Future<Output = F::Output>> {
    let call = CURRENT.try_with(CallTrace::clone).ok();
    async move {
        match call {
            Some(call) => call.scope(future).await,
            None => future.await,
        }
    }
    .in_current_span()
}

/// Returns the ids of the trace and of the server span of the current call.
pub(super) fn ids() -> Option<(TraceId, SpanId)> {
    CURRENT.try_with(|call| (call.trace, call.span)).ok()
}

/// Injects the trace context into the header fields of a request to the upstream: that of the
/// current span, else that of the current call, with a new parent id.
pub(crate) fn inject(headers: &mut HeaderMap) {
    let context = Span::current().context();
    if context.span().span_context().is_valid() {
        return propagation::inject(&context, headers);
    }
    let call = CURRENT.try_with(CallTrace::clone).ok();
    let call = call.unwrap_or_else(|| CallTrace::of(&HeaderMap::new(), &[]));
    let caller = call.caller.unwrap_or_default();
    let state: TraceState = caller.span().span_context().trace_state().clone();
    let span = SpanId::from(fastrand::u64(1..));
    let parent = SpanContext::new(call.trace, span, call.flags, false, state);
    propagation::inject(&caller.with_remote_span_context(parent), headers);
}

/// Gives the server span the ids of its call, and every other span random ones.
#[derive(Debug, Default)]
pub(super) struct Ids;

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get()
            .map_or_else(|| TraceId::from(fastrand::u128(1..)), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.take()
            .map_or_else(|| SpanId::from(fastrand::u64(1..)), |(_, span)| span)
    }
}
