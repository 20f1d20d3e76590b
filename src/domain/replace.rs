//! The plan of a replace-all: which numbers are kept, updated, added and deleted.

use super::{Draft, Field, FieldSet, Fields, List, Number, NumberId, Rules, Violations, check};

/// A number of the desired list, with the id of the one it replaces where the caller set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The id of the number that this one replaces.
    pub id: Option<NumberId>,
    /// Its fields.
    pub draft: Draft,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The number is as desired.
    Keep {
        /// The index in the request.
        index: usize,
        /// The number.
        id: NumberId,
    },
    /// The number is updated.
    Update {
        /// The index in the request.
        index: usize,
        /// The number.
        id: NumberId,
        /// All its fields after the step.
        target: Fields,
        /// The fields that change.
        changed: FieldSet,
    },
    /// A number is added.
    Add {
        /// The index in the request.
        index: usize,
        /// All its fields after the step.
        target: Fields,
    },
    /// A number is deleted.
    Delete {
        /// The number.
        id: NumberId,
    },
}

/// The steps that make a list the desired one: keeps, updates, adds, and then deletes, so that the
/// account is never without numbers in between.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps, in the order in which they are executed.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Plans the steps.
    ///
    /// Desired numbers are matched with those of the list by id, then by redirect number and
    /// domain, then by position. An id that the list does not have is ignored: the number may have
    /// been deleted meanwhile, and is then added again.
    #[must_use]
    pub fn new(current: &List, desired: &[Desired], rules: &Rules) -> Self {
        let matches = matches(current, desired, rules);
        let targets: Vec<Option<Fields>> = matches
            .iter()
            .zip(desired)
            .map(|(matched, desired)| {
                matched.map(|number| {
                    desired
                        .draft
                        .merge_into(&number.fields, FieldSet::all(), rules)
                })
            })
            .collect();
        // A new number without an order comes after all others, including the desired ones that
        // have an order.
        let mut highest = targets
            .iter()
            .flatten()
            .filter_map(|target| target.order)
            .chain(
                desired
                    .iter()
                    .filter_map(|desired| desired.draft.fields.order),
            )
            .max()
            .unwrap_or(0)
            .max(0);

        let (mut keeps, mut updates, mut adds) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (desired, (matched, target))) in
            desired.iter().zip(matches.iter().zip(targets)).enumerate()
        {
            match (matched, target) {
                (Some(number), Some(target)) => {
                    let changed = target.differences(&number.fields);
                    let id = number.id;
                    if changed.is_empty() {
                        keeps.push(Step::Keep { index, id });
                    } else {
                        updates.push(Step::Update {
                            index,
                            id,
                            target,
                            changed,
                        });
                    }
                }
                _ => {
                    let next = highest.saturating_add(1);
                    if desired.draft.fields.order.is_none() {
                        highest = next;
                    }
                    let target = desired.draft.new_number(next, rules);
                    adds.push(Step::Add { index, target });
                }
            }
        }
        let deletes = current
            .numbers
            .iter()
            .filter(|number| !matches.iter().flatten().any(|kept| kept.id == number.id))
            .map(|number| Step::Delete { id: number.id });
        let mut steps = keeps;
        steps.extend(updates);
        steps.extend(adds);
        steps.extend(deletes);
        Self { steps }
    }

    /// Checks the fields that the plan writes, and only these: a value that the upstream holds
    /// passes unchanged, whatever it is.
    pub fn check(&self, desired: &[Desired], rules: &Rules, violations: &mut Violations) {
        for step in &self.steps {
            let (index, fields, order) = match step {
                Step::Update {
                    index,
                    changed,
                    target,
                    ..
                } => (*index, *changed, target.order),
                Step::Add { index, target } => (*index, FieldSet::all(), target.order),
                Step::Keep { index, .. } => (*index, FieldSet::empty(), None),
                Step::Delete { .. } => continue,
            };
            let Some(desired) = desired.get(index) else {
                continue;
            };
            let path = format!("numbers[{index}]");
            // A value that no number can hold shows as no change, and is never the upstream's.
            let fields = fields.union(desired.draft.unrepresentable());
            desired.draft.check(fields, &path, rules, violations);
            if desired.draft.fields.order.is_none()
                && fields.contains(Field::Order)
                && let Some(order) = order
            {
                violations.collect(&format!("{path}.order"), check::order(order));
            }
        }
    }
}

/// Returns for each desired number the number of the list that it replaces.
fn matches<'a>(current: &'a List, desired: &[Desired], rules: &Rules) -> Vec<Option<&'a Number>> {
    let mut free: Vec<&Number> = current.numbers.iter().collect();
    let mut take = |wanted: &dyn Fn(&Number) -> bool| {
        let index = free.iter().position(|number| wanted(number))?;
        Some(free.remove(index))
    };
    let mut matches: Vec<Option<&Number>> = desired
        .iter()
        .map(|desired| take(&|number| Some(number.id) == desired.id))
        .collect();
    for (matched, desired) in matches.iter_mut().zip(desired) {
        if matched.is_none() {
            let fields = desired.draft.to_fields(rules);
            *matched = take(&|number| number.fields.same_destination(&fields));
        }
    }
    for matched in &mut matches {
        if matched.is_none() {
            *matched = take(&|_| true);
        }
    }
    matches
}
