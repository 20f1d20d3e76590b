//! ReplaceAll: a plan of single writes, one after the other.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Call, Error, Etags, NumberView, Operations, ReplaceAllReply, ReplaceAllRequest, Run,
    StepOutcome, StepReport,
    add::asked,
    audited::{end_step, to_its_end},
    check_destination, check_etag,
    effect::Effect,
    missing,
    second_way::Goal,
    settle::{PATIENCE, is_over, says_done},
    update::{Way, sendable},
    write::{Command, Reply, other_reply},
};
use crate::{
    domain::{AccountId, Desired, Etag, FieldSet, Fields, List, NumberId, Plan, Step, Violations},
    telemetry::{
        audit::{Change, Entry, Outcome},
        in_flight::Phase,
        metrics::{self, WriteOutcome},
    },
    upstream::{self, UpdateAll},
};

impl Etags {
    fn check(&self, list: &List) -> Result<(), Error> {
        check_etag(self.list.as_deref(), Etag::of_list(list), None)?;
        for (id, etag) in &self.numbers {
            match list.find(*id) {
                Some(number) => check_etag(Some(etag), Etag::of_number(number), Some(number))?,
                None => {
                    return Err(Error::EtagMismatch {
                        etag: None,
                        number: Some(*id),
                    });
                }
            }
        }
        Ok(())
    }
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
            unapplied: FieldSet::empty(),
        }
    }
}

/// A replace-all that stopped on its way.
#[derive(Debug)]
pub struct Incomplete {
    /// What was done and what was not, in order.
    pub reports: Vec<StepReport>,
    /// The list as it was read back, where that worked.
    pub list: Option<List>,
    /// The rules that the values of the failed step break, where that is why.
    pub violations: Option<Violations>,
    /// What to look for before going on, where the outcome of a step is unknown.
    pub(super) pending: Option<Effect>,
    /// Whether it changed something, or may have: then the list is not that of the first etags.
    pub(super) wrote: bool,
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
    /// Makes the list of an account the desired one.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::IdsLost`], [`Error::EtagMismatch`], [`Error::Unreadable`],
    /// [`Error::DestinationDenied`], [`Error::NotSent`], [`Error::Upstream`] before the first
    /// write; [`Error::InProgress`]; [`Error::ReplaceIncomplete`] after a step that was not applied,
    /// whose outcome is unknown, or after which the caller had gone; [`Error::WroteTooMuch`].
    pub async fn replace_all(
        self: &Arc<Self>,
        call: &Arc<Call>,
        request: ReplaceAllRequest,
    ) -> Result<ReplaceAllReply, Arc<Error>> {
        if request.validate_only {
            return Ok(call.read(self.plan_replace_all(call, &request)).await?);
        }
        match &*self.write(call, Command::ReplaceAll(request)).await? {
            Reply::ReplaceAll(reply) => Ok(reply.clone()),
            _ => Err(other_reply()),
        }
    }

    /// Reads the list and returns what would be done to make it the desired one.
    #[tracing::instrument(name = "plan", skip_all)]
    async fn plan_replace_all(
        &self,
        call: &Call,
        request: &ReplaceAllRequest,
    ) -> Result<ReplaceAllReply, Error> {
        call.progress.enter(Phase::Planning);
        let before = self.read_list(call, &call.options()).await?;
        let plan = self.plan(call, &before, &request.desired, &request.etags)?;
        Ok(planned(call.account, &before, plan))
    }

    fn plan(
        &self,
        call: &Call,
        before: &List,
        desired: &[Desired],
        etags: &Etags,
    ) -> Result<Plan, Error> {
        // A number that was lost would be added a second time, and another one take its place.
        if before.unidentified > 0 {
            return Err(Error::IdsLost);
        }
        let rules = &self.config.rules;
        let plan = Plan::new(before, desired, rules);
        let mut violations = Violations::default();
        plan.check(desired, rules, &mut violations);
        violations.into_result().map_err(Error::Invalid)?;
        etags.check(before)?;
        // What cannot be sent back, and where calls may not go, is known before anything is written.
        for step in &plan.steps {
            let (index, target) = match step {
                Step::Update {
                    index,
                    id,
                    target,
                    changed,
                } => {
                    let Some(old) = before.find(*id) else {
                        continue;
                    };
                    sendable(old, *changed)?;
                    // Where calls went already, they may go on.
                    if old.fields.same_destination(target) {
                        continue;
                    }
                    (index, target)
                }
                Step::Add { index, target } => (index, target),
                Step::Keep { .. } | Step::Delete { .. } => continue,
            };
            let path = format!("numbers[{index}]");
            check_destination(call, &path, &target.redirect_number)?;
        }
        Ok(plan)
    }

