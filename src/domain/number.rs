//! A follow-me number and its fields.

use std::{collections::BTreeMap, fmt};

use super::{AccountId, NumberId};

/// A number of an account's list, as upstream holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// The account that has it.
    pub account_id: AccountId,
    /// Its id.
    pub id: NumberId,
    /// The id of the list.
    pub follow_me_id: Option<i32>,
    /// What can be written.
    pub fields: Fields,
    /// Numbers and booleans that could not be understood: upstream's field name to its raw text.
    pub unreadable: BTreeMap<&'static str, String>,
}

/// The fields of a number that can be written.
///
/// Texts are upstream's own, so that what is not changed goes back as it came; what it means is
/// asked for by methods. An empty text and none are one (docs/upstream/wire.md 2.5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// The label for people.
    pub name: String,
    /// Where the call goes.
    pub redirect_number: String,
    /// The SIP host of the destination, or empty.
    pub domain: String,
    /// The position, ascending.
    pub order: Option<i32>,
    /// The ring time in seconds.
    pub ring_timeout: Option<i32>,
    /// Used or not: `Y`, `N`, or empty.
    pub active: String,
    /// Whether the dialled number is kept: `Y`, `N`, or empty.
    pub keep_original_cld: String,
    /// Which caller id the destination sees: a letter of [`CallerIdMode`], or empty.
    pub keep_original_cli: String,
    /// When the number is used: Time::Period text.
    pub period: String,
    /// The same for people.
    pub period_description: String,
    /// A flag whose meaning is not documented.
    pub status: Option<bool>,
}

/// Which caller id the destination of a forwarded call sees (docs/upstream/domain.md 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerIdMode {
    /// The caller's number and name: `Y`.
    CallerNumberAndName,
    /// The caller's number with the forwarder's name: `I`.
    CallerNumber,
    /// The forwarder's: `N`.
    Forwarder,
}

impl CallerIdMode {
    /// Returns upstream's letter.
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Self::CallerNumberAndName => "Y",
            Self::CallerNumber => "I",
            Self::Forwarder => "N",
        }
    }

    /// Understands upstream's letter.
    #[must_use]
    pub fn from_letter(text: &str) -> Option<Self> {
        [
            Self::CallerNumberAndName,
            Self::CallerNumber,
            Self::Forwarder,
        ]
        .into_iter()
        .find(|mode| mode.letter() == text)
    }
}

/// Returns upstream's letter for a flag that is a string (docs/upstream/wire.md 6).
#[must_use]
pub fn flag_letter(flag: bool) -> &'static str {
    if flag { "Y" } else { "N" }
}

/// Understands a flag that is a string: `Y` or `N`.
#[must_use]
pub fn flag_from_letter(text: &str) -> Option<bool> {
    match text {
        "Y" => Some(true),
        "N" => Some(false),
        _ => None,
    }
}

/// A field of a number that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "named as the fields of `Fields`")]
pub enum Field {
    Name,
    RedirectNumber,
    Domain,
    Order,
    RingTimeout,
    Active,
    KeepOriginalCld,
    CallerIdMode,
    Period,
    PeriodDescription,
    Status,
}

impl Field {
    /// Every field, in the order of the contract.
    pub const ALL: [Self; 11] = [
        Self::Name,
        Self::RedirectNumber,
        Self::Domain,
        Self::Order,
        Self::RingTimeout,
        Self::Active,
        Self::KeepOriginalCld,
        Self::CallerIdMode,
        Self::Period,
        Self::PeriodDescription,
        Self::Status,
    ];

    /// Returns the field's name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::RedirectNumber => "redirect_number",
            Self::Domain => "domain",
            Self::Order => "order",
            Self::RingTimeout => "ring_timeout",
            Self::Active => "active",
            Self::KeepOriginalCld => "keep_original_cld",
            Self::CallerIdMode => "caller_id_mode",
            Self::Period => "period",
            Self::PeriodDescription => "period_description",
            Self::Status => "status",
        }
    }

    /// Finds a field by its name in the contract.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// A set of [`Field`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct FieldSet(u16);

impl FieldSet {
    /// No field.
    pub const EMPTY: Self = Self(0);

    /// Every field.
    #[must_use]
    pub fn all() -> Self {
        Field::ALL.into_iter().collect()
    }

    /// Every field but `status`, which upstream may change by itself.
    #[must_use]
    pub fn caller_owned() -> Self {
        Self::all().without(Field::Status)
    }

    /// Tells whether the field is in the set.
    #[must_use]
    pub fn contains(self, field: Field) -> bool {
        self.0 & (1 << field as u8) != 0
    }

    /// Tells whether the set has no field.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds a field.
    pub fn insert(&mut self, field: Field) {
        self.0 |= 1 << field as u8;
    }

    /// Returns the set without a field.
    #[must_use]
    pub fn without(self, field: Field) -> Self {
        Self(self.0 & !(1 << field as u8))
    }

    /// Returns what is in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns what is in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns what is in this set and not in the other.
    #[must_use]
    pub fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Goes through the fields in the order of the contract.
    pub fn iter(self) -> impl Iterator<Item = Field> {
        Field::ALL
            .into_iter()
            .filter(move |field| self.contains(*field))
    }
}

impl FromIterator<Field> for FieldSet {
    fn from_iter<I: IntoIterator<Item = Field>>(fields: I) -> Self {
        let mut set = Self::EMPTY;
        for field in fields {
            set.insert(field);
        }
        set
    }
}

impl fmt::Debug for FieldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Field::name)).finish()
    }
}

