//! Account locks: one write at a time per account, in the order of arrival.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

use crate::domain::AccountId;

/// How many writes may wait for one account, and how many of one caller for all accounts. Each keeps
/// its request in memory, for as long as its deadline says.
const MAX_OF_ACCOUNT: usize = 256;
const MAX_OF_CALLER: usize = 1024;

/// The accounts that are being written or waited for.
///
/// The key is the account id alone: it names one account of PortaBilling whatever the License, and
/// a License can be rotated.
#[derive(Debug, Clone, Default)]
pub(super) struct AccountLocks(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    locks: HashMap<AccountId, Arc<Lock<()>>>,
    /// How many writes of each caller wait.
    waiting: HashMap<Arc<str>, usize>,
}

/// The right to write to an account, until it is dropped.
#[derive(Debug)]
pub(super) struct AccountLockGuard {
    locks: AccountLocks,
    account: AccountId,
    // Taken out to be dropped before the account is forgotten.
    guard: Option<OwnedMutexGuard<()>>,
}

/// Too many writes of the account or of the caller wait.
#[derive(Debug)]
pub(super) struct TooMany;

impl AccountLocks {
    /// Waits until every write of the account that came before is finished. Dropping the future
    /// leaves the queue. There is no limit: what an operator does or a start recovers comes first.
    pub(super) async fn lock(&self, account: AccountId) -> AccountLockGuard {
        let lock = self.0.lock().locks.entry(account).or_default().clone();
        self.acquire(account, lock).await
    }

    /// Waits as [`lock`](Self::lock), for a write of a caller.
    ///
    /// # Errors
    /// [`TooMany`].
    pub(super) async fn lock_for(
        &self,
        account: AccountId,
        caller: &Arc<str>,
    ) -> Result<AccountLockGuard, TooMany> {
        let (lock, _waiting) = {
            let mut state = self.0.lock();
            // The map and one guard have it, the others wait.
            let lock = state.locks.get(&account);
            let of_account = lock.map_or(0, |lock| Arc::strong_count(lock).saturating_sub(2));
            let of_caller = state.waiting.get(caller).copied().unwrap_or(0);
            if of_account >= MAX_OF_ACCOUNT || of_caller >= MAX_OF_CALLER {
                return Err(TooMany);
            }
            *state.waiting.entry(Arc::clone(caller)).or_default() += 1;
            let waiting = Waiting {
                locks: self,
                caller: Arc::clone(caller),
            };
            (state.locks.entry(account).or_default().clone(), waiting)
        };
        Ok(self.acquire(account, lock).await)
    }

    async fn acquire(&self, account: AccountId, lock: Arc<Lock<()>>) -> AccountLockGuard {
        // The guard exists before the lock is acquired: then an account is forgotten also where the
        // caller left the queue. tokio's lock is fair.
        let mut guard = AccountLockGuard {
            locks: self.clone(),
            account,
            guard: None,
        };
        guard.guard = Some(lock.lock_owned().await);
        guard
    }

    /// Returns how many writes wait.
    pub(super) fn waiting(&self) -> usize {
        self.0.lock().waiting.values().sum()
    }
}

/// A write that waits.
struct Waiting<'a> {
    locks: &'a AccountLocks,
    caller: Arc<str>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.locks.0.lock();
        if let Some(count) = state.waiting.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                state.waiting.remove(&self.caller);
            }
        }
    }
}

impl Drop for AccountLockGuard {
    fn drop(&mut self) {
        self.guard = None;
        let locks = &mut self.locks.0.lock().locks;
        // Only the map holds the lock: there is no guard and no waiter.
        if locks
            .get(&self.account)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            locks.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accounts_without_waiters_are_removed() {
        let locks = AccountLocks::default();
        let account = AccountId::new(1001).unwrap();
        let first = locks.lock(account).await;
        {
            let mut second = Box::pin(locks.lock(account));
            assert!(poll_once(&mut second).await.is_none());
            assert_eq!(locks.0.lock().locks.len(), 1);
        }
        drop(first);
        assert!(locks.0.lock().locks.is_empty());
    }

    #[tokio::test]
    async fn the_writes_that_wait_have_a_limit_per_account_and_per_caller() {
        let locks = AccountLocks::default();
        let account = |id| AccountId::new(id).unwrap();
        let (storm, other) = (Arc::from("storm"), Arc::from("other"));
        let held = locks.lock_for(account(1), &storm).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..MAX_OF_ACCOUNT {
            let mut write = Box::pin(locks.lock_for(account(1), &storm));
            assert!(poll_once(&mut write).await.is_none());
            waiting.push(write);
        }
        assert!(locks.lock_for(account(1), &other).await.is_err());
        drop(locks.lock_for(account(2), &storm).await.unwrap());
        let mut others = Vec::new();
        for id in 2..5 {
            others.push(locks.lock_for(account(id), &other).await.unwrap());
            for _ in 0..MAX_OF_ACCOUNT {
                let mut write = Box::pin(locks.lock_for(account(id), &storm));
                assert!(poll_once(&mut write).await.is_none());
                waiting.push(write);
            }
        }
        assert_eq!(locks.waiting(), MAX_OF_CALLER);
        assert!(locks.lock_for(account(9), &storm).await.is_err());
        drop(locks.lock_for(account(9), &other).await.unwrap());
        drop((waiting, others, held));
        let state = locks.0.lock();
        assert!(state.locks.is_empty() && state.waiting.is_empty());
    }

    async fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        tokio::select! {
            biased;
            value = future => Some(value),
            () = std::future::ready(()) => None,
        }
    }
}
