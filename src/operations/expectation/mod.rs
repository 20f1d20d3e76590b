//! Expectations (what the list must show after a write), and their comparison with a list.

mod joint;

use crate::{
    domain::{Field, FieldSet, Fields, List, Number, NumberId, without_plus},
    telemetry::audit::Kind,
    upstream::PLACEHOLDER,
};

pub(super) use joint::check_all;

/// What a single write does to a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub(super) enum WriteKind {
    /// It adds one.
    Add,
    /// It changes one.
    Update,
    /// It deletes one.
    Delete,
}

impl From<WriteKind> for Kind {
    fn from(kind: WriteKind) -> Self {
        match kind {
            WriteKind::Add => Self::Add,
            WriteKind::Update => Self::Update,
            WriteKind::Delete => Self::Delete,
        }
    }
}

impl WriteKind {
    /// Returns its name in the audit log and in metrics.
    pub(super) fn name(self) -> &'static str {
        self.into()
    }
}

/// What the list must show after a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// What the write does.
    pub(super) kind: WriteKind,
    /// The number; `None` for an add until it is found.
    pub(super) number: Option<NumberId>,
    /// The list before the write.
    pub(super) baseline: Baseline,
    /// What the number was; of an add nothing.
    pub(super) old: Fields,
    /// What the number is to be; of a delete nothing.
    pub(super) target: Fields,
    /// The fields that the caller set.
    pub(super) asked: FieldSet,
    /// Whether the write was applied, so that only the fields of a repair are open.
    pub(super) applied: bool,
    /// The fields of a repair.
    pub(super) unverified: FieldSet,
    /// The position in the request of a replace-all.
    pub(super) index: Option<usize>,
    /// The entry of the audit log.
    pub(super) entry: String,
}

/// The baseline: what distinguishes new numbers from those that the list had before a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Baseline {
    /// The ids that it had, and those that other adds were found to have made since.
    pub(super) ids: Vec<NumberId>,
    /// How many elements had no id.
    pub(super) unidentified: usize,
}

impl Baseline {
    pub(super) fn of(list: &List) -> Self {
        Self {
            ids: list.numbers.iter().map(|number| number.id).collect(),
            unidentified: list.unidentified,
        }
    }

    /// Returns whether a list hides more elements than the baseline: then it proves no absence.
    fn shows_more_than(&self, list: &List) -> bool {
        list.unidentified > self.unidentified
    }

    fn new_numbers<'a>(&'a self, list: &'a List) -> impl Iterator<Item = &'a Number> {
        let known = |number: &&Number| !self.ids.contains(&number.id);
        list.numbers.iter().filter(known)
    }
}

/// The verdict of a list on a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The write was applied to this number.
    Applied(NumberId),
    /// It was probably applied to this number, but upstream stored other values than were sent. The
    /// number is never repaired, since somebody else may have added it.
    AppliedDifferently(NumberId),
    /// It was not applied.
    NotApplied,
    /// Inconclusive. Each of these numbers may be the one that was written.
    Inconclusive(Vec<NumberId>),
}

/// What the answer to a write claims.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    /// Whether upstream said that it did the write.
    pub(super) acknowledged: bool,
    /// The only new number in the list of the answer.
    pub(super) named: Option<NumberId>,
}

impl Expectation {
    fn new(kind: WriteKind, before: &List, number: Option<&Number>) -> Self {
        Self {
            kind,
            number: number.map(|number| number.id),
            baseline: Baseline::of(before),
            old: number
                .map(|number| number.fields.clone())
                .unwrap_or_default(),
            target: Fields::default(),
            asked: FieldSet::empty(),
            applied: false,
            unverified: FieldSet::empty(),
            index: None,
            entry: String::new(),
        }
    }

    pub(super) fn add(before: &List, target: Fields, asked: FieldSet) -> Self {
        Self {
            target,
            asked,
            ..Self::new(WriteKind::Add, before, None)
        }
    }

    pub(super) fn update(before: &List, old: &Number, target: Fields) -> Self {
        Self {
            asked: target.differences(&old.fields),
            target,
            ..Self::new(WriteKind::Update, before, Some(old))
        }
    }

    pub(super) fn delete(before: &List, old: &Number) -> Self {
        Self::new(WriteKind::Delete, before, Some(old))
    }

    /// Returns what is left open of a write that was applied, after a repair was sent.
    pub(super) fn of_repair(&self, number: NumberId, unverified: FieldSet) -> Self {
        Self {
            number: Some(number),
            applied: true,
            unverified,
            ..self.clone()
        }
    }

