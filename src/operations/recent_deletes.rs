//! The numbers that were deleted a short time ago: a list that lags behind may still show them.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::domain::{AccountId, NumberId};

/// How long a list may lag.
const KEPT: Duration = Duration::from_secs(10);

/// The last deletes that reading back showed.
#[derive(Debug, Default)]
pub(super) struct RecentDeletes(Mutex<VecDeque<(Instant, AccountId, NumberId)>>);

impl RecentDeletes {
    pub(super) fn record(&self, account: AccountId, number: NumberId) {
        let now = Instant::now();
        let mut deletes = self.0.lock();
        while deletes.front().is_some_and(|(at, ..)| now - *at > KEPT) {
            deletes.pop_front();
        }
        deletes.push_back((now, account, number));
    }

    pub(super) fn contains(&self, account: AccountId, number: NumberId) -> bool {
        let deletes = self.0.lock();
        let mut deletes = deletes.iter();
        deletes.any(|(_, of, deleted)| *of == account && *deleted == number)
    }
}
