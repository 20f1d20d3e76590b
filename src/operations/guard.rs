//! What `POST UpdateFollowmeAll` did to the numbers that it was not about: nobody knows what that
//! route touches (docs/upstream/domain.md 4).

use super::{Error, Operations, Run, audited::end_step, upstream_error};
use crate::{
    domain::{Field, FieldSet, Fields, List, Number, NumberId},
    telemetry::audit::{Change, Entry, Kind, Outcome},
};

impl Operations {
    /// Looks at all other numbers after a post of one. Where it touched them, ends the use of the
    /// route and puts them back as far as it can.
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
        let touched = touched(before, id, posted, after);
        if touched.is_empty() {
            return Ok(());
        }
        self.client.stop_using_update_all();
        let run = &run.with_limit(self.config.write_limit);
        let ids: Vec<NumberId> = touched.iter().map(|(old, _)| old.id).collect();
        tracing::error!(
            account_id = run.call.account.value(),
            touched = ?ids.iter().map(|id| id.value()).collect::<Vec<_>>(),
            "UpdateFollowmeAll changed other numbers of the account; it is not used any more"
        );
        let mut list = after.clone();
        let mut failed: Vec<NumberId> = Vec::new();
        for (old, fields) in &touched {
            if !self.put_back(run, old, *fields, &mut list).await {
                failed.push(old.id);
            }
        }
        // Only what reads back as it was is put back.
        let now = self
            .client
            .list(&run.call.tenant, run.call.account, &run.options)
            .await
            .ok();
        let not_restored = touched
            .iter()
            .filter(|(old, _)| {
                failed.contains(&old.id) || !now.as_ref().is_some_and(|now| stands(old, now))
            })
            .map(|(old, _)| old.id)
            .collect();
        Err(Error::WroteTooMuch {
            touched: ids,
            not_restored,
        })
    }

    /// Writes the fields of a number as they were, or adds it where it is gone; `list` is kept up
    /// with. Tells whether that worked.
    async fn put_back(&self, run: &Run, old: &Number, fields: FieldSet, list: &mut List) -> bool {
        let entry = self.begin_restoring(run, old, list.find(old.id));
        let result = match list.find(old.id) {
            Some(now) => {
                let mut back = now.fields.clone();
                back.copy_from(&old.fields, fields);
                self.client
                    .update(
                        &run.call.tenant,
                        run.call.account,
                        old.id,
                        &back,
                        &run.options,
                    )
                    .await
                    .map(drop)
                    .map_err(|source| upstream_error(&run.call, source))
            }
            None => self
                .add_one(run, list, &old.fields, "number")
                .await
                .map(|(now, _)| *list = now),
        };
        if let Err(error) = &result {
            tracing::error!(
                error = error as &dyn std::error::Error,
                number_id = old.id.value(),
                "could not put a number back"
            );
        }
        if let Some(entry) = entry {
            let outcome = if result.is_ok() {
                Outcome::Done
            } else {
                Outcome::Unknown
            };
            end_step(entry, outcome, None);
        }
        result.is_ok()
    }

    /// Notes that a number is put back. Damage that we did is undone also where that cannot be noted.
    fn begin_restoring(&self, run: &Run, old: &Number, now: Option<&Number>) -> Option<Entry> {
        let change = Change {
            kind: Kind::Restore,
            number: Some(old.id),
            before: now.map(|now| &now.fields),
            after: Some(&old.fields),
        };
        self.audit.begin(&run.actor, change).ok()
    }
}

/// Returns the other numbers that a post touched, and which of their fields.
///
/// A number is taken for touched where it changed and now holds what was posted: another change is
/// somebody else's. Where every other number vanished at once, the host took the one record for the
/// whole list.
fn touched<'a>(
    before: &'a List,
    id: NumberId,
    posted: &Fields,
    after: &List,
) -> Vec<(&'a Number, FieldSet)> {
    let emptied =
        after.unidentified <= before.unidentified && after.numbers.iter().all(|now| now.id == id);
    before
        .numbers
        .iter()
        .filter(|old| old.id != id)
        .filter_map(|old| match after.find(old.id) {
            Some(now) => {
                let as_posted =
                    lasting_differences(old, now).difference(now.fields.differences(posted));
                (!as_posted.is_empty()).then_some((old, as_posted))
            }
            None => emptied.then_some((old, FieldSet::all())),
        })
        .collect()
}

/// Tells whether a list holds a number as it was, be it added anew under another id.
fn stands(old: &Number, now: &List) -> bool {
    let same = |now: &Number| lasting_differences(old, now).is_empty();
    match now.find(old.id) {
        Some(now) => same(now),
        None => now.numbers.iter().any(same),
    }
}

fn lasting_differences(old: &Number, now: &Number) -> FieldSet {
    now.fields
        .differences(&old.fields)
        .intersection(Field::caller_owned())
}
