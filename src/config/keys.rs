//! Every key, its bounds, and the place of its value: the one list that reading, checking, printing
//! and the environment follow.

use std::{path::PathBuf, time::Duration};

use reqwest::Url;

use super::{
    Config,
    callers::{self, Surroundings},
    reader::Reader,
    telemetry,
};
use crate::{
    domain::{Field, FieldSet, check},
    grpc,
};

/// Takes each key into its place.
pub(super) fn read(file: &mut Reader<'_>, config: &mut Config) {
    listen(file, config);
    upstream(file, config);
    calls(file, config);
    server(file, config);
    telemetry::keys(file, config);
    access(file, config);
}

fn listen(file: &mut Reader<'_>, config: &mut Config) {
    let mut listen = config.listen.to_string();
    file.set("listen", &mut listen);
    match listen.parse() {
        Ok(address) => config.listen = address,
        Err(_) => {
            let problem = "must be an IP address and a port, for example 127.0.0.1:50051";
            file.mistake::<()>("listen", problem);
        }
    }
    file.set("insecure", &mut config.insecure);
    file.set("read_only", &mut config.settings.read_only);
    file.set_some("tokens_file", &mut config.settings.tokens_file);
}

fn upstream(file: &mut Reader<'_>, config: &mut Config) {
    let Config {
        upstream,
        defaults,
        settings,
        probe_after,
        ..
    } = config;
    let transport = &mut upstream.transport;
    if let Some(text) = file.take::<String>("upstream.url") {
        match upstream_url(&text) {
            Ok(url) => {
                transport.url = url;
                settings.has_url = true;
            }
            Err(problem) => {
                file.mistake::<()>("upstream.url", &problem);
            }
        }
    } else if !settings.has_url && file.origin("upstream.url").is_none() {
        file.mistake::<()>(
            "upstream.url",
            "is missing: set it, FOLLOWME_UPSTREAM_URL or --upstream-url to the address of the \
             service, for example http://127.0.0.1:8080",
        );
    }
    file.note(
        "upstream.url",
        settings.has_url.then(|| transport.url.as_str()),
    );
    file.set_some("upstream.license_file", &mut settings.license_file);
    file.set("upstream.caller_license", &mut settings.caller_license);
    file.set_some("upstream.content_id", &mut defaults.content_id);
    file.set_some("upstream.feature_name", &mut defaults.feature_name);
    file.check("upstream.feature_name", || {
        let name = defaults.feature_name.as_deref().unwrap_or_default();
        (name.len() <= grpc::MAX_FEATURE_NAME_BYTES && !name.chars().any(char::is_control))
            .then_some(())
            .ok_or_else(|| "must be at most 128 bytes without control characters".to_owned())
    });
    file.duration("upstream.connect_timeout", &mut transport.connect_timeout);
    file.duration("upstream.idle_timeout", &mut transport.idle_timeout);
    file.duration("upstream.read_timeout", &mut upstream.read_timeout);
    file.duration("upstream.write_timeout", &mut upstream.write_timeout);
    file.duration(
        "upstream.max_connection_age",
        &mut transport.max_connection_age,
    );
    file.set_some("upstream.ca_file", &mut settings.upstream_ca_file);
    let (certificate, key) = (
        &mut settings.upstream_certificate_file,
        &mut settings.upstream_key_file,
    );
    file.set_some("upstream.client_certificate_file", certificate);
    file.set_some("upstream.client_key_file", key);
    both(
        file,
        ("upstream.client_certificate_file", certificate),
        ("upstream.client_key_file", key),
    );
    file.duration("upstream.probe_after", probe_after);
    file.size("upstream.read_retries", 0..=10, &mut upstream.read_retries);
    let limits = &mut upstream.limits;
    file.size("upstream.max_requests", 1..=100_000, &mut limits.requests);
    file.size("upstream.max_queue", 0..=1_000_000, &mut limits.queue);
    file.set("upstream.caller_share", &mut limits.caller_share);
    let share = limits.caller_share;
    file.check("upstream.caller_share", || {
        (share > 0.0 && share <= 1.0)
            .then_some(())
            .ok_or_else(|| "must be more than 0 and at most 1".to_owned())
    });
    let breaker = &mut upstream.breaker;
    file.size("upstream.breaker_failures", 1..=1000, &mut breaker.failures);
    file.duration("upstream.breaker_open", &mut breaker.open);
    file.duration("upstream.breaker_open_max", &mut breaker.open_max);
    file.size(
        "upstream.max_answer_bytes",
        1024..=1024 * 1024 * 1024,
        &mut transport.max_answer_bytes,
    );
    file.set("upstream.unsafe_values", &mut upstream.unsafe_values);
    file.set("upstream.null_list", &mut upstream.null_list);
    file.set("upstream.update_all", &mut upstream.update_all);
    file.set("upstream.post_format", &mut upstream.post_format);
}

