//! The configuration: its sources, what it checks, and how it names an error.

mod license;

use std::{fs, path::PathBuf, time::Duration};

use followme::{
    config::{Config, Environment, Flags},
    domain::{Field, FieldSet},
    upstream::{NullList, PostFormat, UnsafeValues, UpdateAll},
};

use crate::support::scratch;

/// Returns an environment of a test's own. No test leaves a journal behind, or waits for another's,
/// unless it asks for that.
pub(crate) fn variables<'a>(
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Environment {
    [("FOLLOWME_JOURNAL_URL", "sqlite::memory:")]
        .into_iter()
        .chain(variables)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Writes a file of a test's own.
pub(crate) fn file(name: &str, text: &str) -> PathBuf {
    let path = scratch().join(name);
    fs::write(&path, text).expect("the directory for tests can be written");
    path
}

/// Loads a TOML file, and returns the errors as they are printed.
fn errors(name: &str, toml: &str) -> Vec<String> {
    let flags = Flags {
        config: Some(file(name, toml)),
        ..Flags::default()
    };
    let environment = variables([("FOLLOWME_LICENSE", "KEY")]);
    match Config::load(&flags, &environment) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

fn license(config: &Config) -> &str {
    config
        .security
        .policy
        .anonymous
        .license
        .as_ref()
        .expect("a License is configured")
        .expose()
}

#[test]
fn only_the_upstream_and_the_license_have_no_default() {
    let environment = variables([
        ("FOLLOWME_UPSTREAM_URL", "http://127.0.0.1:8080/porta/"),
        ("FOLLOWME_LICENSE", "KEY"),
    ]);
    let config = Config::load(&Flags::default(), &environment).expect("it is complete");
    assert_eq!(config.listen.to_string(), "127.0.0.1:50051");
    assert_eq!(
        config.upstream.transport.url.as_str(),
        "http://127.0.0.1:8080/porta/"
    );
    assert_eq!(license(&config), "KEY");
    assert_eq!(config.upstream.transport.max_answer_bytes, 8 * 1024 * 1024);
    assert_eq!(config.upstream.update_all, UpdateAll::One);
    assert_eq!(config.upstream.post_format, PostFormat::Auto);
    assert_eq!(config.upstream.null_list, NullList::Refused);
    assert_eq!(config.upstream.unsafe_values, UnsafeValues::Query);
    assert_eq!(config.operations.max_numbers, 100);
    assert_eq!(config.operations.rules.default_ring_timeout, 30);
    assert!(config.operations.rules.strip_plus);
    assert!(!config.security.policy.anonymous.brings_license);
}

#[test]
fn every_key_of_the_file_is_applied() {
    let key = file("every-license", "FILE-KEY\r\n");
    let text = format!(
        r#"
        listen = "127.0.0.2:1"
        [upstream]
        url = "https://porta.example.com/plus"
        license_file = {:?}
        caller_license = true
        content_id = -3
        feature_name = "Follow me"
        connect_timeout = "1s"
        idle_timeout = "3s"
        read_timeout = "4s"
        write_timeout = "1m 5s"
        max_answer_bytes = 2048
        max_connection_age = "6s"
        read_retries = 0
        max_requests = 8
        max_queue = 9
        caller_share = 0.25
        breaker_failures = 10
        breaker_open = "2s"
        breaker_open_max = "11s"
        unsafe_values = "reject"
        null_list = "empty"
        update_all = "whole-list"
        post_format = "json"
        [calls]
        strip_plus = false
        default_ring_timeout = "45s"
        write_limit = "500ms"
        max_numbers = 7
        strict_fields = ["name", "status"]
        request_id_ttl = "2h"
        request_id_entries = 10
        request_id_bytes = 4096
        [server]
        max_connections = 5
        handshake_timeout = "6s"
        idle_timeout = "7s"
        default_deadline = "8s"
        max_calls_per_connection = 9
        max_connection_age = "10s"
        drain_delay = "0s"
        drain_limit = "11s"
        readiness_follows_upstream = true
        "#,
        key.display().to_string()
    );
    let flags = Flags {
        config: Some(file("every.toml", &text)),
        ..Flags::default()
    };
    let config = Config::load(&flags, &variables([])).expect("it is complete");
    assert_eq!(config.listen.to_string(), "127.0.0.2:1");
    let upstream = &config.upstream;
    assert_eq!(
        upstream.transport.url.as_str(),
        "https://porta.example.com/plus"
    );
    assert_eq!(license(&config), "FILE-KEY");
    assert!(config.security.policy.anonymous.brings_license);
    assert_eq!(config.defaults.content_id, Some(-3));
    assert_eq!(config.defaults.feature_name.as_deref(), Some("Follow me"));
    assert_eq!(upstream.transport.connect_timeout, Duration::from_secs(1));
    assert_eq!(upstream.transport.idle_timeout, Duration::from_secs(3));
    assert_eq!(upstream.read_timeout, Duration::from_secs(4));
    assert_eq!(upstream.write_timeout, Duration::from_secs(65));
    assert_eq!(upstream.transport.max_answer_bytes, 2048);
    assert_eq!(upstream.unsafe_values, UnsafeValues::Reject);
    assert_eq!(upstream.null_list, NullList::Empty);
    assert_eq!(upstream.update_all, UpdateAll::WholeList);
    assert_eq!(upstream.post_format, PostFormat::Json);
    let calls = &config.operations;
    assert!(!calls.rules.strip_plus);
    assert_eq!(calls.rules.default_ring_timeout, 45);
    assert_eq!(calls.write_limit, Duration::from_millis(500));
    assert_eq!(calls.max_numbers, 7);
    let strict: FieldSet = [Field::Name, Field::Status].into_iter().collect();
    assert_eq!(calls.strict_fields, strict);
    assert_eq!(
        config.operations.request_ids.ttl,
        Duration::from_secs(2 * 60 * 60)
    );
    assert_eq!(config.operations.request_ids.entries, 10);
    assert_eq!(config.operations.request_ids.bytes, 4096);
    assert_eq!(upstream.read_retries, 0);
    assert_eq!(
        upstream.transport.max_connection_age,
        Duration::from_secs(6)
    );
    assert_eq!((upstream.limits.requests, upstream.limits.queue), (8, 9));
    assert!((upstream.limits.caller_share - 0.25).abs() < f64::EPSILON);
    assert_eq!(upstream.breaker.failures, 10);
    assert_eq!(upstream.breaker.open, Duration::from_secs(2));
    assert_eq!(upstream.breaker.open_max, Duration::from_secs(11));
    let server = &config.server;
    assert_eq!(server.accept.max_connections, 5);
    assert_eq!(server.accept.handshake_timeout, Duration::from_secs(6));
    assert_eq!(server.accept.idle_timeout, Duration::from_secs(7));
    assert_eq!(server.default_deadline, Duration::from_secs(8));
    assert_eq!(server.max_calls_per_connection, 9);
    assert_eq!(server.max_connection_age, Duration::from_secs(10));
    assert_eq!(server.drain_delay, Duration::ZERO);
    assert_eq!(server.drain_limit, Duration::from_secs(11));
    assert!(config.readiness_follows_upstream);
}

#[test]
fn flags_override_the_environment_and_that_overrides_the_file() {
    let toml = file(
        "order.toml",
        "listen = \"127.0.0.1:1\"\n[upstream]\nurl = \"http://file.example\"\n\
         license_file = \"/nowhere/file\"\n",
    );
    let key = file("order-license", "FLAG-KEY\n");
    let environment = || {
        variables([
            ("FOLLOWME_CONFIG", toml.to_str().expect("a path in UTF-8")),
            ("FOLLOWME_LISTEN", "127.0.0.1:2"),
            ("FOLLOWME_UPSTREAM_URL", "http://variable.example"),
            ("FOLLOWME_LICENSE", "VARIABLE-KEY"),
        ])
    };
    let config = Config::load(&Flags::default(), &environment()).expect("it is complete");
    assert_eq!(config.listen.port(), 2);
    assert_eq!(
        config.upstream.transport.url.host_str(),
        Some("variable.example")
    );
    assert_eq!(license(&config), "VARIABLE-KEY");
    let flags = Flags {
        config: None,
        listen: Some("127.0.0.1:3".to_owned()),
        upstream_url: Some("http://flag.example".to_owned()),
        license_file: Some(key),
        ..Flags::default()
    };
    let config = Config::load(&flags, &environment()).expect("it is complete");
    assert_eq!(config.listen.port(), 3);
    assert_eq!(
        config.upstream.transport.url.host_str(),
        Some("flag.example")
    );
    assert_eq!(license(&config), "FLAG-KEY");
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let environment = variables([
        ("FOLLOWME_UPSTREAM_URL", "http://127.0.0.1:8080"),
        ("FOLLOWME_LICENSE", "KEY"),
        ("FOLLOWME_LICENSE_FILE", ""),
        ("FOLLOWME_LISTEN", ""),
    ]);
    assert!(Config::load(&Flags::default(), &environment).is_ok());
}

#[test]
fn all_config_errors_are_reported_at_once_by_key() {
    let text = r#"
        listen = "localhost"
        lisen = "127.0.0.1:1"
        [upstream]
        url = "ftp://porta.example.com"
        content_id = "seven"
        feature_name = "a\nb"
        read_timeout = "10"
        write_timeout = "0s"
        idle_timeout = "2days"
        max_answer_bytes = 10
        unsafe_values = "drop"
        null_list = true
        update_all = "all"
        post_format = "xml"
        timeout = "1s"
        caller_share = 1.5
        [calls]
        strip_plus = "yes"
        default_ring_timeout = "2h"
        max_numbers = 0
        strict_fields = ["name", "nmae"]
        [server]
        drain_delay = "-1s"
        max_connections = 0
        [metrics]
        listen = "127.0.0.1:9"
    "#;
    let mut keys: Vec<String> = errors("errors.toml", text)
        .iter()
        .map(|line| {
            assert!(!line.contains('\n'), "{line}");
            let (key, problem) = line.split_once(": ").expect("a key and a problem");
            assert!(!problem.is_empty());
            key.to_owned()
        })
        .collect();
    keys.sort();
    assert_eq!(
        keys,
        [
            "calls.default_ring_timeout",
            "calls.max_numbers",
            "calls.strict_fields",
            "calls.strip_plus",
            "lisen",
            "listen",
            "metrics",
            "server.drain_delay",
            "server.max_connections",
            "upstream.caller_share",
            "upstream.content_id",
            "upstream.feature_name",
            "upstream.idle_timeout",
            "upstream.max_answer_bytes",
            "upstream.null_list",
            "upstream.post_format",
            "upstream.read_timeout",
            "upstream.timeout",
            "upstream.unsafe_values",
            "upstream.update_all",
            "upstream.url",
            "upstream.write_timeout",
        ]
    );
}

#[test]
fn a_section_that_is_not_a_table_is_a_config_error() {
    for text in [
        "upstream = 3\n",
        "calls = \"x\"\n",
        "[[upstream]]\nurl = \"http://x\"\n",
    ] {
        let lines = errors("section.toml", text);
        let name = if text.contains("calls") {
            "calls"
        } else {
            "upstream"
        };
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with(&format!("{name}: "))),
            "{lines:?}"
        );
    }
}

