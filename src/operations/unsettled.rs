//! The adds of which nobody knows whether they were done.
//!
//! Each may still land, with or without an id and whatever its caller does. So that no number is told
//! to two adds of the same values, a number that one of these may have made is taken for another
//! add's only where upstream said that it did that one, and a number that was told to one is never
//! found for another.
//!
//! Kept in memory, as long and as many as request ids; and one whose request id is remembered as long
//! as that is, so that what was told to others is known when it is asked for again.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use tokio::time::Instant;

use super::{RequestIdLimits, Run, effect::Effect};
use crate::domain::{AccountId, License, Number, NumberId};

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
    /// An add; what was told to others since counts for what the list had before.
    effect: Effect,
    /// The number that it was found to be; from then on it makes no other doubtful.
    number: Option<NumberId>,
}

impl Add {
    fn is_of(&self, run: &Run) -> bool {
        self.account == run.call.account && self.license == run.call.tenant.license
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.effect.bytes()
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
        if effect.is_idempotent() {
            return;
        }
        let mut adds = self.adds();
        adds.retain(|add| !add.effect.is_same_add(effect));
        let mut bytes: usize = adds.iter().map(Add::bytes).sum();
        while adds.len() >= self.limits.entries || bytes >= self.limits.bytes {
            // Those that can be asked for again are as many as ids, which are bounded.
            let oldest = adds.iter().position(|add| !add.effect.is_shared());
            let Some(forgotten) = oldest.and_then(|place| adds.remove(place)) else {
                break;
            };
            bytes -= forgotten.bytes();
        }
        adds.push_back(Add {
            since: Instant::now(),
            license: run.call.tenant.license.clone(),
            account: run.call.account,
            effect: effect.clone(),
            number: None,
        });
    }

    /// Notes that a number is the effect of an add, and so of no other one.
    pub(super) fn settle(&self, run: &Run, effect: &Effect, number: NumberId) {
        if effect.is_idempotent() {
            return;
        }
        for add in self.adds().iter_mut().filter(|add| add.is_of(run)) {
            if add.effect.is_same_add(effect) {
                add.number = Some(number);
            } else {
                add.effect.is_not(number);
            }
        }
    }

    /// Notes that a number of the account is the effect of none of the unsettled adds.
    pub(super) fn tell_of(&self, run: &Run, number: NumberId) {
        for add in self.adds().iter_mut().filter(|add| add.is_of(run)) {
            add.effect.is_not(number);
        }
    }

    /// Returns an effect with what is known of it by now, and the number that it was found to be.
    pub(super) fn known(&self, effect: &Effect) -> (Effect, Option<NumberId>) {
        self.adds()
            .iter()
            .find(|add| add.effect.is_same_add(effect))
            .map_or_else(
                || (effect.clone(), None),
                |add| (add.effect.clone(), add.number),
            )
    }

    /// Tells whether a number that was found for an add may as well be that of another one.
    pub(super) fn may_be_anothers(&self, run: &Run, effect: &Effect, found: &Number) -> bool {
        !effect.is_idempotent()
            && self.adds().iter().any(|add| {
                add.is_of(run)
                    && add.number.is_none()
                    && !add.effect.is_same_add(effect)
                    && add.effect.can_be(found)
            })
    }

    /// Returns those that are not too old, or can be asked for again.
    fn adds(&self) -> std::sync::MutexGuard<'_, VecDeque<Add>> {
        // No code that can panic runs while it is held.
        let mut adds = self.adds.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        adds.retain(|add| add.effect.is_shared() || now - add.since < self.limits.ttl);
        adds
    }
}
