//! The circuit breaker: stops sending requests to an upstream that does not answer.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use crate::telemetry::metrics;

/// When the breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BreakerConfig {
    /// Consecutive failures that open the breaker.
    pub failures: u32,
    /// How long it stays open at first. Each failed probe doubles this.
    pub open: Duration,
    /// Upper bound of the time it stays open.
    pub open_max: Duration,
}

/// A circuit breaker with the states closed, open and half-open.
///
/// Transport errors, the statuses 502 to 504, and timeouts that show that upstream does not answer
/// are failures. Any other response is a success, whatever it holds.
#[derive(Debug)]
pub(super) struct Breaker {
    config: BreakerConfig,
    state: Mutex<State>,
    /// Whether upstream answers; `None` before the first response.
    availability: watch::Sender<Option<bool>>,
}

#[derive(Debug)]
struct State {
    /// Consecutive failures.
    failures: u32,
    /// Consecutive successes.
    successes: u32,
    /// `None` while the breaker is closed.
    opened: Option<Opened>,
    /// Whether a probe is in flight: half-open admits one at a time.
    probing: bool,
    /// When the last request ended, well or badly.
    last_outcome: Instant,
    /// Requests in flight.
    in_flight: usize,
    /// Since when requests are in flight without a response to any.
    silent_since: Instant,
}

/// Until when the breaker is open. After that it is half-open.
#[derive(Debug, Clone, Copy)]
struct Opened {
    until: Instant,
    span: Duration,
}

/// Permission to send one request. Dropping that of a probe lets the next probe start.
#[derive(Debug)]
pub(super) struct Admission<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

impl Admission<'_> {
    /// Returns whether the request is a probe.
    pub(super) fn is_probe(&self) -> bool {
        self.is_probe
    }
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct InFlight<'a>(&'a Breaker);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.state.lock().in_flight -= 1;
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.breaker.state.lock().probing = false;
        }
    }
}

/// The breaker rejects requests for this long.
#[derive(Debug)]
pub(super) struct Rejected(pub(super) Duration);

/// Consecutive successes after which an upstream that was unavailable counts as available.
const RECOVERY: u32 = 2;

impl Breaker {
    /// Creates a closed breaker.
    pub(super) fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: Mutex::new(State {
                failures: 0,
                successes: 0,
                opened: None,
                probing: false,
                last_outcome: Instant::now(),
                in_flight: 0,
                silent_since: Instant::now(),
            }),
            availability: watch::Sender::new(None),
        }
    }

    /// Admits a request: any while closed, none while open, one probe at a time while half-open.
    /// A probe ends when its admission is dropped, also without an outcome.
    pub(super) fn try_admit(&self) -> Result<Admission<'_>, Rejected> {
        let mut state = self.state.lock();
        let is_probe = self.admits(&state)?;
        state.probing |= is_probe;
        Ok(Admission {
            breaker: self,
            is_probe,
        })
    }

    /// Returns whether [`Breaker::try_admit`] would admit a request now, for callers that first
    /// wait for something else.
    pub(super) fn would_admit(&self) -> Result<(), Rejected> {
        self.admits(&self.state.lock()).map(drop)
    }

    /// Returns whether a request that is sent now is a probe.
    fn admits(&self, state: &State) -> Result<bool, Rejected> {
        let Some(opened) = state.opened else {
            return Ok(false);
        };
        let left = opened.until.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return Err(Rejected(left));
        }
        if state.probing {
            return Err(Rejected(self.config.open));
        }
        Ok(true)
    }

    /// Records that a request is sent.
    pub(super) fn send(&self) -> InFlight<'_> {
        let mut state = self.state.lock();
        if state.in_flight == 0 {
            state.silent_since = Instant::now();
        }
        state.in_flight += 1;
        InFlight(self)
    }

    /// Returns for how long requests have been in flight without a response to any.
    pub(super) fn silence(&self) -> Duration {
        self.state.lock().silent_since.elapsed()
    }

    /// Records that upstream answered. Closes the breaker.
    pub(super) fn record_success(&self) {
        let mut state = self.state.lock();
        state.last_outcome = Instant::now();
        state.silent_since = state.last_outcome;
        state.failures = 0;
        state.successes = state.successes.saturating_add(1);
        if state.opened.take().is_some() {
            tracing::info!("upstream answers again: the breaker is closed");
        }
        let recovered = state.successes >= RECOVERY;
        drop(state);
        self.availability.send_if_modified(|available| {
            let change = available.is_none() || (*available == Some(false) && recovered);
            if change {
                *available = Some(true);
            }
            change
        });
    }

    /// Records that upstream did not answer. May open the breaker; while half-open, only the failure
    /// of a probe does.
    pub(super) fn record_failure(&self, is_probe: bool) {
        let mut state = self.state.lock();
        let now = Instant::now();
        state.last_outcome = now;
        state.successes = 0;
        state.failures = state.failures.saturating_add(1);
        let down = state.failures >= self.config.failures;
        match state.opened {
            // A request that was in flight when the breaker opened adds no information.
            Some(opened) if now < opened.until || !is_probe => {}
            Some(opened) => {
                let span = (opened.span * 2).min(self.config.open_max);
                state.opened = Some(Opened::new(now, span));
                metrics::breaker_opened();
            }
            None if down => {
                state.opened = Some(Opened::new(now, self.config.open));
                metrics::breaker_opened();
                tracing::warn!("upstream does not answer: the breaker is open");
            }
            None => {}
        }
        drop(state);
        self.availability.send_if_modified(|available| {
            let change = down && *available != Some(false);
            if change {
                *available = Some(false);
            }
            change
        });
    }

    /// Returns the name of the state.
    pub(super) fn state_name(&self) -> &'static str {
        match self.state.lock().opened {
            None => "closed",
            Some(opened) if Instant::now() < opened.until => "open",
            Some(_) => "half_open",
        }
    }

    /// Returns when the last request ended, well or badly.
    pub(super) fn last_outcome(&self) -> Instant {
        self.state.lock().last_outcome
    }

    /// Subscribes to whether upstream answers; `None` before the first response.
    pub(super) fn availability(&self) -> watch::Receiver<Option<bool>> {
        self.availability.subscribe()
    }
}

