//! The simulator's faults, knobs and control pages as Markdown tables, made from their rustdoc.

use strum::{EnumMessage, IntoEnumIterator};

use super::{
    control_pages::PAGES,
    fault::{FaultKind, HangAt, Odd, Unasked, When},
    framework::Route,
    knobs::{self, DeleteForward, Knobs, UpdateAll, WriteAnswer},
};

/// Returns Markdown tables of the faults and of the values of their fields.
#[must_use]
pub fn faults_reference() -> String {
    let faults = FaultKind::iter().map(|kind| {
        let members = serde_json::to_value(&kind).unwrap_or_default();
        let names = members
            .as_object()
            .into_iter()
            .flat_map(serde_json::Map::keys);
        let fields = names
            .filter(|name| *name != "name")
            .map(|name| format!("`{name}`"));
        let fields: Vec<_> = fields.collect();
        [
            format!("`{}`", kind.name()),
            documentation(&kind),
            fields.join(", "),
        ]
    });
    let when = When::iter().map(|when| {
        let value = serde_json::to_string(&when).unwrap_or_default();
        format!("`{value}`: {}", documentation(&when))
    });
    let fields = [
        ("route", variants::<Route>()),
        ("when", when.collect::<Vec<_>>().join(" ")),
        ("at", variants::<HangAt>()),
        ("odd", variants::<Odd>()),
        ("field", variants::<Unasked>()),
    ];
    let fields = fields.map(|(field, values)| [format!("`{field}`"), values]);
    let faults = table(["fault", "what happens", "fields"], faults);
    faults + "\n" + &table(["field", "values"], fields)
}

/// Returns a Markdown table of the knobs.
#[must_use]
pub fn knobs_reference() -> String {
    let defaults = serde_json::to_value(Knobs::default()).unwrap_or_default();
    let knobs = knobs::documented().into_iter().map(|(name, doc, values)| {
        let default = format!("`{}`", defaults[name]);
        [format!("`{name}`"), one_line(doc), values, default]
    });
    table(["knob", "meaning", "values", "default"], knobs)
}

/// Returns a Markdown table of the control pages.
#[must_use]
pub fn control_pages_reference() -> String {
    let pages = PAGES.iter().map(|page| {
        let request = format!("`{} /_simulator/{}`", page.method, page.name);
        [request, page.meaning.to_owned()]
    });
    table(["page", "what it does"], pages)
}

fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let head = [head.map(str::to_owned), head.map(|_| "---".to_owned())];
    let row = |cells: [String; N]| {
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        format!("| {} |\n", cells.join(" | "))
    };
    head.into_iter().chain(rows).map(row).collect()
}

/// A type whose values the table of knobs lists.
pub(crate) trait Values {
    /// Returns the values as Markdown.
    fn values() -> String;
}

macro_rules! values {
    ($($type:ty = $values:expr;)+) => {
        $(impl Values for $type {
            fn values() -> String {
                $values.into()
            }
        })+
    };
}

values! {
    bool = "`true`, `false`";
    u32 = "integer";
    u64 = "integer";
    usize = "integer";
    String = "text";
    UpdateAll = variants::<UpdateAll>();
    WriteAnswer = variants::<WriteAnswer>();
    DeleteForward = variants::<DeleteForward>();
}

impl<T: Values> Values for Option<T> {
    fn values() -> String {
        format!("{}, `null`", T::values())
    }
}

/// Returns the variants of an enum with their rustdoc, as Markdown.
fn variants<E: IntoEnumIterator + EnumMessage + Into<&'static str>>() -> String {
    let variant = |variant: E| {
        let documentation = documentation(&variant);
        let name: &'static str = variant.into();
        format!("`\"{name}\"`: {documentation}")
    };
    E::iter().map(variant).collect::<Vec<_>>().join(" ")
}

/// Returns the rustdoc of a variant in one line.
fn documentation(variant: &impl EnumMessage) -> String {
    one_line(variant.get_documentation().unwrap_or_default())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
