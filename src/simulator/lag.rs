//! Reads that lag behind writes.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{knobs::Knobs, store::StoredNumber};

/// How many earlier lists of an account stay readable.
const MAX_VERSIONS: usize = 1_000;

/// The earlier lists of an account, as long as reads may show them, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Lag(VecDeque<Version>);

/// A list that a write replaced.
#[derive(Debug)]
struct Version {
    numbers: Vec<StoredNumber>,
    replaced: Instant,
    reads_since: u32,
}

impl Lag {
    /// Keeps the list that a write replaces.
    pub(crate) fn replace(&mut self, numbers: Vec<StoredNumber>) {
        if self.0.len() == MAX_VERSIONS {
            self.0.pop_front();
        }
        self.0.push_back(Version {
            numbers,
            replaced: Instant::now(),
            reads_since: 0,
        });
    }

    /// Returns the list that a read shows; None is the present one.
    pub(crate) fn read(&mut self, knobs: &Knobs) -> Option<Vec<StoredNumber>> {
        let lag = Duration::from_millis(knobs.lag_ms);
        self.0.retain(|version| {
            version.replaced.elapsed() < lag || version.reads_since < knobs.lag_reads
        });
        let shown = self.0.front().map(|version| version.numbers.clone());
        for version in &mut self.0 {
            version.reads_since = version.reads_since.saturating_add(1);
        }
        shown
    }
}
