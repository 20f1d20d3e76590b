//! A number as a request sets it, and the violations of its checks.

use super::{Field, FieldSet, Fields, check::Rules, fields::without_plus, letters::flag_letter};

/// A rule that a request breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path from the request to the field: `number.period`, `numbers[3].name`.
    pub field: String,
    /// The rule that is broken, and what to change.
    pub description: String,
}

/// All rules that a request breaks: the first [`Violations::KEPT`], and the count of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations {
    kept: Vec<Violation>,
    count: usize,
}

impl Violations {
    /// How many are kept: a small request can break very many rules.
    pub const KEPT: usize = 100;

    /// Adds a violation.
    pub fn push(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.count += 1;
        if self.kept.len() < Self::KEPT {
            self.kept.push(Violation {
                field: field.into(),
                description: description.into(),
            });
        }
    }

    /// Adds a violation if a check failed; returns the value if it passed.
    pub fn collect<T>(&mut self, field: &str, checked: Result<T, String>) -> Option<T> {
        checked
            .map_err(|description| self.push(field, description))
            .ok()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the first violations in the order in which they were found.
    #[must_use]
    pub fn as_slice(&self) -> &[Violation] {
        &self.kept
    }

    /// Returns the first one, and how many more there are, as one sentence.
    #[must_use]
    pub fn summary(&self) -> String {
        let first = self
            .kept
            .first()
            .map(|violation| format!("{} {}", violation.field, violation.description))
            .unwrap_or_default();
        match self.count {
            0 | 1 => first,
            2 => format!("{first} (and 1 more violation)"),
            count => format!("{first} (and {} more violations)", count - 1),
        }
    }

    /// Returns `Ok` if there are none.
    ///
    /// # Errors
    /// Returns the violations if there are any.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

/// A number as a request sets it. What the request does not set is unset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// The values that the request sets.
    pub fields: Fields,
    /// The fields that the request sets to a value that [`Fields`] cannot hold, with the rule that
    /// the value breaks. Their values are unset.
    pub unrepresentable: Vec<(Field, String)>,
}

impl Draft {
    /// Returns the fields that the request sets: every free text, since an empty one is a value,
    /// and the others that have one.
    #[must_use]
    pub fn present(&self) -> FieldSet {
        FieldSet::all()
            .iter()
            .filter(|field| field.is_free_text() || self.fields.is_set(*field))
            .collect::<FieldSet>()
            .union(self.unrepresentable())
    }

    /// Returns the fields whose values no number can hold, so that the upstream cannot hold them
    /// already.
    #[must_use]
    pub fn unrepresentable(&self) -> FieldSet {
        self.unrepresentable
            .iter()
            .map(|(field, _)| *field)
            .collect()
    }

    /// Checks the fields of the set that are present.
    pub fn check(&self, fields: FieldSet, path: &str, rules: &Rules, violations: &mut Violations) {
        for field in fields.intersection(self.present()) {
            let mut unrepresentable = self.unrepresentable.iter();
            let checked = match unrepresentable.find(|(of, _)| *of == field) {
                Some((_, rule)) => Err(rule.clone()),
                None => self.fields.check(field, rules),
            };
            violations.collect(&format!("{path}.{}", field.name()), checked);
        }
    }

    /// Returns the fields that are present, the others unset.
    #[must_use]
    pub fn to_fields(&self, rules: &Rules) -> Fields {
        let mut fields = self.fields.clone();
        if rules.strip_plus {
            fields.redirect_number = without_plus(&fields.redirect_number).to_owned();
        }
        fields
    }

    /// Returns the fields of a new number: those that are present, the others with their defaults.
    #[must_use]
    pub fn new_number(&self, next_order: i32, rules: &Rules) -> Fields {
        let mut fields = self.to_fields(rules);
        fields.order.get_or_insert(next_order);
        fields
            .ring_timeout
            .get_or_insert(rules.default_ring_timeout);
        if fields.active.is_empty() {
            flag_letter(true).clone_into(&mut fields.active);
        }
        fields
    }

    /// Returns the current fields, overwritten by those that are named and present. A value that no
    /// number can hold overwrites nothing; [`Self::check`] refuses it.
    #[must_use]
    pub fn merge_into(&self, current: &Fields, named: FieldSet, rules: &Rules) -> Fields {
        let mut fields = current.clone();
        let set = self.present().difference(self.unrepresentable());
        fields.copy_from(&self.to_fields(rules), named.intersection(set));
        fields
    }
}
