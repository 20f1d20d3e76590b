//! What is counted and timed. Every label has a bounded set of values: no account, no number, and no
//! text that a caller made up stands in one.

use std::{
    sync::{LazyLock, OnceLock},
    time::{Duration, Instant},
};

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, Meter, UpDownCounter},
};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
};
use prometheus::{Registry, TextEncoder};
use tonic::Code;

use super::{Error, names, process};

/// The bounds of histograms of durations, in seconds: those that the conventions advise.
const SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

static REGISTRY: OnceLock<Registry> = OnceLock::new();

/// Makes the provider: always read by `/metrics`, and sent by OTLP where that is asked for.
pub(super) fn provider(export: bool, resource: Resource) -> Result<SdkMeterProvider, Error> {
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
    // Only the first install comes to be used.
    let _ = REGISTRY.set(registry);
    Ok(builder.build())
}

/// Writes every metric as Prometheus reads it; `None` where the telemetry is not installed.
#[must_use]
pub fn render() -> Option<String> {
    TextEncoder::new()
        .encode_to_string(&REGISTRY.get()?.gather())
        .ok()
}

/// The instruments.
struct Instruments {
    calls: Histogram<f64>,
    requests: Histogram<f64>,
    upstream_outcomes: Counter<u64>,
    in_flight: UpDownCounter<i64>,
    writes: Counter<u64>,
    put_back: Counter<u64>,
    request_id_hits: Counter<u64>,
    audit_failures: Counter<u64>,
    connections: UpDownCounter<i64>,
    accepted: Counter<u64>,
    bytes: Counter<u64>,
}

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(&meter()));

fn meter() -> Meter {
    global::meter("followme")
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        let seconds = |name: &'static str, description: &'static str| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(description)
                .with_boundaries(SECONDS.to_vec())
                .build()
        };
        let count = |name: &'static str, description: &'static str| {
            meter
                .u64_counter(name)
                .with_description(description)
                .build()
        };
        let level = |name: &'static str, description: &'static str| {
            meter
                .i64_up_down_counter(name)
                .with_description(description)
                .build()
        };
        Self {
            calls: seconds("rpc.server.call.duration", "How long calls took."),
            requests: seconds(
                "http.client.request.duration",
                "How long requests to upstream took, each attempt for itself.",
            ),
            upstream_outcomes: count(
                "porta.upstream.requests",
                "Requests to upstream, by what became of them.",
            ),
            in_flight: level("porta.calls.in_flight", "Calls that are being worked on."),
            writes: count(
                "porta.writes",
                "Single writes that were sent, by what became of them.",
            ),
            put_back: count(
                "porta.fields.put_back",
                "Fields that did not take at first and did by the second way.",
            ),
            request_id_hits: count(
                "porta.request_id.hits",
                "Writes whose request id was known.",
            ),
            audit_failures: count(
                "porta.audit.failures",
                "Lines that the audit log did not take.",
            ),
            connections: level("porta.connections", "Open connections of callers."),
            accepted: count(
                "porta.connections.accepted",
                "Connections of callers, by whether they were taken.",
            ),
            bytes: meter
                .u64_counter("porta.io")
                .with_unit("By")
                .with_description("Bytes of bodies that came in and went out.")
                .build(),
        }
    }
}

/// Notes the end of a call.
pub(crate) fn call(method: &'static str, code: Code, took: Duration) {
    let mut labels = vec![
        KeyValue::new(names::RPC_SYSTEM_NAME, "grpc"),
        KeyValue::new(names::RPC_METHOD, method),
        KeyValue::new(names::RPC_RESPONSE_STATUS_CODE, names::code(code)),
    ];
    if names::is_server_error(code) {
        labels.push(KeyValue::new(names::ERROR_TYPE, names::code(code)));
    }
    INSTRUMENTS.calls.record(took.as_secs_f64(), &labels);
}

/// Notes that a call begins (1) or that nothing is done for it any more (-1).
pub(crate) fn in_flight(method: &'static str, change: i64) {
    INSTRUMENTS
        .in_flight
        .add(change, &[KeyValue::new(names::RPC_METHOD, method)]);
}

/// A request to upstream that is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpstreamRequest<'a> {
    pub(crate) method: &'static str,
    pub(crate) template: &'static str,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<&'a str>,
    /// What became of it, by meaning.
    pub(crate) outcome: &'static str,
    pub(crate) took: Duration,
}

/// Notes a request to upstream.
pub(crate) fn upstream_request(request: &UpstreamRequest<'_>) {
    let mut labels = vec![
        KeyValue::new(names::HTTP_REQUEST_METHOD, request.method),
        KeyValue::new(names::URL_TEMPLATE, request.template),
        KeyValue::new(names::SERVER_ADDRESS, request.host.to_owned()),
        KeyValue::new(names::SERVER_PORT, i64::from(request.port)),
    ];
    if let Some(status) = request.status {
        labels.push(KeyValue::new(
            names::HTTP_RESPONSE_STATUS_CODE,
            i64::from(status),
        ));
    }
    if let Some(error) = request.error {
        labels.push(KeyValue::new(names::ERROR_TYPE, error.to_owned()));
    }
    INSTRUMENTS
        .requests
        .record(request.took.as_secs_f64(), &labels);
    INSTRUMENTS.upstream_outcomes.add(
        1,
        &[
            KeyValue::new(names::URL_TEMPLATE, request.template),
            KeyValue::new(names::OUTCOME, request.outcome),
        ],
    );
}

