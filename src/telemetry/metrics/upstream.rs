//! The metrics of what protects the upstream.

use opentelemetry::{KeyValue, global};

use super::{METER, registrar::Registrar};
use crate::telemetry::names;

/// The states of the breaker.
const BREAKER_STATES: [&str; 3] = ["closed", "open", "half_open"];

/// What protects the upstream, at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpstreamFigures {
    /// One of [`BREAKER_STATES`].
    pub(crate) breaker: &'static str,
    /// Permits that are acquired.
    pub(crate) permits: usize,
    /// Calls in the queue for a permit.
    pub(crate) waiting: usize,
    /// Writes that wait for an earlier one of their account.
    pub(crate) waiting_writes: usize,
}

/// Registers the metrics. They have values as long as there are figures.
pub(crate) fn observe_upstream(
    figures: impl Fn() -> Option<UpstreamFigures> + Clone + Send + Sync + 'static,
) {
    register(&mut Registrar::new(&global::meter(METER)), figures);
}

pub(super) fn register(
    metrics: &mut Registrar<'_>,
    figures: impl Fn() -> Option<UpstreamFigures> + Clone + Send + Sync + 'static,
) {
    let observed = figures.clone();
    metrics
        .observed_gauge(
            ("porta.upstream.breaker.state", ""),
            &[(names::STATE, &BREAKER_STATES)],
            "The state of the breaker: 1 for the current one, else 0.",
        )
        .with_callback(move |gauge| {
            let Some(figures) = observed() else { return };
            for state in BREAKER_STATES {
                let is_current = u64::from(state == figures.breaker);
                gauge.observe(is_current, &[KeyValue::new(names::STATE, state)]);
            }
        })
        .build();
    let observed = figures.clone();
    metrics
        .observed_gauge(
            ("porta.upstream.permits", ""),
            &[],
            "Permits for requests to the upstream that are acquired.",
        )
        .with_callback(move |gauge| {
            if let Some(figures) = observed() {
                gauge.observe(figures.permits as u64, &[]);
            }
        })
        .build();
    metrics
        .observed_gauge(
            ("porta.upstream.queue", ""),
            &[],
            "Calls that wait for a permit.",
        )
        .with_callback({
            let figures = figures.clone();
            move |gauge| {
                if let Some(figures) = figures() {
                    gauge.observe(figures.waiting as u64, &[]);
                }
            }
        })
        .build();
    metrics
        .observed_gauge(
            ("porta.writes.waiting", ""),
            &[],
            "Writes that wait for an earlier one of their account.",
        )
        .with_callback(move |gauge| {
            if let Some(figures) = figures() {
                gauge.observe(figures.waiting_writes as u64, &[]);
            }
        })
        .build();
}
