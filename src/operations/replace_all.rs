//! ReplaceAll: a plan of single writes, one after the other.

use super::{
    Error, NumberView, Operations,
    add::asked,
    settle::{Judgement, Outcome},
    update::{Way, sendable},
};
use crate::{
    domain::{
        AccountId, Desired, FieldSet, Fields, List, NumberId, Plan, Settings, Step, Violations,
    },
    upstream::{Context, UpdateAll},
};
use tokio::time::Instant;

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// It was done: reading back shows it.
    Done,
    /// It was not done.
    Failed,
    /// It was begun, and nobody knows.
    Unknown,
    /// It was not begun.
    NotStarted,
}

/// A step, and what became of it.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// What the step does.
    pub step: Step,
    /// The number; `None` for an add that is not done.
    pub id: Option<NumberId>,
    /// What became of it.
    pub outcome: StepOutcome,
    /// Why it is not done: a reason of ErrorInfo, or empty.
    pub reason: &'static str,
    /// The fields that did not take.
    pub unapplied: FieldSet,
}

impl StepReport {
    fn new(step: Step, outcome: StepOutcome) -> Self {
        let id = match &step {
            Step::Keep { id, .. } | Step::Update { id, .. } | Step::Delete { id } => Some(*id),
            Step::Add { .. } => None,
        };
        Self {
            step,
            id,
            outcome,
            reason: "",
            unapplied: FieldSet::EMPTY,
        }
    }
}

/// A replace-all that was done.
#[derive(Debug)]
pub struct Replaced {
    /// The numbers, read back; of a plan that is only checked, as they would be.
    pub numbers: Vec<NumberView>,
    /// The settings of the list.
    pub settings: Option<Settings>,
    /// The list as it was read back; `None` for a plan that is only checked.
    pub list: Option<List>,
    /// What was done, in order.
    pub reports: Vec<StepReport>,
}

/// A replace-all that stopped on its way.
#[derive(Debug)]
pub struct Incomplete {
    /// What was done and what was not, in order.
    pub reports: Vec<StepReport>,
    /// The list as it was read back, where that worked.
    pub list: Option<List>,
}

