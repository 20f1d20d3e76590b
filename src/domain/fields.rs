//! The fields of a number that can be written: one table, from which all else is derived.
//!
//! # How to add a field
//!
//! 1. Add it to `FollowMeNumber` in `proto/porta/followme/v1/follow_me.proto`.
//! 2. Add a row to `fields!` below: its type, the name of its column in the upstream's lists, its
//!    check, and whether it is personal. [`Fields`], [`Field`], comparison, etags, the audit log,
//!    update masks and the reader of lists follow the row.
//! 3. Add it to both directions in `grpc/convert.rs`: `draft` and `of_fields`.
//! 4. Add the property that carries it to `PROPERTIES` in `upstream/request.rs`.
//! 5. Teach it to the simulator, from `StoredNumber` in `simulator/store.rs`: the compiler names the
//!    rest.
//! 6. Run the tests; `UPDATE_DOCS=1 cargo test reference` writes it into the docs.

use std::borrow::Cow;

use enumset::{EnumSet, EnumSetType};

use super::{
    check::{self, Rules},
    letters::{CallerIdMode, flag_from_letter},
};

/// Declares the table. A row is `name: Kind(type) => Variant { properties }`, with a kind of
/// [`Value`]; the properties that a row leaves out are those of [`Spec::new`].
macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $kind:ident($type:ty) => $variant:ident {
        $($key:ident: $value:expr),* $(,)?
    })*) => {
        /// A field of a number that can be written.
        #[derive(Debug, EnumSetType, strum::EnumString, strum::IntoStaticStr)]
        #[strum(serialize_all = "snake_case")]
        pub enum Field {
            $($(#[$doc])* $variant,)*
        }

        /// The fields of a number that can be written.
        ///
        /// Texts are as the upstream holds them, so that an unchanged field is sent back exactly
        /// as it came. An empty text and an absent one are the same (docs/upstream/wire.md 2.5).
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Fields {
            $($(#[$doc])* pub $name: $type,)*
        }

        /// How many fields there are.
        pub const FIELD_COUNT: usize = [$(Field::$variant),*].len();

        static TABLE: &[Spec] = &[$(Spec {
            $($key: $value,)*
            ..Spec::new(|fields| Value::$kind(&fields.$name), |fields| Slot::$kind(&mut fields.$name))
        }),*];
    };
}

fields! {
    /// A label for people.
    name: Text(String) => Name {
        column: "name", masked: Some(0),
        check: |fields, _| check::name(&fields.name),
    }
    /// Where the call goes.
    redirect_number: Text(String) => RedirectNumber {
        column: "redirect_number", masked: Some(3),
        canonical: |text| without_plus(text).into(),
        check: |fields, rules| check::redirect_number(&fields.redirect_number, rules.strip_plus),
    }
    /// The SIP host of the destination; empty for none.
    domain: Text(String) => Domain {
        column: "domain", canonical: lower_case,
        check: |fields, _| check::domain(&fields.domain),
    }
    /// The position in the list, ascending.
    order: Integer(Option<i32>) => Order {
        column: "i_follow_order",
        check: |fields, _| fields.order.map_or(Ok(()), check::order),
    }
    /// The ring timeout in seconds.
    ring_timeout: Integer(Option<i32>) => RingTimeout {
        column: "timeout",
        check: |fields, _| fields.ring_timeout.map_or(Ok(()), check::ring_timeout),
    }
    /// Whether the number is used: `Y`, `N`, or empty.
    active: Text(String) => Active {
        column: "active", canonical: lower_case, letters: &["Y", "N"],
    }
    /// Whether the destination sees the dialled number: `Y`, `N`, or empty.
    keep_original_cld: Text(String) => KeepOriginalCld {
        column: "keep_original_cld",
        canonical: lower_case, letters: &["Y", "N"],
    }
    /// Which caller id the destination sees: a letter of [`CallerIdMode`], or empty.
    keep_original_cli: Text(String) => CallerIdMode {
        column: "keep_original_cli",
        canonical: lower_case, letters: &["Y", "I", "N"],
    }
    /// When the number is used: a Time::Period expression.
    period: Text(String) => Period {
        column: "period", canonical: always_is_empty,
        check: |fields, _| check::period(&fields.period),
    }
    /// The period in words for people.
    period_description: Text(String) => PeriodDescription {
        column: "period_description", masked: Some(0),
        check: |fields, _| check::period_description(&fields.period_description),
    }
    /// A flag whose meaning is not documented.
    status: Flag(Option<bool>) => Status {
        column: "status", caller_owned: false,
    }
}

/// A row of the table: what depends on the field.
struct Spec {
    value: fn(&Fields) -> Value<'_>,
    slot: fn(&mut Fields) -> Slot<'_>,
    column: &'static str,
    /// The letters that have a meaning; empty where every text has one.
    letters: &'static [&'static str],
    /// Maps a text to its canonical form, which is the same for all texts of one meaning.
    canonical: fn(&str) -> Cow<'_, str>,
    check: fn(&Fields, &Rules) -> Result<(), String>,
    /// How many of the last characters a masked text shows; `None` where it is not personal.
    masked: Option<usize>,
    /// Whether it changes only by a write. The upstream may change the others by itself.
    caller_owned: bool,
}

impl Spec {
    const fn new(value: fn(&Fields) -> Value<'_>, slot: fn(&mut Fields) -> Slot<'_>) -> Self {
        Self {
            value,
            slot,
            column: "",
            letters: &[],
            canonical: |text| Cow::Borrowed(text),
            check: |_, _| Ok(()),
            masked: None,
            caller_owned: true,
        }
    }
}

/// A set of [`Field`]s.
pub type FieldSet = EnumSet<Field>;

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text; empty where the field is unset.
    Text(&'a str),
    /// An integer.
    Integer(&'a Option<i32>),
    /// A boolean.
    Flag(&'a Option<bool>),
}

/// A field's value, to be set.
#[derive(Debug)]
pub enum Slot<'a> {
    /// A text; empty where the field is unset.
    Text(&'a mut String),
    /// An integer.
    Integer(&'a mut Option<i32>),
    /// A boolean.
    Flag(&'a mut Option<bool>),
}

impl Field {
    fn spec(self) -> &'static Spec {
        &TABLE[self as usize]
    }

    /// Returns the field's name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the field of a name in the contract.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// Returns the name of the member that holds the field in the upstream's lists.
    #[must_use]
    pub fn column(self) -> &'static str {
        self.spec().column
    }

    /// Returns whether the field holds any text, and not one of a few letters.
    #[must_use]
    pub fn is_free_text(self) -> bool {
        let is_text = matches!((self.spec().value)(&Fields::default()), Value::Text(_));
        is_text && self.spec().letters.is_empty()
    }

    /// Returns how many characters of the end of a personal text a masked log shows; `None` where
    /// the field is not personal.
    #[must_use]
    pub fn masked(self) -> Option<usize> {
        self.spec().masked
    }

    /// Returns the fields that only a write changes: all but `status`.
    #[must_use]
    pub fn caller_owned() -> FieldSet {
        FieldSet::all()
            .iter()
            .filter(|field| field.spec().caller_owned)
            .collect()
    }
}

impl Fields {
    /// Returns the value of a field.
    #[must_use]
    pub fn get(&self, field: Field) -> Value<'_> {
        (field.spec().value)(self)
    }

    /// Returns the value of a field, to be set.
    pub fn slot(&mut self, field: Field) -> Slot<'_> {
        (field.spec().slot)(self)
    }

    /// Checks a field. An unset one passes, unless it has to be set.
    ///
    /// # Errors
    /// The first rule that the value breaks, and what to do.
    pub fn check(&self, field: Field, rules: &Rules) -> Result<(), String> {
        (field.spec().check)(self, rules)
    }

    /// Returns whether a field is set.
    #[must_use]
    pub fn is_set(&self, field: Field) -> bool {
        match self.get(field) {
            Value::Text(text) => !text.is_empty(),
            Value::Integer(value) => value.is_some(),
            Value::Flag(value) => value.is_some(),
        }
    }

    /// Returns whether a field holds a value that has a meaning, or none at all.
    #[must_use]
    pub fn is_recognized(&self, field: Field) -> bool {
        match self.get(field) {
            Value::Text(text) => {
                let letters = field.spec().letters;
                text.is_empty() || letters.is_empty() || letters.contains(&text)
            }
            Value::Integer(_) | Value::Flag(_) => true,
        }
    }

    /// Returns the canonical form of a field's text, which is the same for all texts of one
    /// meaning. Integers and booleans have none.
    pub(super) fn canonical(&self, field: Field) -> Cow<'_, str> {
        match self.get(field) {
            Value::Text(text) => (field.spec().canonical)(text),
            Value::Integer(_) | Value::Flag(_) => Cow::Borrowed(""),
        }
    }

    /// Returns the fields that differ in meaning: a leading `+` of a redirect number and the case
    /// of a domain and of a flag do not count, and an empty period is `Always`. An unset integer is
    /// not 0.
    #[must_use]
    pub fn differences(&self, other: &Self) -> FieldSet {
        FieldSet::all()
            .iter()
            .filter(|field| !self.same(other, *field))
            .collect()
    }

    fn same(&self, other: &Self, field: Field) -> bool {
        match (self.get(field), other.get(field)) {
            (Value::Integer(one), Value::Integer(other)) => one == other,
            (Value::Flag(one), Value::Flag(other)) => {
                one.unwrap_or(false) == other.unwrap_or(false)
            }
            _ => self.canonical(field) == other.canonical(field),
        }
    }

    /// Returns whether two numbers forward to the same destination.
    #[must_use]
    pub fn same_destination(&self, other: &Self) -> bool {
        self.same(other, Field::RedirectNumber) && self.same(other, Field::Domain)
    }

    /// Copies the fields of the set from another number.
    pub fn copy_from(&mut self, other: &Self, fields: FieldSet) {
        for field in fields {
            match (self.slot(field), other.get(field)) {
                (Slot::Text(slot), Value::Text(text)) => text.clone_into(slot),
                (Slot::Integer(slot), Value::Integer(value)) => *slot = *value,
                (Slot::Flag(slot), Value::Flag(value)) => *slot = *value,
                // Both are of one field, so of one kind.
                _ => {}
            }
        }
    }

    /// Returns about how much memory the fields take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = FieldSet::all().iter().map(|field| match self.get(field) {
            Value::Text(text) => text.len(),
            Value::Integer(_) | Value::Flag(_) => 0,
        });
        size_of::<Self>() + texts.sum::<usize>()
    }

    /// Returns whether the number is used; `None` where the value is unset or not recognized.
    #[must_use]
    pub fn is_active(&self) -> Option<bool> {
        flag_from_letter(&self.active)
    }

    /// Returns whether the destination sees the dialled number; `None` where the value is unset or
    /// not recognized.
    #[must_use]
    pub fn keeps_original_cld(&self) -> Option<bool> {
        flag_from_letter(&self.keep_original_cld)
    }

    /// Returns which caller id the destination sees; `None` where the value is unset or not
    /// recognized.
    #[must_use]
    pub fn caller_id_mode(&self) -> Option<CallerIdMode> {
        CallerIdMode::from_letter(&self.keep_original_cli)
    }
}

/// Returns a redirect number as PortaBilling stores it: without a leading `+`
/// (docs/upstream/domain.md 2).
#[must_use]
pub fn without_plus(text: &str) -> &str {
    text.strip_prefix('+').unwrap_or(text)
}

fn lower_case(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    }
}

fn always_is_empty(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    let is_always = text.eq_ignore_ascii_case("always");
    (if is_always { "" } else { text }).into()
}
