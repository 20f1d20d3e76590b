//! The adds of which nobody knows whether they were done.
//!
//! Each may still land, with or without an id and whatever its caller does. So that no number is told
//! to two adds of the same values, a number that one of these may have made is taken for another
//! add's only where upstream said that it did that one, and a number that was told to one is never
//! found for another.
//!
//! Kept in memory, as long and as many as request ids.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::Instant;

use super::{
    RequestIdLimits, Run,
    effect::{Before, Effect},
};
use crate::domain::{AccountId, Fields, License, Number, NumberId};

/// The adds that are unsettled, the oldest first.
#[derive(Debug)]
pub(super) struct UnsettledAdds {
    limits: RequestIdLimits,
    adds: Mutex<VecDeque<Add>>,
}

#[derive(Debug)]
struct Add {
    since: Instant,
    license: License,
    account: AccountId,
    /// What the list had before, and what was told to others since.
    before: Before,
    /// Also tells which add it is: every copy of an effect shares it.
    target: Arc<Fields>,
}

impl Add {
    fn is(&self, target: &Arc<Fields>) -> bool {
        Arc::ptr_eq(&self.target, target)
    }

    fn is_of(&self, run: &Run) -> bool {
        self.account == run.account && self.license == run.context.license
    }

    fn effect(&self) -> Effect {
        Effect::Add {
            before: self.before.clone(),
            target: Arc::clone(&self.target),
        }
    }
}

impl UnsettledAdds {
    pub(super) fn new(limits: RequestIdLimits) -> Self {
        Self {
            limits,
            adds: Mutex::default(),
        }
    }

    /// Remembers an add whose outcome is unknown. Other writes are passed over.
    pub(super) fn remember(&self, run: &Run, effect: &Effect) {
        let Effect::Add { before, target } = effect else {
            return;
        };
        let mut adds = self.adds();
        adds.retain(|add| !add.is(target));
        while adds.len() >= self.limits.entries {
            adds.pop_front();
        }
        adds.push_back(Add {
            since: Instant::now(),
            license: run.context.license.clone(),
            account: run.account,
            before: before.clone(),
            target: Arc::clone(target),
        });
    }

    /// Notes that a number is the effect of an add, and so of none that is unsettled.
    pub(super) fn settle(&self, run: &Run, effect: &Effect, number: NumberId) {
        if let Effect::Add { target, .. } = effect {
            self.adds().retain(|add| !add.is(target));
            self.tell_of(run, number);
        }
    }

    /// Notes that a number of the account is the effect of none of the unsettled adds.
    pub(super) fn tell_of(&self, run: &Run, number: NumberId) {
        for add in self.adds().iter_mut().filter(|add| add.is_of(run)) {
            add.before.insert(number);
        }
    }

    /// Returns an effect with what is known of it by now.
    pub(super) fn known(&self, effect: &Effect) -> Effect {
        let adds = self.adds();
        let known = match effect {
            Effect::Add { target, .. } => adds.iter().find(|add| add.is(target)),
            Effect::Update { .. } | Effect::Delete { .. } => None,
        };
        known.map_or_else(|| effect.clone(), Add::effect)
    }

    /// Tells whether a number that was found for an add may as well be that of another one.
    pub(super) fn may_be_anothers(&self, run: &Run, effect: &Effect, found: &Number) -> bool {
        let Effect::Add { target, .. } = effect else {
            return false;
        };
        self.adds()
            .iter()
            .any(|add| add.is_of(run) && !add.is(target) && add.effect().can_be(found))
    }

    /// Returns those that are not too old.
    fn adds(&self) -> std::sync::MutexGuard<'_, VecDeque<Add>> {
        // No code that can panic runs while it is held.
        let mut adds = self.adds.lock().unwrap_or_else(PoisonError::into_inner);
        while adds
            .front()
            .is_some_and(|add| add.since.elapsed() >= self.limits.ttl)
        {
            adds.pop_front();
        }
        adds
    }
}
