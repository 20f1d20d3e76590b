//! What is done about fields that did not take: `POST UpdateFollowmeAll` with the whole number.

use super::{
    Applied, Error, Operations, Run, audited::to_its_end, effect::Effect, settle::Outcome,
};
use crate::{
    domain::{Field, FieldSet, Fields, List, Number, NumberId},
    telemetry::{audit::Change, metrics},
    upstream::{self, PLACEHOLDER, UpdateAll, Written},
};

/// What a number shall be after a write of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal<'a> {
    pub(super) id: NumberId,
    /// What it was before the write; of a new one nothing.
    pub(super) old: &'a Fields,
    /// What it shall be, whole.
    pub(super) target: &'a Fields,
    /// The fields that the caller gave.
    pub(super) asked: FieldSet,
}

impl Goal<'_> {
    /// Returns the fields that did not take: those that were asked for and differ, and those that
    /// upstream emptied although nobody asked. Of the latter, one that holds another value is
    /// somebody else's change.
    pub(super) fn unapplied(self, now: &Fields) -> FieldSet {
        self.differing(now)
            .intersection(self.asked.union(emptied(now)))
    }

    /// Returns those that may be written again: that are empty, or still as before the write. Any
    /// other value was set by somebody else meanwhile, and is never written over.
    fn to_send_again(self, now: &Fields) -> FieldSet {
        let as_before = FieldSet::all().difference(self.old.differences(now));
        self.unapplied(now)
            .intersection(as_before.union(emptied(now)))
    }

    /// Returns the number with these written again.
    fn sent_again(self, now: &Fields) -> Fields {
        let mut whole = now.clone();
        whole.copy_from(self.target, self.to_send_again(now));
        whole
    }

    fn differing(self, now: &Fields) -> FieldSet {
        self.target
            .differences(now)
            .intersection(Field::caller_owned().union(self.asked))
    }
}

/// Returns the fields that are empty, or hold what our paths carry in place of a value.
fn emptied(now: &Fields) -> FieldSet {
    let text = || PLACEHOLDER.to_owned();
    let placeholders = Fields {
        name: text(),
        redirect_number: text(),
        domain: text(),
        active: text(),
        keep_original_cld: text(),
        ..Fields::default()
    };
    let like = |other: &Fields| FieldSet::all().difference(other.differences(now));
    like(&Fields::default()).union(like(&placeholders))
}

impl Operations {
    /// Compares a number as it was read back after its write with what it shall be, and tries what
    /// did not take by the second way, unless that was the way already.
    ///
    /// # Errors
    /// [`Error::FieldsNotApplied`] where a field that matters did not take;
    /// [`Error::RestUnknown`], [`Error::WroteTooMuch`], [`Error::Vanished`].
    pub(super) async fn finish(
        &self,
        run: &Run,
        goal: Goal<'_>,
        posted: bool,
        mut list: List,
    ) -> Result<Applied, Error> {
        let vanished = || Error::Vanished { number: goal.id };
        let now = list.find(goal.id).ok_or_else(vanished)?;
        let before = goal.unapplied(&now.fields);
        if !posted && self.sends_again(goal, now) && run.gate.go_on().is_ok() {
            list = self.send_again(run, goal, list).await?;
        }
        let now = list.find(goal.id).ok_or_else(vanished)?;
        let unapplied = goal.unapplied(&now.fields);
        metrics::fields_repaired(before.difference(unapplied).iter().map(Field::name));
        let strict = unapplied.intersection(self.config.strict_fields);
        if !strict.is_empty() {
            return Err(Error::FieldsNotApplied {
                number: goal.id,
                fields: unapplied,
            });
        }
        Ok(Applied {
            number: now.clone(),
            unapplied,
            list,
        })
    }

    /// Finishes a write whose own entry in the audit log has ended, with one for what is sent again.
    ///
    /// # Errors
    /// Those of [`finish`](Self::finish); [`Error::RestUnknown`] also where what is to be sent again
    /// could not begin, so that it can be asked for once more.
    pub(super) async fn finish_later(
        &self,
        run: &Run,
        goal: Goal<'_>,
        list: List,
    ) -> Result<Applied, Error> {
        let now = list
            .find(goal.id)
            .ok_or(Error::Vanished { number: goal.id })?;
        if !self.sends_again(goal, now) {
            return self.finish(run, goal, false, list).await;
        }
        let again = goal.sent_again(&now.fields);
        let (run, entry) =
            self.begin(run, Change::update(now, &again))
                .map_err(|_| Error::RestUnknown {
                    fields: goal.unapplied(&now.fields),
                    effect: Box::new(Effect::rest(&list, goal)),
                    source: None,
                })?;
        to_its_end(entry, self.finish(&run, goal, false, list)).await
    }

    /// Tells whether fields of a number are to be sent again.
    pub(super) fn sends_again(&self, goal: Goal<'_>, now: &Number) -> bool {
        !goal.to_send_again(&now.fields).is_empty()
            && self.client.update_all_mode() != UpdateAll::Off
    }

    /// Posts what did not take, with the rest of the number as it is. Returns the list after it, or
    /// the one from before where nothing was posted.
    async fn send_again(&self, run: &Run, goal: Goal<'_>, list: List) -> Result<List, Error> {
        // The post carries the whole number, so it is read right before: what somebody else sets
        // between the two is written over all the same, which nothing in front of upstream can
        // prevent.
        let clear =
            |now: &List| now.find(goal.id).is_some() || now.unidentified <= list.unidentified;
        let Some(before) = self.read_until(run, clear).await else {
            return Ok(list);
        };
        let Some(old) = before.find(goal.id) else {
            return Err(Error::Vanished { number: goal.id });
        };
        if goal.to_send_again(&old.fields).is_empty() {
            return Ok(before);
        }
        let whole = goal.sent_again(&old.fields);
        let sent = self.post(run, &before, goal.id, &whole).await;
        if let Err(error) = &sent
            && error.nothing_ran()
        {
            tracing::debug!(
                error = error as &dyn std::error::Error,
                "the second way was not taken"
            );
            return Ok(before);
        }
        // Whatever it did, what counts is the list after it.
        let effect = Effect::update(&before, old, &whole);
        match self.settle(run, &sent, &effect).await {
            Outcome::Done(after, _) | Outcome::NotDone(after) => {
                self.guard(run, &before, goal.id, &whole, &after).await?;
                Ok(after)
            }
            Outcome::Unknown(_) => Err(Error::RestUnknown {
                fields: goal.unapplied(&old.fields),
                effect: Box::new(Effect::rest(&before, goal)),
                source: sent.err(),
            }),
        }
    }

    /// Posts one whole number as the mode in force says.
    pub(super) async fn post(
        &self,
        run: &Run,
        before: &List,
        id: NumberId,
        whole: &Fields,
    ) -> Result<Written, upstream::Error> {
        let numbers: Vec<(Option<NumberId>, &Fields)> = match self.client.update_all_mode() {
            // A host that takes the whole list would take a single record for the whole list.
            UpdateAll::WholeList => before
                .numbers
                .iter()
                .map(|number| {
                    let fields = if number.id == id {
                        whole
                    } else {
                        &number.fields
                    };
                    (Some(number.id), fields)
                })
                .collect(),
            UpdateAll::One | UpdateAll::Off => vec![(Some(id), whole)],
        };
        self.client
            .update_all(&run.call.tenant, run.call.account, &numbers, &run.options)
            .await
    }
}
