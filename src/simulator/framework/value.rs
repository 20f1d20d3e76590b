//! The values that the framework binds and answers, and their JSON, JSV and XML.

use serde::{Serialize, Serializer};

/// A .NET value. The members of an object keep their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Null: left out of an object, and `{}` in a list.
    #[default]
    Null,
    /// A `bool`.
    Bool(bool),
    /// An `int`.
    Int(i32),
    /// A `string`.
    Text(String),
    /// A list or an array.
    List(Vec<Self>),
    /// An object: names and values.
    Object(#[serde(serialize_with = "without_nulls")] Vec<(&'static str, Self)>),
}

/// How JSV writes an empty string member; the framework changed it (docs/upstream/wire.md 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyString {
    /// `name:`, as 3.9.x does.
    #[default]
    Bare,
    /// `name:""`, as the last v3 and v4 do.
    Quoted,
}

impl Value {
    /// Returns the value as JSV, byte for byte as the framework writes it: a string is quoted iff
    /// it holds a character that a bare one must not (docs/upstream/wire.md 3).
    #[must_use]
    pub fn to_jsv(&self, empty: EmptyString) -> String {
        match self {
            Self::Null => String::new(),
            Self::Bool(value) => (if *value { "True" } else { "False" }).to_owned(),
            Self::Int(value) => value.to_string(),
            Self::Text(text) if text.is_empty() && empty == EmptyString::Bare => String::new(),
            Self::Text(text) if text.is_empty() || text.contains(is_special) => {
                format!("\"{}\"", text.replace('"', "\"\""))
            }
            Self::Text(text) => text.clone(),
            Self::List(elements) => {
                let element = |element: &Self| match element {
                    Self::Null => "{}".to_owned(),
                    // A bare empty element would make a list of one look like a list of none.
                    Self::Text(_) => element.to_jsv(EmptyString::Quoted),
                    _ => element.to_jsv(empty),
                };
                format!("[{}]", join(elements.iter().map(element)))
            }
            Self::Object(members) => {
                let member = |(name, value): (_, &Self)| format!("{name}:{}", value.to_jsv(empty));
                format!("{{{}}}", join(present(members).map(member)))
            }
        }
    }

    /// Returns a member of an object, to be changed.
    pub(crate) fn member(&mut self, name: &str) -> Option<&mut Self> {
        match self {
            Self::Object(members) => {
                let mut members = members.iter_mut();
                members
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// Returns the value as JSON.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| error.to_string())
    }

    /// Returns the value as the XML element `name`. The elements of a list have a name of their
    /// own, that of their .NET class.
    pub(crate) fn to_xml(&self, name: &str, element_name: &str) -> String {
        let content = match self {
            Self::Null => return format!("<{name} i:nil=\"true\" />"),
            Self::List(elements) if elements.is_empty() => return format!("<{name} />"),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Text(text) => escape_xml(text),
            Self::List(elements) => {
                let element = |element: &Self| element.to_xml(element_name, "");
                elements.iter().map(element).collect()
            }
            Self::Object(members) => {
                let member = |(name, value): &(&str, Self)| value.to_xml(name, element_name);
                members.iter().map(member).collect()
            }
        };
        format!("<{name}>{content}</{name}>")
    }
}

/// Returns whether JSV allows a character in quoted strings only.
fn is_special(char: char) -> bool {
    matches!(char, '"' | ':' | ',' | '{' | '}' | '[' | ']' | '\r' | '\n')
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

fn present<'v>(
    members: &'v [(&'static str, Value)],
) -> impl Iterator<Item = (&'static str, &'v Value)> {
    let members = members.iter().map(|(name, value)| (*name, value));
    members.filter(|(_, value)| **value != Value::Null)
}

fn without_nulls<S: Serializer>(
    members: &[(&'static str, Value)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(present(members))
}

/// Escapes text for XML and HTML content.
pub(crate) fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

macro_rules! from {
    ($($type:ty => $variant:ident),+) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )+};
}

from!(bool => Bool, i32 => Int, &str => Text, String => Text);

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(elements: Vec<T>) -> Self {
        Self::List(elements.into_iter().map(Into::into).collect())
    }
}