    /// Describes the expectation for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match (self.kind, self.number) {
            (WriteKind::Update, Some(id)) => format!("the new values of number {id}"),
            (WriteKind::Delete, Some(id)) => format!("the absence of number {id}"),
            _ => "a new number with the redirect number, domain and name of the request".to_owned(),
        }
    }

    /// Returns the number, where it is known.
    #[must_use]
    pub fn number(&self) -> Option<NumberId> {
        self.number
    }

    /// Compares a list that was read with the expectation.
    pub(super) fn check(&self, list: &List, evidence: Evidence) -> Verdict {
        match (self.kind, self.number) {
            (WriteKind::Add, None) => self.check_add(list, evidence),
            (WriteKind::Add | WriteKind::Update, Some(id)) => self.check_update(list, id),
            (WriteKind::Delete, Some(id)) => match list.find(id) {
                Some(_) => Verdict::NotApplied,
                None if self.baseline.shows_more_than(list) => Verdict::Inconclusive(vec![id]),
                None => Verdict::Applied(id),
            },
            // Neither can be made.
            (WriteKind::Update | WriteKind::Delete, None) => Verdict::Inconclusive(Vec::new()),
        }
    }

    /// Two equal new numbers leave it open which one is the write's, whatever the answer names: a
    /// proxy that sends a request twice makes two.
    fn check_add(&self, list: &List, evidence: Evidence) -> Verdict {
        let ids = |matches: fn(&Fields, &Fields) -> bool| -> Vec<NumberId> {
            let new = self.baseline.new_numbers(list);
            new.filter(|number| matches(&number.fields, &self.target))
                .map(|number| number.id)
                .collect()
        };
        let mut candidates = ids(is_exactly);
        if candidates.is_empty() {
            candidates = ids(is_partly);
        }
        let new: Vec<&Number> = self.baseline.new_numbers(list).collect();
        match (&candidates[..], &new[..]) {
            (&[id], _) => Verdict::Applied(id),
            ([], &[new])
                if evidence.acknowledged
                    && (evidence.named == Some(new.id) || resembles(&new.fields, &self.target)) =>
            {
                Verdict::AppliedDifferently(new.id)
            }
            ([], _) if self.baseline.shows_more_than(list) => Verdict::Inconclusive(candidates),
            ([], _) => Verdict::NotApplied,
            _ => Verdict::Inconclusive(candidates),
        }
    }

    /// Returns the new numbers that can be this add's on a host that stores other values than it is
    /// sent.
    pub(super) fn resembling(&self, list: &List) -> Vec<NumberId> {
        let new = self.baseline.new_numbers(list);
        new.filter(|number| resembles(&number.fields, &self.target))
            .map(|number| number.id)
            .collect()
    }

    /// A part of the change must show, or the number must be as it was before.
    fn check_update(&self, list: &List, id: NumberId) -> Verdict {
        let Some(now) = list.find(id) else {
            // It is gone, or unidentified.
            return if self.baseline.shows_more_than(list) {
                Verdict::Inconclusive(vec![id])
            } else {
                Verdict::Applied(id)
            };
        };
        let differs = |from: &Fields| from.differences(&now.fields).intersection(self.asked);
        if self.applied || differs(&self.target) != self.asked {
            Verdict::Applied(id)
        } else if differs(&self.old).is_empty() {
            Verdict::NotApplied
        } else {
            Verdict::Inconclusive(Vec::new())
        }
    }

    /// Returns whether the list of a write's answer can be the whole one and shows the whole
    /// change. An answer may hold the written number alone, or the list from before the write. An
    /// add is always read back: only the list shows whether it was done twice.
    pub(super) fn is_shown_by_answer(&self, list: &List) -> bool {
        if self.baseline.shows_more_than(list) {
            return false;
        }
        let has = |id: &NumberId| list.find(*id).is_some();
        match (self.kind, self.number) {
            (WriteKind::Update, Some(id)) => {
                self.baseline.ids.iter().all(has)
                    && list.find(id).is_some_and(|now| {
                        let missing = self.target.differences(&now.fields);
                        missing.intersection(self.asked).is_empty()
                    })
            }
            // An empty list in the answer to a delete may mean that it has nothing to show.
            (WriteKind::Delete, Some(id)) => {
                let others = |other: &&NumberId| **other != id;
                !list.numbers.is_empty()
                    && !has(&id)
                    && self.baseline.ids.iter().filter(others).all(has)
            }
            _ => false,
        }
    }

    /// Returns the new number, where the list of an add's answer has exactly one.
    pub(super) fn named_by_answer(&self, list: &List) -> Option<NumberId> {
        if self.kind != WriteKind::Add {
            return None;
        }
        let mut new = self.baseline.new_numbers(list);
        let first = new.next()?;
        new.next().is_none().then_some(first.id)
    }

    /// Returns whether a number can be the one that this add made; `differently`: also on a host
    /// that stores other values than it is sent.
    pub(super) fn could_match(&self, number: &Number, differently: bool) -> bool {
        let (held, target) = (&number.fields, &self.target);
        self.is_open_add()
            && !self.baseline.ids.contains(&number.id)
            && (is_exactly(held, target)
                || is_partly(held, target)
                || differently && resembles(held, target))
    }

    /// Returns whether this adds such a number.
    pub(super) fn adds(&self, target: &Fields) -> bool {
        self.is_open_add() && is_exactly(&self.target, target)
    }

    /// Returns true for an add that was not found yet.
    pub(super) fn is_open_add(&self) -> bool {
        self.kind == WriteKind::Add && self.number.is_none()
    }

    /// Records that another add made a number.
    pub(super) fn exclude(&mut self, id: NumberId) {
        self.baseline.ids.push(id);
    }

    /// Returns whether the number reads as in the baseline, so that the write can be sent again.
    pub(super) fn reads_as_before(&self, list: &List) -> bool {
        self.number
            .and_then(|id| list.find(id))
            .is_some_and(|now| is_same(&now.fields, &self.old))
    }

    /// Returns the fields that upstream did not apply, and those that it changed unasked.
    ///
    /// Of a new number, what the caller left to upstream counts only where it holds a placeholder
    /// of ours.
    pub(super) fn unapplied(&self, now: &Fields) -> FieldSet {
        let fields = match self.kind {
            WriteKind::Add => self.asked.union(emptied(now)),
            _ => self.asked.union(Field::caller_owned()),
        };
        let counted = Field::caller_owned().union(self.asked);
        let differing = self.target.differences(now).intersection(counted);
        differing.intersection(fields)
    }

    /// Returns those that may be written again: that are empty, or still as before the write. Any
    /// other value may be somebody else's, and is never overwritten.
    pub(super) fn repairable(&self, now: &Fields) -> FieldSet {
        let as_before = FieldSet::all().difference(self.old.differences(now));
        self.unapplied(now)
            .intersection(as_before.union(emptied(now)))
    }

    /// Returns whether a list shows fields of a number that may be written again.
    pub(super) fn needs_repair(&self, list: &List, number: NumberId) -> bool {
        let now = list.find(number);
        now.is_some_and(|now| !self.repairable(&now.fields).is_empty())
    }

    /// Returns the number with these written again.
    pub(super) fn repaired(&self, now: &Fields) -> Fields {
        let mut whole = now.clone();
        whole.copy_from(&self.target, self.repairable(now));
        whole
    }

    /// Returns whether nothing of what the caller asked for shows.
    pub(super) fn applied_nothing(&self, now: &Fields) -> bool {
        self.asked
            .difference(self.target.differences(now))
            .is_empty()
    }
}

