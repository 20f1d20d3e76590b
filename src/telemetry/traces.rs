//! Spans: which are recorded, and where they are exported.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider, Tracer},
};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{
    Layer,
    filter::{self, FilterFn, Filtered},
    registry::LookupSpan,
};

use super::Error;

/// Creates the provider. Without an export, spans only propagate the caller's trace context to the
/// upstream, and a call without one starts a trace that is not sampled. With an export,
/// `OTEL_TRACES_SAMPLER` decides; by default a call without a context is sampled, and any other as
/// its caller samples it.
pub(super) fn provider(export: bool, resource: Resource) -> Result<SdkTracerProvider, Error> {
    let builder = SdkTracerProvider::builder().with_resource(resource);
    if !export {
        return Ok(builder
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
            .build());
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .build()
        .map_err(Error::Exporter)?;
    Ok(builder.with_batch_exporter(exporter).build())
}

/// Creates the layer that records our own spans only: those of h2, hyper and tonic would cost more
/// than the call. Events are not recorded, so that log lines stay in the log.
pub(super) fn layer<S>(
    provider: &SdkTracerProvider,
) -> Filtered<OpenTelemetryLayer<S, Tracer>, FilterFn, S>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("followme"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        // The context is read from the current span of tracing, never from OpenTelemetry's.
        .with_context_activation(false)
        .with_filter(filter::filter_fn(
            (|metadata| metadata.is_span() && metadata.target().starts_with("followme"))
                as fn(&tracing::Metadata<'_>) -> bool,
        ))
}