impl Operations {
    /// Makes the list of an account the desired one.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Upstream`] before the first write;
    /// [`Error::ReplaceIncomplete`] after a step that failed or whose outcome is unknown;
    /// [`Error::WroteTooMuch`].
    pub async fn replace_all(
        &self,
        context: &Context,
        account: AccountId,
        desired: &[Desired],
        validate_only: bool,
    ) -> Result<Replaced, Error> {
        let rules = &self.config.rules;
        let before = self.current(context, account).await?;
        let plan = Plan::new(&before, desired, rules);
        let mut violations = Violations::default();
        plan.check(desired, rules, &mut violations);
        violations.into_result().map_err(Error::Invalid)?;
        if validate_only {
            return Ok(checked_only(account, &before, plan));
        }
        let mut reports = Vec::with_capacity(plan.steps.len());
        let mut steps = plan.steps;
        let mut list = before;
        if self.client.update_all_mode() == UpdateAll::WholeList
            && steps.iter().any(|step| !matches!(step, Step::Keep { .. }))
        {
            (list, steps) = self
                .post_list(context, account, desired, list, steps, &mut reports)
                .await?;
        }
        let mut steps = steps.into_iter();
        while let Some(step) = steps.next() {
            let mut report = StepReport::new(step, StepOutcome::Done);
            match self
                .step(context, account, desired, &list, &mut report)
                .await
            {
                Ok(Some(now)) => list = now,
                Ok(None) => {}
                Err(error @ Error::WroteTooMuch { .. }) => return Err(error),
                Err(error) => {
                    report.outcome = match &error {
                        Error::OutcomeUnknown { .. } => StepOutcome::Unknown,
                        _ => StepOutcome::Failed,
                    };
                    report.reason = error.reason();
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        upstream = error.upstream().and_then(|error| error.detail()),
                        "a step of a replace-all was not done"
                    );
                    reports.push(report);
                    reports
                        .extend(steps.map(|step| StepReport::new(step, StepOutcome::NotStarted)));
                    return Err(self.incomplete(context, account, reports).await);
                }
            }
            reports.push(report);
        }
        Ok(Replaced {
            numbers: list
                .numbers
                .iter()
                .cloned()
                .map(NumberView::Stored)
                .collect(),
            settings: list.settings.clone(),
            list: Some(list),
            reports,
        })
    }

    /// Does one step. Returns the list after it, where it wrote.
    async fn step(
        &self,
        context: &Context,
        account: AccountId,
        desired: &[Desired],
        list: &List,
        report: &mut StepReport,
    ) -> Result<Option<List>, Error> {
        let applied = match report.step.clone() {
            Step::Keep { .. } => return Ok(None),
            Step::Delete { id } if list.find(id).is_none() => return Ok(None),
            Step::Delete { id } => {
                let list = self.delete_one(context, account, list, id, false).await?;
                return Ok(Some(list));
            }
            Step::Update {
                index,
                id,
                target,
                changed,
            } => {
                let old = list.find(id).ok_or(Error::Vanished { number: id })?;
                sendable(old, changed)?;
                let path = format!("numbers[{index}]");
                let (list, _) = self
                    .update_one(context, account, list, id, &target, Way::Post, &path)
                    .await?;
                self.finish(context, account, id, &target, changed, true, list)
                    .await?
            }
            Step::Add { index, target } => {
                let path = format!("numbers[{index}]");
                let (list, id) = self.add_one(context, account, list, &target, &path).await?;
                report.id = Some(id);
                let asked = desired
                    .get(index)
                    .map_or(FieldSet::all(), |desired| asked(&desired.draft, &target));
                self.finish(context, account, id, &target, asked, false, list)
                    .await?
            }
        };
        report.unapplied = applied.unapplied;
        Ok(applied.list)
    }

    /// Posts the whole desired list as one CSV, and reports what reading back shows to be done.
    /// Returns the list after it, and the steps that are still to be done one by one.
    async fn post_list(
        &self,
        context: &Context,
        account: AccountId,
        desired: &[Desired],
        before: List,
        steps: Vec<Step>,
        reports: &mut Vec<StepReport>,
    ) -> Result<(List, Vec<Step>), Error> {
        let mut numbers: Vec<(usize, Option<NumberId>, &Fields)> = Vec::new();
        for step in &steps {
            match step {
                Step::Keep { index, id } => {
                    if let Some(number) = before.find(*id) {
                        numbers.push((*index, Some(*id), &number.fields));
                    }
                }
                Step::Update {
                    index, id, target, ..
                } => numbers.push((*index, Some(*id), target)),
                Step::Add { index, target } => numbers.push((*index, None, target)),
                Step::Delete { .. } => {}
            }
        }
        if numbers.is_empty() {
            // A CSV without records is an object without values (WIRE.md 7), not an empty list.
            return Ok((before, steps));
        }
        numbers.sort_by_key(|(index, _, _)| *index);
        let numbers: Vec<_> = numbers
            .into_iter()
            .map(|(_, id, fields)| (id, fields))
            .collect();
        let until = Instant::now() + self.config.write_limit;
        let sent = self.client.update_all(context, account, &numbers).await;
        if sent
            .as_ref()
            .is_err_and(crate::upstream::Error::nothing_ran)
        {
            return Ok((before, steps));
        }
        let rules = &self.config.rules;
        let done = |list: &List| Plan::new(list, desired, rules).writes_nothing();
        let over = sent.is_ok() || sent.as_ref().is_err_and(crate::upstream::Error::answered);
        let judge = |list: &List| {
            // Any number will do: what counts is the list.
            match list.numbers.first() {
                Some(number) if over || done(list) => Judgement::Done(number.id),
                _ => Judgement::NotDone,
            }
        };
        let list = match self
            .settle(context, account, &sent, until, done, judge)
            .await
        {
            Outcome::Done(list, _) | Outcome::NotDone(list) => list,
            Outcome::Unknown(_) => {
                reports.extend(steps.into_iter().map(|step| {
                    let mut report = StepReport::new(step, StepOutcome::Unknown);
                    report.reason = "OUTCOME_UNKNOWN";
                    report
                }));
                let reports = std::mem::take(reports);
                return Err(self.incomplete(context, account, reports).await);
            }
        };
        let rest = Plan::new(&list, desired, rules).steps;
        let kept = |wanted: usize| {
            rest.iter().find_map(|step| match step {
                Step::Keep { index, id } if *index == wanted => Some(*id),
                _ => None,
            })
        };
        for step in steps {
            let done = match &step {
                Step::Keep { index, .. } | Step::Update { index, .. } | Step::Add { index, .. } => {
                    kept(*index)
                }
                Step::Delete { id } => list.find(*id).is_none().then_some(*id),
            };
            if let Some(id) = done {
                let mut report = StepReport::new(step, StepOutcome::Done);
                report.id = Some(id);
                reports.push(report);
            }
        }
        let rest = rest
            .into_iter()
            .filter(|step| !matches!(step, Step::Keep { .. }))
            .collect();
        Ok((list, rest))
    }

    /// Reads back where a replace-all stands that stopped.
    async fn incomplete(
        &self,
        context: &Context,
        account: AccountId,
        reports: Vec<StepReport>,
    ) -> Error {
        let context = Context {
            deadline: Some(Instant::now() + self.config.write_limit),
            ..context.clone()
        };
        let list = self.client.list(&context, account).await.ok();
        Error::ReplaceIncomplete(Box::new(Incomplete { reports, list }))
    }
}

/// Shows what a plan would do.
fn checked_only(account: AccountId, before: &List, plan: Plan) -> Replaced {
    let mut numbers: Vec<(Option<i32>, Option<NumberId>, NumberView)> = plan
        .steps
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
    Replaced {
        numbers: numbers.into_iter().map(|(_, _, view)| view).collect(),
        settings: before.settings.clone(),
        list: None,
        reports: plan
            .steps
            .into_iter()
            .map(|step| StepReport::new(step, StepOutcome::NotStarted))
            .collect(),
    }
}
