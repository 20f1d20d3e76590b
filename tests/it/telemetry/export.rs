//! A call in an OpenTelemetry backend: one tree from the caller to each request upstream.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use followme::grpc::pb::follow_me_service_client::FollowMeServiceClient;
use followme::simulator::{Fault, FaultKind};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};

use super::receiver::{attribute, receive, serve, upstream};
use crate::support::{LICENSE, add, channel, list, new_number, with_metadata};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const NOT_SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn kind(span: &Span) -> SpanKind {
    SpanKind::try_from(span.kind).expect("a kind that is known")
}

fn is_error(span: &Span) -> bool {
    span.status
        .as_ref()
        .is_some_and(|status| status.code == StatusCode::Error as i32)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_one_trace_from_the_caller_to_each_upstream_request() {
    let (received, collector, _task) = receive().await;
    let upstream = upstream(LICENSE).await;
    let endpoint = format!("http://{collector}");
    let mut process = serve(
        "export",
        "[upstream]\nread_retries = 0",
        upstream.local_addr(),
        &[
            ("FOLLOWME_LICENSE", LICENSE),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_SERVICE_NAME", "followme-test"),
        ],
    );
    let addr = process.address("grpc listening on");
    let mut client = FollowMeServiceClient::new(channel(addr).await);
    let sampled = [("traceparent", SAMPLED), ("tracestate", "vendor=a")];
    client
        .add(with_metadata(add(new_number("Van", "15550121")), &sampled))
        .await
        .expect("it is added");
    upstream.arm(Fault::once(FaultKind::Html { status: 503 }));
    client
        .list(with_metadata(list(1001), &sampled))
        .await
        .expect_err("upstream fails");
    let unsampled = [("traceparent", NOT_SAMPLED)];
    client
        .list(with_metadata(list(1001), &unsampled))
        .await
        .expect("a list");
    // Everything leaves at the end at the latest.
    process.signal("TERM");
    let (status, log) = process.end();
    assert_eq!(status.code(), Some(0), "{log}");

    let spans = received.spans();
    assert!(!spans.is_empty());
    let by_id: HashMap<String, &Span> = spans
        .iter()
        .map(|span| (hex(&span.span_id), span))
        .collect();
    for span in &spans {
        assert_eq!(hex(&span.trace_id), TRACE, "{}", span.name);
        let parent = hex(&span.parent_span_id);
        assert!(
            parent == PARENT || by_id.contains_key(&parent),
            "{} hangs in the air",
            span.name
        );
        assert!(attribute(&span.attributes, "url.full").is_none());
    }

    // The servers' spans are the caller's children.
    let servers: Vec<&Span> = spans
        .iter()
        .filter(|span| kind(span) == SpanKind::Server)
        .collect();
    assert_eq!(servers.len(), 2);
    for server in &servers {
        assert_eq!(hex(&server.parent_span_id), PARENT);
        assert_eq!(
            attribute(&server.attributes, "rpc.system.name").as_deref(),
            Some("grpc")
        );
        assert_eq!(
            attribute(&server.attributes, "rpc.method").as_ref(),
            Some(&server.name)
        );
        assert_eq!(
            attribute(&server.attributes, "server.port"),
            Some(addr.port().to_string())
        );
        for key in ["server.address", "network.peer.address"] {
            assert_eq!(
                attribute(&server.attributes, key).as_deref(),
                Some("127.0.0.1")
            );
        }
    }
    let server = |method: &str| {
        let name = format!("porta.followme.v1.FollowMeService/{method}");
        let found = servers.iter().find(|span| span.name == name);
        *found.expect("each call has its span")
    };
    let (added, failed) = (server("Add"), server("List"));
    let code = |span: &Span| attribute(&span.attributes, "rpc.response.status_code");
    assert_eq!(code(added).as_deref(), Some("OK"));
    assert!(!is_error(added));
    assert_eq!(attribute(&added.attributes, "error.type"), None);
    assert_eq!(code(failed).as_deref(), Some("UNAVAILABLE"));
    assert!(is_error(failed));
    assert_eq!(
        attribute(&failed.attributes, "error.type").as_deref(),
        Some("UNAVAILABLE")
    );
    assert_eq!(
        attribute(&failed.attributes, "porta.reason").as_deref(),
        Some("UPSTREAM_ERROR")
    );

    // Each request that upstream saw is a child span, somewhere below the server's.
    let clients: Vec<&Span> = spans
        .iter()
        .filter(|span| kind(span) == SpanKind::Client)
        .collect();
    let mut seen = HashSet::new();
    for request in upstream.requests() {
        let header = request.header("traceparent").expect("it has a traceparent");
        if header.contains(&NOT_SAMPLED[..35]) {
            assert!(header.ends_with("-00"));
            continue;
        }
        let span = by_id[&header[36..52]];
        assert_eq!(&header[3..35], TRACE);
        assert_eq!(request.header("tracestate"), Some("vendor=a"));
        assert_eq!(kind(span), SpanKind::Client);
        let template = attribute(&span.attributes, "url.template").expect("a route");
        assert_eq!(span.name, format!("{} {template}", request.method));
        assert_eq!(
            attribute(&span.attributes, "http.request.method").as_ref(),
            Some(&request.method)
        );
        assert_eq!(
            attribute(&span.attributes, "server.address").as_deref(),
            Some("127.0.0.1")
        );
        assert_eq!(
            attribute(&span.attributes, "server.port"),
            Some(upstream.local_addr().port().to_string())
        );
        assert!(seen.insert(span.span_id.clone()));
    }
    assert_eq!(seen.len(), clients.len());
    let broken = clients
        .iter()
        .find(|span| is_error(span))
        .expect("one failed");
    assert_eq!(hex(&broken.parent_span_id), hex(&failed.span_id));
    let status = |key| attribute(&broken.attributes, key);
    assert_eq!(status("http.response.status_code").as_deref(), Some("503"));
    assert_eq!(status("error.type").as_deref(), Some("503"));

    // The steps of a write.
    for step in ["plan", "verify"] {
        let span = spans
            .iter()
            .find(|span| span.name == step)
            .expect("the step has a span");
        assert_eq!(hex(&span.parent_span_id), hex(&added.span_id));
    }

    let metrics = received.metrics();
    for name in [
        "rpc.server.call.duration",
        "http.client.request.duration",
        "porta.upstream.requests",
        "porta.writes",
        "porta.build.info",
        "process.memory.usage",
    ] {
        assert!(
            metrics.iter().any(|known| known == name),
            "{name} in {metrics:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_exported_unless_an_endpoint_is_set_and_the_rest_still_runs() {
    let (received, collector, _task) = receive().await;
    let upstream = upstream(LICENSE).await;
    let endpoint = format!("http://{collector}");
    for environment in [
        vec![],
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_SDK_DISABLED", "true"),
        ],
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "none"),
        ],
        // A collector that is not there holds nobody up.
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "200"),
        ],
    ] {
        let environment = [vec![("FOLLOWME_LICENSE", LICENSE)], environment].concat();
        let mut process = serve("no-export", "", upstream.local_addr(), &environment);
        let addr = process.address("grpc listening on");
        let mut client = FollowMeServiceClient::new(channel(addr).await);
        let request = with_metadata(list(1001), &[("traceparent", SAMPLED)]);
        client.list(request).await.expect("a list");
        process.signal("TERM");
        let (status, log) = process.end();
        assert_eq!(status.code(), Some(0), "{log}");
    }
    assert!(received.bytes().is_empty());
    let last = upstream.requests().pop().expect("it was asked");
    assert!(
        last.header("traceparent")
            .is_some_and(|header| header.contains(TRACE))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_collector_delays_neither_calls_nor_shutdown() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let endpoint = format!("http://{}", silent.local_addr().expect("it is bound"));
    let mut held = Vec::new();
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
        }
    });
    let upstream = upstream(LICENSE).await;
    let mut process = serve(
        "silent",
        "",
        upstream.local_addr(),
        &[
            ("FOLLOWME_LICENSE", LICENSE),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_BSP_SCHEDULE_DELAY", "10"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4"),
        ],
    );
    let addr = process.address("grpc listening on");
    let mut client = FollowMeServiceClient::new(channel(addr).await);
    let begun = Instant::now();
    for _ in 0..50 {
        let request = with_metadata(list(1001), &[("traceparent", SAMPLED)]);
        client.list(request).await.expect("a list");
    }
    // An export gives up after ten seconds.
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "calls wait for the export"
    );
    drop(client);
    let begun = Instant::now();
    process.signal("TERM");
    let (status, log) = process.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
    assert!(log.contains("may be lost"), "{log}");
    accepting.abort();
}
