//! Spans: which are kept, and where they go.

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

/// Makes the provider. Without an export, spans carry the caller's trace context to upstream, and a
/// call that brings none starts a trace that is not sampled; with one, `OTEL_TRACES_SAMPLER` says
/// what is sampled, and by default what the caller samples and what brings no context.
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

/// Makes the layer that turns our own spans, and nobody else's, into spans of a trace: those of h2,
/// hyper and tonic would cost more than the call. Events are no part of spans: what a log line says
/// stays in the log.
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
        // Nobody asks for the current context of OpenTelemetry: the current span of tracing has it.
        .with_context_activation(false)
        .with_filter(filter::filter_fn(
            (|metadata| metadata.is_span() && metadata.target().starts_with("followme"))
                as fn(&tracing::Metadata<'_>) -> bool,
        ))
}
