//! What is judged of other numbers than those that a write is about.

use followme::simulator::EffectKind;

use super::{
    super::log::{Answer, Asked, Call, Change, Held, State},
    Judge,
    call::{is_told_of_damage, named},
};

impl Judge<'_> {
    /// No number is left with what a write made of another one, if that write is OK.
    pub(super) fn leaves_no_damage(&self) -> Result<(), String> {
        if self.history.lags {
            return Ok(());
        }
        for (id, held) in &self.history.last {
            let changes = self.history.changes.iter().enumerate();
            let Some((index, last)) = changes.rev().find(|(_, change)| change.id == *id) else {
                continue;
            };
            let cause = self.caused(last);
            if is_about(cause, last, &self.states[index]) {
                continue;
            }
            let mut own = self.effects_of_intent(cause, index + 1);
            let restored = own.any(|(index, change)| {
                change.id == *id && self.states[index].get(id) == Some(held)
            });
            if restored || self.is_told(cause) {
                continue;
            }
            // Later ones are the same answer.
            let mut answered = self.of_intent(cause);
            let first = answered.find(|call| matches!(call.answer, Answer::Ok(_)));
            if let Some(call) = first
                && (call.tag == last.tag || index < self.first(&call.before)?)
            {
                return Err(format!(
                    "{}: OK, but number {id} is left {held:?}",
                    call.tag
                ));
            }
        }
        Ok(())
    }

    /// Returns whether a caller is told that its write changed other numbers.
    pub(super) fn is_told(&self, cause: &Call) -> bool {
        self.of_intent(cause).any(is_told_of_damage)
    }
}

/// Returns whether a call asked for an effect on this number.
fn is_about(call: &Call, change: &Change, before: &State) -> bool {
    match &call.asked {
        Asked::ReplaceAll(asked) if change.kind == EffectKind::Update => {
            let name = change.after.as_ref().map(|after| after.as_stored().name);
            asked.numbers.iter().any(|number| {
                Some(Held::from(number).as_stored().name) == name
                    && (number.number_id == change.id || !before.contains_key(&number.number_id))
            })
        }
        asked => change.kind != EffectKind::Update || named(asked) == Some(change.id),
    }
}
