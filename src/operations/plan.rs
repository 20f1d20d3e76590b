//! Plans the steps of a write from a list that was read. Nothing here sends or waits.

use super::{
    DeleteRequest, Error, Etags, UpdateRequest,
    expectation::{Expectation, WriteKind},
    precondition::{check_destination, check_etag, check_etags, missing, sendable, violations},
};
use crate::{
    domain::{
        AccountId, Desired, DestinationPolicy, Draft, Etag, Field, FieldSet, Fields, List, Number,
        NumberId, Plan, Rules, Step, Violations, check,
    },
    upstream::{Client, Tenant, UpdateAll},
};

/// What plans depend on besides the list and the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planner<'a> {
    pub(super) client: &'a Client,
    pub(super) tenant: &'a Tenant,
    pub(super) account: AccountId,
    pub(super) rules: &'a Rules,
    pub(super) destinations: &'a DestinationPolicy,
}

/// One write of one number.
#[derive(Debug, Clone)]
pub(super) struct PlannedStep {
    /// What the list must show after it; also the values that are sent.
    pub(super) expectation: Expectation,
    /// How a number is updated first.
    pub(super) route: UpdateRoute,
    /// Whether a delete sends `isDeleteForward`.
    pub(super) delete_forward: bool,
    /// The path from the request to the number.
    pub(super) path: String,
}

/// How a whole number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UpdateRoute {
    /// `GET updatefollowme`; what its path does not carry goes as query values.
    Get,
    /// `POST UpdateFollowmeAll`.
    Post,
}

impl UpdateRoute {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Get => Self::Post,
            Self::Post => Self::Get,
        }
    }
}

impl PlannedStep {
    fn new(expectation: Expectation, path: &str) -> Self {
        Self {
            expectation,
            route: UpdateRoute::Get,
            delete_forward: false,
            path: path.to_owned(),
        }
    }
}

/// An update that was planned.
#[derive(Debug)]
pub(super) struct PlannedUpdate {
    /// The number as it is to be.
    pub(super) number: Number,
    /// The step; `None` if the number already has the requested values.
    pub(super) step: Option<PlannedStep>,
}

