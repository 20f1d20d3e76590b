//! What a write is to show in the list, by which its outcome is settled.

use std::sync::Arc;

use super::second_way::Goal;
use crate::{
    domain::{Field, FieldSet, Fields, List, Number, NumberId, without_plus},
    telemetry::audit::Kind,
};

/// What a single write is to show.
#[derive(Debug, Clone)]
pub enum Effect {
    /// A new number.
    Add {
        /// What the list had before.
        before: Before,
        /// What the number shall be. Copies of an effect share it.
        target: Arc<Fields>,
    },
    /// A number with new values.
    Update {
        /// What the list had before.
        before: Before,
        /// The number.
        id: NumberId,
        /// What it was.
        old: Box<Fields>,
        /// What it shall be.
        target: Box<Fields>,
        /// The fields that change.
        changed: FieldSet,
    },
    /// The absence of a number.
    Delete {
        /// What the list had before.
        before: Before,
        /// The number.
        id: NumberId,
    },
}

/// What a list had before a write.
#[derive(Debug, Clone)]
pub struct Before {
    ids: Vec<NumberId>,
    unidentified: usize,
}

impl Before {
    fn of(list: &List) -> Self {
        Self {
            ids: list.numbers.iter().map(|number| number.id).collect(),
            unidentified: list.unidentified,
        }
    }

    /// Tells whether a list lacks more elements than before: then what it does not show may be
    /// there all the same.
    fn is_clearer_than(&self, list: &List) -> bool {
        list.unidentified > self.unidentified
    }
}

/// What a list says about a write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The write had its effect on this number.
    Done(NumberId),
    /// It did not.
    NotDone,
    /// Each of these may be its effect; where there is none, somebody else wrote meanwhile, so that
    /// the list does not tell.
    Ambiguous(Vec<NumberId>),
}

impl Effect {
    pub(super) fn add(before: &List, target: &Fields) -> Self {
        Self::Add {
            before: Before::of(before),
            target: Arc::new(target.clone()),
        }
    }

    pub(super) fn update(before: &List, old: &Number, target: &Fields) -> Self {
        Self::Update {
            before: Before::of(before),
            id: old.id,
            old: Box::new(old.fields.clone()),
            target: Box::new(target.clone()),
            changed: target.differences(&old.fields),
        }
    }

    pub(super) fn delete(before: &List, id: NumberId) -> Self {
        Self::Delete {
            before: Before::of(before),
            id,
        }
    }

    /// Makes the effect of an update or add that was done, but for fields that were sent again.
    pub(super) fn rest(before: &List, goal: Goal<'_>) -> Self {
        Self::Update {
            before: Before::of(before),
            id: goal.id,
            old: Box::new(goal.old.clone()),
            target: Box::new(goal.target.clone()),
            changed: goal.asked,
        }
    }

