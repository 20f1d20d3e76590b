//! What a simulator holds, and how the service runs on it.

use std::collections::{BTreeMap, VecDeque};

use super::{
    fault::{Behaviour, Fault, FiredFault},
    knobs::Knobs,
    lag::Lag,
    log::{Effect, Received},
    service::{self, Call, Outcome},
    store::{Account, Store},
};

/// How many entries each log keeps; older ones are forgotten.
const LOG_ENTRIES: usize = 10_000;

/// The store, the knobs, the faults and the logs of a simulator.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) knobs: Knobs,
    /// Whether an account exists as soon as a request names it.
    pub(crate) accept_any_license: bool,
    /// In the order of their arming.
    pub(crate) armed: Vec<Fault>,
    /// By License and account.
    pub(crate) lags: BTreeMap<(String, i32), Lag>,
    pub(crate) fired: Log<FiredFault>,
    pub(crate) requests: Log<Received>,
    pub(crate) effects: Log<Effect>,
}

/// The last entries of a log.
#[derive(Debug)]
pub(crate) struct Log<T> {
    entries: VecDeque<T>,
    /// How many entries there have been.
    pub(crate) count: u64,
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            count: 0,
        }
    }
}

impl<T: Clone> Log<T> {
    /// Adds the entry that `make` makes of its number, counted from 1, and returns the number. A
    /// full log forgets its oldest entry.
    pub(crate) fn push(&mut self, make: impl FnOnce(u64) -> T) -> u64 {
        if self.entries.len() == LOG_ENTRIES {
            self.entries.pop_front();
        }
        self.count += 1;
        self.entries.push_back(make(self.count));
        self.count
    }

    /// Iterates over the entries, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter()
    }

    /// Returns the entries, oldest first.
    pub(crate) fn all(&self) -> Vec<T> {
        self.iter().cloned().collect()
    }
}

impl State {
    /// Creates or replaces an account.
    pub(crate) fn seed(&mut self, license: &str, id: i32, account: Account) {
        self.lags.remove(&(license.to_owned(), id));
        self.store.seed(license, id, account);
    }

    /// Runs the service for a call and logs its effects.
    pub(crate) fn serve(&mut self, request: u64, call: &Call, behaviour: Behaviour) -> Outcome {
        let license = call.bound.license();
        let account = call.account(&self.store);
        let before = self.store.account(license, account);
        let before = before.map(|account| account.numbers.clone());
        if before.is_none() && self.accept_any_license {
            self.store.seed(license, account, Account::default());
        }
        let lag = self.lags.entry((license.to_owned(), account)).or_default();
        let read = call.route.is_read();
        let lagging = read.then(|| lag.read(&self.knobs)).flatten();
        let outcome = service::run(&mut self.store, call, &self.knobs, behaviour, lagging);
        if !outcome.effects.is_empty() && (self.knobs.lag_reads, self.knobs.lag_ms) != (0, 0) {
            lag.replace(before.clone().unwrap_or_default());
        }
        for effect in &outcome.effects {
            self.effects.push(|sequence| Effect {
                sequence,
                request,
                license: license.to_owned(),
                account,
                ..effect.clone()
            });
        }
        Outcome { before, ..outcome }
    }
}
