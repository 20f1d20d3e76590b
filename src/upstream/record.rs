//! The records inside an answer, as the framework writes them (docs/upstream/wire.md 2, 3).

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::LazyLock};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    domain::{AccountId, FIELD_COUNT, Field, FieldSet, Fields, Number, NumberId, Settings, Slot},
    format::jsv,
};

/// An element of `FollowMeNumbers`: the members that are read. Every value is read as text, so that
/// one odd value never fails a read; an absent member and an empty one are the same
/// (docs/upstream/wire.md 10.11).
#[derive(Default)]
struct Element<'a> {
    /// The values, in the order of [`MEMBERS`].
    values: [Cow<'a, str>; COUNT],
    /// Which of them are there.
    present: u32,
    /// Which of them have a member that tells whether they are set, and whose says that they are
    /// not.
    specified: u32,
    unset: u32,
}

/// A text, borrowed from the body unless it was unescaped.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The suffix of the member that tells whether an integer is set, as .NET names it.
const SPECIFIED: &str = "Specified";

/// The members that hold ids; those of the fields follow them.
const ACCOUNT: usize = 0;
const FOLLOW_ME: usize = 1;
const NUMBER: usize = 2;
const IDS: usize = 3;

/// How many members are read.
const COUNT: usize = IDS + FIELD_COUNT;

/// The names of the members that are read.
static MEMBERS: LazyLock<[&str; COUNT]> = LazyLock::new(|| {
    let mut names = [""; COUNT];
    names[ACCOUNT] = "i_account";
    names[FOLLOW_ME] = "i_follow_me";
    names[NUMBER] = "i_follow_me_number";
    for field in FieldSet::all() {
        names[at(field)] = field.column();
    }
    names
});

/// Returns where the value of a field is.
fn at(field: Field) -> usize {
    IDS + field as usize
}

impl Element<'_> {
    fn get(&self, member: usize) -> &str {
        self.values.get(member).map_or("", |value| value)
    }

    fn is_unset(&self, member: usize) -> bool {
        self.unset & (1 << member) != 0
    }
}

impl<'de> Deserialize<'de> for Element<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members(&'static [&'static str; COUNT]);

        impl<'de> Visitor<'de> for Members {
            type Value = Element<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element<'de>, A::Error> {
                let mut element = Element::default();
                let twice = |seen: &mut u32, member: usize| {
                    let before = *seen;
                    *seen |= 1 << member;
                    if *seen == before {
                        return Err(de::Error::custom("a member is there twice"));
                    }
                    Ok(())
                };
                while let Some(Text(name)) = map.next_key()? {
                    let member = |name| self.0.iter().position(|member| *member == name);
                    if let Some(member) = member(&*name) {
                        twice(&mut element.present, member)?;
                        let Text(value) = map.next_value()?;
                        element.values[member] = value;
                    } else if let Some(member) = name.strip_suffix(SPECIFIED).and_then(member) {
                        twice(&mut element.specified, member)?;
                        let Text(value) = map.next_value()?;
                        if value.eq_ignore_ascii_case("false") {
                            element.unset |= 1 << member;
                        }
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(element)
            }
        }

        deserializer.deserialize_map(Members(&MEMBERS))
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
    if elements
        .iter()
        .any(|element| is_of_another(element, account))
    {
        return Err(OTHER_ACCOUNT);
    }
    let count = elements.len();
    let numbers: Vec<Number> = elements
        .into_iter()
        .filter_map(|element| number(element, account))
        .collect();
    let mut ids: Vec<NumberId> = numbers.iter().map(|number| number.id).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("FollowMeNumbers holds one id twice");
    }
    Ok(Numbers {
        unidentified: count - numbers.len(),
        numbers,
    })
}

/// The answer is that of another request: the connection mixes them up.
pub(super) const OTHER_ACCOUNT: &str = "FollowMeNumbers holds an element of another account";

fn is_of(element: &Element<'_>, account: AccountId) -> bool {
    element.get(ACCOUNT).parse() == Ok(account.value())
}

/// Returns whether an element has the id of another account. What is no id tells nothing.
fn is_of_another(element: &Element<'_>, account: AccountId) -> bool {
    let id = element.get(ACCOUNT).parse().ok();
    id.and_then(AccountId::new).is_some_and(|id| id != account)
}

/// Decodes an element; `None` where it is not identified as a number of the account. An account
/// that is absent or 0 is the default of its type, not another account.
fn number(mut element: Element<'_>, account: AccountId) -> Option<Number> {
    let id = element.get(NUMBER).parse().ok();
    let id = id.and_then(NumberId::new)?;
    if !matches!(element.get(ACCOUNT), "" | "0") && !is_of(&element, account) {
        return None;
    }
    let mut unreadable = BTreeMap::new();
    let mut int = |element: &Element<'_>, member: usize| {
        let raw = element.get(member);
        if raw.is_empty() || element.is_unset(member) {
            return None;
        }
        // A request can only send back what fits 32 bits, and no negative value has a meaning.
        let value = raw.parse::<i32>().ok().filter(|value| *value >= 0);
        if value.is_none() {
            unreadable.insert(MEMBERS[member], raw.to_owned());
        }
        value
    };
    let follow_me_id = int(&element, FOLLOW_ME);
    let mut fields = Fields::default();
    let mut unreadable_flags = Vec::new();
    for field in FieldSet::all() {
        let member = at(field);
        match fields.slot(field) {
            Slot::Text(slot) => *slot = std::mem::take(&mut element.values[member]).into_owned(),
            Slot::Integer(slot) => *slot = int(&element, member),
            Slot::Flag(slot) => {
                let raw = element.get(member);
                *slot = bool(raw);
                if slot.is_none() && !raw.is_empty() {
                    unreadable_flags.push((field.column(), raw.to_owned()));
                }
            }
        }
    }
    unreadable.extend(unreadable_flags);
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
