//! The TOML file: its values by key, and the line of each.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::{DeTable, DeValue};

/// The keys of a file: `listen`, `upstream.url`, `callers.portal.methods`.
#[derive(Debug, Default)]
pub(super) struct File {
    /// Where each stands, as `FILE:LINE`, and its value.
    values: BTreeMap<String, (String, toml::Value)>,
    /// The tables, and where each begins.
    tables: BTreeMap<String, String>,
}

impl File {
    /// Parses a file.
    ///
    /// # Errors
    /// Says the place and what is wrong there.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, (String, String)> {
        let place = |start: usize| {
            let before = text.get(..start).unwrap_or_default();
            format!("{name}:{}", before.matches('\n').count() + 1)
        };
        let problem = |error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            (place(start), error.message().to_owned())
        };
        let table: toml::Table = text.parse().map_err(problem)?;
        let spans = DeTable::parse(text).map_err(problem)?;
        let mut file = Self::default();
        file.flatten("", table, Some(spans.get_ref()), &place);
        Ok(file)
    }

    fn flatten(
        &mut self,
        prefix: &str,
        table: toml::Table,
        spans: Option<&DeTable<'_>>,
        place: &dyn Fn(usize) -> String,
    ) {
        for (name, value) in table {
            let span = spans.and_then(|spans| spans.get_key_value(name.as_str()));
            let place_of_key = span.map_or_else(|| place(0), |(key, _)| place(key.span().start));
            let key = format!("{prefix}{name}");
            match value {
                toml::Value::Table(table) => {
                    let spans = match span.map(|(_, value)| value.get_ref()) {
                        Some(DeValue::Table(table)) => Some(table),
                        _ => None,
                    };
                    self.flatten(&format!("{key}."), table, spans, place);
                    self.tables.insert(key, place_of_key);
                }
                value => {
                    self.values.insert(key, (place_of_key, value));
                }
            }
        }
    }

    /// Takes where a key stands, and its value.
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

    /// Returns the keys that nobody took and where they stand; of a section that is not known, its
    /// name only.
    pub(super) fn left(self, sections: &BTreeSet<&str>) -> BTreeMap<String, String> {
        let known = |key: &str| sections.contains(key.split('.').next().unwrap_or(key));
        let keys = self
            .values
            .into_iter()
            .map(|(key, (place, _))| (key, place))
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
    fn every_value_has_its_key_and_its_line() {
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
    fn a_file_that_is_no_toml_is_wrong_at_a_line() {
        let (place, _) = File::parse("x.toml", "a = 1\n[b\n").unwrap_err();
        assert_eq!(place, "x.toml:2");
        let (place, _) = File::parse("x.toml", "a = 1\nb = 2\na = 3\n").unwrap_err();
        assert_eq!(place, "x.toml:3");
    }
}
