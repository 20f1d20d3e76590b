//! Where metrics go: `/metrics` for Prometheus, and OTLP.

use std::sync::OnceLock;

use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
};
use prometheus::{Registry, TextEncoder};

use crate::telemetry::Error;

static REGISTRY: OnceLock<Registry> = OnceLock::new();

/// Creates the provider. Metrics are always on `/metrics`, and are sent by OTLP where `export` is
/// set.
pub(in crate::telemetry) fn provider(
    export: bool,
    resource: Resource,
) -> Result<SdkMeterProvider, Error> {
    let registry = Registry::new();
    let reader = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .build()
        .map_err(Error::Prometheus)?;
    let mut builder = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_reader(reader);
    if export {
        let exporter = opentelemetry_otlp::MetricExporter::builder()
            .with_tonic()
            .build()
            .map_err(Error::Exporter)?;
        builder = builder.with_reader(PeriodicReader::builder(exporter).build());
    }
    // A second install fails later, and its registry is never read.
    let _ = REGISTRY.set(registry);
    Ok(builder.build())
}

/// Writes every metric as text for Prometheus; `None` where the telemetry is not installed.
#[must_use]
pub fn render() -> Option<String> {
    TextEncoder::new()
        .encode_to_string(&REGISTRY.get()?.gather())
        .ok()
}
