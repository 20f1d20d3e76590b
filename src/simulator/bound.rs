//! The one request object that all routes bind, and how text becomes its values
//! (docs/upstream/wire.md 6).

use serde::Serialize;

use super::options::Dialect;

/// Names a property of the request object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Property {
    Account,
    Number,
    TimeOut,
    Domain,
    Name,
    Order,
    RedirectNumber,
    KeepOriginalCld,
    KeepOriginalCli,
    Active,
    Period,
    PeriodDescription,
    Status,
    DeleteForward,
    License,
    ContentId,
    FeatureName,
}

use Property as P;

/// All properties with their names on the wire, in the order of the page.
const NAMES: [(Property, &str); 17] = [
    (P::Account, "IAccount"),
    (P::Number, "IFollowMeNumber"),
    (P::TimeOut, "TimeOut"),
    (P::Domain, "Domain"),
    (P::Name, "Name"),
    (P::Order, "FollowMeOrder"),
    (P::RedirectNumber, "RedirectNumber"),
    (P::KeepOriginalCld, "KeepOriginalCld"),
    (P::KeepOriginalCli, "KeepOriginalCLI"),
    (P::Active, "Active"),
    (P::Period, "Period"),
    (P::PeriodDescription, "Period_desc"),
    (P::Status, "Status"),
    (P::DeleteForward, "isDeleteForward"),
    (P::License, "License"),
    (P::ContentId, "ContentId"),
    (P::FeatureName, "FeatureName"),
];

impl Property {
    /// Finds a property by its name, without case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(_, wire)| wire.eq_ignore_ascii_case(name))
            .map(|(property, _)| *property)
    }

    /// Returns the name on the wire.
    pub(crate) fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(property, _)| *property == self)
            .map_or("", |(_, name)| name)
    }
}

/// Holds the request object `PortaFollowMe` as the framework binds it; None is null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Bound {
    #[serde(rename = "IAccount")]
    pub(crate) account: i32,
    #[serde(rename = "IFollowMeNumber")]
    pub(crate) number: i32,
    #[serde(rename = "TimeOut")]
    pub(crate) timeout: i32,
    #[serde(rename = "Domain", skip_serializing_if = "Option::is_none")]
    pub(crate) domain: Option<String>,
    #[serde(rename = "Name", skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(rename = "FollowMeOrder")]
    pub(crate) order: i32,
    #[serde(rename = "RedirectNumber", skip_serializing_if = "Option::is_none")]
    pub(crate) redirect_number: Option<String>,
    #[serde(rename = "KeepOriginalCld", skip_serializing_if = "Option::is_none")]
    pub(crate) keep_original_cld: Option<String>,
    #[serde(rename = "KeepOriginalCLI", skip_serializing_if = "Option::is_none")]
    pub(crate) keep_original_cli: Option<String>,
    #[serde(rename = "Active", skip_serializing_if = "Option::is_none")]
    pub(crate) active: Option<String>,
    #[serde(rename = "Period", skip_serializing_if = "Option::is_none")]
    pub(crate) period: Option<String>,
    #[serde(rename = "Period_desc", skip_serializing_if = "Option::is_none")]
    pub(crate) period_description: Option<String>,
    #[serde(rename = "Status")]
    pub(crate) status: bool,
    #[serde(rename = "isDeleteForward")]
    pub(crate) delete_forward: bool,
    #[serde(rename = "License", skip_serializing_if = "Option::is_none")]
    pub(crate) license: Option<String>,
    #[serde(rename = "ContentId")]
    pub(crate) content_id: i32,
    #[serde(rename = "FeatureName", skip_serializing_if = "Option::is_none")]
    pub(crate) feature_name: Option<String>,
    /// One bit for each property that some value was bound to. The real handlers cannot see it.
    #[serde(skip)]
    carried: u32,
}