impl Fields {
    /// Returns whether the number is used, where that is understood.
    #[must_use]
    pub fn is_active(&self) -> Option<bool> {
        flag_from_letter(&self.active)
    }

    /// Returns whether the dialled number is kept, where that is understood.
    #[must_use]
    pub fn keeps_original_cld(&self) -> Option<bool> {
        flag_from_letter(&self.keep_original_cld)
    }

    /// Returns which caller id is shown, where that is understood.
    #[must_use]
    pub fn caller_id_mode(&self) -> Option<CallerIdMode> {
        CallerIdMode::from_letter(&self.keep_original_cli)
    }

    /// Returns the fields that differ, compared as upstream means them: a leading `+` of a redirect
    /// number, the case of a domain and of a flag do not count, an empty period is `Always`, and an
    /// unset integer is 0, since a request cannot tell them apart (docs/upstream/wire.md 6).
    #[must_use]
    pub fn differences(&self, other: &Self) -> FieldSet {
        Field::ALL
            .into_iter()
            .filter(|field| !self.same(other, *field))
            .collect()
    }

    fn same(&self, other: &Self, field: Field) -> bool {
        match field {
            Field::Name => self.name == other.name,
            Field::RedirectNumber => {
                without_plus(&self.redirect_number) == without_plus(&other.redirect_number)
            }
            Field::Domain => self.domain.eq_ignore_ascii_case(&other.domain),
            Field::Order => self.order.unwrap_or(0) == other.order.unwrap_or(0),
            Field::RingTimeout => self.ring_timeout.unwrap_or(0) == other.ring_timeout.unwrap_or(0),
            Field::Active => self.active.eq_ignore_ascii_case(&other.active),
            Field::KeepOriginalCld => self
                .keep_original_cld
                .eq_ignore_ascii_case(&other.keep_original_cld),
            Field::CallerIdMode => self
                .keep_original_cli
                .eq_ignore_ascii_case(&other.keep_original_cli),
            Field::Period => canonical_period(&self.period) == canonical_period(&other.period),
            Field::PeriodDescription => self.period_description == other.period_description,
            Field::Status => self.status.unwrap_or(false) == other.status.unwrap_or(false),
        }
    }

    /// Returns about how much memory the texts take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.name.len()
            + self.redirect_number.len()
            + self.domain.len()
            + self.period.len()
            + self.period_description.len()
    }

    /// Tells whether two numbers forward to the same place.
    #[must_use]
    pub fn same_destination(&self, other: &Self) -> bool {
        self.same(other, Field::RedirectNumber) && self.same(other, Field::Domain)
    }

    /// Copies the fields of the set from another number.
    pub fn copy_from(&mut self, other: &Self, fields: FieldSet) {
        for field in fields.iter() {
            match field {
                Field::Name => self.name.clone_from(&other.name),
                Field::RedirectNumber => self.redirect_number.clone_from(&other.redirect_number),
                Field::Domain => self.domain.clone_from(&other.domain),
                Field::Order => self.order = other.order,
                Field::RingTimeout => self.ring_timeout = other.ring_timeout,
                Field::Active => self.active.clone_from(&other.active),
                Field::KeepOriginalCld => {
                    self.keep_original_cld.clone_from(&other.keep_original_cld);
                }
                Field::CallerIdMode => self.keep_original_cli.clone_from(&other.keep_original_cli),
                Field::Period => self.period.clone_from(&other.period),
                Field::PeriodDescription => {
                    self.period_description
                        .clone_from(&other.period_description);
                }
                Field::Status => self.status = other.status,
            }
        }
    }
}

/// Returns a redirect number as PortaBilling stores it: without a leading `+`
/// (docs/upstream/domain.md 2).
#[must_use]
pub fn without_plus(text: &str) -> &str {
    text.strip_prefix('+').unwrap_or(text)
}

fn canonical_period(text: &str) -> &str {
    let text = text.trim();
    if text.eq_ignore_ascii_case("always") {
        ""
    } else {
        text
    }
}

/// The settings of an account's list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The id of the list.
    pub follow_me_id: Option<i32>,
    /// In which order the numbers ring, as upstream wrote it.
    pub sequence: String,
    /// The default ring time in seconds.
    pub ring_timeout: Option<i32>,
    /// Probably: the account's phone is registered by SIP now.
    pub sip_status: Option<bool>,
}

/// An account's list at one moment: its numbers in order, and its settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// The numbers, in the order of `order` (absent last), then of the id.
    pub numbers: Vec<Number>,
    /// The settings, where upstream sent some.
    pub settings: Option<Settings>,
    /// How many elements upstream listed that are no numbers of the account: without a positive id,
    /// or of another account. Each may be a number of which a part was lost.
    pub unidentified: usize,
}

impl List {
    /// Makes a list, putting the numbers in order.
    #[must_use]
    pub fn new(mut numbers: Vec<Number>, settings: Option<Settings>, unidentified: usize) -> Self {
        numbers.sort_by_key(|number| {
            (
                number.fields.order.is_none(),
                number.fields.order,
                number.id,
            )
        });
        Self {
            numbers,
            settings,
            unidentified,
        }
    }

    /// Finds a number by its id.
    #[must_use]
    pub fn find(&self, id: NumberId) -> Option<&Number> {
        self.numbers.iter().find(|number| number.id == id)
    }

    /// Returns the highest position in use, or 0.
    #[must_use]
    pub fn highest_order(&self) -> i32 {
        self.numbers
            .iter()
            .filter_map(|number| number.fields.order)
            .max()
            .unwrap_or(0)
            .max(0)
    }
}
