//! Posts the desired list as one CSV, for a host that replaces the whole list by it.

use std::time::Instant;

use super::{
    Error, Etags, Operations, StepOutcome, StepReport,
    audited::end_posted,
    deliver::{Delivered, Payload},
    execute::MAX_PLAN_AGE,
    expectation::Verdict,
    plan::{PlannedStep, UpdateRoute, with_ids_of_done},
    replace_all::{Replacing, record_done},
    task::{Open, WriteTask},
    verify::is_acknowledged,
};
use crate::{
    domain::{Etag, Fields, List, NumberId, Step},
    telemetry::{
        audit::{Entry, Outcome},
        in_flight::Phase,
        metrics::{self, WriteOutcome},
    },
};

/// A step that is posted with others.
struct Posting {
    step: Step,
    planned: PlannedStep,
    entry: Entry,
}

impl Operations {
    /// Posts the whole desired list, and reports what reading back shows to be done. Returns the
    /// steps that are still to be done one by one.
    ///
    /// # Errors
    /// [`Error::ReplaceIncomplete`] where the outcome is unknown; those of the plan that is made of
    /// what is left.
    pub(super) async fn post_list(
        &self,
        task: &mut WriteTask,
        replacing: &mut Replacing,
        steps: Vec<Step>,
    ) -> Result<Vec<Step>, Error> {
        let before = replacing.list.clone();
        let numbers = whole_list(&before, &steps);
        if numbers.is_empty() {
            // A CSV without records is an object without values (docs/upstream/wire.md 7), not an
            // empty list.
            return Ok(steps);
        }
        let began = Instant::now();
        let mut postings = Vec::with_capacity(steps.len());
        for step in &steps {
            let planner = self.planner(&task.call, &task.caller);
            if let Some(mut planned) = planner.step(&before, &replacing.desired, step)? {
                let entry = self
                    .audit
                    .begin(&task.actor, (&planned.expectation).into())
                    .await?;
                entry.id().clone_into(&mut planned.expectation.entry);
                postings.push(Posting {
                    step: step.clone(),
                    planned,
                    entry,
                });
            }
        }
        task.call.progress.enter(Phase::Writing);
        let expectations: Vec<_> = postings
            .iter()
            .map(|posting| posting.planned.expectation.clone())
            .collect();
        task.open = Some(Open {
            expectations: expectations.clone(),
            ..Open::default()
        });
        let wrote = super::replace_all::set_wrote(task, true);
        let delivered = match self.begin_posting(task, &before, began).await {
            Ok(true) => {
                let payload = Payload::List(&numbers);
                let routes = [UpdateRoute::Post];
                let delivered = self.deliver(task, payload, &routes, &expectations);
                delivered.await.map(Some)
            }
            // The list changed meanwhile: single steps are planned anew.
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        let (sent, verified) = match delivered {
            Ok(Some(Delivered::Ran { sent, verified, .. })) => (sent, verified),
            not_run => {
                super::replace_all::set_wrote(task, wrote);
                task.open = None;
                end_all(postings, Outcome::NotDone);
                return match not_run {
                    Ok(_) => Ok(steps),
                    Err(error) => Err(error),
                };
            }
        };
        let unknown = verified.list.is_none()
            || verified
                .verdicts
                .iter()
                .any(|verdict| matches!(verdict, Verdict::Inconclusive(_)));
        metrics::write(
            "replace_all",
            match &sent {
                _ if unknown => WriteOutcome::Unknown,
                Ok(_) => WriteOutcome::Done,
                Err(_) => WriteOutcome::Settled,
            },
        );
        if let Err(error) = &sent {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "the whole list was posted without a good answer"
            );
        }
        if unknown {
            return Err(self
                .posting_unknown(task, replacing, steps, postings, sent)
                .await);
        }
        if let Some(open) = &mut task.open {
            open.acknowledged = is_acknowledged(&sent);
        }
        replacing.list = verified.list.unwrap_or_default();
        self.report_posted(task, replacing, steps, postings, &verified.verdicts)
            .await
    }

    /// Begins the steps that are posted together. Returns false if the list changed meanwhile.
    async fn begin_posting(
        &self,
        task: &mut WriteTask,
        before: &List,
        began: Instant,
    ) -> Result<bool, Error> {
        self.write_record(task).await?;
        if began.elapsed() > MAX_PLAN_AGE {
            let now = self.read_list(&task.call, &task.options).await?;
            if Etag::of_list(&now) != Etag::of_list(before) {
                return Ok(false);
            }
        }
        task.commit(self.config.write_limit, self.config.replace_limit)?;
        Ok(true)
    }

