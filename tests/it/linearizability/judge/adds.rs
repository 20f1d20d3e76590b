//! What is judged of adds.

use std::collections::HashMap;

use followme::simulator::EffectKind;

use super::{
    super::log::{Answer, Asked, Call, Change, Held, Reply},
    Judge,
};

impl Judge<'_> {
    /// At most one upstream add per request id; without an id, per call. A replace-all adds a number
    /// as often as its list holds it, and again only after somebody has deleted it, or made
    /// another one of it.
    pub(super) fn adds_once(&self) -> Result<(), String> {
        let mut known: HashMap<(usize, &str), Vec<&Change>> = HashMap::new();
        for (index, change) in self.history.changes.iter().enumerate() {
            let (EffectKind::Add, Some(after)) = (change.kind, &change.after) else {
                continue;
            };
            let cause = self.caused(change);
            if self.is_restored(index, cause, after) {
                continue;
            }
            let before = known.entry((cause.intent, &after.name)).or_default();
            // Nobody can tell a number that somebody deleted or changed before it was read from one
            // that was never added.
            before.retain(|first| {
                let changes = self.history.changes.iter().take(index);
                let mut changes = changes.filter(|change| change.id == first.id);
                !changes.any(|change| self.caused(change).outside)
            });
            if self.history.forgets {
                before.retain(|first| !self.is_forgotten(self.caused(first), cause));
            }
            let most = match &cause.asked {
                Asked::ReplaceAll(request) => {
                    let state = &self.states[index];
                    before.retain(|first| {
                        let now = state.get(&first.id);
                        now.is_some_and(|now| now.name == after.name)
                    });
                    let desired = request.numbers.iter();
                    desired
                        .filter(|number| {
                            Held::from(*number).as_stored().name == after.as_stored().name
                        })
                        .count()
                }
                _ => 1,
            };
            before.push(change);
            if before.len() > most {
                return Err(format!("a number was added twice: {before:?}"));
            }
        }
        Ok(())
    }

    /// Returns whether an add brings a number back that vanished beside a request to
    /// `UpdateFollowmeAll`, as the caller is told if it hears of the end. Nobody can tell then who
    /// deleted it.
    fn is_restored(&self, index: usize, cause: &Call, after: &Held) -> bool {
        let before = self.history.changes.iter().take(index);
        let deleted = before.clone().zip(&self.states).filter(|(change, state)| {
            change.kind == EffectKind::Delete && state.get(&change.id) == Some(after)
        });
        let restored = before.filter(|change| {
            change.kind == EffectKind::Add
                && change.after.as_ref() == Some(after)
                && self.caused(change).intent == cause.intent
        });
        let unheard = |call: &Call| call.outside || matches!(call.answer, Answer::None);
        let told = self.is_told(cause) || self.of_intent(cause).any(unheard);
        told && restored.count() < deleted.count()
    }

    /// Returns whether a journal that forgets finished writes may have forgotten the first of two
    /// calls of one id. It forgets none whose outcome is unknown.
    fn is_forgotten(&self, first: &Call, second: &Call) -> bool {
        let caller = |call: &Call| call.tag.split('n').next().map(str::to_owned);
        let is_unknown = |call: &Call| matches!(&call.answer, Answer::Failed(failed) if failed.reason == "OUTCOME_UNKNOWN");
        let shared = self
            .of_intent(second)
            .any(|call| caller(call) != caller(second));
        let before = |call: &Call| {
            let before = self.of_intent(call).filter(|other| other.tag < call.tag);
            before.last().is_some_and(is_unknown)
        };
        first.tag != second.tag && (shared || !before(first) && !before(second))
    }

    /// No number is the result of two adds.
    pub(super) fn tells_a_number_once(&self) -> Result<(), String> {
        let mut told: HashMap<i32, &Call> = HashMap::new();
        for call in &self.history.calls {
            let (Asked::Add(_), Answer::Ok(Reply::Written { id, .. })) =
                (&call.asked, &call.answer)
            else {
                continue;
            };
            let first = told.entry(*id).or_insert(call);
            if first.intent != call.intent {
                return Err(format!(
                    "number {id} is told to two adds: {} and {}",
                    first.tag, call.tag
                ));
            }
        }
        Ok(())
    }
}
