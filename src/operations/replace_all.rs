//! ReplaceAll: a plan of many steps, one after the other.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::{
    Error, NumberView, Operations, ReplaceAllRequest, StepOutcome, StepReport, WriteReply,
    execute::{Applied, Executed},
    expectation::{Expectation, WriteKind},
    plan::with_ids_of_done,
    precondition::check_etags,
    resolve::{Resolved, outcome_unknown},
    single::Ended,
    task::{Open, Progress, WriteTask},
};
use crate::{
    domain::{AccountId, Desired, Etag, FieldSet, List, NumberId, Step, Violations},
    telemetry::audit::Outcome,
    upstream::UpdateAll,
};

/// A replace-all that stopped before its last step.
#[derive(Debug)]
pub struct Incomplete {
    /// What was done and what was not, in order.
    pub reports: Vec<StepReport>,
    /// The list as it was read back, where that worked.
    pub list: Option<List>,
    /// The rules that the values of the failed step break, where that is why.
    pub violations: Option<Violations>,
    /// Whether it changed something, or may have: then the list is not that of the first etags.
    pub(super) wrote: bool,
    /// Whether the outcome of a step is unknown.
    pub(super) unknown: bool,
}

/// A replace-all in progress.
pub(super) struct Replacing {
    /// The list as it was read last.
    pub(super) list: List,
    /// The desired numbers; those that are done name the number that was made of them.
    pub(super) desired: Vec<Desired>,
    /// The steps that are over, in order.
    pub(super) reports: Vec<StepReport>,
}

impl Incomplete {
    /// Returns how many steps are done.
    #[must_use]
    pub fn done(&self) -> usize {
        let outcomes = self.reports.iter().map(|report| report.outcome);
        outcomes
            .filter(|outcome| *outcome == StepOutcome::Done)
            .count()
    }
}

impl Operations {
    /// Makes the list of an account the desired one, from where an earlier attempt stopped.
    ///
    /// # Errors
    /// Those of the plan, [`Error::NotSent`], [`Error::Denied`], [`Error::Upstream`] before the
    /// first write; [`Error::ReplaceIncomplete`] after a step that failed or whose outcome is
    /// unknown, or that was not begun within `calls.replace_limit`; [`Error::CollateralChange`].
    pub(super) async fn replace_list(
        &self,
        task: &mut WriteTask,
        request: &ReplaceAllRequest,
    ) -> Result<Ended, Error> {
        task.progress.get_or_insert_with(|| Progress {
            desired: request.desired.clone(),
            etags: request.etags.clone(),
            ..Progress::default()
        });
        self.replace_from_progress(task).await
    }

