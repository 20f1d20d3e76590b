//! Compares the answers to the callers with the effects upstream.
//!
//! The effects upstream, replayed, give the states that an account went through. What it held when
//! a call began and ended gives its interval: from the first such state to the last.
//! What is ambiguous counts for the facade.

mod adds;
mod call;
mod damage;
mod replace;

use std::{collections::HashMap, ops::RangeInclusive};

use followme::simulator::EffectKind;

use self::call::{Condition, conditions, is_as_asked, is_incomplete, is_open, named};
use super::log::{Answer, Asked, Call, Change, Failed, History, Reply, State};

/// What was judged, so that the figures show that something was.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Judged {
    /// Writes with etags that had an effect.
    pub(super) etags: usize,
    /// Replace-alls that ended in the desired list.
    pub(super) replaced: usize,
    /// Those of which that cannot be said, since a write of unknown outcome came between.
    pub(super) disturbed: usize,
    /// Replace-alls that say what is missing.
    pub(super) incomplete: usize,
}

/// Judges a history.
///
/// # Errors
/// Says which rule is broken, and how.
pub(super) fn judge(history: &History) -> Result<Judged, String> {
    let judge = Judge::new(history)?;
    let mut judged = Judged::default();
    judge.adds_once()?;
    judge.tells_a_number_once()?;
    judge.leaves_no_damage()?;
    for call in &history.calls {
        let said = |rule: &str, problem: String| {
            format!("{rule}: {} {}: {problem}", call.asked.rpc(), call.tag)
        };
        judge
            .answer_is_true(call)
            .map_err(|problem| said("an answer contradicts the truth", problem))?;
        judged.etags += usize::from(
            judge
                .nothing_is_lost(call)
                .map_err(|problem| said("an update is lost", problem))?,
        );
        judge
            .replaced(call, &mut judged)
            .map_err(|problem| said("a replace-all is not what it says", problem))?;
    }
    Ok(judged)
}

struct Judge<'a> {
    history: &'a History,
    /// The states of the account: before the first effect, and after each.
    states: Vec<State>,
    calls: HashMap<&'a str, &'a Call>,
}

impl<'a> Judge<'a> {
    fn new(history: &'a History) -> Result<Self, String> {
        let mut state = history.initial.clone();
        let mut states = vec![state.clone()];
        let calls: HashMap<&str, &Call> = history
            .calls
            .iter()
            .map(|call| (call.tag.as_str(), call))
            .collect();
        for change in &history.changes {
            if !calls.contains_key(change.tag.as_str()) {
                return Err(format!("an effect of no call: {change:?}"));
            }
            match &change.after {
                Some(after) => state.insert(change.id, after.clone()),
                None => state.remove(&change.id),
            };
            states.push(state.clone());
        }
        if state != history.last {
            return Err(format!("the effects end in {state:?}"));
        }
        Ok(Self {
            history,
            states,
            calls,
        })
    }

    fn first(&self, state: &State) -> Result<usize, String> {
        let index = self.states.iter().position(|known| known == state);
        index.ok_or_else(|| format!("the account never held {state:?}"))
    }

    fn last(&self, state: &State) -> Result<usize, String> {
        let index = self.states.iter().rposition(|known| known == state);
        index.ok_or_else(|| format!("the account never held {state:?}"))
    }

    /// Returns the states that a call may have seen.
    fn window(&self, call: &Call) -> Result<RangeInclusive<usize>, String> {
        let first = self.first(&call.before)?;
        let first = if self.history.lags { 0 } else { first };
        Ok(first..=self.last(&call.after)?)
    }

    /// Returns the states that a call, and those of the same id before it, may have seen: the first
    /// outcome is returned again.
    fn long_window(&self, call: &Call) -> Result<RangeInclusive<usize>, String> {
        let mut first = *self.window(call)?.start();
        for other in self.of_intent(call) {
            first = first.min(self.first(&other.before)?);
        }
        Ok(first..=self.last(&call.after)?)
    }

    fn of_intent<'b>(&'b self, call: &'b Call) -> impl Iterator<Item = &'b Call> {
        let calls = self.history.calls.iter();
        calls.filter(|other| other.intent == call.intent)
    }

