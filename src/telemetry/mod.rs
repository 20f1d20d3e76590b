//! What the facade tells of itself: logs, traces, metrics, the access log, the audit log.
//!
//! Architecture invariant: neither the License nor a URL of upstream is ever given to this room, and
//! redirect numbers and names are given to [`audit`] only.

pub mod audit;
pub mod in_flight;
pub mod logs;
pub mod metrics;
pub mod names;
mod process;
pub(crate) mod propagation;
mod traces;

use std::{sync::OnceLock, time::Duration};

use opentelemetry_sdk::{
    Resource, error::OTelSdkResult, metrics::SdkMeterProvider, trace::SdkTracerProvider,
};
use tokio::sync::oneshot;
use tracing_subscriber::layer::SubscriberExt as _;

pub use logs::LogFilter;

/// How long the last spans and metrics may take to leave at the end of the process.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// What is told, and where to.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// `RUST_LOG`: which lines are written; `info,opentelemetry=warn` where it is not set.
    pub log_filter: Option<String>,
    /// `log_format` / `FOLLOWME_LOG_FORMAT` / `--log-format`: how lines are written (auto).
    pub log_format: logs::Format,
    /// Whether spans go out by OTLP: where `OTEL_EXPORTER_OTLP_ENDPOINT` or
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set, and `OTEL_TRACES_EXPORTER` is not `none`.
    pub export_traces: bool,
    /// Whether metrics go out by OTLP: where `OTEL_EXPORTER_OTLP_ENDPOINT` or
    /// `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` is set, and `OTEL_METRICS_EXPORTER` is not `none`.
    pub export_metrics: bool,
}

/// Why the telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `RUST_LOG` is no filter.
    #[error("RUST_LOG is not a filter of log lines")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// The exporter cannot be made of the `OTEL_*` variables.
    #[error("cannot export by OTLP as the OTEL_* variables say")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
    /// The registry of `/metrics` cannot be made.
    #[error("cannot set up /metrics")]
    Prometheus(#[source] opentelemetry_sdk::error::OTelSdkError),
    /// Another subscriber is there.
    #[error("telemetry is installed already")]
    Installed,
}

/// The telemetry of the process, once it is installed.
#[derive(Debug)]
#[must_use = "what was not flushed by `shutdown` is lost"]
pub struct Telemetry {
    tracer: SdkTracerProvider,
    meter: SdkMeterProvider,
}

static LOG_FILTER: OnceLock<LogFilter> = OnceLock::new();

/// Installs the telemetry of the process: there is one. Exporters need a runtime around them.
///
/// # Errors
/// See [`Error`].
pub fn install(config: &Config) -> Result<Telemetry, Error> {
    let resource = resource();
    let tracer = traces::provider(config.export_traces, resource.clone())?;
    let meter = metrics::provider(config.export_metrics, resource)?;
    let (log, filter) = logs::layer(config.log_filter.as_deref(), config.log_format)?;
    let subscriber = tracing_subscriber::registry()
        .with(traces::layer(&tracer))
        .with(log);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::Installed)?;
    // Only the first install comes this far.
    let _ = LOG_FILTER.set(filter);
    opentelemetry::global::set_meter_provider(meter.clone());
    metrics::observe_process();
    Ok(Telemetry { tracer, meter })
}

/// Makes a panic a line of the log that says where it was. What it says itself is left out: a slice
/// out of bounds, for one, prints the text that was to be sliced.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "a task panicked");
    }));
}

/// Returns the filter of log lines, once the telemetry is installed.
#[must_use]
pub fn log_filter() -> Option<&'static LogFilter> {
    LOG_FILTER.get()
}

impl Telemetry {
    /// Sends what was not sent yet, within three seconds, and stops.
    pub async fn shutdown(self) {
        let Self { tracer, meter } = self;
        let traces = stop(move || tracer.shutdown_with_timeout(FLUSH_LIMIT));
        let metrics = stop(move || meter.shutdown_with_timeout(FLUSH_LIMIT));
        let stopped = tokio::time::timeout(FLUSH_LIMIT, async { tokio::join!(traces, metrics) });
        if !matches!(stopped.await, Ok((Ok(Ok(())), Ok(Ok(()))))) {
            tracing::warn!("the last spans and metrics may not have left");
        }
    }
}

/// Stops a provider on a thread of its own: that blocks, the exporter needs the runtime meanwhile,
/// and the limit that the SDK is given is not one that it keeps.
fn stop(
    shutdown: impl FnOnce() -> OTelSdkResult + Send + 'static,
) -> oneshot::Receiver<OTelSdkResult> {
    let (done, stopped) = oneshot::channel();
    std::thread::spawn(move || {
        // Nobody may be waiting any more.
        let _ = done.send(shutdown());
    });
    stopped
}

/// Says what process this is: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, with a name and a
/// version where they do not say them.
fn resource() -> Resource {
    let said = Resource::builder().build();
    let name = opentelemetry::Key::from_static_str(names::SERVICE_NAME);
    let named = said
        .get(&name)
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let mut builder = Resource::builder().with_attribute(opentelemetry::KeyValue::new(
        names::SERVICE_VERSION,
        env!("CARGO_PKG_VERSION"),
    ));
    if !named {
        builder = builder.with_service_name("followme");
    }
    builder.build()
}