fn calls(file: &mut Reader<'_>, config: &mut Config) {
    let calls = &mut config.operations;
    file.set("calls.strip_plus", &mut calls.rules.strip_plus);
    let seconds = u64::try_from(calls.rules.default_ring_timeout).unwrap_or(0);
    let mut ring = Duration::from_secs(seconds);
    file.duration("calls.default_ring_timeout", &mut ring);
    file.check("calls.default_ring_timeout", || {
        let seconds = i64::try_from(ring.as_secs()).unwrap_or(i64::MAX);
        check::ring_timeout(seconds, ring.subsec_nanos().cast_signed())
    });
    if let Ok(seconds) = i32::try_from(ring.as_secs()) {
        calls.rules.default_ring_timeout = seconds;
    }
    file.duration("calls.write_limit", &mut calls.write_limit);
    file.size("calls.max_numbers", 1..=1000, &mut calls.max_numbers);
    if let Some(names) = file.take::<Vec<String>>("calls.strict_fields") {
        calls.strict_fields = FieldSet::EMPTY;
        for name in names {
            match Field::from_name(&name) {
                Some(field) => calls.strict_fields.insert(field),
                None => {
                    let problem = format!("{name:?} is not a field of FollowMeNumber");
                    file.mistake::<()>("calls.strict_fields", &problem);
                }
            }
        }
    }
    let strict: Vec<&str> = calls.strict_fields.iter().map(Field::name).collect();
    file.note("calls.strict_fields", strict);
    let ids = &mut calls.request_ids;
    file.duration("calls.request_id_ttl", &mut ids.ttl);
    file.size("calls.request_id_entries", 1..=10_000_000, &mut ids.entries);
    file.size("calls.request_id_bytes", 1024..=1 << 40, &mut ids.bytes);
}

fn server(file: &mut Reader<'_>, config: &mut Config) {
    let server = &mut config.server;
    file.duration("server.default_deadline", &mut server.default_deadline);
    let accept = &mut server.accept;
    file.size(
        "server.max_connections",
        1..=1_000_000,
        &mut accept.max_connections,
    );
    file.duration("server.handshake_timeout", &mut accept.handshake_timeout);
    file.duration("server.idle_timeout", &mut accept.idle_timeout);
    file.duration("server.max_connection_age", &mut server.max_connection_age);
    file.size(
        "server.max_calls_per_connection",
        1..=10_000,
        &mut server.max_calls_per_connection,
    );
    file.duration_or_zero("server.drain_delay", &mut server.drain_delay);
    file.duration("server.drain_limit", &mut server.drain_limit);
    file.set(
        "server.readiness_follows_upstream",
        &mut config.readiness_follows_upstream,
    );
    file.set("server.reflection", &mut server.reflection);
}

fn access(file: &mut Reader<'_>, config: &mut Config) {
    let settings = &mut config.settings;
    let (certificate, key) = (&mut settings.certificate_file, &mut settings.key_file);
    file.set_some("tls.certificate_file", certificate);
    file.set_some("tls.key_file", key);
    both(
        file,
        ("tls.certificate_file", certificate),
        ("tls.key_file", key),
    );
    let has_tls = certificate.is_some();
    file.set_some("tls.client_ca_file", &mut settings.client_ca_file);
    file.set(
        "tls.require_client_certificate",
        &mut settings.require_client_certificate,
    );
    if settings.client_ca_file.is_some() && !has_tls {
        let problem = "needs tls.certificate_file and tls.key_file";
        file.mistake::<()>("tls.client_ca_file", problem);
    }
    if settings.require_client_certificate && settings.client_ca_file.is_none() {
        let problem = "needs tls.client_ca_file";
        file.mistake::<()>("tls.require_client_certificate", problem);
    }
    let surroundings = Surroundings {
        tokens: settings.tokens_file.is_some(),
        certificates: settings.client_ca_file.is_some(),
    };
    callers::read(file, &mut settings.callers, &surroundings);
    let closed = has_tls && settings.has_callers();
    if !config.listen.ip().is_loopback() && !closed && !config.insecure {
        file.mistake::<()>("listen", EXPOSED);
    }
}

/// What is wrong with an address that others reach, where nothing keeps them out.
pub(super) const EXPOSED: &str = "is not a loopback address, so it takes TLS (tls.certificate_file, \
                                  tls.key_file) and callers (callers.NAME); or say --insecure";

/// Notes a mistake where one of two keys stands alone.
fn both(
    file: &mut Reader<'_>,
    (one, first): (&str, &Option<PathBuf>),
    (other, second): (&str, &Option<PathBuf>),
) {
    match (first, second) {
        (Some(_), None) => file.mistake::<()>(one, &format!("needs {other} beside it")),
        (None, Some(_)) => file.mistake::<()>(other, &format!("needs {one} beside it")),
        _ => None,
    };
}

fn upstream_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must start with http:// or https:// and name a host".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query or a fragment".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or a password".to_owned());
    }
    Ok(url)
}
