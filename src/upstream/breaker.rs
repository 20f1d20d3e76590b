//! Stops asking an upstream that does not answer, and finds out when it does again.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// When the breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BreakerConfig {
    /// How many failures in a row open it.
    pub failures: u32,
    /// How long it stays open at first; doubled with each probe that fails.
    pub open: Duration,
    /// How long it stays open at most.
    pub open_max: Duration,
}

/// A circuit breaker.
///
/// Failures are what says that nobody is there: transport errors, timeouts, 502 to 504. Any other
/// answer is a success, whatever it says.
#[derive(Debug)]
pub(super) struct Breaker {
    config: BreakerConfig,
    state: Mutex<State>,
    /// Whether upstream was seen to work; `None` until it was seen at all.
    working: watch::Sender<Option<bool>>,
}

#[derive(Debug)]
struct State {
    failures: u32,
    successes: u32,
    /// While open: until when, and for how long in all.
    open: Option<(Instant, Duration)>,
    /// Whether a probe is under way.
    probing: bool,
    seen: Instant,
}

/// The right to send a request. While it is that of a probe, there is no other.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    probes: bool,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probes {
            self.breaker.state().probing = false;
        }
    }
}

/// The breaker is open, for so long.
#[derive(Debug)]
pub(super) struct Open(pub(super) Duration);

/// How many successes in a row show that an upstream works again that did not.
const RECOVERY: u32 = 2;

impl Breaker {
    pub(super) fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: Mutex::new(State {
                failures: 0,
                successes: 0,
                open: None,
                probing: false,
                seen: Instant::now(),
            }),
            working: watch::Sender::new(None),
        }
    }

    /// Asks whether a request may go out. While the breaker is open, none may; after that one at a
    /// time, as a probe, which is over when its outcome was told and the pass is dropped. One that is
    /// given up makes room for the next.
    pub(super) fn check(&self) -> Result<Pass<'_>, Open> {
        let mut state = self.state();
        let probes = self.look(&state)?;
        state.probing |= probes;
        Ok(Pass {
            breaker: self,
            probes,
        })
    }

    /// Tells whether [`Breaker::check`] would let a request go out, for those who have to wait for
    /// something else first.
    pub(super) fn would_pass(&self) -> Result<(), Open> {
        self.look(&self.state()).map(drop)
    }

    /// Returns whether a request that goes out now is a probe.
    fn look(&self, state: &State) -> Result<bool, Open> {
        let Some((until, _)) = state.open else {
            return Ok(false);
        };
        let left = until.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return Err(Open(left));
        }
        if state.probing {
            return Err(Open(self.config.open));
        }
        Ok(true)
    }

    /// Tells that upstream answered.
    pub(super) fn succeeded(&self) {
        let mut state = self.state();
        state.seen = Instant::now();
        state.failures = 0;
        state.successes = state.successes.saturating_add(1);
        if state.open.take().is_some() {
            tracing::info!("upstream answers again; the breaker is closed");
        }
        let recovered = state.successes >= RECOVERY;
        drop(state);
        self.working.send_if_modified(|working| {
            let change = working.is_none() || (*working == Some(false) && recovered);
            if change {
                *working = Some(true);
            }
            change
        });
    }

    /// Tells that it did not.
    pub(super) fn failed(&self) {
        let mut state = self.state();
        let now = Instant::now();
        state.seen = now;
        state.successes = 0;
        state.failures = state.failures.saturating_add(1);
        let down = state.failures >= self.config.failures;
        match state.open {
            // Requests that were under way when it opened say nothing new.
            Some((until, _)) if now < until => {}
            Some((_, span)) => {
                let span = (span * 2).min(self.config.open_max);
                state.open = Some((now + jittered(span), span));
            }
            None if down => {
                let span = self.config.open;
                state.open = Some((now + jittered(span), span));
                tracing::warn!("upstream does not answer; the breaker is open");
            }
            None => {}
        }
        drop(state);
        self.working.send_if_modified(|working| {
            let change = down && *working != Some(false);
            if change {
                *working = Some(false);
            }
            change
        });
    }

    /// Returns since when nothing was heard of upstream.
    pub(super) fn seen(&self) -> Instant {
        self.state().seen
    }

    /// Follows whether upstream was seen to work.
    pub(super) fn working(&self) -> watch::Receiver<Option<bool>> {
        self.working.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns up to a fifth more, so that several replicas do not probe in step.
fn jittered(span: Duration) -> Duration {
    span.mul_f64(1.0 + fastrand::f64() / 5.0)
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
    async fn opens_after_failures_in_a_row_and_lets_single_probes_through() {
        let breaker = breaker();
        let working = breaker.working();
        breaker.failed();
        breaker.failed();
        breaker.succeeded();
        breaker.failed();
        breaker.failed();
        assert!(breaker.check().is_ok());
        assert_eq!(*working.borrow(), Some(true));
        breaker.failed();
        assert!(breaker.check().is_err());
        assert_eq!(*working.borrow(), Some(false));

        tokio::time::advance(Duration::from_millis(1201)).await;
        let probe = breaker.check();
        assert!(probe.is_ok() && breaker.check().is_err(), "one at a time");
        breaker.failed();
        drop(probe);
        tokio::time::advance(Duration::from_millis(1201)).await;
        assert!(breaker.check().is_err(), "twice as long now");
        tokio::time::advance(Duration::from_millis(1201)).await;
        assert!(breaker.check().is_ok());
        breaker.succeeded();
        assert!(breaker.check().is_ok() && breaker.check().is_ok());
        assert_eq!(*working.borrow(), Some(false), "one success is not enough");
        breaker.succeeded();
        assert_eq!(*working.borrow(), Some(true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_makes_room_for_the_next_at_once_and_no_sooner() {
        let breaker = breaker();
        (0..3).for_each(|_| breaker.failed());
        tokio::time::advance(Duration::from_millis(1201)).await;
        let probe = breaker.check();
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(breaker.check().is_err() && breaker.would_pass().is_err());
        drop(probe);
        assert!(breaker.would_pass().is_ok() && breaker.check().is_ok());
    }
}
