//! Executes one step of a write, from the audit log to the verified result.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Error, Operations,
    audited::{end, end_stale},
    collateral::Posted,
    deliver::{Delivered, Payload},
    expectation::{Expectation, Verdict, WriteKind},
    plan::{PlannedStep, UpdateRoute},
    precondition,
    record::{could_have_made, exclude_from},
    task::{Open, WriteTask},
    verify::{Sent, is_acknowledged, not_applied},
};
use crate::{
    domain::{AccountId, Etag, FieldSet, List, Number, NumberId},
    journal::{self, Body, RecordId},
    telemetry::{audit::Change, in_flight::Phase, metrics},
    upstream::Route,
};

/// The maximum age of the list that a write was planned from, when the write is sent.
pub(super) const MAX_PLAN_AGE: Duration = Duration::from_millis(250);

/// The outcome of a step.
#[derive(Debug)]
pub(super) enum Executed {
    /// It was applied.
    Applied(Box<Applied>),
    /// It was not sent: recording it took so long that the list may have changed. It must be
    /// planned again.
    Stale(List),
}

/// A step that was applied.
#[derive(Debug)]
pub(super) struct Applied {
    /// The list as it was read back.
    pub(super) list: List,
    /// The number.
    pub(super) number: NumberId,
    /// The fields that upstream did not apply, or changed unasked.
    pub(super) unapplied: FieldSet,
}

impl<'a> From<&'a Expectation> for Change<'a> {
    fn from(expectation: &'a Expectation) -> Self {
        let adds = expectation.kind == WriteKind::Add;
        let deletes = expectation.kind == WriteKind::Delete;
        Self {
            kind: expectation.kind.into(),
            number: expectation.number,
            before: (!adds).then_some(&expectation.old),
            after: (!deletes).then_some(&expectation.target),
        }
    }
}

impl Operations {
    /// Executes one step, planned from a list that was just read.
    ///
    /// # Errors
    /// [`Error::AuditUnavailable`], [`Error::JournalUnavailable`], [`Error::NotSent`] where nothing
    /// was sent; [`Error::Invalid`] where the values fit no request; [`Error::Upstream`] where
    /// nothing was written; [`Error::Refused`], [`Error::NotApplied`], [`Error::OutcomeUnknown`];
    /// those of [`finish_fields`](Self::finish_fields).
    pub(super) async fn execute(
        &self,
        task: &mut WriteTask,
        list: &List,
        mut step: PlannedStep,
    ) -> Result<Executed, Error> {
        let planned = Instant::now();
        let entry = self
            .audit
            .begin(&task.actor, (&step.expectation).into())
            .await?;
        entry.id().clone_into(&mut step.expectation.entry);
        let result = self.send_and_verify(task, list, &step, planned).await;
        match &result {
            Ok(Executed::Stale(_)) => end_stale(entry),
            Ok(Executed::Applied(applied)) => end(entry, Ok(applied)),
            Err(error) => end(entry, Err(error)),
        }
        result
    }

    async fn send_and_verify(
        &self,
        task: &mut WriteTask,
        list: &List,
        step: &PlannedStep,
        planned: Instant,
    ) -> Result<Executed, Error> {
        task.call.progress.enter(Phase::Writing);
        let earlier = task.open.take();
        task.open = Some(self.open(task.call.account, list, step));
        if let Err(error) = self.write_record(task).await {
            task.open = earlier;
            return Err(error);
        }
        if planned.elapsed() > MAX_PLAN_AGE {
            let now = self.read_list(&task.call, &task.options).await?;
            if Etag::of_list(&now) != Etag::of_list(list) {
                return Ok(Executed::Stale(now));
            }
        }
        task.commit(self.config.write_limit, self.config.replace_limit)?;
        let mut expectation = step.expectation.clone();
        let payload = Payload::Step {
            list,
            expectation: &step.expectation,
            delete_forward: step.delete_forward,
        };
        let expectations = std::slice::from_ref(&step.expectation);
        let delivered = self.deliver(task, payload, self.routes_of(step), expectations);
        let (sent, verified, route) = match delivered.await? {
            Delivered::Ran {
                sent,
                verified,
                route,
            } => (sent, verified, route),
            Delivered::NotRun(error) => {
                let violations =
                    precondition::violations(error.kind(), &expectation.target, &step.path);
                return Err(match violations {
                    Some(violations) => Error::Invalid(violations),
                    None => Error::from_upstream(&task.call.tenant, error),
                });
            }
        };
        if let Some(open) = &mut task.open {
            open.acknowledged = is_acknowledged(&sent);
        }
        metrics::write(expectation.kind.name(), verified.outcome(&sent));
        let verdict = verified.verdict();
        if let Some(list) = &verified.list {
            self.detect_collateral_change(task, list).await?;
        }
        let unknown = |expectation, candidates, sent: Sent| Error::OutcomeUnknown {
            expectation: Box::new(expectation),
            candidates,
            source: sent.err(),
        };
        let (list, number, repairable) = match (verdict, verified.list) {
            (Verdict::Applied(id), Some(list)) => (list, id, true),
            (Verdict::AppliedDifferently(id), Some(list)) => (list, id, false),
            (Verdict::NotApplied, _) => return Err(not_applied(&task.call.tenant, sent)),
            (Verdict::Inconclusive(candidates), _) => {
                return Err(unknown(expectation, candidates, sent));
            }
            (Verdict::Applied(id) | Verdict::AppliedDifferently(id), None) => {
                return Err(unknown(expectation, vec![id], sent));
            }
        };
        if expectation.is_open_add()
            && let Some(found) = list.find(number)
            && !self
                .made_by_this_add(task, found, is_acknowledged(&sent), !repairable)
                .await
        {
            return Err(unknown(expectation, vec![number], sent));
        }
        if expectation.kind == WriteKind::Delete {
            self.recent_deletes.record(task.call.account, number);
            return Ok(Executed::Applied(Box::new(Applied {
                list,
                number,
                unapplied: FieldSet::empty(),
            })));
        }
        expectation.number = Some(number);
        let applied = self
            .finish_fields(task, expectation, list, repairable.then_some(route))
            .await?;
        Ok(Executed::Applied(Box::new(applied)))
    }