    /// Makes the list of an account the desired one, as the task of a write.
    ///
    /// `pending` is what an earlier try of the same request left unsettled.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::IdsLost`], [`Error::EtagMismatch`], [`Error::Unreadable`],
    /// [`Error::DestinationDenied`], [`Error::NotSent`], [`Error::Upstream`] before the first
    /// write; [`Error::ReplaceIncomplete`] after a step that failed, whose outcome is unknown, or
    /// behind which the caller had gone;
    /// [`Error::WroteTooMuch`].
    pub(super) async fn replace_list(
        &self,
        run: &Run,
        desired: &[Desired],
        etags: &Etags,
        pending: Option<Effect>,
    ) -> Result<ReplaceAllReply, Error> {
        // An add that may still come must not be sent a second time.
        let unsettled = match pending.filter(|effect| !effect.is_idempotent()) {
            Some(effect) => {
                let settled = self.settle_later(run, &effect).await;
                settled.err().map(|error| (effect, error))
            }
            None => None,
        };
        let mut list = self.current(run).await?;
        let mut steps = self.plan(&run.call, &list, desired, etags)?.steps;
        let mut reports = Vec::with_capacity(steps.len());
        if let Some((effect, error)) = unsettled {
            reports.extend(steps.into_iter().map(|step| {
                let (outcome, reason) = match &step {
                    Step::Keep { .. } => (StepOutcome::Done, ""),
                    Step::Add { target, .. } if effect.adds(target) => {
                        (StepOutcome::Unknown, error.reason())
                    }
                    _ => (StepOutcome::NotStarted, ""),
                };
                let mut report = StepReport::new(step, outcome);
                report.reason = reason;
                report
            }));
            let unknown = Error::OutcomeUnknown {
                effect: Box::new(effect),
                candidates: Vec::new(),
                source: None,
            };
            return Err(self.incomplete(run, reports, Some(unknown)).await);
        }
        if self.client.update_all_mode() == UpdateAll::WholeList
            && steps.iter().any(|step| !matches!(step, Step::Keep { .. }))
        {
            (list, steps) = self
                .post_list(run, desired, list, steps, &mut reports)
                .await?;
        }
        let mut steps = steps.into_iter();
        while let Some(step) = steps.next() {
            let mut report = StepReport::new(step, StepOutcome::Done);
            let error = match self.step(run, desired, &list, &mut report).await {
                Ok(now) => {
                    list = now.unwrap_or(list);
                    reports.push(report);
                    continue;
                }
                Err(error @ Error::WroteTooMuch { .. }) => return Err(error),
                Err(error @ (Error::NotSent | Error::AuditUnavailable(_))) if !run.gate.begun() => {
                    return Err(error);
                }
                Err(error) => error,
            };
            report.reason = error.reason();
            report.outcome = match &error {
                Error::OutcomeUnknown { .. } => StepOutcome::Unknown,
                Error::RestUnknown { fields, .. } => {
                    report.unapplied = *fields;
                    StepOutcome::Unknown
                }
                Error::NotSent | Error::AuditUnavailable(_) => StepOutcome::NotStarted,
                Error::FieldsNotApplied { fields, .. } => {
                    report.unapplied = *fields;
                    StepOutcome::Failed
                }
                _ => StepOutcome::Failed,
            };
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                upstream = error.upstream().and_then(|error| error.detail()),
                "a step of a replace-all was not done"
            );
            reports.push(report);
            reports.extend(steps.map(|step| StepReport::new(step, StepOutcome::NotStarted)));
            return Err(self.incomplete(run, reports, Some(error)).await);
        }
        Ok(ReplaceAllReply {
            list_etag: Some(Etag::of_list(&list)),
            numbers: list.numbers.into_iter().map(NumberView::Stored).collect(),
            settings: list.settings,
            steps: reports,
        })
    }

    /// Does one step. Returns the list after it, where it wrote.
    async fn step(
        &self,
        run: &Run,
        desired: &[Desired],
        list: &List,
        report: &mut StepReport,
    ) -> Result<Option<List>, Error> {
        let applied = match report.step.clone() {
            Step::Keep { .. } => return Ok(None),
            Step::Delete { id } => {
                let Some(old) = list.find(id) else {
                    return match missing(list, run.call.account, id) {
                        Error::NumberNotFound { .. } => Ok(None),
                        error => Err(error),
                    };
                };
                let (run, entry) = self.begin(run, Change::delete(old))?;
                let list = to_its_end(entry, self.delete_one(&run, list, id, false)).await?;
                return Ok(Some(list));
            }
            Step::Update {
                index,
                id,
                target,
                changed,
            } => {
                let old =
                    list.find(id)
                        .ok_or_else(|| match missing(list, run.call.account, id) {
                            Error::NumberNotFound { number, .. } => Error::Vanished { number },
                            error => error,
                        })?;
                sendable(old, changed)?;
                let (run, entry) = self.begin(run, Change::update(old, &target))?;
                let run = &run;
                let path = format!("numbers[{index}]");
                let first = match self.client.update_all_mode() {
                    // The list was posted already: single writes do what that did not.
                    UpdateAll::WholeList => Way::Get,
                    UpdateAll::One | UpdateAll::Off => Way::Post,
                };
                to_its_end(entry, async {
                    let (list, _) = self
                        .update_one(run, list, old, &target, first, &path)
                        .await?;
                    let goal = Goal {
                        id,
                        old: &old.fields,
                        target: &target,
                        asked: changed,
                    };
                    self.finish(run, goal, first == Way::Post, list).await
                })
                .await?
            }
            Step::Add { index, target } => {
                let (run, entry) = self.begin(run, Change::add(&target))?;
                let run = &run;
                let path = format!("numbers[{index}]");
                let asked = desired
                    .get(index)
                    .map_or(FieldSet::all(), |desired| asked(&desired.draft, &target));
                to_its_end(entry, async {
                    let (list, id) = self.add_one(run, list, &target, &path).await?;
                    report.id = Some(id);
                    let goal = Goal {
                        id,
                        old: &Fields::default(),
                        target: &target,
                        asked,
                    };
                    self.finish(run, goal, false, list).await
                })
                .await?
            }
        };
        report.unapplied = applied.unapplied;
        Ok(Some(applied.list))
    }

    /// Posts the whole desired list as one CSV, and reports what reading back shows to be done.
    /// Returns the list after it, and the steps that are still to be done one by one.
    async fn post_list(
        &self,
        run: &Run,
        desired: &[Desired],
        before: List,
        steps: Vec<Step>,
        reports: &mut Vec<StepReport>,
    ) -> Result<(List, Vec<Step>), Error> {
        let numbers = whole_list(&before, &steps);
        if numbers.is_empty() {
            // A CSV without records is an object without values (docs/upstream/wire.md 7), not an
            // empty list.
            return Ok((before, steps));
        }
        let (run, entries) = self.begin_steps(run, &before, &steps)?;
        let run = &run;
        let sent = self
            .client
            .update_all(&run.call.tenant, run.call.account, &numbers, &run.options)
            .await;
        if sent.as_ref().is_err_and(upstream::Error::nothing_ran) {
            for entry in entries.into_iter().flatten() {
                end_step(entry, Outcome::NotDone, None);
            }
            return Ok((before, steps));
        }
        // Of an unanswered post, only the whole list proves that it is over.
        let over = sent.as_ref().err().is_none_or(is_over);
        let done = |list: &List| Plan::new(list, desired, &self.config.rules).writes_nothing();
        // What upstream says it took may show late, and would be added again.
        let patient_until = Instant::now() + PATIENCE;
        let given_up = || !says_done(&sent) || Instant::now() >= patient_until;
        let wanted = |list: &List| done(list) || over && given_up();
        let Some(list) = self.read_until(run, wanted).await else {
            metrics::write("replace_all", WriteOutcome::Unknown);
            for entry in entries.into_iter().flatten() {
                end_step(entry, Outcome::Unknown, None);
            }
            reports.extend(steps.into_iter().map(|step| {
                if let Step::Add { target, .. } = &step {
                    let effect = Effect::add(&before, target);
                    self.unsettled.remember(run, &effect);
                }
                let mut report = StepReport::new(step, StepOutcome::Unknown);
                report.reason = "OUTCOME_UNKNOWN";
                report
            }));
            let reports = std::mem::take(reports);
            return Err(self.incomplete(run, reports, None).await);
        };
        metrics::write(
            "replace_all",
            if sent.is_ok() {
                WriteOutcome::Done
            } else {
                WriteOutcome::Settled
            },
        );
        if let Err(error) = &sent {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "the whole list was posted without a good answer"
            );
        }
        let rest = Plan::new(&list, desired, &self.config.rules).steps;
        for (step, entry) in steps.into_iter().zip(entries) {
            let adds = matches!(step, Step::Add { .. });
            let report = shown(&list, &rest, step);
            if adds && let Some(id) = report.as_ref().and_then(|report| report.id) {
                self.unsettled.tell_of(run, id);
            }
            if let Some(entry) = entry {
                let outcome = if report.is_some() {
                    Outcome::Done
                } else {
                    Outcome::NotDone
                };
                end_step(entry, outcome, report.as_ref().and_then(|report| report.id));
            }
            reports.extend(report);
        }
        let rest = rest
            .into_iter()
            .filter(|step| !matches!(step, Step::Keep { .. }))
            .collect();
        Ok((list, rest))
    }

    /// Begins the steps that are posted together. A step that writes nothing has no entry.
    fn begin_steps(
        &self,
        run: &Run,
        before: &List,
        steps: &[Step],
    ) -> Result<(Run, Vec<Option<Entry>>), Error> {
        let mut entries = Vec::with_capacity(steps.len());
        let noted = steps.iter().try_for_each(|step| {
            let change = match step {
                Step::Keep { .. } => None,
                Step::Add { target, .. } => Some(Change::add(target)),
                Step::Update { id, target, .. } => {
                    before.find(*id).map(|old| Change::update(old, target))
                }
                Step::Delete { id } => before.find(*id).map(Change::delete),
            };
            let entry = change.map(|change| self.audit.begin(&run.actor, change));
            entries.push(entry.transpose()?);
            Ok(())
        });
        run.call.progress.enter(Phase::Writing);
        // One post is one beginning: what comes before it has begun nothing.
        let begun = noted.and_then(|()| run.begin(self.config.write_limit));
        match begun {
            Ok(run) => Ok((run, entries)),
            Err(error) => {
                for entry in entries.into_iter().flatten() {
                    end_step(entry, Outcome::NotDone, None);
                }
                Err(error)
            }
        }
    }

    /// Reads back where a replace-all stands that stopped.
    async fn incomplete(&self, run: &Run, reports: Vec<StepReport>, cause: Option<Error>) -> Error {
        let wrote = !cause.as_ref().is_some_and(Error::says_not_done)
            || reports.iter().any(|report| {
                report.outcome == StepOutcome::Done && !matches!(report.step, Step::Keep { .. })
            });
        let (pending, violations) = match cause {
            Some(Error::OutcomeUnknown { effect, .. }) => (Some(*effect), None),
            Some(Error::Invalid(violations)) => (None, Some(violations)),
            _ => (None, None),
        };
        let run = run.with_limit(self.config.write_limit);
        let list = self
            .client
            .list(&run.call.tenant, run.call.account, &run.options)
            .await
            .ok();
        Error::ReplaceIncomplete(Box::new(Incomplete {
            reports,
            list,
            violations,
            pending,
            wrote,
        }))
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
    let mut report = StepReport::new(step, StepOutcome::Done);
    report.id = Some(id);
    Some(report)
}

/// Shows what a plan would do.
fn planned(account: AccountId, before: &List, plan: Plan) -> ReplaceAllReply {
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
    ReplaceAllReply {
        numbers: numbers.into_iter().map(|(_, _, view)| view).collect(),
        settings: before.settings.clone(),
        list_etag: None,
        steps: plan
            .steps
            .into_iter()
            .map(|step| StepReport::new(step, StepOutcome::NotStarted))
            .collect(),
    }
}
