//! What a call asked for, and what its caller knows of the outcome.

use followme::{
    grpc::pb::{self, replace_step::Outcome},
    simulator::EffectKind,
};

use crate::linearizability::log::{Answer, Asked, Call, Change, Held, State};

/// Tells whether an effect is what an add or an update asked for.
pub(super) fn is_as_asked(call: &Call, change: &Change, unapplied: &[String]) -> bool {
    let Some(after) = &change.after else {
        return false;
    };
    match &call.asked {
        Asked::Add(asked) => {
            let asked = asked.number.as_ref().map(Held::from);
            change.kind == EffectKind::Add
                && (!unapplied.is_empty()
                    || asked.is_some_and(|asked| asked.as_stored() == after.as_stored()))
        }
        Asked::Update(asked) => {
            let asked_number = asked.number.as_ref().map(Held::from);
            let mask = asked.update_mask.as_ref();
            change.kind == EffectKind::Update
                && asked_number.is_some_and(|asked| {
                    mask.is_some_and(|mask| {
                        mask.paths
                            .iter()
                            .filter(|path| !unapplied.contains(path))
                            .all(|path| match path.as_str() {
                                "name" => after.as_stored().name == asked.as_stored().name,
                                "ring_timeout" => after.ring_timeout == asked.ring_timeout,
                                _ => false,
                            })
                    })
                })
        }
        Asked::List(_) | Asked::Delete(_) | Asked::ReplaceAll(_) => false,
    }
}

/// What must not have changed since the caller saw it.
pub(super) enum Condition {
    List,
    Numbers(Vec<i32>),
}

impl Condition {
    pub(super) fn is_about(&self, number: i32) -> bool {
        match self {
            Self::List => true,
            Self::Numbers(ids) => ids.contains(&number),
        }
    }

    pub(super) fn holds(&self, seen: &State, now: &State) -> bool {
        match self {
            Self::List => seen == now,
            Self::Numbers(ids) => ids.iter().all(|id| seen.get(id) == now.get(id)),
        }
    }
}

pub(super) fn conditions(asked: &Asked) -> Condition {
    let one = |etag: &str, id: i32| {
        Condition::Numbers(if etag.is_empty() {
            Vec::new()
        } else {
            vec![id]
        })
    };
    match asked {
        Asked::List(_) | Asked::Add(_) => Condition::Numbers(Vec::new()),
        Asked::Update(asked) => one(&asked.etag, named_in(asked)),
        Asked::Delete(asked) => one(&asked.etag, asked.number_id),
        Asked::ReplaceAll(asked) if !asked.list_etag.is_empty() => Condition::List,
        Asked::ReplaceAll(asked) => Condition::Numbers(
            asked
                .numbers
                .iter()
                .filter(|number| !number.etag.is_empty())
                .map(|number| number.number_id)
                .collect(),
        ),
    }
}

pub(super) fn named_in(asked: &pb::UpdateRequest) -> i32 {
    asked.number.as_ref().map_or(0, |number| number.number_id)
}

pub(super) fn named(asked: &Asked) -> Option<i32> {
    match asked {
        Asked::Update(asked) => Some(named_in(asked)),
        Asked::Delete(asked) => Some(asked.number_id),
        Asked::List(_) | Asked::Add(_) | Asked::ReplaceAll(_) => None,
    }
}

/// Tells whether the caller does not know what became of a write: its effect can come at any time.
pub(super) fn is_open(call: &Call) -> bool {
    match &call.answer {
        Answer::None => true,
        Answer::Ok(_) => false,
        Answer::Failed(failed) => {
            // What restores other numbers can come late.
            matches!(
                failed.reason.as_str(),
                "OUTCOME_UNKNOWN" | "WRITE_IN_PROGRESS" | "UPSTREAM_WROTE_TOO_MUCH"
            ) || failed.incomplete.as_ref().is_some_and(|incomplete| {
                let mut steps = incomplete.steps.iter();
                steps.any(|step| step.outcome() == Outcome::Unknown)
            })
        }
    }
}

/// Tells whether the same call continues a replace-all.
pub(super) fn is_incomplete(call: &Call) -> bool {
    match &call.answer {
        Answer::Failed(failed) => failed.incomplete.is_some() || is_told_of_damage(call),
        Answer::Ok(_) | Answer::None => false,
    }
}

/// Tells whether a caller is told that its write changed other numbers.
pub(super) fn is_told_of_damage(call: &Call) -> bool {
    matches!(&call.answer, Answer::Failed(failed) if failed.reason == "UPSTREAM_WROTE_TOO_MUCH")
}
