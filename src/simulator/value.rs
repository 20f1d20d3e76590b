//! The values that the framework binds and answers, and their JSON, JSV and XML.

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap as _, SerializeSeq as _},
};

/// A .NET value. The members of an object keep their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    Object(Vec<(&'static str, Self)>),
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
        let mut out = String::new();
        self.write_jsv(&mut out, empty);
        out
    }

    fn write_jsv(&self, out: &mut String, empty: EmptyString) {
        match self {
            Self::Null => {}
            Self::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
            Self::Int(value) => out.push_str(&value.to_string()),
            Self::Text(text) if text.is_empty() && empty == EmptyString::Bare => {}
            Self::Text(text) if text.is_empty() || text.contains(is_special) => {
                out.push('"');
                out.push_str(&text.replace('"', "\"\""));
                out.push('"');
            }
            Self::Text(text) => out.push_str(text),
            Self::List(elements) => {
                out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    separate(out, index);
                    match element {
                        Self::Null => out.push_str("{}"),
                        // A bare empty element would make a list of one look like a list of none.
                        element => element.write_jsv(
                            out,
                            match element {
                                Self::Text(_) => EmptyString::Quoted,
                                _ => empty,
                            },
                        ),
                    }
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (name, value)) in present(members).enumerate() {
                    separate(out, index);
                    out.push_str(name);
                    out.push(':');
                    value.write_jsv(out, empty);
                }
                out.push('}');
            }
        }
    }

    /// Returns the value as JSON.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| error.to_string())
    }

    /// Appends the value as the XML element `name`. The elements of a list have a name of their
    /// own, that of their .NET class.
    pub(crate) fn write_xml(&self, out: &mut String, name: &str, element_name: &str) {
        let content = match self {
            Self::Null => return out.push_str(&format!("<{name} i:nil=\"true\" />")),
            Self::List(elements) if elements.is_empty() => {
                return out.push_str(&format!("<{name} />"));
            }
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Text(text) => escape_xml(text),
            Self::List(elements) => {
                let mut content = String::new();
                for element in elements {
                    element.write_xml(&mut content, element_name, "");
                }
                content
            }
            Self::Object(members) => {
                let mut content = String::new();
                for (name, value) in members {
                    value.write_xml(&mut content, name, element_name);
                }
                content
            }
        };
        out.push_str(&format!("<{name}>{content}</{name}>"));
    }
}

/// Returns whether JSV allows a character in quoted strings only.
fn is_special(char: char) -> bool {
    matches!(char, '"' | ':' | ',' | '{' | '}' | '[' | ']' | '\r' | '\n')
}

fn separate(out: &mut String, index: usize) {
    if index > 0 {
        out.push(',');
    }
}

fn present<'v>(
    members: &'v [(&'static str, Value)],
) -> impl Iterator<Item = &'v (&'static str, Value)> {
    members.iter().filter(|(_, value)| *value != Value::Null)
}

/// Escapes text for XML and HTML content.
pub(crate) fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i32(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(elements) => {
                let mut list = serializer.serialize_seq(None)?;
                for element in elements {
                    list.serialize_element(element)?;
                }
                list.end()
            }
            Self::Object(members) => {
                let mut object = serializer.serialize_map(None)?;
                for (name, value) in present(members) {
                    object.serialize_entry(name, value)?;
                }
                object.end()
            }
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

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
