//! The simulator's faults, knobs and control pages as Markdown tables.

use std::fmt::Write as _;

use strum::{EnumMessage, IntoEnumIterator};

use super::{
    control_pages::PAGES,
    faults::{FaultKind, HangAt, Odd, Unasked, When},
    knobs::{DeleteForward, KNOBS, Knobs, UpdateAll, WriteAnswer},
    routing::Route,
};

/// A type whose values the reference lists.
pub(crate) trait Values {
    /// Returns the values as Markdown.
    fn values() -> String;
}

impl Values for bool {
    fn values() -> String {
        "`true`, `false`".to_owned()
    }
}

macro_rules! described {
    ($($type:ty = $text:literal),+) => {
        $(impl Values for $type {
            fn values() -> String {
                $text.to_owned()
            }
        })+
    };
}

described!(
    u32 = "integer",
    u64 = "integer",
    usize = "integer",
    String = "text"
);

impl<T: Values> Values for Option<T> {
    fn values() -> String {
        format!("{}, `null`", T::values())
    }
}

macro_rules! variants {
    ($($type:ty),+) => {
        $(impl Values for $type {
            fn values() -> String {
                let value = |variant: Self| {
                    let name: &'static str = variant.into();
                    format!("`\"{name}\"`: {}", documentation(&variant))
                };
                Self::iter().map(value).collect::<Vec<_>>().join(" ")
            }
        })+
    };
}

variants!(
    UpdateAll,
    WriteAnswer,
    DeleteForward,
    HangAt,
    Odd,
    Unasked,
    Route
);

/// Returns the rustdoc of a variant in one line.
fn documentation(variant: &impl EnumMessage) -> String {
    one_line(variant.get_documentation().unwrap_or_default())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns Markdown tables of the faults, the knobs and the control pages.
#[must_use]
pub fn reference() -> String {
    let mut out = String::new();
    row(&mut out, ["fault", "what happens", "fields"]);
    row(&mut out, ["---", "---", "---"]);
    for kind in FaultKind::iter() {
        let fields = match serde_json::to_value(&kind) {
            Ok(serde_json::Value::Object(members)) => members,
            _ => serde_json::Map::new(),
        };
        let fields: Vec<String> = fields
            .keys()
            .filter(|name| *name != "name")
            .map(|name| format!("`{name}`"))
            .collect();
        let name = format!("`{}`", kind.name());
        row(&mut out, [&name, &documentation(&kind), &fields.join(", ")]);
    }
    out.push('\n');
    row(&mut out, ["field", "values"]);
    row(&mut out, ["---", "---"]);
    let when = When::iter().map(|when| {
        let value = serde_json::to_string(&when).unwrap_or_default();
        format!("`{value}`: {}", documentation(&when))
    });
    for (field, values) in [
        ("route", Route::values()),
        ("when", when.collect::<Vec<_>>().join(" ")),
        ("at", HangAt::values()),
        ("odd", Odd::values()),
        ("field", Unasked::values()),
    ] {
        row(&mut out, [&format!("`{field}`"), &values]);
    }
    out.push('\n');
    row(&mut out, ["knob", "meaning", "values", "default"]);
    row(&mut out, ["---", "---", "---", "---"]);
    let defaults = serde_json::to_value(Knobs::default()).unwrap_or_default();
    for (name, doc, values) in KNOBS {
        let (name, default) = (format!("`{name}`"), format!("`{}`", defaults[*name]));
        row(&mut out, [&name, &one_line(doc), &values(), &default]);
    }
    out.push('\n');
    row(&mut out, ["page", "what it does"]);
    row(&mut out, ["---", "---"]);
    for (method, page, meaning) in PAGES {
        row(
            &mut out,
            [&format!("`{method} /_simulator/{page}`"), *meaning],
        );
    }
    out
}

fn row<S: AsRef<str>, const N: usize>(out: &mut String, cells: [S; N]) {
    for cell in cells {
        let _ = write!(out, "| {} ", cell.as_ref().replace('|', "\\|"));
    }
    out.push_str("|\n");
}
