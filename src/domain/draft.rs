//! What a caller wants a number to be, and the checks it has to pass.

use super::{
    CallerIdMode, Field, FieldSet, Fields, check,
    number::{flag_letter, without_plus},
};

/// A rule that a request breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path from the request to the field: `number.period`, `numbers[3].name`.
    pub field: String,
    /// What is wrong, and what to do.
    pub description: String,
}

/// All the rules that a request breaks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Adds one.
    pub fn push(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation {
            field: field.into(),
            description: description.into(),
        });
    }

    /// Adds one if the check failed; returns the value if it passed.
    pub fn collect<T>(&mut self, field: &str, checked: Result<T, String>) -> Option<T> {
        checked
            .map_err(|description| self.push(field, description))
            .ok()
    }

    /// Tells whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns them in the order in which they were found.
    #[must_use]
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }

    /// Returns the first one, and how many more there are, as one sentence.
    #[must_use]
    pub fn summary(&self) -> String {
        let first = self
            .0
            .first()
            .map(|violation| format!("{} {}", violation.field, violation.description))
            .unwrap_or_default();
        match self.0.len() {
            0 | 1 => first,
            2 => format!("{first} (and 1 more violation)"),
            count => format!("{first} (and {} more violations)", count - 1),
        }
    }

    /// Passes on if there is none.
    ///
    /// # Errors
    /// Returns itself if there is one.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

/// What the checks and the defaults depend on.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whether the leading `+` of a redirect number is stripped, as PortaBilling stores it.
    pub strip_plus: bool,
    /// The ring time in seconds of a new number that names none.
    pub default_ring_timeout: i32,
}

/// A span of time as a caller gave it, before it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UncheckedDuration {
    /// Whole seconds.
    pub seconds: i64,
    /// The rest in nanoseconds.
    pub nanos: i32,
}

/// What a caller wants a number to be. `None` is what the caller did not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// The label for people.
    pub name: String,
    /// Where the call goes.
    pub redirect_number: String,
    /// The SIP host of the destination, or empty.
    pub domain: String,
    /// The position.
    pub order: Option<i32>,
    /// The ring time.
    pub ring_timeout: Option<UncheckedDuration>,
    /// Used or not.
    pub active: Option<bool>,
    /// Whether the dialled number is kept.
    pub keep_original_cld: Option<bool>,
    /// Which caller id is shown; `Some(None)` is a value that this version does not know.
    pub caller_id_mode: Option<Option<CallerIdMode>>,
    /// When the number is used.
    pub period: String,
    /// The same for people.
    pub period_description: String,
    /// A flag whose meaning is not documented.
    pub status: Option<bool>,
}

impl Draft {
    /// Returns the fields that the draft says something about: all strings, which are literal, and
    /// the optional ones that are there.
    #[must_use]
    pub fn present(&self) -> FieldSet {
        Field::ALL
            .into_iter()
            .filter(|field| match field {
                Field::Name
                | Field::RedirectNumber
                | Field::Domain
                | Field::Period
                | Field::PeriodDescription => true,
                Field::Order => self.order.is_some(),
                Field::RingTimeout => self.ring_timeout.is_some(),
                Field::Active => self.active.is_some(),
                Field::KeepOriginalCld => self.keep_original_cld.is_some(),
                Field::CallerIdMode => self.caller_id_mode.is_some(),
                Field::Status => self.status.is_some(),
            })
            .collect()
    }

    /// Checks the named fields that the draft says something about.
    pub fn check(&self, fields: FieldSet, path: &str, rules: &Rules, violations: &mut Violations) {
        let path = |field: Field| format!("{path}.{}", field.name());
        for field in fields.intersection(self.present()).iter() {
            let checked = match field {
                Field::Name => check::name(&self.name),
                Field::RedirectNumber => {
                    check::redirect_number(&self.redirect_number, rules.strip_plus)
                }
                Field::Domain => check::domain(&self.domain),
                Field::Order => self.order.map_or(Ok(()), check::order),
                Field::Period => check::period(&self.period),
                Field::PeriodDescription => check::period_description(&self.period_description),
                Field::RingTimeout => self.ring_timeout.map_or(Ok(()), |duration| {
                    check::ring_timeout(duration.seconds, duration.nanos)
                }),
                Field::CallerIdMode => {
                    if self.caller_id_mode == Some(None) {
                        violations.push(path(field), "is a value that this version does not know");
                    }
                    continue;
                }
                Field::Active | Field::KeepOriginalCld | Field::Status => continue,
            };
            violations.collect(&path(field), checked);
        }
    }

    /// Returns the fields in which the draft says something that [`Fields`] cannot hold, so that it
    /// cannot be what upstream holds either: a ring time that is not whole seconds, a mode that is
    /// not known.
    #[must_use]
    pub fn unrepresentable(&self) -> FieldSet {
        let mut fields = FieldSet::EMPTY;
        if self
            .ring_timeout
            .is_some_and(|duration| duration.nanos != 0 || i32::try_from(duration.seconds).is_err())
        {
            fields.insert(Field::RingTimeout);
        }
        if self.caller_id_mode == Some(None) {
            fields.insert(Field::CallerIdMode);
        }
        fields
    }

    /// Returns what the draft says, literally, what it does not say as unset.
    #[must_use]
    pub fn to_fields(&self, rules: &Rules) -> Fields {
        let redirect_number = if rules.strip_plus {
            without_plus(&self.redirect_number)
        } else {
            &self.redirect_number
        };
        Fields {
            name: self.name.clone(),
            redirect_number: redirect_number.to_owned(),
            domain: self.domain.clone(),
            order: self.order,
            // A span that does not fit was refused by the check.
            ring_timeout: self
                .ring_timeout
                .and_then(|duration| i32::try_from(duration.seconds).ok()),
            active: self.active.map_or("", flag_letter).to_owned(),
            keep_original_cld: self.keep_original_cld.map_or("", flag_letter).to_owned(),
            keep_original_cli: self
                .caller_id_mode
                .flatten()
                .map_or("", CallerIdMode::letter)
                .to_owned(),
            period: self.period.clone(),
            period_description: self.period_description.clone(),
            status: self.status,
        }
    }

    /// Returns the fields of a new number: what is not said takes its default.
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

    /// Returns the current fields with the named ones, as far as the draft says something about
    /// them, in their place.
    #[must_use]
    pub fn merge_into(&self, current: &Fields, named: FieldSet, rules: &Rules) -> Fields {
        let mut fields = current.clone();
        fields.copy_from(&self.to_fields(rules), named.intersection(self.present()));
        fields
    }
}