    async fn posting_unknown(
        &self,
        task: &mut WriteTask,
        replacing: &mut Replacing,
        steps: Vec<Step>,
        postings: Vec<Posting>,
        sent: super::verify::Sent,
    ) -> Error {
        let unknown = match postings.first() {
            Some(posting) => Error::OutcomeUnknown {
                expectation: Box::new(posting.planned.expectation.clone()),
                candidates: Vec::new(),
                source: sent.err(),
            },
            None => Error::Panicked { begun: true },
        };
        end_all(postings, Outcome::Unknown);
        replacing.reports.extend(steps.into_iter().map(|step| {
            if matches!(step, Step::Keep { .. }) {
                return StepReport::new(step, StepOutcome::Done);
            }
            StepReport {
                reason: unknown.reason(),
                ..StepReport::new(step, StepOutcome::Unknown)
            }
        }));
        let reports = std::mem::take(&mut replacing.reports);
        self.incomplete(task, reports, unknown).await
    }

    /// Reports the steps that the list shows, and plans what is left anew, with all its checks.
    async fn report_posted(
        &self,
        task: &mut WriteTask,
        replacing: &mut Replacing,
        steps: Vec<Step>,
        postings: Vec<Posting>,
        verdicts: &[Verdict],
    ) -> Result<Vec<Step>, Error> {
        let made: Vec<(usize, NumberId)> = postings
            .iter()
            .zip(verdicts)
            .filter_map(|(posting, verdict)| match verdict {
                Verdict::Applied(id) | Verdict::AppliedDifferently(id) => {
                    Some((posting.planned.expectation.index?, *id))
                }
                _ => None,
            })
            .collect();
        for (_, id) in &made {
            if let Some(found) = replacing.list.find(*id) {
                self.made_by_this_add(task, found, true, false).await;
            }
        }
        replacing.desired = with_ids_of_done(&replacing.desired, &made);
        let planner = self.planner(&task.call, &task.caller);
        let planned = planner.replace_all(&replacing.list, &replacing.desired, &Etags::default());
        let rest = match planned {
            Ok(rest) => rest,
            Err(error) => {
                end_all(postings, Outcome::Unknown);
                replacing.reports.extend(
                    steps
                        .into_iter()
                        .map(|step| StepReport::new(step, StepOutcome::NotStarted)),
                );
                let reports = std::mem::take(&mut replacing.reports);
                return Err(self.incomplete(task, reports, error).await);
            }
        };
        let mut entries = postings.into_iter().peekable();
        for step in steps {
            let entry = entries.next_if(|posting| posting.step == step);
            let report = shown(&replacing.list, &rest, step);
            if let Some(posting) = entry {
                let id = report.as_ref().and_then(|report| report.id);
                let outcome = if report.is_some() {
                    Outcome::Done
                } else {
                    Outcome::NotDone
                };
                end_posted(posting.entry, outcome, id);
                if let Some(report) = &report {
                    record_done(task, report.clone());
                }
            }
            replacing.reports.extend(report);
        }
        task.open = None;
        Ok(rest
            .into_iter()
            .filter(|step| !matches!(step, Step::Keep { .. }))
            .collect())
    }
}

fn end_all(postings: Vec<Posting>, outcome: Outcome) {
    for posting in postings {
        end_posted(posting.entry, outcome, None);
    }
}

/// Returns the whole desired list, in the order of the request.
fn whole_list<'a>(before: &'a List, steps: &'a [Step]) -> Vec<(Option<NumberId>, &'a Fields)> {
    let mut numbers: Vec<(usize, Option<NumberId>, &Fields)> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Keep { index, id } => Some((*index, Some(*id), &before.find(*id)?.fields)),
            Step::Update {
                index, id, target, ..
            } => Some((*index, Some(*id), target)),
            Step::Add { index, target } => Some((*index, None, target)),
            Step::Delete { .. } => None,
        })
        .collect();
    numbers.sort_by_key(|(index, _, _)| *index);
    numbers
        .into_iter()
        .map(|(_, id, fields)| (id, fields))
        .collect()
}

/// Reports a step as done where the list shows it. `rest` is what is left to be done.
fn shown(list: &List, rest: &[Step], step: Step) -> Option<StepReport> {
    let id = match &step {
        Step::Keep { index, .. } | Step::Update { index, .. } | Step::Add { index, .. } => {
            rest.iter().find_map(|left| match left {
                Step::Keep { index: kept, id } if kept == index => Some(*id),
                _ => None,
            })
        }
        Step::Delete { id } => list.find(*id).is_none().then_some(*id),
    }?;
    Some(StepReport {
        id: Some(id),
        ..StepReport::new(step, StepOutcome::Done)
    })
}
