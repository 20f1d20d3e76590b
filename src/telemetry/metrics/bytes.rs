//! Bytes of bodies, by peer and direction.

use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::{KeyValue, metrics::AsyncInstrument};

use crate::telemetry::names;

/// Bytes of bodies by peer, received and sent. Every call adds to all of them, which takes a counter
/// with labels longer.
static BYTES: [(&str, [AtomicU64; 2]); 2] = [
    ("caller", [AtomicU64::new(0), AtomicU64::new(0)]),
    ("upstream", [AtomicU64::new(0), AtomicU64::new(0)]),
];

/// Records bytes of bodies, received and sent by this process.
pub(crate) fn bytes(peer: &'static str, received: u64, sent: u64) {
    let counters = BYTES.iter().find(|(name, _)| *name == peer);
    if let Some((_, [receive, transmit])) = counters {
        receive.fetch_add(received, Ordering::Relaxed);
        transmit.fetch_add(sent, Ordering::Relaxed);
    }
}

pub(super) fn observe(counter: &dyn AsyncInstrument<f64>) {
    for (peer, counters) in &BYTES {
        for (direction, bytes) in ["receive", "transmit"].into_iter().zip(counters) {
            let labels = [
                KeyValue::new(names::PEER, *peer),
                KeyValue::new(names::NETWORK_IO_DIRECTION, direction),
            ];
            #[expect(clippy::cast_precision_loss, reason = "a count of bytes")]
            counter.observe(bytes.load(Ordering::Relaxed) as f64, &labels);
        }
    }
}
