//! The clocks of the journal: `CLOCK_BOOTTIME` for what expires, the wall clock for what people
//! read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The maximum time between two processes that counts towards a TTL: a wall clock that jumps must
/// not expire records.
const MAX_GAP: i64 = 60 * 60 * 1000;

/// The clocks of a journal.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The clocks of the system. The one that expires records continues while the machine is
    /// suspended.
    #[default]
    System,
    /// Clocks that a test moves.
    Manual(ManualClock),
}

/// Clocks that a test moves.
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<ManualTimes>);

#[derive(Debug, Default)]
struct ManualTimes {
    boot: AtomicI64,
    wall: AtomicI64,
}

impl ManualClock {
    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let by = millis(by);
        self.0.boot.fetch_add(by, Ordering::Relaxed);
        self.0.wall.fetch_add(by, Ordering::Relaxed);
    }

    /// Restarts the machine, whose boot clock begins anew.
    pub fn reboot(&self) {
        self.0.boot.store(0, Ordering::Relaxed);
    }

    /// Moves the wall clock by milliseconds, as an administrator may, also back.
    pub fn shift_wall(&self, by: i64) {
        self.0.wall.fetch_add(by, Ordering::Relaxed);
    }
}

impl Clock {
    /// Returns the milliseconds since the machine started, suspended time included.
    fn boot(&self) -> i64 {
        match self {
            Self::System => {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                now.tv_sec * 1000 + now.tv_nsec / 1_000_000
            }
            Self::Manual(manual) => manual.0.boot.load(Ordering::Relaxed),
        }
    }

    /// Returns the milliseconds since 1970.
    pub(super) fn wall(&self) -> i64 {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, millis),
            Self::Manual(manual) => manual.0.wall.load(Ordering::Relaxed),
        }
    }
}

/// The time by which records expire. It continues across processes: each starts at the last time
/// that the one before wrote, plus the time since then, at most an hour. That is what the wall clock
/// says, but not more than the machine has run meanwhile: a wall clock that was set forward must not
/// expire records.
#[derive(Debug, Clone)]
pub(super) struct JournalTime {
    clock: Clock,
    offset: i64,
}

impl JournalTime {
    /// Starts from the last time that was written, and the clocks of that moment.
    pub(super) fn resume(clock: Clock, written: i64, wall: i64, boot: Option<i64>) -> Self {
        let mut gap = clock.wall().saturating_sub(wall).clamp(0, MAX_GAP);
        // The boot clock is behind that moment only after a restart of the machine.
        let ran = boot.map(|boot| clock.boot().saturating_sub(boot));
        if let Some(ran) = ran.filter(|ran| *ran >= 0) {
            gap = gap.min(ran);
        }
        let offset = written + gap - clock.boot();
        Self { clock, offset }
    }

    /// Returns the time, in milliseconds.
    pub(super) fn now(&self) -> i64 {
        self.clock.boot() + self.offset
    }

    pub(super) fn wall(&self) -> i64 {
        self.clock.wall()
    }

    pub(super) fn boot(&self) -> i64 {
        self.clock.boot()
    }
}

/// Returns a duration in milliseconds.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_counts_at_most_an_hour_and_never_less_than_zero() {
        let manual = ManualClock::default();
        manual.shift_wall(1_000_000);
        let clock = Clock::Manual(manual);
        for (wall, now) in [
            (990_000, 10_050),
            (2_000_000, 50),
            (-90_000_000, 50 + MAX_GAP),
        ] {
            let resumed = JournalTime::resume(clock.clone(), 50, wall, None);
            assert_eq!(resumed.now(), now);
        }
    }
}
