//! Telemetry: logs, traces, metrics, calls in flight, and the audit log.
//!
//! Architecture invariant: no License and no URL of the upstream is ever passed to this module, and
//! redirect numbers and names are passed to [`audit`] only.

pub mod audit;
pub(crate) mod call_trace;
pub mod in_flight;
mod line_writer;
pub mod logs;
pub mod metrics;
pub mod names;
mod propagation;
mod traces;

use std::{sync::OnceLock, time::Duration};

use opentelemetry_sdk::{
    Resource, error::OTelSdkResult, metrics::SdkMeterProvider, trace::SdkTracerProvider,
};
use tokio::sync::oneshot;
use tracing_subscriber::layer::SubscriberExt as _;

use self::line_writer::STDERR;
pub use self::{logs::LogFilter, metrics::reference as metrics_reference};

/// How long the last spans and metrics may take to be exported at the end of the process.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// How long writing the last log lines may take at the end of the process, and after a panic.
const LOG_FLUSH_LIMIT: Duration = Duration::from_secs(1);
const PANIC_FLUSH_LIMIT: Duration = Duration::from_millis(100);

/// What is logged and exported.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// `RUST_LOG`: which lines are written; `info,opentelemetry=warn` where it is not set.
    pub log_filter: Option<String>,
    /// `log_format` / `FOLLOWME_LOG_FORMAT` / `--log-format`: how lines are written (auto).
    pub log_format: logs::Format,
    /// Whether spans are exported by OTLP: where `OTEL_EXPORTER_OTLP_ENDPOINT` or
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set, and `OTEL_TRACES_EXPORTER` is not `none`.
    pub export_traces: bool,
    /// Whether metrics are exported by OTLP: where `OTEL_EXPORTER_OTLP_ENDPOINT` or
    /// `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` is set, and `OTEL_METRICS_EXPORTER` is not `none`.
    pub export_metrics: bool,
}

/// The error of a telemetry that cannot be installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `RUST_LOG` is not a filter.
    #[error("RUST_LOG is not a filter of log lines")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// The `OTEL_*` variables make no exporter.
    #[error("cannot export by OTLP with the OTEL_* variables")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
    /// The registry of `/metrics` cannot be created.
    #[error("cannot set up /metrics")]
    Prometheus(#[source] opentelemetry_sdk::error::OTelSdkError),
    /// A subscriber is installed already.
    #[error("telemetry is installed already")]
    Installed,
}

/// The telemetry of the process, once it is installed.
#[derive(Debug)]
#[must_use = "spans and metrics that `shutdown` has not flushed are lost"]
pub struct Telemetry {
    /// `None` if no spans are exported.
    tracer: Option<SdkTracerProvider>,
    meter: SdkMeterProvider,
}

static LOG_FILTER: OnceLock<LogFilter> = OnceLock::new();

/// Installs the telemetry of the process, once. Exporters need a tokio runtime.
///
/// # Errors
/// See [`Error`].
pub fn install(config: &Config) -> Result<Telemetry, Error> {
    let resource = resource();
    let tracer = config
        .export_traces
        .then(|| traces::provider(resource.clone()))
        .transpose()?;
    let meter = metrics::provider(config.export_metrics, resource)?;
    let (log, filter) = logs::layer(config.log_filter.as_deref(), config.log_format)?;
    let subscriber = tracing_subscriber::registry()
        .with(tracer.as_ref().map(traces::layer))
        .with(log);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::Installed)?;
    // A second install has failed above.
    let _ = LOG_FILTER.set(filter);
    opentelemetry::global::set_meter_provider(meter.clone());
    metrics::observe_process();
    Ok(Telemetry { tracer, meter })
}

/// Installs a hook that logs the location of each panic. Its message is not logged: that of a slice
/// out of bounds, for one, holds the text that was to be sliced.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "a task panicked");
        // The process may end now.
        STDERR.flush_blocking(PANIC_FLUSH_LIMIT);
    }));
}

/// Waits until all log lines are written, for a second at most.
pub fn flush_logs() {
    STDERR.flush_blocking(LOG_FLUSH_LIMIT);
}

/// Returns the filter of log lines, once the telemetry is installed.
#[must_use]
pub fn log_filter() -> Option<&'static LogFilter> {
    LOG_FILTER.get()
}

impl Telemetry {
    /// Exports what is left, within three seconds, and stops.
    pub async fn shutdown(self) {
        let Self { tracer, meter } = self;
        let traces = stop(move || match tracer {
            Some(tracer) => tracer.shutdown_with_timeout(FLUSH_LIMIT),
            None => Ok(()),
        });
        let metrics = stop(move || meter.shutdown_with_timeout(FLUSH_LIMIT));
        let stopped = tokio::time::timeout(FLUSH_LIMIT, async { tokio::join!(traces, metrics) });
        if !matches!(stopped.await, Ok((Ok(Ok(())), Ok(Ok(()))))) {
            tracing::warn!("the last spans and metrics may be lost");
        }
    }
}

/// Stops a provider on a thread of its own: stopping blocks while the exporter needs the runtime,
/// and the SDK does not keep the timeout that it is given.
fn stop(
    shutdown: impl FnOnce() -> OTelSdkResult + Send + 'static,
) -> oneshot::Receiver<OTelSdkResult> {
    let (done, stopped) = oneshot::channel();
    std::thread::spawn(move || {
        // The receiver is gone where the flush limit has passed.
        let _ = done.send(shutdown());
    });
    stopped
}

/// Returns the resource of `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`; `service.name` and
/// `service.version` have defaults.
fn resource() -> Resource {
    let configured = Resource::builder().build();
    let name = opentelemetry::Key::from_static_str(names::SERVICE_NAME);
    let named = configured
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
