//! Writes of one account go one after the other, in the order in which they came.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

use crate::domain::{AccountId, License};

/// Whose list is written: the same account id under another License is another account.
type Key = (License, AccountId);

/// The accounts that are being written or waited for.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<Key, Arc<Lock<()>>>>>);

/// The right to write to an account, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    key: Key,
    // Taken out to be dropped before the account is forgotten.
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits until every write of the account that came before is finished. Dropping the future
    /// leaves the queue.
    pub(super) async fn wait(&self, license: &License, account: AccountId) -> Turn {
        let key = (license.clone(), account);
        let lock = self.map().entry(key.clone()).or_default().clone();
        // The turn exists before it has come: then an account is forgotten also where the caller
        // left the queue. tokio's lock is fair.
        let mut turn = Turn {
            turns: self.clone(),
            key,
            guard: None,
        };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<Lock<()>>>> {
        // No code that can panic runs while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        let mut map = self.turns.map();
        // The map's own is the last one: nobody holds it or waits for it.
        if map
            .get(&self.key)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            map.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accounts_are_forgotten_when_nobody_waits() {
        let turns = Turns::default();
        let license = License::new("L").unwrap();
        let account = AccountId::new(1001).unwrap();
        let first = turns.wait(&license, account).await;
        {
            let mut second = Box::pin(turns.wait(&license, account));
            assert!(futures_poll(&mut second).await.is_none());
            assert_eq!(turns.map().len(), 1);
        }
        drop(first);
        assert!(turns.map().is_empty());
    }

    async fn futures_poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        tokio::select! {
            biased;
            value = future => Some(value),
            () = std::future::ready(()) => None,
        }
    }
}
