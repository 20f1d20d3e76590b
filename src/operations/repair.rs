//! Repairs fields that upstream did not apply: writes the number again, by the other route.

use super::{
    Error, Operations,
    audited::end,
    deliver::{Delivered, Payload},
    execute::Applied,
    expectation::{Expectation, Verdict},
    plan::UpdateRoute,
    task::{Open, WriteTask},
};
use crate::{
    domain::{Field, Fields, List, NumberId},
    telemetry::{audit::Change, metrics},
};

impl Operations {
    /// Compares a number as it was read back with what it is to be, and repairs what upstream did
    /// not apply by the route that was not used. Without a route nothing is repaired.
    ///
    /// # Errors
    /// [`Error::FieldsNotApplied`] if a strict field was not applied; [`Error::FieldsUnverified`],
    /// [`Error::CollateralChange`], [`Error::Vanished`].
    pub(super) async fn finish_fields(
        &self,
        task: &mut WriteTask,
        expectation: Expectation,
        mut list: List,
        used: Option<UpdateRoute>,
    ) -> Result<Applied, Error> {
        let number = number_of(&expectation)?;
        let vanished = || Error::Vanished { number };
        let now = list.find(number).ok_or_else(vanished)?;
        let before = expectation.unapplied(&now.fields);
        if let Some(used) = used
            && let Some(route) = self.repair_route(&expectation, &now.fields, used)
        {
            list = self.repair(task, &expectation, list, route).await?;
        }
        let now = list.find(number).ok_or_else(vanished)?;
        let unapplied = expectation.unapplied(&now.fields);
        let repaired = before.difference(unapplied);
        metrics::fields_repaired(repaired.iter().map(Field::name));
        if !unapplied.intersection(self.config.strict_fields).is_empty() {
            return Err(Error::FieldsNotApplied {
                number,
                fields: unapplied,
            });
        }
        Ok(Applied {
            list,
            number,
            unapplied,
        })
    }

    /// Finishes a write whose own entry in the audit log has ended, with one for the repair.
    ///
    /// # Errors
    /// Those of [`finish_fields`](Self::finish_fields); [`Error::FieldsUnverified`] also where the
    /// repair may not be sent, so that it can be asked for once more.
    pub(super) async fn finish_fields_later(
        &self,
        task: &mut WriteTask,
        expectation: Expectation,
        list: List,
    ) -> Result<Applied, Error> {
        let number = number_of(&expectation)?;
        task.limit(self.config.write_limit);
        let now = list.find(number).ok_or(Error::Vanished { number })?;
        let used = UpdateRoute::Get;
        if self.repair_route(&expectation, &now.fields, used).is_none() {
            return self.finish_fields(task, expectation, list, None).await;
        }
        let again = expectation.repaired(&now.fields);
        let begun = async {
            self.authorize(task)?;
            let change = Change::update(now, &again);
            let entry = self.audit.begin(&task.actor, change).await?;
            match task.commit.commit() {
                Ok(()) => Ok(entry),
                Err(error) => {
                    end(entry, Err(&error));
                    Err(error)
                }
            }
        };
        let begun: Result<_, Error> = begun.await;
        let Ok(entry) = begun else {
            let fields = expectation.unapplied(&now.fields);
            let left = expectation.of_repair(number, fields);
            task.open = Some(Open::one(left.clone()));
            return Err(Error::FieldsUnverified {
                fields,
                expectation: Box::new(left),
                source: None,
            });
        };
        let result = self
            .finish_fields(task, expectation, list, Some(used))
            .await;
        end(entry, result.as_ref());
        result
    }

    /// Returns the route of a repair, if there is something to repair: the other one; after a
    /// request to `UpdateFollowmeAll` only if that applied nothing.
    fn repair_route(
        &self,
        expectation: &Expectation,
        now: &Fields,
        used: UpdateRoute,
    ) -> Option<UpdateRoute> {
        let route = used.other();
        let possible = match route {
            UpdateRoute::Post => self.routes(used).contains(&route),
            UpdateRoute::Get => expectation.applied_nothing(now),
        };
        (possible && !expectation.repairable(now).is_empty()).then_some(route)
    }

    /// Writes the fields that upstream did not apply, with the rest of the number unchanged.
    /// Returns the list after it, or the one from before where nothing was sent.
    async fn repair(
        &self,
        task: &mut WriteTask,
        expectation: &Expectation,
        list: List,
        route: UpdateRoute,
    ) -> Result<List, Error> {
        let number = number_of(expectation)?;
        // The request carries the whole number, so it is read right before: what somebody else sets
        // between the two is overwritten all the same, which nothing in front of upstream can
        // prevent.
        let clear =
            |now: &List| now.find(number).is_some() || now.unidentified <= list.unidentified;
        let (Some(before), true) = self.read_until(task, clear).await else {
            return Ok(list);
        };
        let Some(old) = before.find(number) else {
            return Err(Error::Vanished { number });
        };
        let whole = expectation.repaired(&old.fields);
        if expectation.repairable(&old.fields).is_empty() {
            return Ok(before);
        }
        let left = expectation.of_repair(number, expectation.unapplied(&old.fields));
        let step = Expectation::update(&before, old, whole);
        let written = Open {
            posted: match route {
                UpdateRoute::Post => self.posted(task.call.account, &before, &step),
                UpdateRoute::Get => None,
            },
            ..Open::one(left.clone())
        };
        let earlier = task.open.replace(written);
        if let Err(error) = self.write_record(task).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a repair was not sent"
            );
            task.open = earlier;
            return Ok(before);
        }
        let payload = Payload::Step {
            list: &before,
            expectation: &step,
            delete_forward: false,
        };
        let expectations = std::slice::from_ref(&step);
        let delivered = self.deliver(task, payload, &[route], expectations).await;
        let Ok(Delivered::Ran { sent, verified, .. }) = delivered else {
            task.open = earlier;
            return Ok(before);
        };
        if let Some(after) = &verified.list {
            self.detect_collateral_change(task, after).await?;
        }
        match (verified.verdict(), verified.list) {
            (
                Verdict::Applied(_) | Verdict::AppliedDifferently(_) | Verdict::NotApplied,
                Some(after),
            ) => Ok(after),
            _ => Err(Error::FieldsUnverified {
                fields: left.unverified,
                expectation: Box::new(left),
                source: sent.err(),
            }),
        }
    }
}

/// Returns the number of an expectation that was found.
fn number_of(expectation: &Expectation) -> Result<NumberId, Error> {
    expectation.number.ok_or(Error::Panicked { begun: true })
}
