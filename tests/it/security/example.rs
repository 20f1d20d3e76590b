//! `deploy/followme.example.toml`, which is made from the keys of the configuration.

use std::collections::BTreeMap;

use followme::config::{Config, Flags};

use crate::config::{file, variables};

const EXAMPLE: &str = include_str!("../../../deploy/followme.example.toml");

fn path(path: &std::path::Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Returns the values by key, as `section.name`.
fn keys(toml: &str) -> BTreeMap<String, toml::Value> {
    fn flatten(prefix: &str, table: toml::Table, into: &mut BTreeMap<String, toml::Value>) {
        for (name, value) in table {
            match value {
                toml::Value::Table(table) => flatten(&format!("{prefix}{name}."), table, into),
                value => {
                    into.insert(format!("{prefix}{name}"), value);
                }
            }
        }
    }
    let mut keys = BTreeMap::new();
    flatten("", toml.parse().expect("TOML"), &mut keys);
    keys
}

/// Returns the example with its examples of keys without a default.
fn with_examples() -> String {
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|first: char| first == '[' || first.is_lowercase()) => {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect()
}

#[test]
fn the_example_file_says_every_default_and_nothing_else() {
    let defaults: BTreeMap<_, _> = Config::defaults()
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    assert_eq!(keys(EXAMPLE), defaults);
}

#[test]
fn the_example_file_names_every_key() {
    let known: Vec<String> = Config::defaults().into_iter().map(|(key, _)| key).collect();
    let shown = keys(&with_examples());
    for key in &known {
        assert!(shown.contains_key(key), "{key} is missing");
    }
    for key in shown.keys().filter(|key| !key.starts_with("callers.")) {
        assert!(known.contains(key), "{key} is no key");
    }
}

#[test]
fn the_example_file_loads_with_its_examples_except_for_missing_files() {
    let toml = file("example.toml", &with_examples());
    let flags = Flags {
        config: Some(toml.clone()),
        ..Flags::default()
    };
    let errors = Config::load(&flags, &variables([])).expect_err("no files");
    for error in &errors {
        let is_missing = ["cannot read ", "cannot append to "]
            .iter()
            .any(|problem| error.problem.starts_with(problem));
        assert!(is_missing, "{error}");
        let location = error.location.as_deref().expect("a location");
        let line = location.strip_prefix(&format!("{}:", path(&toml)));
        let line: usize = line.expect("the file").parse().expect("a line");
        let name = error.key.rsplit('.').next().expect("a name");
        let text = with_examples();
        let shown = text.lines().nth(line - 1).expect("the line");
        assert!(shown.starts_with(name), "{error}: {shown}");
    }
    let keys: Vec<&str> = errors.iter().map(|error| error.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "upstream.ca_file",
            "upstream.client_certificate_file",
            "upstream.client_key_file",
            "telemetry.audit_key_file",
            "telemetry.audit_file",
            "journal.key_file",
            "tls.certificate_file",
            "tls.key_file",
            "tls.client_ca_file",
            "tokens_file",
            "upstream.license_file",
            "callers.portal.license_file",
        ]
    );
}

#[test]
fn the_example_file_shows_every_key_of_a_caller() {
    let shown = keys(&with_examples());
    let shown: Vec<&str> = shown
        .keys()
        .filter_map(|key| key.strip_prefix("callers.portal."))
        .collect();
    let license = file("example-license", "KEY");
    let text = format!(
        "tokens_file = {:?}\n[upstream]\nurl = \"http://127.0.0.1:8080\"\nlicense_file = {:?}\n\
         [callers.portal]\nmethods = []\n",
        path(&file("example-tokens", "")),
        path(&license),
    );
    let flags = Flags {
        config: Some(file("example-caller.toml", &text)),
        ..Flags::default()
    };
    let printed = Config::load(&flags, &variables([]))
        .expect("complete")
        .redacted();
    let section = printed.split("[callers.portal]\n").nth(1).expect("a table");
    let mut known: Vec<&str> = section
        .lines()
        .filter_map(|line| line.trim_start_matches("# ").split(' ').next())
        .collect();
    known.sort_unstable();
    assert_eq!(shown, known);
}
