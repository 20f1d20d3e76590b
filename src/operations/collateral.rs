//! Detects collateral changes: other numbers that a request to `UpdateFollowmeAll` changed. It is
//! not documented which numbers that route writes (docs/upstream/domain.md 4).

use super::expectation::is_same;
use crate::domain::{Field, FieldSet, Fields, List, Number, NumberId};

/// A number that was posted to `UpdateFollowmeAll`, and the list before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Posted {
    /// The number.
    pub(super) number: NumberId,
    /// What was posted.
    pub(super) fields: Fields,
    /// The list before.
    pub(super) before: List,
    /// The numbers whose restoration was begun, so that none is added twice.
    pub(super) restored: Vec<NumberId>,
}

impl Posted {
    /// Returns the other numbers that the request changed, and which of their fields. A single
    /// number that got one value of those that were posted may be somebody else's change, so a
    /// collateral change is:
    /// - another number that is now as posted in all fields, or
    /// - more than one other number with a value that was posted, or
    /// - a list from which all other numbers vanished at once.
    pub(super) fn affected(&self, after: &List) -> Vec<(&Number, FieldSet)> {
        let others = || {
            let numbers = self.before.numbers.iter();
            numbers.filter(|old| old.id != self.number)
        };
        let vanished = after.unidentified <= self.before.unidentified
            && after.numbers.iter().all(|now| now.id == self.number);
        if vanished {
            return others().map(|old| (old, FieldSet::all())).collect();
        }
        // What upstream made of the values that were posted.
        let stored = after.find(self.number).map(|number| &number.fields);
        let is_posted = |now: &Fields| {
            let differs = now.differences(&self.fields);
            stored.map_or(differs, |stored| {
                differs.intersection(now.differences(stored))
            })
        };
        let mut whole = false;
        let affected: Vec<_> = others()
            .filter_map(|old| {
                let now = &after.find(old.id)?.fields;
                let changed = old
                    .fields
                    .differences(now)
                    .intersection(Field::caller_owned());
                let as_posted = changed.difference(is_posted(now));
                let all = is_posted(now)
                    .intersection(Field::caller_owned())
                    .is_empty();
                whole |= all && !as_posted.is_empty();
                (!as_posted.is_empty()).then_some((old, as_posted))
            })
            .collect();
        if whole || affected.len() > 1 {
            affected
        } else {
            Vec::new()
        }
    }

    /// Returns those of the affected numbers that a list does not show as they were before, be it
    /// under another id.
    pub(super) fn not_restored(&self, affected: &[NumberId], now: Option<&List>) -> Vec<NumberId> {
        let restored = |id: &NumberId| {
            let (Some(list), Some(old)) = (now, self.before.find(*id)) else {
                return false;
            };
            let same = |now: &Number| is_same(&old.fields, &now.fields);
            match list.find(*id) {
                Some(now) => same(now),
                None => list.numbers.iter().any(same),
            }
        };
        affected
            .iter()
            .filter(|id| !restored(id))
            .copied()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AccountId;

    fn number(id: i32, name: &str, active: &str) -> Number {
        Number {
            account_id: AccountId::new(1001).unwrap(),
            id: NumberId::new(id).unwrap(),
            follow_me_id: None,
            fields: Fields {
                name: name.to_owned(),
                redirect_number: format!("1555010{id}"),
                active: active.to_owned(),
                ..Fields::default()
            },
            unreadable: Default::default(),
        }
    }

    fn posted() -> Posted {
        let before = vec![
            number(1, "A", "Y"),
            number(2, "B", "Y"),
            number(3, "C", "Y"),
        ];
        Posted {
            number: NumberId::new(1).unwrap(),
            fields: number(1, "New", "N").fields,
            before: List::new(before, None, 0),
            restored: Vec::new(),
        }
    }

    fn affected(after: Vec<Number>) -> Vec<i32> {
        let after = List::new(after, None, 0);
        let posted = posted();
        let affected = posted.affected(&after);
        affected
            .iter()
            .map(|(number, _)| number.id.value())
            .collect()
    }

    #[test]
    fn an_equal_value_on_one_other_number_is_a_coincidence() {
        let (one, three) = (number(1, "New", "N"), number(3, "C", "Y"));
        assert_eq!(
            affected(vec![one.clone(), number(2, "B", "N"), three.clone()]),
            [0; 0]
        );
        assert_eq!(
            affected(vec![one.clone(), number(2, "New", "Y"), three]),
            [0; 0]
        );
        // On two it is none.
        assert_eq!(
            affected(vec![one, number(2, "B", "N"), number(3, "C", "N")]),
            [2, 3]
        );
    }

    #[test]
    fn a_number_that_is_as_posted_in_all_fields_is_affected() {
        let mut two = number(2, "New", "N");
        two.fields.redirect_number = "15550101".to_owned();
        let after = vec![number(1, "New", "N"), two.clone(), number(3, "C", "Y")];
        assert_eq!(affected(after), [2]);
        // Also as the host stores it.
        two.fields.name = "Ne".to_owned();
        let after = vec![number(1, "Ne", "N"), two, number(3, "C", "Y")];
        assert_eq!(affected(after), [2]);
    }

    #[test]
    fn all_others_that_vanish_at_once_are_affected_and_one_is_not() {
        assert_eq!(affected(vec![number(1, "New", "N")]), [2, 3]);
        let after = vec![number(1, "New", "N"), number(3, "C", "Y")];
        assert_eq!(affected(after), [0; 0]);
    }
}