/// Returns whether two numbers are equal but for what upstream may change by itself.
pub(super) fn is_same(one: &Fields, other: &Fields) -> bool {
    one.differences(other)
        .intersection(Field::caller_owned())
        .is_empty()
}

/// Returns the fields that are empty, or hold the placeholder of our paths.
fn emptied(now: &Fields) -> FieldSet {
    let text = || PLACEHOLDER.to_owned();
    let placeholders = Fields {
        name: text(),
        redirect_number: text(),
        domain: text(),
        active: text(),
        keep_original_cld: text(),
        order: Some(0),
        ring_timeout: Some(0),
        ..Fields::default()
    };
    let like = |other: &Fields| FieldSet::all().difference(other.differences(now));
    like(&Fields::default()).union(like(&placeholders))
}

/// Returns whether a number has the redirect number, domain and name of an add.
fn is_exactly(number: &Fields, target: &Fields) -> bool {
    number.same_destination(target) && number.name == target.name
}

/// Returns whether a number has them as far as it has any: a value is missing that the path of the
/// request did not carry.
fn is_partly(number: &Fields, target: &Fields) -> bool {
    let by_path = |held: &str, asked: &str| held == asked || held.is_empty() || held == PLACEHOLDER;
    by_path(
        without_plus(&number.redirect_number),
        without_plus(&target.redirect_number),
    ) && by_path(&number.name, &target.name)
        && (number.domain.is_empty() || !number.differences(target).contains(Field::Domain))
}

/// Returns whether a number can be an add's on a host that stores other values than it is sent: the
/// redirect number has the same digits, or the name is cut.
fn resembles(number: &Fields, target: &Fields) -> bool {
    let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
    let held = digits(&number.redirect_number);
    (!held.is_empty() && held == digits(&target.redirect_number))
        || (!number.name.is_empty() && target.name.starts_with(&number.name))
}

#[cfg(test)]
mod tests;
