//! Account locks: one write at a time per account, in the order of arrival.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

use crate::domain::AccountId;

/// The accounts that are being written or waited for.
///
/// The key is the account id alone: it names one account of PortaBilling whatever the License, and
/// a License can be rotated.
#[derive(Debug, Clone, Default)]
pub(super) struct AccountLocks(Arc<Mutex<HashMap<AccountId, Arc<Lock<()>>>>>);

/// The right to write to an account, until it is dropped.
#[derive(Debug)]
pub(super) struct AccountLockGuard {
    locks: AccountLocks,
    account: AccountId,
    // Taken out to be dropped before the account is forgotten.
    guard: Option<OwnedMutexGuard<()>>,
}

impl AccountLocks {
    /// Waits until every write of the account that came before is finished. Dropping the future
    /// leaves the queue.
    pub(super) async fn lock(&self, account: AccountId) -> AccountLockGuard {
        let lock = self.0.lock().entry(account).or_default().clone();
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
}

impl Drop for AccountLockGuard {
    fn drop(&mut self) {
        self.guard = None;
        let mut locks = self.locks.0.lock();
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
            assert_eq!(locks.0.lock().len(), 1);
        }
        drop(first);
        assert!(locks.0.lock().is_empty());
    }

    async fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        tokio::select! {
            biased;
            value = future => Some(value),
            () = std::future::ready(()) => None,
        }
    }
}
