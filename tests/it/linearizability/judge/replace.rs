//! What is judged of a replace-all.

use followme::{
    grpc::pb::{
        self,
        replace_step::{Action, Outcome},
    },
    simulator::EffectKind,
};

use super::{
    super::log::{Answer, Asked, Call, Change, Failed, Held, Reply},
    Judge, Judged,
    call::is_open,
    check,
};

impl Judge<'_> {
    /// A replace-all ends in the desired list, or says exactly what is missing.
    pub(super) fn replaced(&self, call: &Call, judged: &mut Judged) -> Result<(), String> {
        let Asked::ReplaceAll(asked) = &call.asked else {
            return Ok(());
        };
        if self.history.lags {
            return Ok(());
        }
        match &call.answer {
            Answer::Ok(Reply::Replaced {
                unapplied: false, ..
            }) => {
                if self.ends_as_desired(call, asked)? {
                    judged.replaced += 1;
                } else {
                    judged.disturbed += 1;
                }
                Ok(())
            }
            Answer::Failed(Failed {
                incomplete: Some(incomplete),
                ..
            }) => {
                judged.incomplete += 1;
                self.says_what_is_missing(call, asked, incomplete)
            }
            _ => Ok(()),
        }
    }

    /// Checks that the list was the desired one after the last effect. Returns false where a write
    /// of unknown outcome, or another writer, came after the plan was made.
    fn ends_as_desired(&self, call: &Call, asked: &pb::ReplaceAllRequest) -> Result<bool, String> {
        let mut desired: Vec<Held> = asked
            .numbers
            .iter()
            .map(|number| Held::from(number).as_stored())
            .collect();
        desired.sort();
        let window = self.long_window(call)?;
        let last = self.effects_of_intent(call, *window.end()).next_back();
        let from = last.map_or(*window.start(), |(index, _)| index + 1);
        let as_desired = |index: usize| {
            let held = self.states[index].values();
            let mut held: Vec<Held> = held.map(Held::as_stored).collect();
            held.sort();
            held == desired
        };
        if (from..=*window.end()).any(as_desired) {
            return Ok(true);
        }
        // The effect before the last run of its own.
        let between = last.and_then(|(index, _)| {
            let before = self.history.changes.iter().take(index).rev();
            before
                .map(|change| self.caused(change))
                .find(|cause| cause.intent != call.intent)
        });
        let after = self.history.changes.iter().take(*window.end()).skip(from);
        let mut after = after.map(|change| self.caused(change));
        let disturbed = after.any(|cause| cause.outside || is_open(cause));
        check(disturbed || between.is_some_and(is_open), || {
            "OK, but the list was not the desired one".to_owned()
        })?;
        Ok(false)
    }

    fn says_what_is_missing(
        &self,
        call: &Call,
        asked: &pb::ReplaceAllRequest,
        incomplete: &pb::ReplaceIncomplete,
    ) -> Result<(), String> {
        let window = self.window(call)?;
        let until = *window.end();
        for step in &incomplete.steps {
            let name = usize::try_from(step.index)
                .ok()
                .and_then(|index| asked.numbers.get(index))
                .map(|number| Held::from(number).as_stored().name)
                .unwrap_or_default();
            // Not every field took: then it may hold another name.
            let whole = step.unapplied_fields.is_empty();
            let is_it = |change: &Change| {
                let named = change
                    .after
                    .as_ref()
                    .is_some_and(|after| after.as_stored().name == name);
                match (step.action(), change.kind) {
                    (Action::Add, EffectKind::Add) => named,
                    (Action::Update, EffectKind::Update) => {
                        change.id == step.number_id && (named || !whole)
                    }
                    (Action::Delete, EffectKind::Delete) => change.id == step.number_id,
                    _ => false,
                }
            };
            let said = |problem: &str| format!("{problem}: {step:?}");
            match (step.outcome(), step.action()) {
                (Outcome::Done, Action::Keep) => check(
                    window
                        .clone()
                        .any(|index| self.states[index].contains_key(&step.number_id)),
                    || said("DONE, but not there"),
                )?,
                (Outcome::Done, Action::Delete) => {
                    check(!self.states[until].contains_key(&step.number_id), || {
                        said("DONE, but there")
                    })?
                }
                (Outcome::Done, action) => {
                    let mut effects = self.effects_of_intent(call, until);
                    let done =
                        effects.any(|(_, change)| change.id == step.number_id && is_it(change));
                    // Another writer can have made it the desired one.
                    let found = action == Action::Update
                        && window.clone().any(|index| {
                            let held = self.states[index].get(&step.number_id);
                            held.is_some_and(|held| held.as_stored().name == name)
                        });
                    check(done || found, || said("DONE, but not done"))?;
                }
                (Outcome::Failed, _)
                    if matches!(
                        step.reason.as_str(),
                        "FIELDS_NOT_APPLIED" | "NUMBER_VANISHED"
                    ) => {}
                (Outcome::Failed | Outcome::NotStarted, _) => check(
                    !self
                        .effects_of_call(call)
                        .filter(|(index, _)| self.states[*index] != self.states[index + 1])
                        .any(|(index, change)| is_it(change) && !self.is_hidden(index, change)),
                    || said("not done, but done"),
                )?,
                (Outcome::Unknown, _) => {}
                (Outcome::Unspecified, _) => return Err(said("no outcome")),
            }
        }
        if incomplete.omitted_steps > 0 {
            return Ok(());
        }
        for index in 0..asked.numbers.len() {
            let steps = incomplete.steps.iter();
            let count = steps
                .filter(|step| usize::try_from(step.index) == Ok(index))
                .count();
            check(count == 1, || format!("number {index} has {count} steps"))?;
        }
        let alone = self
            .history
            .changes
            .iter()
            .take(until)
            .skip(*window.start())
            .all(|change| change.tag == call.tag);
        let settled = incomplete
            .steps
            .iter()
            .all(|step| step.outcome() != Outcome::Unknown);
        if alone && settled {
            for id in self.states[until].keys() {
                let steps = &mut incomplete.steps.iter();
                check(steps.any(|step| step.number_id == *id), || {
                    format!("no step says what becomes of number {id}")
                })?;
            }
        }
        Ok(())
    }
}
