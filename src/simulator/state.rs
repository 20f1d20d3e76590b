//! What a simulator holds, and how the service runs on it.

use std::collections::BTreeMap;

use super::{
    fault_kind::Behaviour,
    faults::{ArmedFaults, FiredFault},
    knobs::Knobs,
    lag::Lag,
    log::{Effect, Log, Received},
    service::{self, Call, Conditions, Outcome},
    store::{Settings, Store, StoredNumber},
};

/// The store, the knobs, the faults and the logs of a simulator.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) knobs: Knobs,
    pub(crate) armed: ArmedFaults,
    /// By License and account.
    lags: BTreeMap<(String, i32), Lag>,
    pub(crate) fired: Log<FiredFault>,
    pub(crate) requests: Log<Received>,
    pub(crate) effects: Log<Effect>,
    pub(crate) request_count: u64,
    pub(crate) effect_count: u64,
}

/// What the service did for one call.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) outcome: Outcome,
    /// The account's list before, for the stale answer.
    pub(crate) before: Option<Vec<StoredNumber>>,
}

impl State {
    /// Makes the state of a simulator that starts, with the demo accounts or with none.
    pub(crate) fn new(knobs: Knobs, seed_demo: bool) -> Self {
        let mut state = Self {
            knobs,
            ..Self::default()
        };
        if seed_demo {
            state.store.seed_demo();
        }
        state
    }

    /// Creates or replaces an account.
    pub(crate) fn seed(
        &mut self,
        license: &str,
        account: i32,
        numbers: Vec<StoredNumber>,
        settings: Settings,
    ) {
        self.lags.remove(&(license.to_owned(), account));
        self.store.seed(license, account, numbers, settings);
    }

    /// Forgets every account and disarms every fault.
    pub(crate) fn clear(&mut self) {
        self.store.clear();
        self.lags.clear();
        self.armed.disarm_all();
    }

    /// Runs the service for a call and logs its effects.
    pub(crate) fn serve(
        &mut self,
        request: u64,
        call: &Call,
        any_license: bool,
        behaviour: Behaviour,
    ) -> Served {
        let license = call.bound.license().to_owned();
        let account = call.account(&self.store);
        let before = self
            .store
            .account(&license, account)
            .map(|account| account.numbers.clone());
        let lag = self.lags.entry((license.clone(), account)).or_default();
        let conditions = Conditions {
            knobs: &self.knobs,
            any_license,
            behaviour,
            lagging: call
                .route
                .is_read()
                .then(|| lag.read(&self.knobs))
                .flatten(),
        };
        let outcome = service::run(&mut self.store, call, conditions);
        if !outcome.changes.is_empty() && (self.knobs.lag_reads, self.knobs.lag_ms) != (0, 0) {
            lag.replace(before.clone().unwrap_or_default());
        }
        for change in &outcome.changes {
            self.effect_count += 1;
            self.effects.push(Effect {
                sequence: self.effect_count,
                request,
                license: license.clone(),
                account: outcome.account,
                kind: change.kind,
                id: change.id,
                before: change.before.clone(),
                after: change.after.clone(),
            });
        }
        Served { outcome, before }
    }
}
