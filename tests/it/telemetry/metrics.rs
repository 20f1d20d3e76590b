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
use crate::support::{LICENSE, add, channel, delete, list, new_number};

/// Returns the value of the one line that has all these parts.
fn value(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let lines: Vec<&str> = metrics
        .lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        })
        .collect();
    assert_eq!(lines.len(), 1, "{name} {labels:?} in\n{metrics}");
    let (_, value) = lines[0].rsplit_once(' ').expect("a value");
    value.parse().expect("a number")
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
    let requests = |template: &str, outcome: &str| {
        let labels = [
            format!("url_template=\"/{template}/"),
            format!("porta_outcome=\"{outcome}\""),
        ];
        value(
            &metrics,
            "porta_upstream_requests_total",
            &[&labels[0], &labels[1]],
        )
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
        "process_thread_count",
        "process_unix_file_descriptor_count",
        "process_uptime_seconds",
    ] {
        assert!(value(&metrics, name, &[]) > 0.0);
    }

    // No account, number, or text of a caller is in a label.
    for text in ["1001", "15550", "Van", LICENSE] {
        let labels = metrics.lines().filter_map(|line| line.split_once('{'));
        for (_, labels) in labels {
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
    // These come with the first event of their kind.
    known.extend([
        "porta_fields_put_back_total",
        "porta_field",
        "porta_audit_failures_total",
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
}