impl Opened {
    /// Adds up to a fifth, so that several replicas do not probe at the same instant.
    fn new(now: Instant, span: Duration) -> Self {
        let until = now + span.mul_f64(1.0 + fastrand::f64() / 5.0);
        Self { until, span }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(BreakerConfig {
            failures: 3,
            open: Duration::from_secs(1),
            open_max: Duration::from_secs(4),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn opens_after_consecutive_failures_and_admits_one_probe_at_a_time() {
        let breaker = breaker();
        let available = breaker.availability();
        breaker.record_failure(false);
        breaker.record_failure(false);
        breaker.record_success();
        breaker.record_failure(false);
        breaker.record_failure(false);
        assert!(breaker.try_admit().is_ok());
        assert_eq!(*available.borrow(), Some(true));
        breaker.record_failure(false);
        assert!(breaker.try_admit().is_err());
        assert_eq!(*available.borrow(), Some(false));

        tokio::time::advance(Duration::from_millis(1201)).await;
        let probe = breaker.try_admit();
        assert!(
            probe.is_ok() && breaker.try_admit().is_err(),
            "one at a time"
        );
        breaker.record_failure(false);
        assert!(breaker.would_admit().is_err(), "the probe decides");
        breaker.record_failure(true);
        drop(probe);
        tokio::time::advance(Duration::from_millis(1201)).await;
        assert!(breaker.try_admit().is_err(), "twice as long now");
        tokio::time::advance(Duration::from_millis(1201)).await;
        assert!(breaker.try_admit().is_ok());
        breaker.record_success();
        assert!(breaker.try_admit().is_ok() && breaker.try_admit().is_ok());
        assert_eq!(
            *available.borrow(),
            Some(false),
            "one success is not enough"
        );
        breaker.record_success();
        assert_eq!(*available.borrow(), Some(true));
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_an_admission_without_an_outcome_lets_the_next_probe_start() {
        let breaker = breaker();
        (0..3).for_each(|_| breaker.record_failure(false));
        tokio::time::advance(Duration::from_millis(1201)).await;
        let probe = breaker.try_admit();
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(breaker.try_admit().is_err() && breaker.would_admit().is_err());
        drop(probe);
        assert!(breaker.would_admit().is_ok() && breaker.try_admit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_lasts_while_requests_are_in_flight_without_a_response() {
        let breaker = breaker();
        let second = Duration::from_secs(1);
        let first = breaker.send();
        tokio::time::advance(second).await;
        let overlapping = breaker.send();
        drop(first);
        tokio::time::advance(second).await;
        assert_eq!(breaker.silence(), second * 2);
        breaker.record_success();
        assert_eq!(breaker.silence(), Duration::ZERO);
        tokio::time::advance(second).await;
        drop(overlapping);
        let _next = breaker.send();
        assert_eq!(breaker.silence(), Duration::ZERO);
    }
}
