//! Add, Update and Delete: plans of one step.

use super::{
    Error, NumberView, Operations, WriteReply,
    execute::{Applied, Executed},
    expectation::{Expectation, WriteKind},
    plan::PlannedStep,
    resolve::{Resolved, outcome_unknown},
    task::{Open, WriteTask},
    write::Command,
};
use crate::{
    domain::{Etag, FieldSet, List, NumberId},
    telemetry::audit::Outcome,
};

/// How a write of one step ends.
#[derive(Debug)]
pub(super) enum Ended {
    /// With a reply.
    Reply(Box<WriteReply>),
    /// The earlier attempt is abandoned: the write begins anew, with another record.
    Anew,
}

impl Operations {
    /// Adds, updates or deletes a number, after what an earlier attempt sent is resolved.
    ///
    /// # Errors
    /// Those of the plan and of [`execute`](Self::execute); [`Error::OutcomeUnknown`],
    /// [`Error::FieldsUnverified`] as long as an earlier attempt may still be applied.
    pub(super) async fn write_one(
        &self,
        task: &mut WriteTask,
        write: &Command,
    ) -> Result<Ended, Error> {
        let Some(open) = task.open.clone() else {
            return self.plan_and_execute(task, write).await;
        };
        let result = self.resolve_and_continue(task, write, &open).await;
        match (result, open.expectations.into_iter().next()) {
            // An earlier attempt may have been applied, or may still be, whatever becomes of this
            // one: until one of them is proved, that is the answer.
            (Err(error), Some(expectation)) if error.proves_not_applied() => {
                let source = error.into_upstream();
                Err(match expectation.number.filter(|_| expectation.applied) {
                    Some(_) => Error::FieldsUnverified {
                        fields: expectation.unverified,
                        expectation: Box::new(expectation),
                        source,
                    },
                    None => Error::OutcomeUnknown {
                        expectation: Box::new(expectation),
                        candidates: Vec::new(),
                        source,
                    },
                })
            }
            (result, _) => result,
        }
    }

    /// Resolves what an earlier attempt sent, then does the rest.
    async fn resolve_and_continue(
        &self,
        task: &mut WriteTask,
        write: &Command,
        open: &Open,
    ) -> Result<Ended, Error> {
        let list = self.current_list(task).await?;
        if open.posted.is_some() {
            self.detect_earlier_collateral_change(task, &list).await?;
        }
        let Some(resolved) = self.resolve(task, open, &list).await.pop() else {
            return Err(Error::Panicked { begun: true });
        };
        match resolved {
            Resolved::Applied {
                expectation,
                number,
                repairable,
            } => {
                let kind = expectation.kind;
                let applied = self
                    .finish_resolved(task, expectation, list, number, repairable)
                    .await?;
                Ok(Ended::Reply(Box::new(reply(kind, applied)?)))
            }
            Resolved::Never(expectation) => {
                self.audit_resolved(task, &expectation, Outcome::NotDone, &list, None);
                Ok(Ended::Anew)
            }
            Resolved::Again => self.plan_and_execute(task, write).await,
            Resolved::Unknown {
                expectation,
                candidates,
            } => Err(outcome_unknown(expectation, candidates)),
        }
    }

    /// Restores what an earlier attempt changed besides its number, if this call may write.
    pub(super) async fn detect_earlier_collateral_change(
        &self,
        task: &mut WriteTask,
        list: &List,
    ) -> Result<(), Error> {
        let posted = task.open.as_ref().and_then(|open| open.posted.as_ref());
        let changed = posted
            .is_some_and(|posted| !posted.affected(list).is_empty() || !posted.restored.is_empty());
        if !changed {
            return Ok(());
        }
        self.authorize(task)?;
        self.detect_collateral_change(task, list).await
    }

    /// Finishes a step that an earlier attempt sent, and that a list shows.
    pub(super) async fn finish_resolved(
        &self,
        task: &mut WriteTask,
        mut expectation: Expectation,
        list: List,
        number: NumberId,
        repairable: bool,
    ) -> Result<Applied, Error> {
        // A repair has an entry of its own in the audit log.
        if !expectation.applied || !expectation.needs_repair(&list, number) {
            self.audit_resolved(task, &expectation, Outcome::Done, &list, Some(number));
        }
        if expectation.kind == WriteKind::Delete {
            self.recent_deletes.record(task.call.account, number);
            return Ok(Applied {
                list,
                number,
                unapplied: FieldSet::empty(),
            });
        }
        expectation.number = Some(number);
        if repairable {
            self.finish_fields_later(task, expectation, list).await
        } else {
            self.finish_fields(task, expectation, list, None).await
        }
    }

    async fn plan_and_execute(
        &self,
        task: &mut WriteTask,
        write: &Command,
    ) -> Result<Ended, Error> {
        let mut list = self.current_list(task).await?;
        loop {
            self.authorize(task)?;
            let step = match self.plan_one(task, &list, write)? {
                Planned::Step(step) => step,
                Planned::Nothing(reply) => return Ok(Ended::Reply(reply)),
            };
            let kind = step.expectation.kind;
            match self.execute(task, &list, *step).await? {
                Executed::Applied(applied) => {
                    return Ok(Ended::Reply(Box::new(reply(kind, *applied)?)));
                }
                Executed::Stale(now) => list = now,
            }
        }
    }

    fn plan_one(&self, task: &WriteTask, list: &List, write: &Command) -> Result<Planned, Error> {
        let planner = self.planner(&task.call, &task.caller);
        let nothing = |numbers| {
            Ok(Planned::Nothing(Box::new(WriteReply {
                numbers,
                list_etag: Some(Etag::of_list(list)),
                ..WriteReply::default()
            })))
        };
        let step = match write {
            Command::Add(request) => planner.add(list, &request.draft)?,
            Command::Update(request) => {
                let planned = planner.update(list, request)?;
                match planned.step {
                    Some(step) => step,
                    None => {
                        return nothing(vec![NumberView::Stored(planned.number)]);
                    }
                }
            }
            Command::Delete(request) => match planner.delete(list, request)? {
                Some(step) => step,
                None => return nothing(Vec::new()),
            },
            Command::ReplaceAll(_) => return Err(Error::Panicked { begun: false }),
        };
        Ok(Planned::Step(Box::new(step)))
    }
}

enum Planned {
    Step(Box<PlannedStep>),
    /// Nothing is to be written.
    Nothing(Box<WriteReply>),
}

/// Makes the reply of a write of one step.
pub(super) fn reply(kind: WriteKind, applied: Applied) -> Result<WriteReply, Error> {
    let Applied {
        list,
        number,
        unapplied,
    } = applied;
    let numbers = match (kind, list.find(number).cloned()) {
        (WriteKind::Delete, _) => Vec::new(),
        (_, Some(number)) => vec![NumberView::Stored(number)],
        (_, None) => return Err(Error::Vanished { number }),
    };
    Ok(WriteReply {
        numbers,
        unapplied,
        list_etag: Some(Etag::of_list(&list)),
        ..WriteReply::default()
    })
}
