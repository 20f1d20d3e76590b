//! What is counted and timed. Every label has a bounded set of values: none holds an account, a
//! number, or a text that a caller chose.

mod bytes;
mod export;
mod journal;
mod process;
mod registrar;
mod security;
#[cfg(test)]
mod tests;
mod upstream;

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge, Histogram, MeterProvider as _, ObservableCounter, UpDownCounter},
};
use strum::VariantNames;
use tonic::Code;

pub(crate) use self::bytes::bytes;
pub(super) use self::export::provider;
pub use self::export::render;
pub(crate) use self::journal::JournalFigures;
use self::registrar::Registrar;
pub(crate) use self::{
    security::{Expiry, observe_expiries},
    upstream::{UpstreamFigures, observe_upstream},
};
use super::names;
use crate::domain::Reason;

/// The name of our meter.
const METER: &str = "followme";

/// The instruments that calls, requests and writes are recorded with.
struct Instruments {
    calls: Histogram<f64>,
    errors: Counter<u64>,
    requests: Histogram<f64>,
    upstream_outcomes: Counter<u64>,
    retries: Counter<u64>,
    breaker_openings: Counter<u64>,
    in_flight: UpDownCounter<i64>,
    writes: Counter<u64>,
    repaired_fields: Counter<u64>,
    request_id_hits: Counter<u64>,
    audit_failures: Counter<u64>,
    connections: UpDownCounter<i64>,
    _bytes: ObservableCounter<f64>,
    accepted: Counter<u64>,
    journal_commits: Histogram<f64>,
    journal_refused: Counter<u64>,
    reload_time: Gauge<f64>,
    reload_failures: Counter<u64>,
}

static INSTRUMENTS: LazyLock<Instruments> =
    LazyLock::new(|| Instruments::register(&mut Registrar::new(&global::meter(METER))));

impl Instruments {
    /// Registers the metrics, in the order in which the docs show them.
    fn register(metrics: &mut Registrar<'_>) -> Self {
        Self {
            calls: metrics.seconds(
                "rpc.server.call.duration",
                &[
                    (names::RPC_SYSTEM_NAME, &["grpc"]),
                    (names::RPC_METHOD, &[]),
                    (names::RPC_RESPONSE_STATUS_CODE, &[]),
                    (names::ERROR_TYPE, &[]),
                ],
                "Duration of calls.",
            ),
            errors: metrics.counter(
                ("porta.errors", ""),
                &[(names::REASON, <Reason as VariantNames>::VARIANTS)],
                "Calls that failed with a reason. Statuses that the gRPC library makes have none.",
            ),
            requests: metrics.seconds(
                "http.client.request.duration",
                &[
                    (names::HTTP_REQUEST_METHOD, &[]),
                    (names::URL_TEMPLATE, &[]),
                    (names::SERVER_ADDRESS, &[]),
                    (names::SERVER_PORT, &[]),
                    (names::HTTP_RESPONSE_STATUS_CODE, &[]),
                    (names::ERROR_TYPE, &[]),
                ],
                "Duration of requests to the upstream, one value for each attempt.",
            ),
            upstream_outcomes: metrics.counter(
                ("porta.upstream.requests", ""),
                &[
                    (names::URL_TEMPLATE, &[]),
                    (names::OUTCOME, &UPSTREAM_OUTCOMES),
                ],
                "Requests to the upstream, by outcome.",
            ),
            retries: metrics.counter(
                ("porta.upstream.retries", ""),
                &[],
                "Reads that were sent to the upstream once more.",
            ),
            breaker_openings: metrics.counter(
                ("porta.upstream.breaker.openings", ""),
                &[],
                "How often the breaker opened, failed probes included.",
            ),
            writes: metrics.counter(
                ("porta.writes", ""),
                &[
                    (names::WRITE, &["add", "update", "delete", "replace_all"]),
                    (names::OUTCOME, WriteOutcome::VARIANTS),
                ],
                "Single writes that were sent, by outcome.",
            ),
            repaired_fields: metrics.counter(
                ("porta.fields.put_back", ""),
                &[(names::FIELD, &[])],
                "Fields that the upstream did not apply at first, and that a repair applied.",
            ),
            request_id_hits: metrics.counter(
                ("porta.request_id.hits", ""),
                &[(names::OUTCOME, RequestIdHit::VARIANTS)],
                "Writes whose request id was known already.",
            ),
            audit_failures: metrics.counter(
                ("porta.audit.failures", ""),
                &[],
                "Lines of the audit log that could not be written.",
            ),
            in_flight: metrics.level(
                "porta.calls.in_flight",
                &[(names::RPC_METHOD, &[])],
                "Calls in flight, and writes that continue after their callers are gone.",
            ),
            connections: metrics.level("porta.connections", &[], "Open connections of callers."),
            accepted: metrics.counter(
                ("porta.connections.accepted", ""),
                &[(names::OUTCOME, &["taken", "refused"])],
                "Connections of callers, by whether they were served or refused.",
            ),
            _bytes: metrics
                .observed_counter(
                    ("porta.io", "By"),
                    &[
                        (names::PEER, &["caller", "upstream"]),
                        (names::NETWORK_IO_DIRECTION, &["receive", "transmit"]),
                    ],
                    "Bytes of bodies, received and sent.",
                )
                .with_callback(bytes::observe)
                .build(),
            journal_commits: metrics.commit_seconds(
                "porta.journal.commit.duration",
                "Duration of commits to the journal.",
            ),
            journal_refused: metrics.counter(
                ("porta.journal.refused", ""),
                &[(names::ERROR_TYPE, &["unavailable", "full"])],
                "Writes that were refused because the journal did not take them.",
            ),
            reload_time: metrics.gauge_seconds(
                "porta.config.reload.time",
                "When the files of the configuration were last loaded, in Unix time.",
            ),
            reload_failures: metrics.counter(
                ("porta.config.reload.failures", ""),
                &[],
                "Files of the configuration that changed and could not be loaded.",
            ),
        }
    }
}

