//! Retries of reads: backoff, retry budget and `Retry-After`.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tower::retry::budget::{Budget as _, TpsBudget};

use super::Error;
use crate::telemetry::metrics;

/// Exponential backoff with jitter.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    /// Creates a backoff whose delays start at `first` and double up to `max`.
    #[must_use]
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { next: first, max }
    }

    /// Returns the next delay. Half of it is random, so that callers spread out.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(self.max);
        delay
    }
}

/// The first delay before a retry.
const FIRST_DELAY: Duration = Duration::from_millis(50);

/// The longest delay. If upstream asks for a longer one, the read fails instead.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// The longest `Retry-After` that is passed on to callers: a larger one overflows clocks.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Which reads are retried, and how often.
#[derive(Debug)]
pub(super) struct RetryPolicy {
    max_retries: u32,
    budget: TpsBudget,
}

impl RetryPolicy {
    /// Creates a policy of at most `max_retries` per read, and in all of a tenth of the reads. One
    /// retry per second is free, so that a quiet process can retry too.
    pub(super) fn new(max_retries: u32) -> Self {
        Self {
            max_retries,
            budget: TpsBudget::new(Duration::from_secs(10), 1, 0.1),
        }
    }

    /// Starts the attempts of one read.
    pub(super) fn start(&self) -> Retries<'_> {
        self.budget.deposit();
        Retries {
            policy: self,
            count: 0,
            backoff: Backoff::new(FIRST_DELAY, MAX_DELAY),
        }
    }
}

/// The retries of one read.
#[derive(Debug)]
pub(super) struct Retries<'a> {
    policy: &'a RetryPolicy,
    count: u32,
    backoff: Backoff,
}

impl Retries<'_> {
    /// Returns how many retries there were.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Returns the delay before the next attempt, or `None` if the error is final: it is not
    /// transient, the deadline comes first, or the retries or the budget are used up.
    pub(super) fn delay_after(
        &mut self,
        error: &Error,
        deadline: Option<Instant>,
    ) -> Option<Duration> {
        if !error.is_transient() || self.count >= self.policy.max_retries {
            return None;
        }
        let delay = self.backoff.next_delay();
        let delay = error.retry_after().unwrap_or_default().max(delay);
        let in_time = deadline.is_none_or(|deadline| Instant::now() + delay < deadline);
        if delay > MAX_DELAY || !in_time || !self.policy.budget.withdraw() {
            return None;
        }
        self.count += 1;
        metrics::upstream_retry();
        Some(delay)
    }
}

/// Parses a `Retry-After` header field: seconds, or a date in any of HTTP's three formats.
pub(super) fn parse_retry_after(value: &str) -> Option<Duration> {
    let delay = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(value).ok()?;
            date.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    Some(delay.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum_and_half_of_each_is_random() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(300));
        for most in [100, 200, 300, 300] {
            let delay = backoff.next_delay();
            assert!(
                delay <= Duration::from_millis(most) && delay * 2 >= Duration::from_millis(most)
            );
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(parse_retry_after("0"), seconds(0));
        assert_eq!(parse_retry_after("7"), seconds(7));
        assert_eq!(
            parse_retry_after("18446744073709551615"),
            seconds(24 * 60 * 60)
        );
        for past in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_retry_after(past), seconds(0), "{past}");
        }
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
        let delay = parse_retry_after(&soon).unwrap();
        assert!((58..=60).contains(&delay.as_secs()), "{delay:?}");
        for odd in ["", "-1", "1.5", "soon", "Sun, 06 Nov 1994"] {
            assert_eq!(parse_retry_after(odd), None, "{odd}");
        }
    }
}
