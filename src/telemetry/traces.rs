//! Spans: which are recorded, and where they are exported.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{Layer, filter::dynamic_filter_fn, layer::Context, registry::LookupSpan};

use super::{
    Error,
    call_trace::{self, Ids},
};

/// Creates the provider of spans that are exported. `OTEL_TRACES_SAMPLER` decides which calls are
/// sampled; by default a call without a context is, and any other as its caller samples it.
pub(super) fn provider(resource: Resource) -> Result<SdkTracerProvider, Error> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .build()
        .map_err(Error::Exporter)?;
    call_trace::sample_by(opentelemetry_sdk::trace::Config::default().sampler);
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_id_generator(Ids)
        .with_batch_exporter(exporter)
        .build())
}

/// Creates the layer that records our own spans only: those of h2, hyper and tonic would cost more
/// than the call. Events are not recorded, so that log lines stay in the log.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    // A call that is not sampled has no server span, and then its other spans are not wanted either.
    let is_wanted = |metadata: &tracing::Metadata<'_>, context: &Context<'_, S>| {
        metadata.is_span()
            && metadata.target().starts_with("followme")
            && (metadata.name() == call_trace::SERVER_SPAN || context.lookup_current().is_some())
    };
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("followme"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        // The context is read from the current span of tracing, never from OpenTelemetry's.
        .with_context_activation(false)
        .with_filter(dynamic_filter_fn(is_wanted))
}