/// The outcomes of requests to the upstream.
const UPSTREAM_OUTCOMES: [&str; 6] = [
    "ok",
    "refused",
    "bad_response",
    "timeout",
    "unavailable",
    "unknown",
];

/// Registers the metrics that count from zero, and those of the build and of the process.
pub(super) fn observe_process() {
    LazyLock::force(&INSTRUMENTS);
    process::register(&mut Registrar::new(&global::meter(METER)));
}

/// Returns the table of all metrics in Markdown: name, type, labels, meaning.
#[must_use]
pub fn reference() -> String {
    // Instruments of a provider without a reader record nothing.
    let meter = opentelemetry_sdk::metrics::SdkMeterProvider::default().meter(METER);
    let mut metrics = Registrar::new(&meter);
    Instruments::register(&mut metrics);
    upstream::register(&mut metrics, || None);
    journal::register(&mut metrics, || None);
    security::register(&mut metrics, || None);
    process::register(&mut metrics);
    metrics.table()
}

/// Registers the metrics of what the journal holds. They have values as long as there are figures.
pub(crate) fn observe_journal(
    figures: impl Fn() -> Option<JournalFigures> + Clone + Send + Sync + 'static,
) {
    journal::register(&mut Registrar::new(&global::meter(METER)), figures);
}

/// Records a commit to the journal, successful or not.
pub(crate) fn journal_commit(took: Duration) {
    INSTRUMENTS.journal_commits.record(took.as_secs_f64(), &[]);
}

/// Records a write that the journal did not take: it was `unavailable`, or `full`.
pub(crate) fn journal_refused(reason: &'static str) {
    INSTRUMENTS
        .journal_refused
        .add(1, &[KeyValue::new(names::ERROR_TYPE, reason)]);
}

/// Records a call that has ended.
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

/// Records a call that failed with one of the [`Reason`]s.
pub(crate) fn error(reason: &str) {
    INSTRUMENTS
        .errors
        .add(1, &[KeyValue::new(names::REASON, reason.to_owned())]);
}

