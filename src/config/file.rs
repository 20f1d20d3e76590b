//! The TOML file: its values by key, and the line of each.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize as _, de::IntoDeserializer as _};
use toml::de::{DeTable, DeValue};

/// A parsed file, by key: `listen`, `upstream.url`, `callers.portal.methods`.
#[derive(Debug, Clone, Default)]
pub(super) struct File {
    /// The location of each key, as `FILE:LINE`, and its value.
    values: BTreeMap<String, (String, toml::Value)>,
    /// The tables, and the location where each begins.
    tables: BTreeMap<String, String>,
}

impl File {
    /// Parses a file.
    ///
    /// # Errors
    /// Returns the location and the problem.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, (String, String)> {
        let location = |start: usize| {
            let before = text.get(..start).unwrap_or_default();
            format!("{name}:{}", before.matches('\n').count() + 1)
        };
        let problem = |error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            (location(start), error.message().to_owned())
        };
        let table = DeTable::parse(text).map_err(problem)?;
        let mut file = Self::default();
        file.flatten("", table.into_inner(), &location);
        Ok(file)
    }

    fn flatten(&mut self, prefix: &str, table: DeTable<'_>, location: &dyn Fn(usize) -> String) {
        for (name, value) in table {
            let at = location(name.span().start);
            let key = format!("{prefix}{}", name.get_ref());
            if let DeValue::Table(table) = value.get_ref() {
                self.flatten(&format!("{key}."), table.clone(), location);
                self.tables.insert(key, at);
            } else if let Ok(value) = toml::Value::deserialize(value.into_deserializer()) {
                // Any value is a `toml::Value`.
                self.values.insert(key, (at, value));
            }
        }
    }

    /// Removes a key, and returns its location and value.
    pub(super) fn take(&mut self, key: &str) -> Option<(String, toml::Value)> {
        self.values.remove(key)
    }

    /// Returns the names of the tables in a section.
    pub(super) fn tables_in(&self, section: &str) -> BTreeSet<String> {
        self.tables
            .keys()
            .filter_map(|table| table.strip_prefix(section)?.strip_prefix('.'))
            .filter(|name| !name.contains('.'))
            .map(str::to_owned)
            .collect()
    }

    /// Returns the keys that were not read, with their locations; of an unknown section, its name
    /// only.
    pub(super) fn unread(self, sections: &BTreeSet<&str>) -> BTreeMap<String, String> {
        let known = |key: &str| sections.contains(key.split('.').next().unwrap_or(key));
        let keys = self
            .values
            .into_iter()
            .map(|(key, (location, _))| (key, location))
            .filter(|(key, _)| known(key) || !key.contains('.'));
        let tables = self
            .tables
            .into_iter()
            .filter(|(key, _)| !known(key) && !key.contains('.') && key != "callers");
        keys.chain(tables).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_its_key_and_line() {
        let text = "a = 1\n\n[b]\nc = \"x\"\nd = [\n 1,\n]\n[e.f]\ng = true\n";
        let mut file = File::parse("x.toml", text).unwrap();
        for (key, line, value) in [
            ("a", 1, toml::Value::Integer(1)),
            ("b.c", 4, "x".into()),
            ("b.d", 5, vec![1].into()),
            ("e.f.g", 9, true.into()),
        ] {
            assert_eq!(file.take(key), Some((format!("x.toml:{line}"), value)));
        }
        assert_eq!(file.tables_in("e"), BTreeSet::from(["f".to_owned()]));
    }

    #[test]
    fn an_error_in_the_syntax_names_its_line() {
        let (location, _) = File::parse("x.toml", "a = 1\n[b\n").unwrap_err();
        assert_eq!(location, "x.toml:2");
        let (location, _) = File::parse("x.toml", "a = 1\nb = 2\na = 3\n").unwrap_err();
        assert_eq!(location, "x.toml:3");
    }
}