/// What became of a single write that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteOutcome {
    /// It was answered, and is done.
    Done,
    /// It got no good answer; reading back, at once or later, shows that it is done.
    Settled,
    /// Reading back shows that it had no effect.
    NotDone,
    /// Nobody knows.
    Unknown,
}

/// Notes what became of a single write.
pub(crate) fn write(kind: &'static str, outcome: WriteOutcome) {
    let outcome = match outcome {
        WriteOutcome::Done => "done",
        WriteOutcome::Settled => "settled",
        WriteOutcome::NotDone => "not_done",
        WriteOutcome::Unknown => "unknown",
    };
    INSTRUMENTS.writes.add(
        1,
        &[
            KeyValue::new(names::WRITE, kind),
            KeyValue::new(names::OUTCOME, outcome),
        ],
    );
}

/// Notes fields that took by the second way.
pub(crate) fn fields_repaired(fields: impl Iterator<Item = &'static str>) {
    for field in fields {
        INSTRUMENTS
            .put_back
            .add(1, &[KeyValue::new(names::FIELD, field)]);
    }
}

/// How a request id that was known was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestIdHit {
    /// The outcome was remembered.
    Answered,
    /// Another call was at it.
    Waited,
    /// It was left unsettled, and is taken up again.
    Resumed,
    /// It was used for something else.
    Conflict,
}

/// Notes a write whose request id was known.
pub(crate) fn request_id_hit(hit: RequestIdHit) {
    let outcome = match hit {
        RequestIdHit::Answered => "answered",
        RequestIdHit::Waited => "waited",
        RequestIdHit::Resumed => "resumed",
        RequestIdHit::Conflict => "conflict",
    };
    INSTRUMENTS
        .request_id_hits
        .add(1, &[KeyValue::new(names::OUTCOME, outcome)]);
}

/// Notes a line that the audit log did not take.
pub(crate) fn audit_failure() {
    INSTRUMENTS.audit_failures.add(1, &[]);
}

/// A connection of a caller; counted while it lasts.
#[derive(Debug)]
pub(crate) struct OpenConnection(());

/// Counts a connection that was taken, until the value is dropped.
pub(crate) fn connection_opened() -> OpenConnection {
    INSTRUMENTS
        .accepted
        .add(1, &[KeyValue::new(names::OUTCOME, "taken")]);
    INSTRUMENTS.connections.add(1, &[]);
    OpenConnection(())
}

/// Counts a connection that was refused: there were too many.
pub(crate) fn connection_refused() {
    INSTRUMENTS
        .accepted
        .add(1, &[KeyValue::new(names::OUTCOME, "refused")]);
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        INSTRUMENTS.connections.add(-1, &[]);
    }
}

/// Counts bytes of bodies; `received` as the process sees it.
pub(crate) fn bytes(peer: &'static str, received: u64, sent: u64) {
    for (direction, bytes) in [("receive", received), ("transmit", sent)] {
        INSTRUMENTS.bytes.add(
            bytes,
            &[
                KeyValue::new(names::PEER, peer),
                KeyValue::new(names::NETWORK_IO_DIRECTION, direction),
            ],
        );
    }
}

/// Observes the build and what the process takes of the machine.
pub(super) fn observe_process() {
    let meter = meter();
    meter
        .u64_observable_gauge("porta.build.info")
        .with_description("Always 1; the label says which build runs.")
        .with_callback(|build| {
            let version = env!("CARGO_PKG_VERSION");
            build.observe(1, &[KeyValue::new(names::SERVICE_VERSION, version)]);
        })
        .build();
    let begun = Instant::now();
    meter
        .f64_observable_gauge("process.uptime")
        .with_unit("s")
        .with_description("How long the process runs.")
        .with_callback(move |uptime| uptime.observe(begun.elapsed().as_secs_f64(), &[]))
        .build();
    meter
        .f64_observable_counter("process.cpu.time")
        .with_unit("s")
        .with_description("Processor time.")
        .with_callback(|cpu| {
            if let Some(figures) = process::figures() {
                cpu.observe(figures.cpu_user, &[KeyValue::new(names::CPU_MODE, "user")]);
                let system = [KeyValue::new(names::CPU_MODE, "system")];
                cpu.observe(figures.cpu_system, &system);
            }
        })
        .build();
    type Figure = fn(process::Figures) -> u64;
    let gauges: [(&str, &str, &str, Figure); 3] = [
        ("process.memory.usage", "By", "Memory in use.", |figures| {
            figures.memory
        }),
        ("process.thread.count", "", "Threads.", |figures| {
            figures.threads
        }),
        (
            "process.unix.file_descriptor.count",
            "",
            "Open file descriptors.",
            |figures| figures.descriptors,
        ),
    ];
    for (name, unit, description, figure) in gauges {
        meter
            .u64_observable_gauge(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(move |gauge| {
                if let Some(figures) = process::figures() {
                    gauge.observe(figure(figures), &[]);
                }
            })
            .build();
    }
}