/// Lets the outcomes of a route count from zero.
pub(crate) fn expect_upstream_requests(template: &'static str) {
    for outcome in UPSTREAM_OUTCOMES {
        upstream_outcome(template, outcome, 0);
    }
}

fn upstream_outcome(template: &'static str, outcome: &'static str, count: u64) {
    INSTRUMENTS.upstream_outcomes.add(
        count,
        &[
            KeyValue::new(names::URL_TEMPLATE, template),
            KeyValue::new(names::OUTCOME, outcome),
        ],
    );
}

/// Records a read that is sent once more.
pub(crate) fn upstream_retry() {
    INSTRUMENTS.retries.add(1, &[]);
}

/// Records that the breaker opens, or stays open after a failed probe.
pub(crate) fn breaker_opened() {
    INSTRUMENTS.breaker_openings.add(1, &[]);
}

/// Records that the files of the configuration were loaded.
pub(crate) fn config_loaded() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    INSTRUMENTS
        .reload_time
        .record(now.unwrap_or_default().as_secs_f64(), &[]);
}

/// Records a file of the configuration that changed and cannot be loaded.
pub(crate) fn config_load_failed() {
    INSTRUMENTS.reload_failures.add(1, &[]);
}

/// Adds a call to those in flight (1), or removes it (-1).
pub(crate) fn in_flight(method: &'static str, change: i64) {
    INSTRUMENTS
        .in_flight
        .add(change, &[KeyValue::new(names::RPC_METHOD, method)]);
}

/// A request to the upstream that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpstreamRequest<'a> {
    pub(crate) method: &'static str,
    pub(crate) template: &'static str,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<&'a str>,
    /// One of [`UPSTREAM_OUTCOMES`].
    pub(crate) outcome: &'static str,
    pub(crate) took: Duration,
}

/// Records a request to the upstream.
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
    upstream_outcome(request.template, request.outcome, 1);
}

/// The outcome of a single write that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum WriteOutcome {
    /// The upstream answered that it is done, and the list shows it.
    Done,
    /// The answer proved nothing, and the list shows that it is done.
    Settled,
    /// The list shows that it had no effect.
    NotDone,
    /// Neither is proved.
    Unknown,
}

/// Records the outcome of a single write.
pub(crate) fn write(kind: &'static str, outcome: WriteOutcome) {
    let outcome: &'static str = outcome.into();
    INSTRUMENTS.writes.add(
        1,
        &[
            KeyValue::new(names::WRITE, kind),
            KeyValue::new(names::OUTCOME, outcome),
        ],
    );
}

/// Records fields that a repair applied.
pub(crate) fn fields_repaired(fields: impl Iterator<Item = &'static str>) {
    for field in fields {
        INSTRUMENTS
            .repaired_fields
            .add(1, &[KeyValue::new(names::FIELD, field)]);
    }
}

/// What the idempotency store returned for a request id that it knew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum RequestIdHit {
    /// The outcome, which was replayed.
    Answered,
    /// A call in flight, which was awaited.
    Waited,
    /// An unknown outcome, which was resolved.
    Resumed,
    /// A request of another content.
    Conflict,
}

/// Records a write whose request id was known already.
pub(crate) fn request_id_hit(hit: RequestIdHit) {
    let outcome: &'static str = hit.into();
    INSTRUMENTS
        .request_id_hits
        .add(1, &[KeyValue::new(names::OUTCOME, outcome)]);
}

/// Records a line of the audit log that could not be written.
pub(crate) fn audit_failure() {
    INSTRUMENTS.audit_failures.add(1, &[]);
}

/// An open connection of a caller: it is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection(());

/// Records a connection that is served, and counts it as open until the value is dropped.
pub(crate) fn connection_opened() -> OpenConnection {
    INSTRUMENTS
        .accepted
        .add(1, &[KeyValue::new(names::OUTCOME, "taken")]);
    INSTRUMENTS.connections.add(1, &[]);
    OpenConnection(())
}

/// Records a connection that is refused since too many are open.
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
