//! The rate limit of writes: a token bucket for each caller and account.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::domain::AccountId;

/// The number of buckets from which full ones are swept away.
const SWEEP_THRESHOLD: usize = 1024;

/// Token buckets. Each holds the writes of a minute, and refills evenly.
#[derive(Debug, Default)]
pub(super) struct RateLimiter(Mutex<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    buckets: HashMap<(Arc<str>, AccountId), Bucket>,
    /// The number of buckets at which to sweep next.
    sweep_at: usize,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    refilled: Instant,
    per_minute: u32,
}

impl Bucket {
    /// Adds the tokens since the last refill, at the rate in force.
    fn refill(&mut self, now: Instant, per_minute: u32) {
        let rate = f64::from(per_minute);
        let added = now.saturating_duration_since(self.refilled).as_secs_f64() * rate / 60.0;
        self.tokens = (self.tokens + added).min(rate);
        self.refilled = now;
        self.per_minute = per_minute;
    }
}

impl RateLimiter {
    /// Takes the token of a write.
    ///
    /// # Errors
    /// Returns the time until the next token.
    pub(super) fn take(
        &self,
        caller: &Arc<str>,
        account: AccountId,
        per_minute: u32,
    ) -> Result<(), Duration> {
        let now = Instant::now();
        let mut buckets = self.0.lock();
        if buckets.buckets.len() >= buckets.sweep_at.max(SWEEP_THRESHOLD) {
            // A full bucket is like none. The others were used in the last minute.
            buckets.buckets.retain(|_, bucket| {
                bucket.refill(now, bucket.per_minute);
                bucket.tokens < f64::from(bucket.per_minute)
            });
            buckets.sweep_at = buckets.buckets.len() * 2;
        }
        let bucket = buckets
            .buckets
            .entry((Arc::clone(caller), account))
            .or_insert(Bucket {
                tokens: f64::from(per_minute),
                refilled: now,
                per_minute,
            });
        bucket.refill(now, per_minute);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            Ok(())
        } else {
            let missing = (1.0 - bucket.tokens) * 60.0 / f64::from(per_minute);
            Err(Duration::from_secs_f64(missing))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: i32) -> AccountId {
        AccountId::new(id).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_holds_the_writes_of_a_minute_and_refills_evenly() {
        let (limiter, caller) = (RateLimiter::default(), Arc::from("portal"));
        for _ in 0..6 {
            assert_eq!(limiter.take(&caller, account(1001), 6), Ok(()));
        }
        let wait = limiter.take(&caller, account(1001), 6).unwrap_err();
        assert_eq!(wait, Duration::from_secs(10));
        assert_eq!(limiter.take(&caller, account(1002), 6), Ok(()));
        assert_eq!(limiter.take(&Arc::from("other"), account(1001), 6), Ok(()));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(limiter.take(&caller, account(1001), 6), Ok(()));
        assert!(limiter.take(&caller, account(1001), 6).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn full_buckets_are_swept() {
        let (limiter, caller) = (RateLimiter::default(), Arc::from("portal"));
        for id in 1..=5000 {
            assert_eq!(limiter.take(&caller, account(id), 60), Ok(()));
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        for id in 5001..=10_100 {
            assert_eq!(limiter.take(&caller, account(id), 60), Ok(()));
        }
        assert!(limiter.0.lock().buckets.len() <= 5100);
    }
}
