//! What is done about fields that did not take: `POST UpdateFollowmeAll` with the whole number,
//! under guard, since nobody knows what that route touches (DOMAIN.md 4).

use super::{
    Applied, Error, NumberView, Operations, Run, audited::end_step, effect::Effect,
    settle::Outcome, upstream_error,
};
use crate::{
    domain::{Field, FieldSet, Fields, List, Number, NumberId},
    telemetry::{
        audit::{Change, Entry},
        metrics,
    },
    upstream::{self, UpdateAll, Written},
};

impl Operations {
    /// Compares the number as it was read back with what it shall be, and tries what did not take
    /// by the second way, unless that was the way already. `asked` are the fields that the caller
    /// gave; of the others, one that upstream emptied is put back, and one that holds another value
    /// is somebody else's change and stays.
    ///
    /// # Errors
    /// [`Error::FieldsNotApplied`] where a field that matters did not take;
    /// [`Error::WroteTooMuch`], [`Error::Vanished`].
    pub(super) async fn finish(
        &self,
        run: &Run,
        id: NumberId,
        target: &Fields,
        asked: FieldSet,
        posted: bool,
        mut list: List,
    ) -> Result<Applied, Error> {
        let now = list.find(id).ok_or(Error::Vanished { number: id })?;
        let mut unapplied = lost(target, &now.fields, asked);
        if !unapplied.is_empty()
            && !posted
            && self.client.update_all_mode() != UpdateAll::Off
            && run.gate.go_on().is_ok()
        {
            let mut whole = now.fields.clone();
            whole.copy_from(target, unapplied);
            if let Some(after) = self.post_rest(run, &list, id, &whole).await? {
                list = after;
            }
        }
        let now = list.find(id).ok_or(Error::Vanished { number: id })?;
        let before = unapplied;
        unapplied = lost(target, &now.fields, asked);
        let taken = before.iter().filter(|field| !unapplied.contains(*field));
        metrics::put_back(taken.map(Field::name));
        let strict = unapplied.intersection(self.config.strict_fields);
        if !strict.is_empty() {
            return Err(Error::FieldsNotApplied {
                number: id,
                fields: unapplied,
            });
        }
        Ok(Applied {
            number: NumberView::Stored(now.clone()),
            unapplied,
            list: Some(list),
        })
    }

    /// Posts a whole number after its own write was done. Returns the list after it, or `None`
    /// where the post was refused or cannot be read back: then the number stands as it was read
    /// before.
    async fn post_rest(
        &self,
        run: &Run,
        before: &List,
        id: NumberId,
        whole: &Fields,
    ) -> Result<Option<List>, Error> {
        let sent = self.post(run, before, id, whole).await;
        if let Err(error) = &sent
            && error.nothing_ran()
        {
            tracing::debug!(
                error = error as &dyn std::error::Error,
                "the second way was not taken"
            );
            return Ok(None);
        }
        let Some(old) = before.find(id) else {
            return Ok(None);
        };
        let effect = Effect::update(before, old, whole);
        // Whatever it did, what counts is the list after it.
        let outcome = match self.settle(run, &sent, &effect).await {
            Outcome::Done(list, _) | Outcome::NotDone(list) => Some(list),
            Outcome::Unknown(_) => None,
        };
        let Some(list) = outcome else {
            tracing::error!("could not read back what UpdateFollowmeAll did");
            return Ok(None);
        };
        self.guard(run, before, id, whole, &list).await?;
        Ok(Some(list))
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
            .update_all(&run.context, run.account, &numbers)
            .await
    }