    /// Returns what the number of an update shall be.
    pub(super) fn goal(&self) -> Option<Goal<'_>> {
        match self {
            Self::Update {
                id,
                old,
                target,
                changed,
                ..
            } => Some(Goal {
                id: *id,
                old,
                target,
                asked: *changed,
            }),
            Self::Add { .. } | Self::Delete { .. } => None,
        }
    }

    /// Names the kind of write.
    pub(super) fn name(&self) -> &'static str {
        self.kind().into()
    }

    /// Returns what the audit log calls it.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Add { .. } => Kind::Add,
            Self::Update { .. } => Kind::Update,
            Self::Delete { .. } => Kind::Delete,
        }
    }

    fn before(&self) -> &Before {
        match self {
            Self::Add { before, .. }
            | Self::Update { before, .. }
            | Self::Delete { before, .. } => before,
        }
    }

    /// Returns the number, where it has an id already.
    #[must_use]
    pub fn number(&self) -> Option<NumberId> {
        match self {
            Self::Add { .. } => None,
            Self::Update { id, .. } | Self::Delete { id, .. } => Some(*id),
        }
    }

    /// Says for people what is looked for.
    #[must_use]
    pub fn looked_for(&self) -> String {
        match self {
            Self::Add { .. } => {
                "a new number with the redirect number, domain and name of the request".to_owned()
            }
            Self::Update { id, .. } => format!("the new values of number {id}"),
            Self::Delete { id, .. } => format!("the absence of number {id}"),
        }
    }

    /// Looks for the effect in a list that was read.
    ///
    /// `named` is the new number where the answer to an add named it. `said_done` tells whether
    /// upstream said that it did an update: then a change that does not show did not take; else a
    /// part of the change must show, or the number must be as it was before.
    pub(super) fn judge(&self, list: &List, named: Option<NumberId>, said_done: bool) -> Judgement {
        let blurred = self.before().is_clearer_than(list);
        match self {
            Self::Add { before, target } => {
                let candidates = added(before, list, target);
                match (named.filter(|id| candidates.contains(id)), &candidates[..]) {
                    (Some(id), _) | (None, &[id]) => Judgement::Done(id),
                    (None, []) if blurred => Judgement::Ambiguous(candidates),
                    (None, []) => Judgement::NotDone,
                    (None, _) => Judgement::Ambiguous(candidates),
                }
            }
            Self::Update {
                id,
                old,
                target,
                changed,
                ..
            } => {
                let Some(now) = list.find(*id) else {
                    // It is gone, or its id was lost on the way.
                    return if blurred {
                        Judgement::Ambiguous(vec![*id])
                    } else {
                        Judgement::Done(*id)
                    };
                };
                if said_done {
                    return Judgement::Done(*id);
                }
                let differs = |from: &Fields| from.differences(&now.fields).intersection(*changed);
                if differs(target) != *changed {
                    Judgement::Done(*id)
                } else if differs(old).is_empty() {
                    Judgement::NotDone
                } else {
                    Judgement::Ambiguous(Vec::new())
                }
            }
            Self::Delete { id, .. } => match list.find(*id) {
                None if blurred => Judgement::Ambiguous(vec![*id]),
                None => Judgement::Done(*id),
                Some(_) => Judgement::NotDone,
            },
        }
    }

    /// Tells whether the list of a write's answer can be the whole one and shows the whole effect.
    /// An answer may hold the written number alone, or the list from before the write.
    pub(super) fn shows_whole(&self, list: &List) -> bool {
        let has = |before: &Before| before.ids.iter().all(|id| list.find(*id).is_some());
        if self.before().is_clearer_than(list) {
            return false;
        }
        match self {
            Self::Add { before, target } => has(before) && added(before, list, target).len() == 1,
            Self::Update {
                before,
                id,
                target,
                changed,
                ..
            } => {
                has(before)
                    && list.find(*id).is_some_and(|now| {
                        target
                            .differences(&now.fields)
                            .intersection(*changed)
                            .is_empty()
                    })
            }
            // An empty list in the answer to a delete may mean that it has nothing to show.
            Self::Delete { before, id } => {
                !list.numbers.is_empty()
                    && list.find(*id).is_none()
                    && before
                        .ids
                        .iter()
                        .all(|other| other == id || list.find(*other).is_some())
            }
        }
    }

    /// Returns the new number, where the list of an add's answer names one and no other.
    pub(super) fn named(&self, list: &List) -> Option<NumberId> {
        match self {
            Self::Add { before, target } => match added(before, list, target)[..] {
                [id] => Some(id),
                _ => None,
            },
            Self::Update { .. } | Self::Delete { .. } => None,
        }
    }

    /// Tells whether a number can be the effect of this add.
    pub(super) fn can_be(&self, number: &Number) -> bool {
        matches!(self, Self::Add { before, target }
            if !before.ids.contains(&number.id)
                && (is_exactly(&number.fields, target) || is_partly(&number.fields, target)))
    }

    /// Tells whether this is the adding of such a number.
    pub(super) fn adds(&self, number: &Fields) -> bool {
        matches!(self, Self::Add { target, .. } if is_exactly(number, target))
    }

    /// Tells whether this is the very same add: every copy of an effect shares its target.
    pub(super) fn is_same_add(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Add { target: one, .. }, Self::Add { target: other, .. })
            if Arc::ptr_eq(one, other))
    }

    /// Tells whether there are other copies of this add.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Add { target, .. } if Arc::strong_count(target) > 1)
    }

    /// Notes that a number is not the effect of this add.
    pub(super) fn is_not(&mut self, id: NumberId) {
        if let Self::Add { before, .. } = self {
            before.ids.push(id);
        }
    }

    /// Tells whether doing it again is as good as doing it once.
    pub(super) fn is_idempotent(&self) -> bool {
        !matches!(self, Self::Add { .. })
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let (before, texts) = match self {
            Self::Add { before, target } => (before, target.bytes()),
            Self::Update {
                before,
                old,
                target,
                ..
            } => (before, old.bytes() + target.bytes()),
            Self::Delete { before, .. } => (before, 0),
        };
        before.ids.len() * size_of::<NumberId>() + texts
    }
}

/// Returns the new numbers that may be the one that was added: those with its redirect number,
/// domain and name; where there is none, those in which one of these is missing.
fn added(before: &Before, list: &List, target: &Fields) -> Vec<NumberId> {
    let ids = |wanted: fn(&Fields, &Fields) -> bool| -> Vec<NumberId> {
        list.numbers
            .iter()
            .filter(|number| !before.ids.contains(&number.id) && wanted(&number.fields, target))
            .map(|number| number.id)
            .collect()
    };
    let exact = ids(is_exactly);
    if exact.is_empty() {
        ids(is_partly)
    } else {
        exact
    }
}

/// Tells whether a number has the redirect number, domain and name of an add.
fn is_exactly(number: &Fields, target: &Fields) -> bool {
    number.same_destination(target) && number.name == target.name
}

/// Tells whether a number has them as far as it has any: a value is missing that the path of the
/// request did not carry.
fn is_partly(number: &Fields, target: &Fields) -> bool {
    let by_path = |held: &str, asked: &str| {
        held == asked || held.is_empty() || held == crate::upstream::PLACEHOLDER
    };
    by_path(
        without_plus(&number.redirect_number),
        without_plus(&target.redirect_number),
    ) && by_path(&number.name, &target.name)
        && (number.domain.is_empty() || !number.differences(target).contains(Field::Domain))
}
