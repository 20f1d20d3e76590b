//! Every key of the configuration: that it is read, and which test shows its effect.

use std::collections::{BTreeMap, BTreeSet};

use followme::config::{Config, Flags};
use toml::Value;

use super::{shown_by::SHOWN_BY, support::Directory};
use crate::{config::variables, support::certificates::Authority};

/// Returns a value for every key that is not its default; `dir` holds the files that are named.
fn other_values(dir: &Directory) -> BTreeMap<String, Value> {
    let path = |name: &str| Value::from(dir.path(name).display().to_string());
    let list = |text: &str| Value::from(vec![text]);
    Config::defaults()
        .into_iter()
        .map(|(key, default)| {
            let other = match (key.as_str(), default) {
                ("listen", _) => "127.0.0.2:7".into(),
                ("upstream.url", _) => "http://127.0.0.1:9/porta".into(),
                ("upstream.content_id", _) => 7.into(),
                ("upstream.feature_name", _) => "portal".into(),
                ("upstream.license_file", _) => path("license"),
                ("tokens_file", _) => path("tokens"),
                ("upstream.ca_file" | "tls.client_ca_file", _) => path("ca.pem"),
                ("upstream.client_key_file" | "tls.key_file", _) => path("server.key"),
                ("upstream.client_certificate_file" | "tls.certificate_file", _) => {
                    path("server.pem")
                }
                ("upstream.unsafe_values", _) => "reject".into(),
                ("upstream.null_list", _) => "empty".into(),
                ("upstream.gateway", _) => false.into(),
                ("upstream.update_all", _) => "whole-list".into(),
                ("upstream.post_format", _) => "json".into(),
                ("upstream.name", _) => "porta".into(),
                ("journal.url", _) => "sqlite:somewhere".into(),
                ("journal.key_file", _) => path("journal.key"),
                ("log_format", _) => "text".into(),
                ("admin_listen", _) => "127.0.0.3:7".into(),
                ("telemetry.audit_file", _) => path("audit"),
                ("telemetry.audit_numbers", _) => "masked".into(),
                ("telemetry.audit_key_file", _) => path("audit.key"),
                (_, Some(Value::Boolean(default))) => (!default).into(),
                (_, Some(Value::Integer(default))) => (default - 1).into(),
                (_, Some(Value::Float(default))) => (default / 2.0).into(),
                (_, Some(Value::String(_))) => "7s".into(),
                (_, Some(Value::Array(_))) => list("name"),
                (key, default) => panic!("{key} = {default:?} has another value too"),
            };
            (key, other)
        })
        .chain([
            (
                "callers.portal.certificate_names".to_owned(),
                list("x.example.com"),
            ),
            ("callers.portal.methods".to_owned(), list("List")),
            (
                "callers.portal.accounts".to_owned(),
                Value::from(vec![1001]),
            ),
            ("callers.portal.license_file".to_owned(), path("license")),
            ("callers.portal.caller_license".to_owned(), true.into()),
            (
                "callers.portal.allowed_destinations".to_owned(),
                list("1555"),
            ),
            (
                "callers.portal.denied_destinations".to_owned(),
                list("1900"),
            ),
            (
                "callers.portal.allowed_domains".to_owned(),
                list("pbx.example.com"),
            ),
            (
                "callers.portal.denied_domains".to_owned(),
                list("*.example.net"),
            ),
            ("callers.portal.writes_per_minute".to_owned(), 7.into()),
        ])
        .collect()
}

/// Writes keys as TOML.
fn toml(values: &BTreeMap<String, Value>) -> String {
    let mut lines: Vec<(&str, String)> = values
        .iter()
        .map(|(key, value)| {
            let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
            (section, format!("{name} = {value}\n"))
        })
        .collect();
    lines.sort();
    let mut last = "";
    let mut text = String::new();
    for (section, line) in lines {
        if section != last {
            text.push_str(&format!("[{section}]\n"));
            last = section;
        }
        text.push_str(&line);
    }
    text
}

#[test]
fn every_key_of_the_file_is_read_and_printed() {
    let dir = Directory::new();
    let authority = Authority::new();
    dir.write("license", "KEY");
    dir.write("tokens", "");
    dir.write("audit.key", "0123456789abcdef");
    dir.write(
        "journal.key",
        "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    );
    dir.write("ca.pem", &authority.pem);
    dir.identity("server", &authority.sign("localhost"));
    let values = other_values(&dir);
    dir.configure(&toml(&values));
    let flags = Flags {
        config: Some(dir.path("followme.toml")),
        ..Flags::default()
    };
    // The file decides where the journal is.
    let environment = variables([("FOLLOWME_JOURNAL_URL", "")]);
    let config = Config::load(&flags, &environment).expect("complete");
    let printed: toml::Table = config.redacted().parse().expect("TOML");
    for (key, value) in &values {
        let found = key
            .split('.')
            .try_fold(&Value::Table(printed.clone()), |table, name| {
                table.get(name)
            })
            .cloned();
        assert_eq!(found.as_ref(), Some(value), "{key}");
    }
}

#[test]
fn every_key_has_a_test_that_shows_what_it_does() {
    let keys: BTreeSet<String> = other_values(&Directory::new()).into_keys().collect();
    let shown: BTreeSet<String> = SHOWN_BY
        .iter()
        .map(|(key, _, _)| (*key).to_owned())
        .collect();
    assert_eq!(keys, shown);
    for (key, file, test) in SHOWN_BY {
        let path = format!("{}/tests/it/{file}", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(&path).expect("the file is there");
        let is_there = source.contains(&format!("fn {test}("));
        assert!(is_there, "{key}: {file} has no test {test}");
    }
}
