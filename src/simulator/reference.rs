//! The simulator's faults, knobs and control pages as Markdown tables.

use std::fmt::Write as _;

use strum::IntoEnumIterator as _;

use super::{
    control_pages::PAGES,
    documented::{documentation, one_line, variants},
    fault_kind::{FaultKind, HangAt, Odd, Unasked, When},
    knobs::{KNOBS, Knobs},
    routing::Route,
};

/// Returns Markdown tables of the faults, the knobs and the control pages.
#[must_use]
pub fn reference() -> String {
    [
        faults_reference(),
        knobs_reference(),
        control_pages_reference(),
    ]
    .join("\n")
}

/// Returns Markdown tables of the faults and of the values of their fields.
#[must_use]
pub fn faults_reference() -> String {
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
        ("route", variants::<Route>()),
        ("when", when.collect::<Vec<_>>().join(" ")),
        ("at", variants::<HangAt>()),
        ("odd", variants::<Odd>()),
        ("field", variants::<Unasked>()),
    ] {
        row(&mut out, [&format!("`{field}`"), &values]);
    }
    out
}

/// Returns a Markdown table of the knobs.
#[must_use]
pub fn knobs_reference() -> String {
    let mut out = String::new();
    row(&mut out, ["knob", "meaning", "values", "default"]);
    row(&mut out, ["---", "---", "---", "---"]);
    let defaults = serde_json::to_value(Knobs::default()).unwrap_or_default();
    for (name, doc, values) in KNOBS {
        let (name, default) = (format!("`{name}`"), format!("`{}`", defaults[*name]));
        row(&mut out, [&name, &one_line(doc), &values(), &default]);
    }
    out
}

/// Returns a Markdown table of the control pages.
#[must_use]
pub fn control_pages_reference() -> String {
    let mut out = String::new();
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