#[test]
fn invalid_toml_is_reported_with_file_and_line() {
    let lines = errors("broken.toml", "listen = \"127.0.0.1:1\"\n\n[upstream\n");
    assert!(lines[0].starts_with("--config: "), "{lines:?}");
    assert!(lines[0].contains("broken.toml:3: "), "{lines:?}");
    assert!(!lines[0].contains('\n'));
}

#[test]
fn the_upstream_url_has_a_host_and_nothing_more() {
    for url in [
        "porta.example.com",
        "ftp://porta.example.com",
        "http://",
        "http://porta.example.com/?format=csv",
        "http://porta.example.com/#x",
        "http://user:secret@porta.example.com/",
        "",
    ] {
        let lines = errors("url.toml", &format!("[upstream]\nurl = {url:?}\n"));
        assert_eq!(lines.len(), 1, "{url} {lines:?}");
        assert!(lines[0].starts_with("upstream.url: "), "{lines:?}");
        assert!(!lines[0].contains("secret"));
    }
}

#[test]
fn an_invalid_opentelemetry_variable_is_named() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317");
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "GRPC"),
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_METRICS_EXPORTER", "prometheus"),
    ] {
        let environment = variables([endpoint, (name, value)]);
        let found =
            followme::config::telemetry(None, &environment).expect_err("it is a config error");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].key, name);
    }
}

#[test]
fn an_audit_file_that_cannot_be_written_is_a_config_error_unless_it_is_not_required() {
    let folder = scratch();
    let new = folder.join("new-audit");
    let _ = fs::remove_file(&new);
    let existing = file("existing-audit", "a line\n");
    let load = |path: &PathBuf, more: &str| {
        let toml = format!(
            "[upstream]\nurl = \"http://127.0.0.1:1\"\n[telemetry]\naudit_file = {path:?}\n{more}"
        );
        errors("audit.toml", &toml)
    };
    for path in [&new, &existing] {
        assert_eq!(load(path, ""), Vec::<String>::new());
    }
    assert!(!new.exists(), "a check creates nothing");
    assert_eq!(
        fs::read_to_string(&existing).expect("it is there"),
        "a line\n"
    );
    for path in [folder.clone(), folder.join("nowhere").join("audit")] {
        let found = load(&path, "");
        assert_eq!(found.len(), 1, "{found:?}");
        let text = format!("telemetry.audit_file: cannot append to {}", path.display());
        assert!(found[0].starts_with(&text), "{found:?}");
        assert_eq!(
            load(&path, "audit_required = false\n"),
            Vec::<String>::new()
        );
    }
}
