//! The metrics of what the journal holds.

use opentelemetry::KeyValue;

use super::registrar::Registrar;
use crate::telemetry::names;

/// What the journal holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JournalFigures {
    /// How many records there are in each state.
    pub(crate) records: [(&'static str, usize); 6],
    pub(crate) bytes: usize,
    /// How many settled records were evicted since the process started.
    pub(crate) evicted: u64,
}

/// Registers the metrics. They have values as long as there are figures.
pub(super) fn register(
    metrics: &mut Registrar<'_>,
    figures: impl Fn() -> Option<JournalFigures> + Clone + Send + Sync + 'static,
) {
    let observed = figures.clone();
    metrics
        .observed_gauge(
            ("porta.journal.records", ""),
            &[(
                names::STATE,
                &[
                    "claimed",
                    "begun",
                    "unknown",
                    "incomplete",
                    "settled",
                    "tombstone",
                ],
            )],
            "Write records in the journal, by state.",
        )
        .with_callback(move |gauge| {
            for (state, count) in observed().into_iter().flat_map(|figures| figures.records) {
                gauge.observe(count as u64, &[KeyValue::new(names::STATE, state)]);
            }
        })
        .build();
    let observed = figures.clone();
    metrics
        .observed_gauge(
            ("porta.journal.size", "By"),
            &[],
            "Approximate size of the write records in the journal.",
        )
        .with_callback(move |gauge| {
            if let Some(figures) = observed() {
                gauge.observe(figures.bytes as u64, &[]);
            }
        })
        .build();
    metrics
        .observed_counter(
            ("porta.journal.evicted", ""),
            &[],
            "Settled write records that were evicted before their TTL.",
        )
        .with_callback(move |counter| {
            if let Some(figures) = figures() {
                #[expect(clippy::cast_precision_loss, reason = "a count of events")]
                counter.observe(figures.evicted as f64, &[]);
            }
        })
        .build();
}