    /// Looks at all other numbers after a post of one. Where it touched them, ends the use of the
    /// route and puts them back as far as it can.
    ///
    /// A number is taken for touched where it changed and now holds what was posted: another change
    /// is somebody else's. Where every other number vanished at once, the host took the one record
    /// for the whole list.
    ///
    /// # Errors
    /// [`Error::WroteTooMuch`].
    pub(super) async fn guard(
        &self,
        run: &Run,
        before: &List,
        id: NumberId,
        posted: &Fields,
        after: &List,
    ) -> Result<(), Error> {
        let others = || before.numbers.iter().filter(|number| number.id != id);
        let emptied = others().next().is_some()
            && after.left_out <= before.left_out
            && after.numbers.iter().all(|now| now.id == id);
        let touched: Vec<(&Number, FieldSet)> = others()
            .filter_map(|old| match after.find(old.id) {
                Some(now) => {
                    let changed = now
                        .fields
                        .differences(&old.fields)
                        .intersection(FieldSet::lasting());
                    let other_values = now.fields.differences(posted);
                    let as_posted: FieldSet = changed
                        .iter()
                        .filter(|field| !other_values.contains(*field))
                        .collect();
                    (!as_posted.is_empty()).then_some((old, as_posted))
                }
                None => emptied.then_some((old, FieldSet::all())),
            })
            .collect();
        if touched.is_empty() {
            return Ok(());
        }
        self.client.stop_using_update_all();
        let run = &run.with_limit(self.config.write_limit);
        let ids: Vec<NumberId> = touched.iter().map(|(old, _)| old.id).collect();
        tracing::error!(
            account_id = run.account.value(),
            touched = ?ids.iter().map(|id| id.value()).collect::<Vec<_>>(),
            "UpdateFollowmeAll changed other numbers of the account; it is not used any more"
        );
        let mut restored: Vec<(NumberId, bool)> = Vec::new();
        let mut list = after.clone();
        for (old, fields) in touched {
            let entry = self.begin_restoring(run, old, list.find(old.id));
            let result = match list.find(old.id) {
                Some(now) => {
                    let mut back = now.fields.clone();
                    back.copy_from(&old.fields, fields);
                    self.client
                        .update(&run.context, run.account, old.id, &back)
                        .await
                        .map(drop)
                        .map_err(|source| upstream_error(&run.context, source))
                }
                None => self
                    .add_one(run, &list, &old.fields, "number")
                    .await
                    .map(|(now, _)| list = now),
            };
            if let Err(error) = &result {
                tracing::error!(
                    error = error as &dyn std::error::Error,
                    number_id = old.id.value(),
                    "could not put a number back"
                );
            }
            if let Some(entry) = entry {
                let outcome = if result.is_ok() { "done" } else { "unknown" };
                end_step(entry, outcome, None);
            }
            restored.push((old.id, result.is_ok()));
        }
        // Only what reads back as it was is put back.
        let now = self.client.list(&run.context, run.account).await.ok();
        let not_restored = restored
            .into_iter()
            .filter(|(id, sent)| {
                let same = || {
                    let old = before.find(*id)?;
                    let now = now.as_ref()?;
                    Some(match now.find(*id) {
                        Some(now) => now
                            .fields
                            .differences(&old.fields)
                            .intersection(FieldSet::lasting())
                            .is_empty(),
                        // It was added anew, under another id.
                        None => now.numbers.iter().any(|now| {
                            now.fields
                                .differences(&old.fields)
                                .intersection(FieldSet::lasting())
                                .is_empty()
                        }),
                    })
                };
                !sent || same() != Some(true)
            })
            .map(|(id, _)| id)
            .collect();
        Err(Error::WroteTooMuch {
            touched: ids,
            not_restored,
        })
    }

    /// Notes that a number is put back. Damage that we did is undone also where that cannot be noted.
    fn begin_restoring(&self, run: &Run, old: &Number, now: Option<&Number>) -> Option<Entry> {
        let change = Change {
            kind: "put_back",
            number: Some(old.id),
            before: now.map(|now| &now.fields),
            after: Some(&old.fields),
        };
        self.audit.begin(&run.who, change).ok()
    }
}

/// Returns the fields that are not as they shall be: those that were asked for and differ, and
/// those that were emptied although nobody asked.
fn lost(target: &Fields, now: &Fields, asked: FieldSet) -> FieldSet {
    let different = target.differences(now);
    let filled = now.differences(&Fields::default());
    different
        .intersection(FieldSet::lasting().union(asked))
        .iter()
        .filter(|field| asked.contains(*field) || !filled.contains(*field))
        .collect()
}
