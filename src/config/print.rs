//! The configuration in force, as TOML that can be read back.

use std::fmt::Write as _;

/// A key, and its value in force; `None` where it has none.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Effective {
    pub(super) key: String,
    pub(super) value: Option<toml::Value>,
}

/// Writes the keys by section, in their order. What has no value stands there as a comment, and that
/// the License came by a variable, where it did.
pub(super) fn render(effective: &[Effective], license_of_variable: bool) -> String {
    let mut sections: Vec<(&str, String)> = vec![("", String::new())];
    for Effective { key, value } in effective {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let at = sections.iter().position(|(known, _)| *known == section);
        let at = at.unwrap_or_else(|| {
            sections.push((section, String::new()));
            sections.len() - 1
        });
        if let Some((_, lines)) = sections.get_mut(at) {
            // Writing to a String does not fail.
            let _ = match value {
                Some(value) => writeln!(lines, "{name} = {value}"),
                None => writeln!(lines, "# {name} is not set"),
            };
        }
    }
    let mut text = String::new();
    if license_of_variable {
        text.push_str("# The License is that of FOLLOWME_LICENSE.\n");
    }
    for (section, lines) in sections {
        let _ = if section.is_empty() {
            write!(text, "{lines}")
        } else {
            write!(text, "\n[{section}]\n{lines}")
        };
    }
    text
}