    /// Returns the effects of a call and of those of the same id, of the first so many.
    fn effects_of_intent<'b>(
        &'b self,
        call: &'b Call,
        until: usize,
    ) -> impl DoubleEndedIterator<Item = (usize, &'b Change)> {
        let changes = self
            .history
            .changes
            .iter()
            .take(until)
            .enumerate()
            .collect::<Vec<_>>();
        changes
            .into_iter()
            .filter(|(_, change)| self.caused(change).intent == call.intent)
    }

    fn caused(&self, change: &Change) -> &Call {
        // `new` has looked for it.
        self.calls[change.tag.as_str()]
    }

    fn effects_of_call<'b>(&'b self, call: &'b Call) -> impl Iterator<Item = (usize, &'b Change)> {
        let changes = self.history.changes.iter().enumerate();
        changes.filter(|(_, change)| change.tag == call.tag)
    }

    fn answer_is_true(&self, call: &Call) -> Result<(), String> {
        let window = self.window(call)?;
        let until = *window.end();
        match &call.answer {
            Answer::None => Ok(()),
            Answer::Ok(Reply::Listed(list)) => check(
                window.clone().any(|index| self.states[index] == *list),
                || "a list that the account did not hold".to_owned(),
            ),
            Answer::Ok(Reply::Written {
                id,
                held,
                unapplied,
            }) => {
                // Where lists lag, two equal adds can be answered with each other's number.
                let swapped = self.history.lags && matches!(call.asked, Asked::Add(_));
                let changes = self.history.changes.iter().take(until);
                let mut changes =
                    changes.filter(|change| swapped || self.caused(change).intent == call.intent);
                check(
                    changes.any(|change| change.id == *id && is_as_asked(call, change, unapplied)),
                    || "OK, but not done".to_owned(),
                )?;
                let mut window = self.long_window(call)?;
                check(
                    window.any(|index| self.states[index].get(id) == Some(held)),
                    || format!("OK, with a number that was never {held:?}"),
                )
            }
            Answer::Ok(Reply::Deleted) => match &call.asked {
                Asked::Delete(asked) => {
                    let is_there = self.states[until].contains_key(&asked.number_id);
                    check(self.history.lags || !is_there, || {
                        "OK, but the number is there".to_owned()
                    })
                }
                _ => Err("OK of a delete".to_owned()),
            },
            Answer::Ok(Reply::Replaced { numbers, .. }) => {
                let mut window = self.long_window(call)?;
                check(window.any(|index| self.states[index] == *numbers), || {
                    "OK, with a list that the account did not hold".to_owned()
                })
            }
            Answer::Failed(Failed { reason, .. }) => match reason.as_str() {
                "OUTCOME_UNKNOWN" | "WRITE_IN_PROGRESS" => Ok(()),
                // Judged by its steps.
                "REPLACE_INCOMPLETE" => Ok(()),
                // Whether it was written before it was deleted, that does not say.
                "NUMBER_VANISHED" => check(
                    self.history.lags
                        || named(&call.asked)
                            .is_none_or(|id| !self.states[until].contains_key(&id)),
                    || "the number is said to be gone, and is there".to_owned(),
                ),
                "FIELDS_NOT_APPLIED" | "UPSTREAM_WROTE_TOO_MUCH" => {
                    check(self.effects_of_intent(call, until).next().is_some(), || {
                        format!("{reason}, but nothing was written")
                    })
                }
                reason => {
                    // An id names one write: what was done under it before the call, too, is done.
                    let before = match &call.asked {
                        Asked::ReplaceAll(_) => 0,
                        // Its request was not read in time: it speaks of this call alone.
                        _ if reason == "DEADLINE_EXCEEDED" => 0,
                        // That it was done is forgotten.
                        _ if self.history.forgets => 0,
                        _ => *window.start(),
                    };
                    let earlier = self.effects_of_intent(call, before);
                    let done = self.effects_of_call(call).chain(earlier);
                    let mut done = done.filter(|(index, change)| {
                        // A delete that still shows is repeated.
                        let shows = self.history.lags && change.kind == EffectKind::Delete;
                        !shows && !self.is_hidden(*index, change)
                    });
                    if let Some((index, change)) = done.next() {
                        return Err(format!("{reason}, but done: effect {index}, {change:?}"));
                    }
                    self.reason_is_true(call, reason, window)
                }
            },
        }
    }

    /// Returns true if somebody changed the number of an effect later behind the facade's back:
    /// nobody can tell then that it was there.
    fn is_hidden(&self, index: usize, effect: &Change) -> bool {
        let later = self.history.changes.iter().skip(index + 1);
        let mut later = later.filter(|change| change.id == effect.id);
        later.any(|change| self.caused(change).outside)
    }

    /// Checks what an answer says of the account rather than of the write.
    fn reason_is_true(
        &self,
        call: &Call,
        reason: &str,
        mut window: RangeInclusive<usize>,
    ) -> Result<(), String> {
        match reason {
            _ if self.history.lags => Ok(()),
            "NUMBER_NOT_FOUND" => check(
                window.any(|index| {
                    named(&call.asked).is_some_and(|id| !self.states[index].contains_key(&id))
                }),
                || "the number is said to be missing, and is there".to_owned(),
            ),
            "ETAG_MISMATCH" => {
                let Some(seen) = self.seen(call)? else {
                    return Err("an etag that was not sent does not match".to_owned());
                };
                let condition = conditions(&call.asked);
                // What a state does not show, such as a domain, need not have come back with the
                // rest.
                let since = seen..=*window.end();
                let written = self.history.changes.iter().take(*window.end()).skip(seen);
                check(
                    written
                        .into_iter()
                        .any(|change| condition.is_about(change.id))
                        || window
                            .chain(since)
                            .any(|index| !condition.holds(&self.states[seen], &self.states[index])),
                    || "nothing has changed".to_owned(),
                )
            }
            _ => Ok(()),
        }
    }

    /// Returns the last state that can be the one in which the caller saw the list.
    fn seen(&self, call: &Call) -> Result<Option<usize>, String> {
        let Some(seen) = &call.seen else {
            return Ok(None);
        };
        let list = super::log::shown(&seen.numbers);
        let first = self.first(&seen.before)?;
        let first = if self.history.lags { 0 } else { first };
        let mut window = first..=self.last(&seen.after)?;
        let index = window.rfind(|index| self.states[*index] == list);
        index
            .map(Some)
            .ok_or_else(|| "it saw what never was".to_owned())
    }

    /// A write with an etag overwrites nothing that its caller has not seen, but for writes whose
    /// outcome was unknown: those can come at any time. Tells whether there was something to judge.
    fn nothing_is_lost(&self, call: &Call) -> Result<bool, String> {
        let condition = conditions(&call.asked);
        // What an earlier call of the same id sent can show, and what this one sent come late.
        let resumed = self
            .of_intent(call)
            .any(|other| other.tag != call.tag && (is_open(other) || is_incomplete(other)));
        if matches!(&condition, Condition::Numbers(ids) if ids.is_empty())
            || self.history.lags
            || is_open(call)
            || resumed
        {
            return Ok(false);
        }
        let (Some(seen), Some((index, own))) =
            (self.seen(call)?, self.effects_of_call(call).next())
        else {
            return Ok(false);
        };
        // A replace-all can bring back what was there before.
        let as_seen = (0..=index)
            .rfind(|index| condition.holds(&self.states[seen], &self.states[*index]))
            .unwrap_or(seen);
        let lost = self
            .history
            .changes
            .iter()
            .take(index)
            .skip(as_seen)
            .filter(|change| match &condition {
                Condition::List => true,
                Condition::Numbers(ids) => ids.contains(&change.id),
            })
            .find(|change| {
                let cause = self.caused(change);
                cause.intent != call.intent && !is_open(cause)
            });
        match lost {
            Some(lost) => Err(format!(
                "{own:?} over {lost:?}, which its caller had not seen"
            )),
            None => Ok(true),
        }
    }
}

fn check(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

impl Judged {
    pub(super) fn add(&mut self, other: Self) {
        self.etags += other.etags;
        self.replaced += other.replaced;
        self.disturbed += other.disturbed;
        self.incomplete += other.incomplete;
    }
}
