//! The one request object that all routes bind, and how text becomes its values
//! (docs/upstream/wire.md 6).

use serde::{Serialize, Serializer};
use strum::{EnumCount, EnumIter, EnumString, IntoEnumIterator as _, IntoStaticStr};

use super::Value;
use crate::simulator::Dialect;

/// A property of the request object `PortaFollowMe`, in the order of the page and with its name
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumCount, EnumIter, EnumString, IntoStaticStr)]
#[strum(ascii_case_insensitive)]
pub(crate) enum Property {
    #[strum(serialize = "IAccount")]
    Account,
    #[strum(serialize = "IFollowMeNumber")]
    Number,
    TimeOut,
    Domain,
    Name,
    #[strum(serialize = "FollowMeOrder")]
    Order,
    RedirectNumber,
    KeepOriginalCld,
    #[strum(serialize = "KeepOriginalCLI")]
    KeepOriginalCli,
    Active,
    Period,
    #[strum(serialize = "Period_desc")]
    PeriodDescription,
    Status,
    #[strum(serialize = "isDeleteForward")]
    DeleteForward,
    License,
    ContentId,
    FeatureName,
}

use Property as P;

impl Property {
    /// Finds a property by its name, without case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// Returns the name on the wire.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// Returns whether the property is a string.
    pub(crate) fn is_text(self) -> bool {
        self.default_value() == Value::Null
    }

    /// Returns the value of a property that no request sets.
    fn default_value(self) -> Value {
        match self {
            P::Account | P::Number | P::TimeOut | P::Order | P::ContentId => Value::Int(0),
            P::Status | P::DeleteForward => Value::Bool(false),
            _ => Value::Null,
        }
    }
}

/// The request object as the framework binds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestObject {
    /// The values that the request sets, by property. The real handlers see only the object, and
    /// cannot tell a default from a value that equals it.
    values: [Option<Value>; P::COUNT],
}

impl RequestObject {
    /// Returns a value, the default if the request sets none.
    pub(crate) fn value(&self, property: Property) -> Value {
        let value = self.values[property as usize].clone();
        value.unwrap_or_else(|| property.default_value())
    }

    /// Returns a string; None is null.
    pub(crate) fn text(&self, property: Property) -> Option<&str> {
        match &self.values[property as usize] {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns an integer.
    pub(crate) fn int(&self, property: Property) -> i32 {
        match self.values[property as usize] {
            Some(Value::Int(value)) => value,
            _ => 0,
        }
    }

    /// Returns a boolean.
    pub(crate) fn flag(&self, property: Property) -> bool {
        self.values[property as usize] == Some(Value::Bool(true))
    }

    /// Returns whether the request sets `property`.
    pub(crate) fn sets(&self, property: Property) -> bool {
        self.values[property as usize].is_some()
    }

    /// Returns the License, empty if the request has none.
    pub(crate) fn license(&self) -> &str {
        self.text(P::License).unwrap_or_default()
    }

    /// Binds `text` to `property` by the rules for paths, queries, forms and CSV fields.
    ///
    /// Returns false, and binds nothing, when an integer or boolean cannot be read.
    pub(crate) fn bind(&mut self, property: Property, text: &str, dialect: Dialect) -> bool {
        let value = match property.default_value() {
            Value::Int(_) => parse_int(text).map(Value::Int),
            // An MVC check box sends two values; only the first counts.
            Value::Bool(_) => {
                let first = text.split(',').next().unwrap_or_default();
                parse_bool(first, dialect).map(Value::Bool)
            }
            _ => Some(text.into()),
        };
        let bound = value.is_some();
        if bound {
            self.values[property as usize] = value;
        }
        bound
    }

    /// Binds `text` by the rules for JSON and JSV bodies: an unknown name is skipped, and what
    /// cannot be read stays at its default.
    pub(crate) fn bind_leniently(&mut self, name: &str, text: &str, dialect: Dialect) {
        if let Some(property) = Property::named(name)
            && !self.bind(property, text, dialect)
        {
            self.unset(property);
        }
    }

    /// Sets `property` to its default, as if the request did not set it.
    pub(crate) fn unset(&mut self, property: Property) {
        self.values[property as usize] = None;
    }

    /// Returns the object with only the given properties set.
    pub(crate) fn only(mut self, properties: &[Property]) -> Self {
        P::iter()
            .filter(|property| !properties.contains(property))
            .for_each(|property| self.unset(property));
        self
    }
}

impl Serialize for RequestObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let member = |property: Property| (property.name(), self.value(property));
        Value::Object(P::iter().map(member).collect()).serialize(serializer)
    }
}

/// Reads an integer as .NET does: blanks around, a sign, leading zeros, 32 bits.
fn parse_int(text: &str) -> Option<i32> {
    // Rust reads the same digits and signs; its own notion of a blank lacks U+000B only.
    let blank = |c: char| c.is_ascii_whitespace() || c == '\u{b}';
    text.trim_matches(blank).parse().ok()
}

/// Reads a boolean: `true` or `false` in any case, or short texts by the dialect's rule.
fn parse_bool(text: &str, dialect: Dialect) -> Option<bool> {
    match (dialect, text.chars().count()) {
        (_, 1) => Some(text == "1"),
        (Dialect::V4, 2) => Some(text == "on"),
        _ => text.trim().to_ascii_lowercase().parse().ok(),
    }
}
