//! The rustdoc of enums, for the reference.

use strum::{EnumMessage, IntoEnumIterator};

/// A type whose values the reference lists.
pub(crate) trait Values {
    /// Returns the values as Markdown.
    fn values() -> String;
}

macro_rules! described {
    ($($type:ty = $text:literal;)+) => {
        $(impl Values for $type {
            fn values() -> String {
                $text.to_owned()
            }
        })+
    };
}

described! {
    bool = "`true`, `false`";
    u32 = "integer";
    u64 = "integer";
    usize = "integer";
    String = "text";
}

impl<T: Values> Values for Option<T> {
    fn values() -> String {
        format!("{}, `null`", T::values())
    }
}

/// Returns the variants of an enum with their rustdoc, as Markdown.
pub(crate) fn variants<E: IntoEnumIterator + EnumMessage + Into<&'static str>>() -> String {
    let variant = |variant: E| {
        let documentation = documentation(&variant);
        let name: &'static str = variant.into();
        format!("`\"{name}\"`: {documentation}")
    };
    E::iter().map(variant).collect::<Vec<_>>().join(" ")
}

/// Returns the rustdoc of a variant in one line.
pub(crate) fn documentation(variant: &impl EnumMessage) -> String {
    one_line(variant.get_documentation().unwrap_or_default())
}

/// Returns a text in one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