enum Slot<'a> {
    Int(&'a mut i32),
    Bool(&'a mut bool),
    Text(&'a mut Option<String>),
}

impl Bound {
    fn slot(&mut self, property: Property) -> Slot<'_> {
        match property {
            P::Account => Slot::Int(&mut self.account),
            P::Number => Slot::Int(&mut self.number),
            P::TimeOut => Slot::Int(&mut self.timeout),
            P::Order => Slot::Int(&mut self.order),
            P::ContentId => Slot::Int(&mut self.content_id),
            P::Status => Slot::Bool(&mut self.status),
            P::DeleteForward => Slot::Bool(&mut self.delete_forward),
            P::Domain => Slot::Text(&mut self.domain),
            P::Name => Slot::Text(&mut self.name),
            P::RedirectNumber => Slot::Text(&mut self.redirect_number),
            P::KeepOriginalCld => Slot::Text(&mut self.keep_original_cld),
            P::KeepOriginalCli => Slot::Text(&mut self.keep_original_cli),
            P::Active => Slot::Text(&mut self.active),
            P::Period => Slot::Text(&mut self.period),
            P::PeriodDescription => Slot::Text(&mut self.period_description),
            P::License => Slot::Text(&mut self.license),
            P::FeatureName => Slot::Text(&mut self.feature_name),
        }
    }

    /// Binds `text` to `property` by the rules for paths, queries, forms and CSV fields.
    ///
    /// Returns false, and binds nothing, when an integer or boolean cannot be read.
    pub(crate) fn bind(&mut self, property: Property, text: &str, dialect: Dialect) -> bool {
        match self.slot(property) {
            Slot::Int(slot) => match parse_int(text) {
                Some(value) => *slot = value,
                None => return false,
            },
            Slot::Bool(slot) => {
                // An MVC check box sends two values; only the first counts.
                let first = text.split(',').next().unwrap_or_default();
                match parse_bool(first, dialect) {
                    Some(value) => *slot = value,
                    None => return false,
                }
            }
            Slot::Text(slot) => *slot = Some(text.to_owned()),
        }
        self.carry(property);
        true
    }

    /// Binds `text` by the rules for JSON and JSV bodies: what cannot be read stays at its default.
    pub(crate) fn bind_leniently(&mut self, property: Property, text: &str, dialect: Dialect) {
        if !self.bind(property, text, dialect) {
            *self = std::mem::take(self).without(property);
        }
    }

    /// Returns the object with `property` at its default, as if nothing had carried it.
    pub(crate) fn without(mut self, property: Property) -> Self {
        match self.slot(property) {
            Slot::Int(slot) => *slot = 0,
            Slot::Bool(slot) => *slot = false,
            Slot::Text(slot) => *slot = None,
        }
        self.carried &= !(1 << property as u32);
        self
    }

    fn carry(&mut self, property: Property) {
        self.carried |= 1 << property as u32;
    }

    /// Tells whether the request carried a value for `property`.
    pub(crate) fn carried(&self, property: Property) -> bool {
        self.carried & (1 << property as u32) != 0
    }

    /// Returns the object with only the given properties left, the others at their defaults.
    pub(crate) fn only(&self, properties: &[Property]) -> Self {
        let mut rest = self.clone();
        for (property, _) in NAMES {
            if !properties.contains(&property) {
                rest = rest.without(property);
            }
        }
        rest
    }
}

/// Reads an integer as .NET does: blanks around, a sign, leading zeros, 32 bits.
pub(crate) fn parse_int(text: &str) -> Option<i32> {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}');
    let text = text.trim_matches(blank);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Reads a boolean: `true` or `false` in any case, or short texts by the dialect's rule.
fn parse_bool(text: &str, dialect: Dialect) -> Option<bool> {
    match (dialect, text.chars().count()) {
        (_, 1) => Some(text == "1"),
        (Dialect::V4, 2) => Some(text == "on"),
        _ => {
            let text = text.trim();
            if text.eq_ignore_ascii_case("true") {
                Some(true)
            } else if text.eq_ignore_ascii_case("false") {
                Some(false)
            } else {
                None
            }
        }
    }
}
