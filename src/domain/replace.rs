//! The plan of a replace-all: which numbers stay, change, come and go.

use super::{Draft, Field, FieldSet, Fields, List, Number, NumberId, Rules, Violations, check};

/// A number that the account shall have, with the id of the one it replaces where the caller
/// named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The id of the number that this one replaces.
    pub id: Option<NumberId>,
    /// What it shall be.
    pub draft: Draft,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The number is as it shall be.
    Keep {
        /// The place in the request.
        index: usize,
        /// The number.
        id: NumberId,
    },
    /// The number changes.
    Update {
        /// The place in the request.
        index: usize,
        /// The number.
        id: NumberId,
        /// What it shall be, whole.
        target: Fields,
        /// The fields that change.
        changed: FieldSet,
    },
    /// A number comes.
    Add {
        /// The place in the request.
        index: usize,
        /// What it shall be, whole.
        target: Fields,
    },
    /// A number goes.
    Delete {
        /// The number.
        id: NumberId,
    },
}

/// The steps that make a list the desired one: first what stays, then updates, adds, and deletes
/// last, so that the account never stands without numbers on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps in the order in which they are to be done.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Makes the plan.
    ///
    /// Desired numbers are matched with those of the list by id, then by redirect number and
    /// domain, then by position. An id that the list does not have matches nothing by itself: the
    /// number may have been deleted meanwhile, and it shall be there.
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
        // A new number without a position comes behind all others, those that the caller placed
        // included.
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

    /// Tells whether nothing has to be written.
    #[must_use]
    pub fn writes_nothing(&self) -> bool {
        self.steps
            .iter()
            .all(|step| matches!(step, Step::Keep { .. }))
    }

    /// Checks what would be written, and only that: what upstream holds and the caller sends back
    /// unchanged goes through, whatever it is.
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
            // What no list can hold does not show as a change, and is not what upstream holds.
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

/// Finds for each desired number the one of the list that it replaces.
fn matches<'a>(current: &'a List, desired: &[Desired], rules: &Rules) -> Vec<Option<&'a Number>> {
    let mut free: Vec<&Number> = current.numbers.iter().collect();
    let mut take = |wanted: &dyn Fn(&Number) -> bool| {
        let place = free.iter().position(|number| wanted(number))?;
        Some(free.remove(place))
    };
    let mut matches: Vec<Option<&Number>> = desired
        .iter()
        .map(|desired| take(&|number| Some(number.id) == desired.id))
        .collect();
    for (matched, desired) in matches.iter_mut().zip(desired) {
        if matched.is_none() {
            let literal = desired.draft.to_fields(rules);
            *matched = take(&|number| number.fields.same_destination(&literal));
        }
    }
    for matched in &mut matches {
        if matched.is_none() {
            *matched = take(&|_| true);
        }
    }
    matches
}
