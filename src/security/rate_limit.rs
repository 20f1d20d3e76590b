//! How often a caller may write to an account.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::domain::AccountId;

/// From how many buckets on the full ones are thrown away.
const SWEEP_THRESHOLD: usize = 1024;

/// A bucket of tokens for each caller and account: it holds the writes of a minute, and fills up
/// evenly.
#[derive(Debug, Default)]
pub(super) struct RateLimiter(Mutex<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    buckets: HashMap<(Arc<str>, AccountId), Bucket>,
    /// At how many buckets to look for full ones next.
    sweep_at: usize,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    writes: f64,
    at: Instant,
    per_minute: u32,
}

impl Bucket {
    /// Lets in what has come since, by the rate as it is now.
    fn fill(&mut self, now: Instant, per_minute: u32) {
        let rate = f64::from(per_minute);
        let came = now.saturating_duration_since(self.at).as_secs_f64() * rate / 60.0;
        self.writes = (self.writes + came).min(rate);
        self.at = now;
        self.per_minute = per_minute;
    }
}

impl RateLimiter {
    /// Takes a write out of its bucket.
    ///
    /// # Errors
    /// Returns when there will be one again.
    pub(super) fn take(
        &self,
        caller: &Arc<str>,
        account: AccountId,
        per_minute: u32,
    ) -> Result<(), Duration> {
        let now = Instant::now();
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.buckets.len() >= buckets.sweep_at.max(SWEEP_THRESHOLD) {
            // A full bucket is as good as none. Those that are not were used in the last minute.
            buckets.buckets.retain(|_, bucket| {
                bucket.fill(now, bucket.per_minute);
                bucket.writes < f64::from(bucket.per_minute)
            });
            buckets.sweep_at = buckets.buckets.len() * 2;
        }
        let bucket = buckets
            .buckets
            .entry((Arc::clone(caller), account))
            .or_insert(Bucket {
                writes: f64::from(per_minute),
                at: now,
                per_minute,
            });
        bucket.fill(now, per_minute);
        if bucket.writes >= 1.0 {
            bucket.writes -= 1.0;
            Ok(())
        } else {
            let missing = (1.0 - bucket.writes) * 60.0 / f64::from(per_minute);
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
    async fn a_minutes_writes_go_at_once_and_come_back_evenly() {
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
    async fn buckets_that_are_full_again_take_no_room() {
        let (limiter, caller) = (RateLimiter::default(), Arc::from("portal"));
        for id in 1..=5000 {
            assert_eq!(limiter.take(&caller, account(id), 60), Ok(()));
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        for id in 5001..=10_100 {
            assert_eq!(limiter.take(&caller, account(id), 60), Ok(()));
        }
        assert!(limiter.0.lock().unwrap().buckets.len() <= 5100);
    }
}