    fn open(&self, account: AccountId, list: &List, step: &PlannedStep) -> Open {
        let posts = self.routes_of(step).first() == Some(&UpdateRoute::Post);
        let posted = posts.then(|| self.posted(account, list, &step.expectation));
        Open {
            posted: posted.flatten(),
            ..Open::one(step.expectation.clone())
        }
    }

    fn routes_of(&self, step: &PlannedStep) -> &'static [UpdateRoute] {
        match step.expectation.kind {
            WriteKind::Update => self.routes(step.route),
            WriteKind::Add | WriteKind::Delete => &[UpdateRoute::Get],
        }
    }

    /// Records the progress of the task in the journal: durable when it returns.
    ///
    /// # Errors
    /// [`Error::JournalUnavailable`]; those of [`acquire_permit`](Self::acquire_permit).
    pub(super) async fn write_record(&self, task: &mut WriteTask) -> Result<(), Error> {
        let body = task.body(&self.config.rules);
        // A journal that hangs must leave permits to reads: a write over the bound releases its
        // own until it is recorded.
        let keeps_permit = self.recording.try_acquire();
        let released = keeps_permit.is_err() && task.options.permit.take().is_some();
        if task.begun {
            task.record.update(&body).await?;
        } else {
            task.record.begin(&body).await?;
        }
        task.begun = true;
        drop(keeps_permit);
        if released {
            self.acquire_permit(task).await?;
        }
        Ok(())
    }

    /// Acquires the permit of a task.
    ///
    /// # Errors
    /// [`Error::Upstream`] if the queue is full or the breaker is open.
    pub(super) async fn acquire_permit(&self, task: &mut WriteTask) -> Result<(), Error> {
        let call = &task.call;
        let permit = self.client.acquire(&call.fairness_key, Route::List).await;
        let permit = permit.map_err(|error| Error::from_upstream(&call.tenant, error))?;
        task.options.permit = Some(Arc::new(permit));
        Ok(())
    }

    async fn amend(&self, id: RecordId, body: &Body) -> Result<(), journal::Error> {
        self.open_journal()?.amend(id, body).await
    }

    /// Returns whether this add, and no other, made a number. If so, records that in the journal
    /// for the other adds.
    ///
    /// Another add of the account may have made it if its outcome is unknown and its values fit,
    /// unless upstream said that it did this one.
    pub(super) async fn made_by_this_add(
        &self,
        task: &WriteTask,
        found: &Number,
        acknowledged: bool,
        differently: bool,
    ) -> bool {
        let others = match task.record.open_writes().await {
            Ok(others) => others,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the other open writes of the account cannot be read"
                );
                return false;
            }
        };
        let bodies = || others.iter().filter_map(|other| other.body.as_ref());
        let doubtful = !acknowledged || differently;
        if doubtful && bodies().any(|body| could_have_made(body, found, differently)) {
            return false;
        }
        for other in &others {
            let Some(mut body) = other.body.clone() else {
                continue;
            };
            if exclude_from(&mut body, found)
                && let Err(error) = self.amend(other.id, &body).await
            {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the number of an add cannot be recorded for another add"
                );
                return false;
            }
        }
        true
    }

    /// Returns the part of a request to `UpdateFollowmeAll` that detection compares with. A number
    /// that was just deleted is none of the others: its absence is no collateral change.
    pub(super) fn posted(
        &self,
        account: AccountId,
        list: &List,
        expectation: &Expectation,
    ) -> Option<Posted> {
        let mut before = List {
            settings: None,
            ..list.clone()
        };
        let deleted = |id| self.recent_deletes.contains(account, id);
        before.numbers.retain(|number| !deleted(number.id));
        Some(Posted {
            number: expectation.number?,
            fields: expectation.target.clone(),
            before,
            restored: Vec::new(),
        })
    }
}
