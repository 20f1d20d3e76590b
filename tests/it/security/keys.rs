//! Every key of the configuration: that it reaches its place, and which test shows what it does.

use std::collections::{BTreeMap, BTreeSet};

use followme::config::{Config, Flags};
use toml::Value;

use super::support::Directory;
use crate::{config::variables, support::certificates::Authority};

/// The test that shows what a key does: the file, and the function in it.
const SHOWN_BY: &[(&str, &str, &str)] = &[
    (
        "listen",
        "security/effects.rs",
        "the_address_and_the_upstream_are_those_of_the_file",
    ),
    (
        "insecure",
        "security/exposure.rs",
        "others_are_listened_to_with_tls_and_callers_or_if_that_is_meant",
    ),
    (
        "read_only",
        "security/reload.rs",
        "the_facade_becomes_read_only_and_writable_again_while_it_runs",
    ),
    (
        "tokens_file",
        "security/authentication.rs",
        "a_token_is_taken_and_a_wrong_an_expired_or_no_credential_is_not",
    ),
    (
        "upstream.url",
        "security/effects.rs",
        "the_address_and_the_upstream_are_those_of_the_file",
    ),
    (
        "upstream.license_file",
        "security/effects.rs",
        "the_address_and_the_upstream_are_those_of_the_file",
    ),
    (
        "upstream.caller_license",
        "rpc/values.rs",
        "callers_bring_their_own_license_where_the_configuration_lets_them",
    ),
    (
        "upstream.content_id",
        "rpc/values.rs",
        "the_configured_context_holds_for_callers_who_say_nothing",
    ),
    (
        "upstream.feature_name",
        "rpc/values.rs",
        "the_configured_context_holds_for_callers_who_say_nothing",
    ),
    (
        "upstream.connect_timeout",
        "resilience/deadlines.rs",
        "a_connection_that_does_not_come_about_holds_up_nobody_longer_than_its_time",
    ),
    (
        "upstream.idle_timeout",
        "security/effects.rs",
        "a_connection_to_upstream_is_kept_for_so_long_unused_and_for_so_long_in_all",
    ),
    (
        "upstream.max_connection_age",
        "security/effects.rs",
        "a_connection_to_upstream_is_kept_for_so_long_unused_and_for_so_long_in_all",
    ),
    (
        "upstream.read_timeout",
        "rpc/errors.rs",
        "a_read_that_takes_too_long_is_unavailable",
    ),
    (
        "upstream.write_timeout",
        "guarantees/verification.rs",
        "a_write_that_comes_late_is_still_found",
    ),
    (
        "upstream.ca_file",
        "security/effects.rs",
        "upstream_is_checked_against_the_file_of_its_ca_and_shown_our_certificate",
    ),
    (
        "upstream.client_certificate_file",
        "security/effects.rs",
        "upstream_is_checked_against_the_file_of_its_ca_and_shown_our_certificate",
    ),
    (
        "upstream.client_key_file",
        "security/effects.rs",
        "upstream_is_checked_against_the_file_of_its_ca_and_shown_our_certificate",
    ),
    (
        "upstream.probe_after",
        "resilience/health.rs",
        "an_upstream_of_which_nothing_is_heard_is_asked_for_nothing_without_the_license",
    ),
    (
        "upstream.read_retries",
        "resilience/retries.rs",
        "a_read_is_tried_three_times_at_most",
    ),
    (
        "upstream.max_requests",
        "resilience/concurrency_limit.rs",
        "a_full_queue_refuses_at_once_and_says_when_to_come_again",
    ),
    (
        "upstream.max_queue",
        "resilience/concurrency_limit.rs",
        "a_full_queue_refuses_at_once_and_says_when_to_come_again",
    ),
    (
        "upstream.caller_share",
        "resilience/concurrency_limit.rs",
        "a_caller_who_storms_leaves_places_for_others",
    ),
    (
        "upstream.breaker_failures",
        "resilience/breaker.rs",
        "an_upstream_that_does_not_answer_is_left_alone",
    ),
    (
        "upstream.breaker_open",
        "resilience/breaker.rs",
        "an_upstream_that_does_not_answer_is_left_alone",
    ),
    (
        "upstream.breaker_open_max",
        "security/effects.rs",
        "the_breaker_opens_for_longer_and_longer_up_to_its_most",
    ),
    (
        "upstream.max_answer_bytes",
        "rpc/errors.rs",
        "an_answer_that_is_too_large_is_refused",
    ),
    (
        "upstream.unsafe_values",
        "rpc/values.rs",
        "values_that_a_path_cannot_carry_can_be_refused_instead",
    ),
    (
        "upstream.gateway",
        "upstream/outcomes.rs",
        "without_a_gateway_every_http_answer_is_final",
    ),
    (
        "upstream.null_list",
        "rpc/reads.rs",
        "an_empty_list_field_is_no_list_unless_the_configuration_says_so",
    ),
    (
        "upstream.update_all",
        "guarantees/collateral.rs",
        "off_means_query_values_only",
    ),
    (
        "upstream.post_format",
        "guarantees/collateral.rs",
        "one_kind_of_body_can_be_configured",
    ),
    (
        "calls.strip_plus",
        "rpc/add.rs",
        "a_plus_is_stripped_unless_the_configuration_keeps_it",
    ),
    (
        "calls.default_ring_timeout",
        "rpc/add.rs",
        "the_default_ring_timeout_is_configured",
    ),
    (
        "calls.write_limit",
        "rpc/replace_all.rs",
        "a_step_whose_outcome_is_unknown_ends_it",
    ),
    (
        "calls.max_numbers",
        "rpc/replace_all.rs",
        "the_list_itself_is_checked_before_any_request",
    ),
    (
        "calls.strict_fields",
        "security/effects.rs",
        "a_field_that_does_not_take_fails_the_call_where_it_is_a_strict_one",
    ),
    (
        "calls.request_id_ttl",
        "guarantees/idempotency.rs",
        "an_id_is_forgotten_after_its_time",
    ),
    (
        "calls.request_id_entries",
        "guarantees/idempotency.rs",
        "the_oldest_ids_are_forgotten_first",
    ),
    (
        "calls.request_id_bytes",
        "guarantees/idempotency.rs",
        "outcomes_take_no_more_memory_than_they_may",
    ),
    (
        "server.default_deadline",
        "resilience/deadlines.rs",
        "a_call_without_a_deadline_has_the_default_one",
    ),
    (
        "server.max_connections",
        "resilience/connections.rs",
        "a_connection_too_many_is_closed_and_the_others_go_on",
    ),
    (
        "server.handshake_timeout",
        "resilience/connections.rs",
        "a_connection_that_does_not_begin_in_time_is_closed",
    ),
    (
        "server.idle_timeout",
        "resilience/connections.rs",
        "a_connection_without_calls_is_closed_and_one_with_a_call_is_not",
    ),
    (
        "server.max_connection_age",
        "security/effects.rs",
        "a_connection_has_so_many_calls_at_once_and_so_long_a_life",
    ),
    (
        "server.max_calls_per_connection",
        "security/effects.rs",
        "a_connection_has_so_many_calls_at_once_and_so_long_a_life",
    ),
    (
        "server.drain_delay",
        "security/effects.rs",
        "calls_are_taken_for_the_drain_delay_while_health_says_that_it_ends",
    ),
    (
        "server.drain_limit",
        "resilience/graceful_shutdown.rs",
        "what_does_not_end_is_cut_at_the_limit",
    ),
    (
        "server.readiness_follows_upstream",
        "resilience/health.rs",
        "health_tells_whether_upstream_works_and_readiness_follows_where_asked_to",
    ),
    (
        "server.reflection",
        "security/effects.rs",
        "reflection_can_be_closed",
    ),
    (
        "log_format",
        "telemetry/logs.rs",
        "lines_are_text_where_that_is_asked_for",
    ),
    (
        "admin_listen",
        "telemetry/metrics.rs",
        "calls_requests_and_writes_are_counted_by_meaning",
    ),
    (
        "admin_insecure",
        "telemetry/admin.rs",
        "others_reach_the_pages_only_if_that_is_meant",
    ),
    (
        "telemetry.audit_file",
        "telemetry/redaction.rs",
        "a_planted_leak_is_found",
    ),
    (
        "telemetry.audit_required",
        "telemetry/audit.rs",
        "what_cannot_be_noted_is_not_written_unless_that_is_allowed",
    ),
    (
        "telemetry.audit_numbers",
        "telemetry/audit.rs",
        "numbers_and_names_can_be_masked",
    ),
    (
        "telemetry.audit_key_file",
        "telemetry/audit.rs",
        "masked_values_match_from_process_to_process_where_the_key_is_in_a_file",
    ),
    (
        "telemetry.baggage_keys",
        "telemetry/spans.rs",
        "baggage_goes_on_only_for_keys_that_are_named",
    ),
    (
        "tls.certificate_file",
        "security/tls.rs",
        "a_certificate_is_swapped_under_load_without_a_failed_call",
    ),
    (
        "tls.key_file",
        "security/tls.rs",
        "a_certificate_is_swapped_under_load_without_a_failed_call",
    ),
    (
        "tls.client_ca_file",
        "security/authentication.rs",
        "a_client_certificate_of_another_ca_or_of_another_time_makes_no_connection",
    ),
    (
        "tls.require_client_certificate",
        "security/tls.rs",
        "a_connection_without_a_certificate_is_refused_where_one_is_required",
    ),
    (
        "callers.portal.certificate_names",
        "security/authentication.rs",
        "a_client_certificate_is_taken_by_its_spiffe_id_or_its_dns_name",
    ),
    (
        "callers.portal.methods",
        "security/authorization.rs",
        "a_caller_calls_the_methods_that_are_its_own_and_no_other",
    ),
    (
        "callers.portal.accounts",
        "security/authorization.rs",
        "a_caller_names_the_accounts_that_are_its_own_and_no_other",
    ),
    (
        "callers.portal.license_file",
        "security/authorization.rs",
        "each_caller_has_its_license_or_brings_one_where_it_may",
    ),
    (
        "callers.portal.caller_license",
        "security/authorization.rs",
        "each_caller_has_its_license_or_brings_one_where_it_may",
    ),
    (
        "callers.portal.allowed_destinations",
        "security/authorization.rs",
        "an_add_goes_to_a_destination_that_the_caller_may_use",
    ),
    (
        "callers.portal.denied_destinations",
        "security/authorization.rs",
        "an_add_goes_to_a_destination_that_the_caller_may_use",
    ),
    (
        "callers.portal.writes_per_minute",
        "security/authorization.rs",
        "a_caller_writes_to_an_account_so_often_in_a_minute_and_no_more",
    ),
];

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
    dir.write("ca.pem", &authority.pem);
    dir.identity("server", &authority.sign("localhost"));
    let values = other_values(&dir);
    dir.configure(&toml(&values));
    let flags = Flags {
        config: Some(dir.path("followme.toml")),
        ..Flags::default()
    };
    let config = Config::load(&flags, &variables([])).expect("complete");
    let printed: toml::Table = config.redacted().parse().expect("TOML");
    for (key, value) in &values {
        let place = key
            .split('.')
            .try_fold(&Value::Table(printed.clone()), |table, name| {
                table.get(name)
            })
            .cloned();
        assert_eq!(place.as_ref(), Some(value), "{key}");
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
