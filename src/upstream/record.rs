//! The records inside an answer, as the framework writes them (docs/upstream/wire.md 2, 3).

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    domain::{AccountId, FieldSet, Fields, Number, NumberId, Settings, Slot, Value},
    format::jsv,
};

/// An element of `FollowMeNumbers`: the members that are read, by name. Every value is read as
/// text, so that one odd value never fails a read; an absent member and an empty one are the same
/// (docs/upstream/wire.md 10.11).
#[derive(Default)]
struct Element<'a>(Vec<(Text<'a>, Text<'a>)>);

/// A text, borrowed from the body unless it was unescaped.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The suffix of the member that tells whether an integer is set, as .NET names it.
const SPECIFIED: &str = "Specified";

impl Element<'_> {
    fn get(&self, name: &str) -> &str {
        let member = self.0.iter().find(|(member, _)| member.0 == name);
        member.map_or("", |(_, value)| &value.0)
    }

    fn is_specified(&self, name: &str) -> bool {
        !self.0.iter().any(|(member, value)| {
            member.0.strip_suffix(SPECIFIED) == Some(name) && value.0.eq_ignore_ascii_case("false")
        })
    }

    fn reads(name: &str) -> bool {
        let name = name.strip_suffix(SPECIFIED).unwrap_or(name);
        matches!(name, "i_account" | "i_follow_me" | "i_follow_me_number")
            || FieldSet::all().iter().any(|field| field.column() == name)
    }
}

impl<'de> Deserialize<'de> for Element<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Element<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element<'de>, A::Error> {
                let mut element = Element::default();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    if !Element::reads(&name.0) {
                        map.next_value::<IgnoredAny>()?;
                    } else if element.0.iter().any(|(member, _)| member.0 == name.0) {
                        return Err(de::Error::custom("a member is there twice"));
                    } else {
                        element.0.push((name, map.next_value()?));
                    }
                }
                Ok(element)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// The elements of a list, at most [`MAX_ELEMENTS`].
struct Elements<'a>(Vec<Element<'a>>);

/// More elements than an account has numbers. A short text can hold millions of empty ones, which
/// would take hundreds of times its memory.
const MAX_ELEMENTS: usize = 10_000;

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of objects")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Elements<'de>, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    if elements.len() == MAX_ELEMENTS {
                        return Err(de::Error::custom("there are too many elements"));
                    }
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }

        deserializer.deserialize_seq(List)
    }
}

/// `FollowMeinfo`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InfoRecord<'a> {
    #[serde(borrow)]
    i_follow_me: Cow<'a, str>,
    #[serde(borrow)]
    sequence: Cow<'a, str>,
    #[serde(borrow)]
    timeout: Cow<'a, str>,
    #[serde(borrow, rename = "SipStatus")]
    sip_status: Cow<'a, str>,
}

/// The numbers of a list, and how many elements were left out.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub(super) numbers: Vec<Number>,
    /// Elements without a positive id, or whose account is no id.
    pub(super) unidentified: usize,
}

/// Decodes a list of numbers.
///
/// # Errors
/// Fails for broken JSV, if two elements have the same id, and if one is of another account.
pub(super) fn numbers(text: &str, account: AccountId) -> Result<Numbers, &'static str> {
    let Elements(elements) = jsv::from_str(text)
        .map_err(|_| "FollowMeNumbers is not a JSV list of at most 10,000 objects")?;
    let mut list = Numbers::default();
    let mut seen = std::collections::HashSet::with_capacity(elements.len());
    for element in elements {
        if is_of_another(&element, account) {
            return Err(OTHER_ACCOUNT);
        }
        match number(&element, account) {
            Some(number) if !seen.insert(number.id) => {
                return Err("FollowMeNumbers holds one id twice");
            }
            Some(number) => list.numbers.push(number),
            None => list.unidentified += 1,
        }
    }
    Ok(list)
}

/// The answer is that of another request: the connection mixes them up.
pub(super) const OTHER_ACCOUNT: &str = "FollowMeNumbers holds an element of another account";

fn is_of(element: &Element<'_>, account: AccountId) -> bool {
    element.get("i_account").parse() == Ok(account.value())
}

/// Returns whether an element has the id of another account. What is no id tells nothing.
fn is_of_another(element: &Element<'_>, account: AccountId) -> bool {
    let id = element.get("i_account").parse().ok();
    id.and_then(AccountId::new).is_some_and(|id| id != account)
}

/// Decodes an element; `None` where it is not identified as a number of the account. An account
/// that is absent or 0 is the default of its type, not another account.
fn number(element: &Element<'_>, account: AccountId) -> Option<Number> {
    let id = element.get("i_follow_me_number").parse().ok();
    let id = id.and_then(NumberId::new)?;
    if !matches!(element.get("i_account"), "" | "0") && !is_of(element, account) {
        return None;
    }
    let mut unreadable = BTreeMap::new();
    let mut int = |name: &'static str| {
        let raw = element.get(name);
        if raw.is_empty() || !element.is_specified(name) {
            return None;
        }
        // A request can only send back what fits 32 bits, and no negative value has a meaning.
        let value = raw.parse::<i32>().ok().filter(|value| *value >= 0);
        if value.is_none() {
            unreadable.insert(name, raw.to_owned());
        }
        value
    };
    let follow_me_id = int("i_follow_me");
    let mut fields = Fields::default();
    for field in FieldSet::all() {
        let raw = element.get(field.column());
        match fields.slot(field) {
            Slot::Text(slot) => raw.clone_into(slot),
            Slot::Integer(slot) => *slot = int(field.column()),
            Slot::Flag(slot) => *slot = bool(raw),
        }
    }
    for field in FieldSet::all() {
        let raw = element.get(field.column());
        if let Value::Flag(None) = fields.get(field)
            && !raw.is_empty()
        {
            unreadable.insert(field.column(), raw.to_owned());
        }
    }
    Some(Number {
        account_id: account,
        id,
        follow_me_id,
        fields,
        unreadable,
    })
}

/// Decodes the settings. An odd value in them is taken for absent.
///
/// # Errors
/// Fails for broken JSV.
pub(super) fn settings(text: &str) -> Result<Settings, &'static str> {
    let record: InfoRecord<'_> =
        jsv::from_str(text).map_err(|_| "FollowMeinfo is not a JSV object")?;
    Ok(Settings {
        follow_me_id: record.i_follow_me.parse().ok(),
        sequence: record.sequence.into_owned(),
        ring_timeout: record.timeout.parse().ok().filter(|timeout| *timeout >= 0),
        sip_status: bool(&record.sip_status),
    })
}

/// Parses a boolean as .NET writes it, in any case.
pub(super) fn bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}
