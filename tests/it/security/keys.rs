//! Every key of the configuration: that it is read, and which test shows its effect.

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
        "listening_beyond_loopback_requires_tls_and_callers_or_a_flag",
    ),
    ("read_only", "security/reload.rs", "read_only_is_reloaded"),
    (
        "tokens_file",
        "security/authentication.rs",
        "a_token_authenticates_and_a_wrong_expired_or_absent_one_does_not",
    ),
    (
        "upstream.url",
        "security/effects.rs",
        "the_address_and_the_upstream_are_those_of_the_file",
    ),
    (
        "upstream.name",
        "journal/settings.rs",
        "the_records_are_those_of_the_upstreams_name_or_of_its_url",
    ),
    (
        "journal.url",
        "journal/settings.rs",
        "the_journal_is_where_the_configuration_says",
    ),
    (
        "journal.timeout",
        "journal/files.rs",
        "while_the_disk_does_not_answer_claims_are_refused_and_finishes_are_kept",
    ),
    (
        "journal.caller_share",
        "journal/bounds.rs",
        "a_caller_holds_its_share_and_evicts_nobody_elses",
    ),
    (
        "journal.unknown_ttl",
        "journal/bounds.rs",
        "an_unknown_write_that_nobody_asks_about_shrinks_and_ends_by_its_documented_limit",
    ),
    (
        "journal.allow_network_fs",
        "journal/files.rs",
        "a_journal_on_a_network_file_system_is_refused_unless_that_is_allowed",
    ),
    (
        "journal.key_file",
        "journal/settings.rs",
        "the_keys_are_those_of_the_key_file",
    ),
    (
        "upstream.license_file",
        "security/effects.rs",
        "the_address_and_the_upstream_are_those_of_the_file",
    ),
    (
        "upstream.caller_license",
        "rpc/context.rs",
        "callers_bring_their_own_license_if_configured",
    ),
    (
        "upstream.content_id",
        "rpc/context.rs",
        "the_configured_context_is_the_default",
    ),
    (
        "upstream.feature_name",
        "rpc/context.rs",
        "the_configured_context_is_the_default",
    ),
    (
        "upstream.connect_timeout",
        "resilience/deadlines.rs",
        "connecting_to_upstream_is_bounded_by_its_timeout",
    ),
    (
        "upstream.idle_timeout",
        "security/effects.rs",
        "upstream_connections_have_an_idle_timeout_and_a_maximum_age",
    ),
    (
        "upstream.max_connection_age",
        "security/effects.rs",
        "upstream_connections_have_an_idle_timeout_and_a_maximum_age",
    ),
    (
        "upstream.read_timeout",
        "rpc/errors.rs",
        "a_read_that_takes_too_long_is_unavailable",
    ),
    (
        "upstream.write_timeout",
        "guarantees/verification.rs",
        "verification_finds_a_late_write",
    ),
    (
        "upstream.ca_file",
        "security/effects.rs",
        "upstream_is_verified_by_its_ca_file_and_given_our_certificate",
    ),
    (
        "upstream.client_certificate_file",
        "security/effects.rs",
        "upstream_is_verified_by_its_ca_file_and_given_our_certificate",
    ),
    (
        "upstream.client_key_file",
        "security/effects.rs",
        "upstream_is_verified_by_its_ca_file_and_given_our_certificate",
    ),
    (
        "upstream.probe_after",
        "resilience/health.rs",
        "an_idle_upstream_is_probed_without_the_license",
    ),
    (
        "upstream.read_retries",
        "resilience/retries.rs",
        "a_read_has_at_most_three_attempts",
    ),
    (
        "upstream.max_requests",
        "resilience/concurrency_limit.rs",
        "a_full_queue_refuses_at_once_with_retry_info",
    ),
    (
        "upstream.max_queue",
        "resilience/concurrency_limit.rs",
        "a_full_queue_refuses_at_once_with_retry_info",
    ),
    (
        "upstream.caller_share",
        "resilience/concurrency_limit.rs",
        "a_greedy_caller_leaves_permits_for_others",
    ),
    (
        "upstream.breaker_failures",
        "resilience/breaker.rs",
        "the_breaker_opens_when_upstream_does_not_answer",
    ),
    (
        "upstream.breaker_open",
        "resilience/breaker.rs",
        "the_breaker_opens_when_upstream_does_not_answer",
    ),
    (
        "upstream.breaker_open_max",
        "security/effects.rs",
        "the_breaker_stays_open_longer_each_time_up_to_its_maximum",
    ),
    (
        "upstream.max_answer_bytes",
        "rpc/bad_responses.rs",
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
        "rpc/replace_all_steps.rs",
        "a_step_whose_outcome_is_unknown_stops_the_plan",
    ),
    (
        "calls.replace_limit",
        "guarantees/cancellation.rs",
        "a_replace_all_ends_between_two_steps_at_its_limit_and_goes_on_under_its_id",
    ),
    (
        "upstream.write_horizon",
        "guarantees/retry_after_unknown.rs",
        "an_unknown_add_is_done_anew_once_the_write_horizon_has_passed",
    ),
    (
        "calls.max_numbers",
        "rpc/replace_all.rs",
        "the_list_itself_is_checked_before_any_request",
    ),
    (
        "calls.strict_fields",
        "security/effects.rs",
        "an_unapplied_strict_field_fails_the_call",
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
        "a_connection_over_the_limit_is_closed_and_the_others_go_on",
    ),
    (
        "server.handshake_timeout",
        "resilience/connections.rs",
        "a_connection_without_a_preface_in_time_is_closed",
    ),
    (
        "server.idle_timeout",
        "resilience/connections.rs",
        "an_idle_connection_is_closed_and_one_with_a_call_is_not",
    ),
    (
        "server.max_connection_age",
        "security/effects.rs",
        "a_connection_has_a_maximum_of_calls_and_a_maximum_age",
    ),
    (
        "server.max_calls_per_connection",
        "security/effects.rs",
        "a_connection_has_a_maximum_of_calls_and_a_maximum_age",
    ),
    (
        "server.drain_delay",
        "security/effects.rs",
        "calls_are_accepted_during_the_drain_delay_while_health_is_not_serving",
    ),
    (
        "server.drain_limit",
        "resilience/graceful_shutdown.rs",
        "calls_that_exceed_the_drain_limit_are_cut",
    ),
    (
        "server.readiness_follows_upstream",
        "resilience/health.rs",
        "health_reports_upstream_and_readiness_follows_if_configured",
    ),
    (
        "server.reflection",
        "security/effects.rs",
        "reflection_can_be_disabled",
    ),
    (
        "log_format",
        "telemetry/logs.rs",
        "lines_are_text_if_configured",
    ),
    (
        "admin_listen",
        "telemetry/metrics.rs",
        "calls_requests_and_writes_are_counted_by_meaning",
    ),
    (
        "admin_insecure",
        "telemetry/admin.rs",
        "the_pages_are_served_beyond_loopback_only_with_a_flag",
    ),
    (
        "telemetry.audit_file",
        "telemetry/redaction.rs",
        "a_planted_leak_is_found",
    ),
    (
        "telemetry.audit_required",
        "telemetry/audit.rs",
        "a_write_that_cannot_be_audited_is_not_sent_unless_allowed",
    ),
    (
        "telemetry.audit_numbers",
        "telemetry/audit_lines.rs",
        "numbers_and_names_can_be_masked",
    ),
    (
        "telemetry.audit_key_file",
        "telemetry/audit_lines.rs",
        "masked_values_match_across_processes_with_a_key_file",
    ),
    (
        "telemetry.baggage_keys",
        "telemetry/spans.rs",
        "baggage_is_forwarded_for_configured_keys_only",
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
        "a_client_certificate_of_another_ca_or_an_expired_one_is_refused",
    ),
    (
        "tls.require_client_certificate",
        "security/tls.rs",
        "a_connection_without_a_certificate_is_refused_where_one_is_required",
    ),
    (
        "callers.portal.certificate_names",
        "security/authentication.rs",
        "a_client_certificate_authenticates_by_its_spiffe_id_or_dns_name",
    ),
    (
        "callers.portal.methods",
        "security/authorization.rs",
        "a_caller_is_limited_to_its_methods",
    ),
    (
        "callers.portal.accounts",
        "security/authorization.rs",
        "a_caller_is_limited_to_its_accounts",
    ),
    (
        "callers.portal.license_file",
        "security/authorization.rs",
        "each_caller_has_its_license_or_brings_one_if_permitted",
    ),
    (
        "callers.portal.caller_license",
        "security/authorization.rs",
        "each_caller_has_its_license_or_brings_one_if_permitted",
    ),
    (
        "callers.portal.allowed_destinations",
        "security/authorization.rs",
        "the_destination_policy_limits_adds",
    ),
    (
        "callers.portal.denied_destinations",
        "security/authorization.rs",
        "the_destination_policy_limits_adds",
    ),
    (
        "callers.portal.writes_per_minute",
        "security/authorization.rs",
        "the_write_rate_limit_holds_per_caller_and_account",
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
