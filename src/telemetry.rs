//! The subscriber: logs to standard error, and the trace context that goes on to upstream.

use std::io::IsTerminal as _;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::{EnvFilter, Layer as _, filter, layer::SubscriberExt as _};

/// Installs the subscriber of the process. `filter` is the text of `RUST_LOG`, or `info`.
///
/// Spans are not exported: they carry the caller's trace context to upstream. A call that brings
/// none starts a trace that is not sampled.
///
/// # Errors
/// Fails where a subscriber is installed already.
pub fn install(filter: Option<&str>) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
        .build();
    // Without its own filter, the spans of h2, hyper and tonic would be made into traces as well.
    let trace = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("followme"))
        .with_filter(filter::filter_fn(|metadata| {
            metadata.is_span() && metadata.target().starts_with("followme")
        }));
    let log = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(EnvFilter::new(filter.unwrap_or("info")));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(trace).with(log))
}
