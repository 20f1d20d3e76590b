//! Log lines: their two forms, and what each says.

use followme::{
    grpc::pb::{ListRequest, ListResponse, follow_me_service_client::FollowMeServiceClient},
    simulator::{Fault, FaultKind, When},
};
use http::uri::PathAndQuery;
use serde_json::Value;

use super::receiver::{serve, upstream};
use crate::{
    config::file,
    security::support::{token_line, with_token},
    support::raw_h2::{Connection, framed, post},
    support::{LICENSE, add, channel, list, new_number, with_metadata},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Makes a call that works and one that fails, and returns what stood on standard error.
async fn log(name: &str, toml: &str, environment: &[(&str, &str)]) -> String {
    let upstream = upstream(LICENSE).await;
    let environment = [&[("FOLLOWME_LICENSE", LICENSE)], environment].concat();
    let mut process = serve(name, toml, upstream.local_addr(), &environment);
    let addr = process.address("grpc listening on");
    let mut client = FollowMeServiceClient::new(channel(addr).await);
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let entries = [("traceparent", traceparent.as_str())];
    client
        .add(with_metadata(
            add(new_number("Ann Lee", "15550121")),
            &entries,
        ))
        .await
        .expect("it is added");
    let kind = FaultKind::Exception {
        type_name: "ArgumentException".to_owned(),
        when: When::Before,
    };
    upstream.arm(Fault::once(kind));
    client
        .list(with_metadata(list(1001), &entries))
        .await
        .expect_err("it is refused");
    process.signal("TERM");
    process.end().1
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_json_with_trace_ids_without_a_terminal() {
    let log = log("logs-json", "", &[]).await;
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is an object"))
        .collect();
    let target = |target: &str| -> Vec<&Value> {
        lines
            .iter()
            .filter(|line| line["target"] == target)
            .collect()
    };
    let access = target("access");
    assert_eq!(access.len(), 2, "{log}");
    let [added, listed] = access[..] else {
        panic!("two calls");
    };
    assert_eq!(added["method"], "porta.followme.v1.FollowMeService/Add");
    assert_eq!(
        (&added["code"], &added["reason"]),
        (&"OK".into(), &"".into())
    );
    assert_eq!(added["caller"], "anonymous");
    assert_eq!(added["account_id"], 1001);
    assert!(
        added["upstream_requests"]
            .as_u64()
            .is_some_and(|count| count >= 2)
    );
    for bytes in ["received_bytes", "sent_bytes"] {
        assert!(
            added[bytes].as_u64().is_some_and(|bytes| bytes > 5),
            "{added}"
        );
    }
    assert!(added["duration_ms"].as_f64().is_some_and(|time| time > 0.0));
    assert!(
        added["peer"]
            .as_str()
            .is_some_and(|peer| peer.starts_with("127.0.0.1:"))
    );
    assert_eq!(listed["code"], "FAILED_PRECONDITION");
    assert_eq!(listed["reason"], "UPSTREAM_REFUSED");
    assert_eq!(listed["upstream_requests"], 1);
    let failures: Vec<&Value> = lines
        .iter()
        .filter(|line| line["message"] == "call failed")
        .collect();
    assert_eq!(failures.len(), 1, "one line where it is handled: {log}");
    for line in access.iter().chain(&failures) {
        assert_eq!(line["trace_id"], TRACE);
        assert_eq!(line["span_id"].as_str().map(str::len), Some(16));
        assert!(line["time"].is_string() && line["level"].is_string());
    }
    assert_eq!(listed["span_id"], failures[0]["span_id"]);
    // Only the audit log names numbers; without a file it is part of the log.
    let audit = target("audit");
    assert_eq!(audit.len(), 2);
    for line in &lines {
        let personal = ["Ann", "15550121", "15550101"];
        if line["target"] != "audit" {
            let text = line.to_string();
            assert!(
                personal.iter().all(|text_of| !text.contains(text_of)),
                "{text}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_text_if_configured() {
    for (name, toml, environment) in [
        ("logs-text-toml", "log_format = \"text\"", vec![]),
        (
            "logs-text-env",
            "log_format = \"json\"",
            vec![("FOLLOWME_LOG_FORMAT", "text")],
        ),
    ] {
        let log = log(name, toml, &environment).await;
        let line = log
            .lines()
            .find(|line| line.contains(" INFO access: call "))
            .unwrap_or_else(|| panic!("an access line: {log}"));
        for part in [
            "method=porta.followme.v1.FollowMeService/Add",
            "code=OK",
            "reason=\"\"",
            &format!("trace_id={TRACE}"),
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_of_balancers_have_access_lines_at_debug() {
    let upstream = upstream(LICENSE).await;
    for (name, filter, expected) in [
        ("probes-info", "info", &[][..]),
        (
            "probes-debug",
            "info,access=debug",
            &["_OTHER", "grpc.health.v1.Health/Check"],
        ),
    ] {
        let environment = [("FOLLOWME_LICENSE", LICENSE), ("RUST_LOG", filter)];
        let mut process = serve(name, "", upstream.local_addr(), &environment);
        let addr = process.address("grpc listening on");
        let connection = Connection::open(addr).await;
        for path in ["/AWS.ALB/healthcheck", "/grpc.health.v1.Health/Check"] {
            let request = post(path).header("content-type", "application/grpc");
            let body = [framed(&ListRequest::default())];
            connection.send(request, &body, None).await;
        }
        drop(connection);
        process.signal("TERM");
        let log = process.end().1;
        let lines = log
            .lines()
            .map(|line| serde_json::from_str(line).expect("each line is an object"));
        let access: Vec<String> = lines
            .filter(|line: &Value| line["target"] == "access")
            .map(|line| {
                assert_eq!(line["level"], "DEBUG");
                line["method"].as_str().expect("a text").to_owned()
            })
            .collect();
        assert_eq!(access, expected, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_log_filters_the_lines() {
    let log = log("logs-off", "", &[("RUST_LOG", "off")]).await;
    // The audit log is no matter of levels.
    assert!(
        log.lines().count() == 2 && log.lines().all(|line| line.contains("\"audit\"")),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_call_has_an_access_line() {
    let upstream = upstream(LICENSE).await;
    let tokens = file(
        "logs-tokens",
        &[
            token_line("portal", "good", ""),
            token_line("reader", "other", ""),
        ]
        .concat(),
    );
    let toml = format!(
        "tokens_file = {tokens:?}\n\
         [callers.portal]\nmethods = [\"*\"]\naccounts = [1001]\ndenied_destinations = [\"1900\"]\n\
         writes_per_minute = 1\n\
         [callers.reader]\nmethods = [\"List\"]\n"
    );
    let environment = [("FOLLOWME_LICENSE", LICENSE)];
    let mut process = serve("logs-denied", &toml, upstream.local_addr(), &environment);
    let addr = process.address("grpc listening on");
    let mut client = FollowMeServiceClient::new(channel(addr).await);
    client.list(list(1001)).await.expect_err("it is not served");
    let wrong = with_token(list(1001), "wrong-\u{7e}token");
    client.list(wrong).await.expect_err("it is unauthenticated");
    let writes = with_token(add(new_number("Van", "15550121")), "other");
    client.add(writes).await.expect_err("it may only read");
    let elsewhere = with_token(list(1002), "good");
    client.list(elsewhere).await.expect_err("not its account");
    let dear = with_token(add(new_number("Van", "19005550100")), "good");
    client.add(dear).await.expect_err("not a destination");
    let often = with_token(add(new_number("Van", "15550121")), "good");
    client.add(often).await.expect_err("too often");
    let path = PathAndQuery::from_static("/porta.followme.v1.FollowMeService/15550100%1b[2J");
    let mut grpc = tonic::client::Grpc::new(channel(addr).await);
    grpc.ready().await.expect("it is ready");
    let codec = tonic_prost::ProstCodec::<ListRequest, ListResponse>::default();
    grpc.unary(tonic::Request::new(list(1001)), path, codec)
        .await
        .expect_err("it is unauthenticated");
    drop((client, grpc));
    process.signal("TERM");
    let log = process.end().1;
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is an object"))
        .collect();
    let access: Vec<[&str; 4]> = lines
        .iter()
        .filter(|line| line["target"] == "access")
        .map(|line| {
            ["method", "caller", "code", "reason"].map(|key| line[key].as_str().expect("a text"))
        })
        .collect();
    let list = "porta.followme.v1.FollowMeService/List";
    let add = "porta.followme.v1.FollowMeService/Add";
    assert_eq!(
        access,
        [
            [list, "anonymous", "UNAUTHENTICATED", "UNAUTHENTICATED"],
            [list, "anonymous", "UNAUTHENTICATED", "UNAUTHENTICATED"],
            [add, "reader", "PERMISSION_DENIED", "METHOD_DENIED"],
            [list, "portal", "PERMISSION_DENIED", "ACCOUNT_DENIED"],
            [add, "portal", "PERMISSION_DENIED", "DESTINATION_DENIED"],
            [add, "portal", "RESOURCE_EXHAUSTED", "WRITE_RATE"],
        ]
    );
    // One line of each failure besides, which says why; nothing that the caller made up.
    let failures = lines
        .iter()
        .filter(|line| line["message"] == "call denied" || line["message"] == "call failed");
    assert_eq!(failures.count(), access.len(), "{log}");
    for text in [
        "15550100",
        "15550121",
        "19005550100",
        "wrong-",
        "good",
        "2J",
    ] {
        assert!(!log.contains(text), "{text} in {log}");
    }
}