impl Planner<'_> {
    /// Plans to add a number.
    ///
    /// # Errors
    /// [`Error::DestinationDenied`]; [`Error::Invalid`] if the list has no position left, or no
    /// request carries a value.
    pub(super) fn add(&self, list: &List, draft: &Draft) -> Result<PlannedStep, Error> {
        check_destination(self.destinations, "number", &draft.fields, None)?;
        let next = list.highest_order().saturating_add(1);
        if draft.fields.order.is_none() {
            let mut violations = Violations::default();
            violations.collect("number.order", check::order(next));
            violations.into_result().map_err(Error::Invalid)?;
        }
        let target = draft.new_number(next, self.rules);
        let asked = requested_of_add(draft, &target);
        let step = PlannedStep::new(Expectation::add(list, target, asked), "number");
        self.check_carried(&step)?;
        Ok(step)
    }

    /// Plans to change the fields of a number that the mask names.
    ///
    /// # Errors
    /// [`Error::NumberNotFound`], [`Error::UnidentifiedNumbers`], [`Error::EtagMismatch`],
    /// [`Error::Unreadable`], [`Error::DestinationDenied`].
    pub(super) fn update(
        &self,
        list: &List,
        request: &UpdateRequest,
    ) -> Result<PlannedUpdate, Error> {
        let old = list
            .find(request.id)
            .ok_or_else(|| missing(list, self.account, request.id))?;
        check_etag(request.etag.as_deref(), Etag::of_number(old), Some(old))?;
        let target = request
            .draft
            .merge_into(&old.fields, request.mask, self.rules);
        let step = self.change(list, old, target, request.mask, "number")?;
        step.as_ref()
            .map_or(Ok(()), |step| self.check_carried(step))?;
        let mut number = old.clone();
        if let Some(step) = &step {
            number.fields.clone_from(&step.expectation.target);
        }
        Ok(PlannedUpdate { number, step })
    }

    /// Plans to delete a number: `None` if the account does not have it and the request allows
    /// that.
    ///
    /// # Errors
    /// [`Error::NumberNotFound`], [`Error::UnidentifiedNumbers`], [`Error::EtagMismatch`].
    pub(super) fn delete(
        &self,
        list: &List,
        request: &DeleteRequest,
    ) -> Result<Option<PlannedStep>, Error> {
        let Some(old) = list.find(request.id) else {
            return match missing(list, self.account, request.id) {
                Error::NumberNotFound { .. } if request.allow_missing => Ok(None),
                error => Err(error),
            };
        };
        check_etag(request.etag.as_deref(), Etag::of_number(old), Some(old))?;
        let mut step = PlannedStep::new(Expectation::delete(list, old), "number");
        step.delete_forward = request.delete_forward;
        Ok(Some(step))
    }

    /// Plans the steps that make a list the desired one. Values that cannot
    /// be sent and destinations that are denied are found before anything is written.
    ///
    /// # Errors
    /// [`Error::UnidentifiedNumbers`], [`Error::Invalid`], [`Error::EtagMismatch`],
    /// [`Error::Unreadable`], [`Error::DestinationDenied`].
    pub(super) fn replace_all(
        &self,
        list: &List,
        desired: &[Desired],
        etags: &Etags,
    ) -> Result<Vec<Step>, Error> {
        // Otherwise an unidentified number would be added a second time.
        if list.unidentified > 0 {
            return Err(Error::UnidentifiedNumbers);
        }
        let plan = Plan::new(list, desired, self.rules);
        let mut violations = Violations::default();
        plan.check(desired, self.rules, &mut violations);
        violations.into_result().map_err(Error::Invalid)?;
        check_etags(etags, list)?;
        let whole_list = self.client.update_all_mode() == UpdateAll::WholeList;
        for step in &plan.steps {
            match self.step(list, desired, step)? {
                // A list that is posted whole carries more than the single requests.
                Some(step) if !whole_list => self.check_carried(&step)?,
                _ => {}
            }
        }
        Ok(plan.steps)
    }

    /// Plans one step of a replace-all anew, from the list that was read right before it: `None`
    /// where nothing is to be written any more.
    ///
    /// # Errors
    /// [`Error::Vanished`], [`Error::UnidentifiedNumbers`], [`Error::Unreadable`],
    /// [`Error::DestinationDenied`].
    pub(super) fn step(
        &self,
        list: &List,
        desired: &[Desired],
        step: &Step,
    ) -> Result<Option<PlannedStep>, Error> {
        let find = |id: NumberId| match list.find(id) {
            Some(number) => Ok(Some(number)),
            None => match missing(list, self.account, id) {
                Error::NumberNotFound { .. } => Ok(None),
                error => Err(error),
            },
        };
        match step {
            Step::Keep { .. } => Ok(None),
            Step::Delete { id } => Ok(find(*id)?.map(|old| {
                let expectation = Expectation::delete(list, old);
                PlannedStep::new(expectation, "numbers")
            })),
            Step::Update { index, id, .. } => {
                let old = find(*id)?.ok_or(Error::Vanished { number: *id })?;
                let Some(desired) = desired.get(*index) else {
                    return Ok(None);
                };
                let all = FieldSet::all();
                let target = desired.draft.merge_into(&old.fields, all, self.rules);
                let path = format!("numbers[{index}]");
                let changed = target.differences(&old.fields);
                let mut step = self.change(list, old, target, changed, &path)?;
                if let Some(step) = &mut step {
                    step.route = UpdateRoute::Post;
                    step.expectation.index = Some(*index);
                }
                Ok(step)
            }
            Step::Add { index, target } => {
                let path = format!("numbers[{index}]");
                check_destination(self.destinations, &path, target, None)?;
                let asked = desired.get(*index).map_or(FieldSet::all(), |desired| {
                    requested_of_add(&desired.draft, target)
                });
                let mut expectation = Expectation::add(list, target.clone(), asked);
                expectation.index = Some(*index);
                Ok(Some(PlannedStep::new(expectation, &path)))
            }
        }
    }

    /// Checks that a request can carry the values of a step.
    fn check_carried(&self, step: &PlannedStep) -> Result<(), Error> {
        let fields = &step.expectation.target;
        let (client, tenant, account) = (self.client, self.tenant, self.account);
        let carried = match (step.expectation.kind, step.expectation.number) {
            (WriteKind::Add, _) => client.carried_by_add(tenant, account, fields).map(drop),
            (WriteKind::Update, Some(id)) => client.check_update(tenant, account, id, fields),
            _ => Ok(()),
        };
        let error = carried.err();
        match error.and_then(|error| violations(error.kind(), fields, &step.path)) {
            Some(violations) => Err(Error::Invalid(violations)),
            None => Ok(()),
        }
    }

    /// Plans the writing of one number; `named` are the fields that the caller set.
    fn change(
        &self,
        list: &List,
        old: &Number,
        target: Fields,
        named: FieldSet,
        path: &str,
    ) -> Result<Option<PlannedStep>, Error> {
        if target.differences(&old.fields).is_empty() {
            return Ok(None);
        }
        sendable(old, named)?;
        if !target.same_destination(&old.fields) {
            check_destination(self.destinations, path, &target, Some(&old.fields))?;
        }
        let expectation = Expectation::update(list, old, target);
        Ok(Some(PlannedStep::new(expectation, path)))
    }
}

/// Returns the fields of a new number whose values were asked for: what is empty is left to
/// upstream, but for the domain, which decides where calls go.
fn requested_of_add(draft: &Draft, target: &Fields) -> FieldSet {
    let filled = target.differences(&Fields::default());
    let mut asked = filled.intersection(draft.present());
    for field in [
        Field::Domain,
        Field::Order,
        Field::RingTimeout,
        Field::Active,
    ] {
        asked.insert(field);
    }
    asked
}

/// Returns the desired numbers of a replace-all that continues: those that are done name their
/// number, so that the plan finds it again.
pub(super) fn with_ids_of_done(desired: &[Desired], done: &[(usize, NumberId)]) -> Vec<Desired> {
    let mut desired = desired.to_vec();
    for (index, id) in done {
        for (at, desired) in desired.iter_mut().enumerate() {
            if at == *index {
                desired.id = Some(*id);
            } else if desired.id == Some(*id) {
                desired.id = None;
            }
        }
    }
    desired
}
