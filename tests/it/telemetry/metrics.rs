//! What `/metrics` shows after calls of known outcomes.

use std::collections::BTreeSet;

use followme::{
    grpc::pb::follow_me_service_client::FollowMeServiceClient,
    simulator::{Fault, FaultKind, Route, When},
};

use super::{
    admin::page,
    receiver::{serve, upstream},
};
use crate::{
    config::file,
    security::support::until,
    support::{LICENSE, add, certificates::Authority, channel, delete, list, new_number},
};

/// Returns the values of the lines that have all these parts.
fn values(metrics: &str, name: &str, labels: &[&str]) -> Vec<f64> {
    metrics
        .lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        })
        .map(|line| {
            let (_, value) = line.rsplit_once(' ').expect("a value");
            value.parse().expect("a number")
        })
        .collect()
}

/// Returns the value of the one line that has all these parts.
fn value(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let values = values(metrics, name, labels);
    assert_eq!(values.len(), 1, "{name} {labels:?} in\n{metrics}");
    values[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_requests_and_writes_are_counted_by_meaning() {
    let upstream = upstream(LICENSE).await;
    let mut process = serve(
        "metrics",
        "admin_listen = \"127.0.0.1:0\"\n[upstream]\nread_retries = 0\nwrite_timeout = \"300ms\"",
        upstream.local_addr(),
        &[("FOLLOWME_LICENSE", LICENSE)],
    );
    let admin = process.address("admin listening on");
    let addr = process.address("grpc listening on");
    let mut client = FollowMeServiceClient::new(channel(addr).await);
    let answer = client.list(list(1001)).await.expect("a list");
    let first = answer.into_inner().numbers[0].number_id;
    let mut request = add(new_number("Van", "15550121"));
    request.request_id = "id".to_owned();
    client.add(request.clone()).await.expect("it is added");
    client.add(request).await.expect("it is remembered");
    // Sent and done, but not answered: verified by reading back.
    upstream.arm(Fault::once(FaultKind::Reset { when: When::After }).on(Route::Add));
    client
        .add(add(new_number("Bus", "15550122")))
        .await
        .expect("it is verified");
    upstream.arm(Fault::once(FaultKind::Html { status: 200 }));
    client.list(list(1001)).await.expect_err("a bad response");
    let kind = FaultKind::Exception {
        type_name: "ArgumentException".to_owned(),
        when: When::Before,
    };
    upstream.arm(Fault::once(kind));
    client.list(list(1001)).await.expect_err("it is refused");
    // Its status is 200, and it says no.
    upstream.arm(Fault::once(FaultKind::NotSuccess { when: When::Before }));
    client.list(list(1001)).await.expect_err("it is refused");
    upstream.arm(Fault::once(FaultKind::NotSuccess { when: When::Before }).on(Route::Delete));
    client
        .delete(delete(first))
        .await
        .expect_err("it is refused");
    upstream.arm(Fault::once(FaultKind::Close { when: When::Before }));
    client
        .list(list(1001))
        .await
        .expect_err("the connection breaks");
    let unknown =
        http::uri::PathAndQuery::from_static("/porta.followme.v1.FollowMeService/15550100");
    let mut grpc = tonic::client::Grpc::new(channel(addr).await);
    grpc.ready().await.expect("it is ready");
    let codec = tonic_prost::ProstCodec::<
        followme::grpc::pb::ListRequest,
        followme::grpc::pb::ListResponse,
    >::default();
    grpc.unary(tonic::Request::new(list(1001)), unknown, codec)
        .await
        .expect_err("no such method");

    let (_, metrics) = page(admin, "/metrics").await;
    let method = |name: &str| format!("rpc_method=\"porta.followme.v1.FollowMeService/{name}\"");
    let calls = |name: &str, code: &str| {
        let code = format!("rpc_response_status_code=\"{code}\"");
        value(
            &metrics,
            "rpc_server_call_duration_seconds_count",
            &[&method(name), &code],
        )
    };
    assert_eq!(calls("List", "OK"), 1.0);
    assert_eq!(calls("List", "INTERNAL"), 1.0);
    assert_eq!(calls("List", "FAILED_PRECONDITION"), 2.0);
    assert_eq!(calls("List", "UNAVAILABLE"), 1.0);
    assert_eq!(calls("Add", "OK"), 3.0);
    let other = ["rpc_method=\"_OTHER\"", "UNIMPLEMENTED"];
    assert_eq!(
        value(&metrics, "rpc_server_call_duration_seconds_count", &other),
        1.0
    );
    // A template is a prefix: an add has two routes.
    let requests = |template: &str, outcome: &str| -> f64 {
        let template = format!("url_template=\"/{template}/");
        let outcome = format!("porta_outcome=\"{outcome}\"");
        let labels = [template.as_str(), &outcome];
        values(&metrics, "porta_upstream_requests_total", &labels)
            .iter()
            .sum()
    };
    assert!(requests("getfollowmes", "ok") >= 3.0);
    assert_eq!(requests("getfollowmes", "refused"), 2.0);
    for outcome in ["bad_response", "unavailable"] {
        assert_eq!(requests("getfollowmes", outcome), 1.0);
    }
    assert_eq!(requests("deletefollowme", "refused"), 1.0);
    assert_eq!(requests("addfollowme", "unknown"), 1.0);
    let status = [
        "http_response_status_code=\"400\"",
        "http_request_method=\"GET\"",
    ];
    assert_eq!(
        value(
            &metrics,
            "http_client_request_duration_seconds_count",
            &status
        ),
        1.0
    );
    for (outcome, count) in [("done", 1.0), ("settled", 1.0)] {
        let outcome = format!("porta_outcome=\"{outcome}\"");
        let labels = ["porta_write=\"add\"", outcome.as_str()];
        assert_eq!(value(&metrics, "porta_writes_total", &labels), count);
    }
    let answered = ["porta_outcome=\"answered\""];
    assert_eq!(
        value(&metrics, "porta_request_id_hits_total", &answered),
        1.0
    );
    assert_eq!(
        value(&metrics, "porta_calls_in_flight", &[&method("List")]),
        0.0
    );
    assert!(value(&metrics, "porta_connections", &[]) >= 1.0);
    for labels in [
        ["porta_peer=\"caller\"", "transmit"],
        ["porta_peer=\"upstream\"", "receive"],
    ] {
        assert!(value(&metrics, "porta_io_bytes_total", &labels) > 100.0);
    }
    let version = format!("service_version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert_eq!(value(&metrics, "porta_build_info", &[&version]), 1.0);
    for name in [
        "process_memory_usage_bytes",
        "process_threads",
        "process_open_fds",
        "process_uptime_seconds",
    ] {
        assert!(value(&metrics, name, &[]) > 0.0);
    }

    for (reason, count) in [
        ("UPSTREAM_BAD_RESPONSE", 1.0),
        ("UPSTREAM_REFUSED", 3.0),
        ("NUMBER_NOT_FOUND", 0.0),
    ] {
        let reason = format!("porta_reason=\"{reason}\"");
        assert_eq!(value(&metrics, "porta_errors_total", &[&reason]), count);
    }

    // No account, number, or text of a caller is in a label.
    for text in ["1001", "15550", "Van", LICENSE] {
        let labels = metrics
            .lines()
            .filter_map(|line| Some(line.split_once('{')?.1.rsplit_once('}')?.0));
        for labels in labels {
            assert!(!labels.contains(text), "{labels}");
        }
    }
    deployed(&metrics);
}

/// Checks that the dashboard and the alert rules ask for metrics and labels that exist.
fn deployed(metrics: &str) {
    let lines = || metrics.lines().filter(|line| !line.starts_with('#'));
    let mut known: BTreeSet<&str> = lines()
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    // A description may name a histogram as a whole.
    let types = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    known.extend(types.filter_map(|line| line.split(' ').next()));
    known.extend(
        lines()
            .filter_map(|line| line.split_once('{')?.1.split_once('}'))
            .flat_map(|(labels, _)| labels.split(','))
            .filter_map(|label| label.split('=').next()),
    );
    // These come with the first event of their kind, or with what the configuration names.
    known.extend([
        "porta_fields_put_back_total",
        "porta_field",
        "porta_certificate_expiry_seconds",
        "porta_file",
        "porta_token_expiry_seconds",
        "porta_caller",
    ]);
    let ours = [
        "rpc_", "http_", "porta_", "process_", "service_", "server_", "url_", "otel_",
    ];
    for file in ["grafana/followme.json", "prometheus/followme.rules.yml"] {
        let path = format!("{}/deploy/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect("it is there");
        let mut asked = 0;
        for word in text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_') {
            if ours.iter().any(|prefix| word.starts_with(prefix)) {
                asked += 1;
                assert!(known.contains(word), "{file} asks for {word}");
            }
        }
        assert!(asked > 10, "{file} asks for metrics");
    }
    let read = |path: &str| {
        std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR")))
            .expect("it is there")
    };
    let (rules, docs) = (
        read("deploy/prometheus/followme.rules.yml"),
        read("docs/operations.md"),
    );
    let alerts = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    for alert in alerts {
        assert!(
            docs.contains(&format!("| `{alert}` |")),
            "{alert} is not in the docs"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_is_counted_from_zero_and_the_breaker_permits_and_expiries_are_shown() {
    let upstream = upstream(LICENSE).await;
    let authority = Authority::new();
    let server = authority.sign_until("localhost", 2_000_000_000);
    let [certificate, key] = [
        file("expiry.pem", &server.certificate_pem()),
        file("expiry.key", &server.key_pem()),
    ];
    let hash = "0".repeat(64);
    let hashes = format!(
        "portal {hash} 2030-01-01T00:00:00Z\nportal {hash} 2031-01-01T00:00:00Z\n\
         batch {hash} 2031-01-01T00:00:00Z\nbatch {hash}\n"
    );
    let tokens = file("expiry.tokens", &hashes);
    let mut process = serve(
        "expiry",
        &format!(
            "admin_listen = \"127.0.0.1:0\"\ntokens_file = {tokens:?}\n\
             [callers.portal]\nmethods = [\"*\"]\n[callers.batch]\nmethods = [\"*\"]\n\
             [tls]\ncertificate_file = {certificate:?}\nkey_file = {key:?}"
        ),
        upstream.local_addr(),
        &[("FOLLOWME_LICENSE", LICENSE)],
    );
    let admin = process.address("admin listening on");
    process.address("grpc listening on");
    let (_, metrics) = page(admin, "/metrics").await;
    for (name, labels) in [
        (
            "porta_writes_total",
            ["porta_write=\"add\"", "porta_outcome=\"unknown\""],
        ),
        (
            "porta_upstream_requests_total",
            ["/addfollowme/", "porta_outcome=\"bad_response\""],
        ),
        (
            "porta_errors_total",
            ["porta_reason=\"OUTCOME_UNKNOWN\"", ""],
        ),
        (
            "porta_request_id_hits_total",
            ["porta_outcome=\"conflict\"", ""],
        ),
        (
            "porta_connections_accepted_total",
            ["porta_outcome=\"refused\"", ""],
        ),
        ("porta_journal_refused_total", ["error_type=\"full\"", ""]),
        ("porta_audit_failures_total", ["", ""]),
        ("porta_upstream_retries_total", ["", ""]),
        ("porta_upstream_breaker_openings_total", ["", ""]),
        ("porta_config_reload_failures_total", ["", ""]),
        ("porta_upstream_breaker_state", ["porta_state=\"open\"", ""]),
        ("porta_upstream_permits", ["", ""]),
        ("porta_upstream_queue", ["", ""]),
    ] {
        let values = values(&metrics, name, &labels);
        assert!(!values.is_empty(), "{name} {labels:?}");
        assert!(
            values.iter().all(|value| *value == 0.0),
            "{name}: {values:?}"
        );
    }
    let closed = ["porta_state=\"closed\""];
    assert_eq!(
        value(&metrics, "porta_upstream_breaker_state", &closed),
        1.0
    );
    let expiry = ["porta_file=\"tls.certificate_file\""];
    assert_eq!(
        value(&metrics, "porta_certificate_expiry_seconds", &expiry),
        2_000_000_000.0
    );
    // The last token of a caller counts: until then it can call. One that never expires has none.
    let expiry = ["porta_caller=\"portal\""];
    assert_eq!(
        value(&metrics, "porta_token_expiry_seconds", &expiry),
        1_924_992_000.0
    );
    assert!(!metrics.contains("porta_caller=\"batch\""));
    assert!(value(&metrics, "porta_config_reload_time_seconds", &[]) > 1.7e9);

    std::fs::write(&tokens, "portal").expect("it can be written");
    until("the failed reload is counted", async || {
        let (_, metrics) = page(admin, "/metrics").await;
        (value(&metrics, "porta_config_reload_failures_total", &[]) == 1.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_and_retries_are_counted() {
    let upstream = upstream(LICENSE).await;
    let mut process = serve(
        "breaker",
        "admin_listen = \"127.0.0.1:0\"\n[upstream]\nbreaker_failures = 2\nbreaker_open = \"60s\"\nread_retries = 1",
        upstream.local_addr(),
        &[("FOLLOWME_LICENSE", LICENSE)],
    );
    let admin = process.address("admin listening on");
    let addr = process.address("grpc listening on");
    let mut client = FollowMeServiceClient::new(channel(addr).await);
    upstream.arm(Fault::once(FaultKind::Close { when: When::Before }).times(2));
    client.list(list(1001)).await.expect_err("no answer");
    let (_, metrics) = page(admin, "/metrics").await;
    assert_eq!(value(&metrics, "porta_upstream_retries_total", &[]), 1.0);
    assert_eq!(
        value(&metrics, "porta_upstream_breaker_openings_total", &[]),
        1.0
    );
    let open = ["porta_state=\"open\""];
    assert_eq!(value(&metrics, "porta_upstream_breaker_state", &open), 1.0);
}