    /// Continues a replace-all.
    pub(super) async fn replace_from_progress(&self, task: &mut WriteTask) -> Result<Ended, Error> {
        let list = self.current_list(task).await?;
        let mut replacing = Replacing {
            list,
            desired: Vec::new(),
            reports: Vec::new(),
        };
        let left = match task.open.clone() {
            Some(open) => self.resolve_steps(task, &open, &mut replacing.list).await?,
            None => None,
        };
        let progress = task.progress.clone().unwrap_or_default();
        replacing.desired = with_ids_of_done(&progress.desired, &progress.made());
        self.authorize(task)?;
        let steps = self.planner(&task.call, &task.caller).replace_all(
            &replacing.list,
            &replacing.desired,
            &progress.etags(),
        )?;
        if let Some(error) = left {
            let open = task.open.clone().unwrap_or_default();
            let steps = steps.into_iter();
            replacing
                .reports
                .extend(steps.map(|step| report_unknown(step, &open, &error)));
            return Err(self.incomplete(task, replacing.reports, error).await);
        }
        let mut steps = steps;
        if self.client.update_all_mode() == UpdateAll::WholeList
            && steps.iter().any(|step| !matches!(step, Step::Keep { .. }))
        {
            steps = self.post_list(task, &mut replacing, steps).await?;
        }
        let mut steps = steps.into_iter();
        while let Some(step) = steps.next() {
            let mut report = StepReport::new(step, StepOutcome::Done);
            let error = match self.replace_one(task, &mut replacing, &mut report).await {
                Ok(()) => {
                    replacing.reports.push(report);
                    continue;
                }
                Err(error @ Error::CollateralChange { .. }) => {
                    self.record_written(task, report.id);
                    return Err(error);
                }
                Err(error) if !task.commit.is_committed() => return Err(error),
                Err(error) => error,
            };
            report.fail(&error);
            if error.was_applied() {
                self.record_written(task, report.id);
            }
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                upstream = error.upstream().and_then(|error| error.detail()),
                "a step of a replace-all was not done"
            );
            replacing.reports.push(report);
            let not_started = steps.map(|step| StepReport::new(step, StepOutcome::NotStarted));
            replacing.reports.extend(not_started);
            return Err(self.incomplete(task, replacing.reports, error).await);
        }
        let numbers = replacing.list.numbers.iter().cloned();
        Ok(Ended::Reply(Box::new(WriteReply {
            numbers: numbers.map(NumberView::Stored).collect(),
            settings: replacing.list.settings.clone(),
            list_etag: Some(Etag::of_list(&replacing.list)),
            steps: replacing.reports,
            ..WriteReply::default()
        })))
    }

    fn record_written(&self, task: &mut WriteTask, number: Option<NumberId>) {
        if let Some(progress) = &mut task.progress {
            progress.written.extend(number);
        }
    }

    /// Resolves the steps that an earlier attempt sent. Returns the error of one whose outcome is
    /// still unknown; only those stay open.
    async fn resolve_steps(
        &self,
        task: &mut WriteTask,
        open: &Open,
        list: &mut List,
    ) -> Result<Option<Error>, Error> {
        self.detect_earlier_collateral_change(task, list).await?;
        let mut left = Vec::new();
        let mut error = None;
        for resolved in self.resolve(task, open, list).await {
            match resolved {
                Resolved::Applied {
                    expectation,
                    number,
                    repairable,
                } => {
                    let (index, kind) = (expectation.index, expectation.kind);
                    let finished = self
                        .finish_resolved(task, expectation, list.clone(), number, repairable)
                        .await;
                    match finished {
                        Ok(applied) => {
                            list.clone_from(&applied.list);
                            record_done(task, report_applied(kind, index, &applied));
                        }
                        Err(failed @ Error::CollateralChange { .. }) => {
                            self.record_written(task, Some(number));
                            return Err(failed);
                        }
                        // The plan shows what is left of it.
                        Err(failed) if failed.was_applied() => {
                            if let Error::FieldsUnverified { expectation, .. } = &failed {
                                left.push((**expectation).clone());
                                error.get_or_insert(failed);
                            } else {
                                self.record_written(task, Some(number));
                            }
                        }
                        Err(failed) => return Err(failed),
                    }
                }
                Resolved::Never(expectation) => {
                    self.audit_resolved(task, &expectation, Outcome::NotDone, list, None);
                }
                Resolved::Again => {}
                Resolved::Unknown {
                    expectation,
                    candidates,
                } => {
                    left.push(expectation.clone());
                    error.get_or_insert(outcome_unknown(expectation, candidates));
                }
            }
        }
        task.open = (!left.is_empty()).then(|| Open {
            expectations: left,
            ..open.clone()
        });
        Ok(error)
    }

    /// Executes one step, planned anew from the list that was read last.
    async fn replace_one(
        &self,
        task: &mut WriteTask,
        replacing: &mut Replacing,
        report: &mut StepReport,
    ) -> Result<(), Error> {
        if matches!(report.step, Step::Keep { .. }) {
            return Ok(());
        }
        loop {
            self.check_limit(task)?;
            self.authorize(task)?;
            let etags = task.progress.as_ref().map(Progress::etags);
            check_etags(&etags.unwrap_or_default(), &replacing.list)?;
            let planner = self.planner(&task.call, &task.caller);
            let (list, desired) = (&replacing.list, &replacing.desired);
            let Some(step) = planner.step(list, desired, &report.step)? else {
                return Ok(());
            };
            if let Some(unapplied) = done_before(task, report, &step.expectation) {
                report.unapplied = unapplied;
                return Ok(());
            }
            let wrote = set_wrote(task, true);
            match self.execute(task, list, step).await {
                Ok(Executed::Applied(applied)) => {
                    report.id = Some(applied.number);
                    report.unapplied = applied.unapplied;
                    replacing.list = applied.list;
                    task.open = None;
                    record_done(task, report.clone());
                    return Ok(());
                }
                Ok(Executed::Stale(now)) => {
                    set_wrote(task, wrote);
                    replacing.list = now;
                }
                Err(error) => {
                    if error.proves_not_applied() {
                        set_wrote(task, wrote);
                    }
                    if !matches!(
                        error,
                        Error::OutcomeUnknown { .. } | Error::FieldsUnverified { .. }
                    ) {
                        task.open = None;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Ends a replace-all that has begun between two steps: at its limit, or with the process.
    ///
    /// # Errors
    /// [`Error::NotSent`].
    fn check_limit(&self, task: &WriteTask) -> Result<(), Error> {
        let over = task.ends.is_some_and(|ends| Instant::now() >= ends);
        if over || task.commit.is_committed() && self.stopping.load(Ordering::Relaxed) {
            return Err(Error::NotSent);
        }
        Ok(())
    }

    /// Reads back the progress of a replace-all that stopped.
    pub(super) async fn incomplete(
        &self,
        task: &mut WriteTask,
        reports: Vec<StepReport>,
        cause: Error,
    ) -> Error {
        let wrote = !cause.proves_not_applied()
            || task
                .progress
                .as_ref()
                .is_some_and(|progress| progress.wrote);
        let unknown = matches!(
            cause,
            Error::OutcomeUnknown { .. } | Error::FieldsUnverified { .. }
        );
        let violations = match cause {
            Error::Invalid(violations) => Some(violations),
            _ => None,
        };
        task.limit(self.config.write_limit);
        let list = self.read(task).await.ok();
        Error::ReplaceIncomplete(Box::new(Incomplete {
            reports,
            list,
            violations,
            wrote,
            unknown,
        }))
    }
}

/// Records whether a replace-all changed something. Returns the value before.
pub(super) fn set_wrote(task: &mut WriteTask, wrote: bool) -> bool {
    task.progress
        .as_mut()
        .is_some_and(|progress| std::mem::replace(&mut progress.wrote, wrote))
}

pub(super) fn record_done(task: &mut WriteTask, report: StepReport) {
    if let Some(progress) = &mut task.progress {
        progress.wrote = true;
        progress.done.push(report);
    }
}

/// Returns the fields that upstream did not apply of a number that an earlier attempt wrote, if the
/// number differs from the desired one in nothing else. What somebody else changed since is written
/// again.
fn done_before(
    task: &WriteTask,
    report: &StepReport,
    expectation: &Expectation,
) -> Option<FieldSet> {
    let progress = task.progress.as_ref()?;
    // The latest one.
    let mut done = progress.done.iter().rev();
    let known = done.find(|done| {
        done.index().is_some() && done.index() == report.index() && done.id == report.id
    })?;
    let differs = expectation.target.differences(&expectation.old);
    (differs.difference(known.unapplied).is_empty()).then_some(known.unapplied)
}

pub(super) fn report_applied(
    kind: WriteKind,
    index: Option<usize>,
    applied: &Applied,
) -> StepReport {
    let id = applied.number;
    let index = index.unwrap_or_default();
    let step = match kind {
        WriteKind::Delete => Step::Delete { id },
        WriteKind::Add | WriteKind::Update => Step::Keep { index, id },
    };
    StepReport {
        unapplied: applied.unapplied,
        ..StepReport::new(step, StepOutcome::Done)
    }
}

/// Reports a step while the outcome of one of them is unknown.
fn report_unknown(step: Step, open: &Open, error: &Error) -> StepReport {
    let is_open = |expectation: &Expectation| match &step {
        Step::Add { index, target } => {
            expectation.index == Some(*index) || expectation.adds(target)
        }
        Step::Keep { id, .. } | Step::Update { id, .. } | Step::Delete { id } => {
            expectation.number == Some(*id)
        }
    };
    let (outcome, reason) = match &step {
        step if open.expectations.iter().any(is_open) && !matches!(step, Step::Keep { .. }) => {
            (StepOutcome::Unknown, error.reason())
        }
        Step::Keep { .. } => (StepOutcome::Done, ""),
        _ => (StepOutcome::NotStarted, ""),
    };
    StepReport {
        reason,
        ..StepReport::new(step, outcome)
    }
}

/// Returns the reply of a plan that is not executed.
pub(super) fn planned(account: AccountId, before: &List, steps: Vec<Step>) -> WriteReply {
    let mut numbers: Vec<(Option<i32>, Option<NumberId>, NumberView)> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Keep { id, .. } => {
                let number = before.find(*id)?.clone();
                Some((number.fields.order, Some(*id), NumberView::Stored(number)))
            }
            Step::Update { id, target, .. } => {
                let mut number = before.find(*id)?.clone();
                number.fields = target.clone();
                Some((number.fields.order, Some(*id), NumberView::Stored(number)))
            }
            Step::Add { target, .. } => {
                let view = NumberView::Planned(account, target.clone());
                Some((target.order, None, view))
            }
            Step::Delete { .. } => None,
        })
        .collect();
    numbers.sort_by_key(|(order, id, _)| (order.is_none(), *order, id.is_none(), *id));
    WriteReply {
        numbers: numbers.into_iter().map(|(_, _, view)| view).collect(),
        settings: before.settings.clone(),
        list_etag: None,
        steps: steps
            .into_iter()
            .map(|step| StepReport::new(step, StepOutcome::NotStarted))
            .collect(),
        ..WriteReply::default()
    }
}
