//! Handles a collateral change: turns the route off, and restores the other numbers.

use super::{
    Error, Operations,
    audited::end_posted,
    collateral::Posted,
    deliver::Payload,
    expectation::{Expectation, Verdict},
    task::WriteTask,
};
use crate::{
    domain::{FieldSet, List, Number, NumberId},
    journal::UPDATE_ALL,
    telemetry::audit::{Change, Entry, Kind, Outcome},
};

impl Operations {
    /// Compares a list that was read after a request to `UpdateFollowmeAll` with the list before.
    /// If other numbers changed, turns the route off and restores them as far as possible.
    ///
    /// # Errors
    /// [`Error::CollateralChange`]; [`Error::NotSent`] where the caller has gone before this attempt
    /// sent anything.
    pub(super) async fn detect_collateral_change(
        &self,
        task: &mut WriteTask,
        after: &List,
    ) -> Result<(), Error> {
        let posted = task.open.as_ref().and_then(|open| open.posted.clone());
        let Some(posted) = posted else {
            return Ok(());
        };
        let affected: Vec<(Number, FieldSet)> = posted
            .affected(after)
            .into_iter()
            .map(|(old, fields)| (old.clone(), fields))
            .collect();
        if affected.is_empty() && posted.restored.is_empty() {
            return Ok(());
        }
        self.stop_using_update_all().await;
        let mut ids: Vec<NumberId> = affected.iter().map(|(old, _)| old.id).collect();
        ids.extend(&posted.restored);
        ids.sort_unstable();
        ids.dedup();
        tracing::error!(
            account_id = task.call.account.value(),
            affected = ?ids.iter().map(|id| id.value()).collect::<Vec<_>>(),
            "UpdateFollowmeAll changed other numbers of the account; it is not used any more"
        );
        task.commit.commit()?;
        task.limit(self.config.write_limit);
        let mut list = after.clone();
        let mut failed: Vec<NumberId> = Vec::new();
        for (old, fields) in &affected {
            if !self.restore(task, &posted, old, *fields, &mut list).await {
                failed.push(old.id);
            }
        }
        // Only what reads back as it was is restored.
        let now = self.read(task).await.ok();
        let mut not_restored = posted.not_restored(&ids, now.as_ref());
        not_restored.extend(failed);
        not_restored.sort_unstable();
        not_restored.dedup();
        Err(Error::CollateralChange {
            affected: ids,
            not_restored,
        })
    }

    /// Turns `UpdateFollowmeAll` off for this upstream, until an operator allows it again.
    pub(super) async fn stop_using_update_all(&self) {
        self.client.stop_using_update_all();
        let stored = match self.open_journal() {
            Ok(journal) => journal.set_host_fact(UPDATE_ALL, Some("off")).await,
            Err(error) => Err(error),
        };
        if let Err(error) = stored {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the journal did not take that UpdateFollowmeAll is not used any more"
            );
        }
    }

    /// Writes the fields of a number as they were, or adds it where it is gone; `list` follows.
    /// Returns whether that worked.
    async fn restore(
        &self,
        task: &mut WriteTask,
        posted: &Posted,
        old: &Number,
        fields: FieldSet,
        list: &mut List,
    ) -> bool {
        let now = list.find(old.id).cloned();
        // One that was added again, and does not show, may still come.
        if now.is_none() && posted.restored.contains(&old.id) {
            return false;
        }
        if let Some(posted) = task.open.as_mut().and_then(|open| open.posted.as_mut())
            && !posted.restored.contains(&old.id)
        {
            posted.restored.push(old.id);
        }
        let entry = self.begin_restoring(task, old, now.as_ref()).await;
        let result = match self.write_record(task).await {
            Ok(()) => self.send_restored(task, old, fields, now, list).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &result {
            tracing::error!(
                error = error as &dyn std::error::Error,
                number_id = old.id.value(),
                "a number could not be restored"
            );
        }
        if let Some(entry) = entry {
            let outcome = if result.is_ok() {
                Outcome::Done
            } else {
                Outcome::Unknown
            };
            end_posted(entry, outcome, None);
        }
        result.is_ok()
    }

    async fn send_restored(
        &self,
        task: &mut WriteTask,
        old: &Number,
        fields: FieldSet,
        now: Option<Number>,
        list: &mut List,
    ) -> Result<(), Error> {
        let tenant = task.call.tenant.clone();
        let failed = |error| Error::from_upstream(&tenant, error);
        let expectation = match &now {
            Some(now) => {
                let mut restored = now.fields.clone();
                restored.copy_from(&old.fields, fields);
                Expectation::update(list, now, restored)
            }
            None => Expectation::add(list, old.fields.clone(), FieldSet::all()),
        };
        let payload = Payload::Step {
            list,
            expectation: &expectation,
            delete_forward: false,
        };
        let sent = self.send(task, payload, None).await;
        if now.is_some() {
            // The list is read once more when all are restored.
            return sent.map(drop).map_err(failed);
        }
        let verified = self
            .verify(task, &sent, std::slice::from_ref(&expectation), false)
            .await;
        match (verified.verdict(), verified.list) {
            (Verdict::Applied(_) | Verdict::AppliedDifferently(_), Some(now)) => {
                *list = now;
                Ok(())
            }
            _ => Err(match sent {
                Err(error) => failed(error),
                Ok(_) => Error::NotApplied { source: None },
            }),
        }
    }

    /// Writes into the audit log that a number is restored. It is restored even if the line cannot
    /// be written, because our own request did the damage.
    async fn begin_restoring(
        &self,
        task: &WriteTask,
        old: &Number,
        now: Option<&Number>,
    ) -> Option<Entry> {
        let change = Change {
            kind: Kind::Restore,
            number: Some(old.id),
            before: now.map(|now| &now.fields),
            after: Some(&old.fields),
        };
        self.audit.begin(&task.actor, change).await.ok()
    }
}
