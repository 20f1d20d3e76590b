//! The admin pages.

use std::net::SocketAddr;

use followme::{
    config::{Config, Flags},
    grpc::pb::follow_me_service_client::FollowMeServiceClient,
    simulator::{Fault, FaultKind, Handle, When},
};
use serde_json::Value;

use super::receiver::{serve, upstream};
use crate::{
    cli::Process,
    config::variables,
    support::{LICENSE, add, channel, list, new_number},
};

/// Asks for a page: status and text.
pub(crate) async fn page(admin: SocketAddr, path: &str) -> (u16, String) {
    let response = http()
        .get(format!("http://{admin}{path}"))
        .send()
        .await
        .expect("an answer");
    let status = response.status().as_u16();
    (status, response.text().await.expect("a text"))
}

pub(crate) async fn put(admin: SocketAddr, path: &str, body: &str) -> (u16, String) {
    let response = http()
        .put(format!("http://{admin}{path}"))
        .body(body.to_owned())
        .send()
        .await
        .expect("an answer");
    let status = response.status().as_u16();
    (status, response.text().await.expect("a text"))
}

fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client")
}

async fn start(
    name: &str,
    environment: &[(&str, &str)],
) -> (Handle, Process, SocketAddr, SocketAddr) {
    let upstream = upstream(LICENSE).await;
    let environment = [
        &[
            ("FOLLOWME_LICENSE", LICENSE),
            ("FOLLOWME_ADMIN_LISTEN", "127.0.0.1:0"),
        ],
        environment,
    ]
    .concat();
    let mut process = serve(name, "", upstream.local_addr(), &environment);
    let admin = process.address("admin listening on");
    let grpc = process.address("grpc listening on");
    (upstream, process, admin, grpc)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_answer_and_the_first_lists_them() {
    let (_upstream, process, admin, _) = start("admin-pages", &[]).await;
    let (status, index) = page(admin, "/").await;
    assert_eq!(status, 200);
    for path in [
        "/livez",
        "/readyz",
        "/metrics",
        "/config",
        "/loglevel",
        "/inflight",
    ] {
        assert!(index.contains(path), "{index}");
        let (status, text) = page(admin, path).await;
        assert_eq!(status, 200, "{path}: {text}");
        assert!(!text.contains(LICENSE), "{path}: {text}");
    }
    let (_, config) = page(admin, "/config").await;
    assert!(
        config.contains("that of FOLLOWME_LICENSE") && config.contains("max_numbers"),
        "{config}"
    );
    let (status, text) = page(admin, "/elsewhere").await;
    assert_eq!(status, 404);
    assert!(text.contains("/inflight"));
    assert_eq!(put(admin, "/metrics", "x").await.0, 405);
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_filter_can_be_changed_while_it_runs() {
    let (_upstream, mut process, admin, grpc) = start("admin-level", &[("RUST_LOG", "warn")]).await;
    let mut client = FollowMeServiceClient::new(channel(grpc).await);
    assert_eq!(page(admin, "/loglevel").await.1.trim(), "warn");
    client.list(list(1001)).await.expect("a list");
    let (status, text) = put(admin, "/loglevel", "info,access=off\n").await;
    assert_eq!((status, text.trim()), (200, "access=off,info"));
    client.list(list(1002)).await.expect_err("no such account");
    let (status, text) = put(admin, "/loglevel", "followme=loud").await;
    assert_eq!(status, 400);
    assert!(!text.is_empty());
    // What sends no body does not mean silence.
    for body in ["", " \n"] {
        assert_eq!(put(admin, "/loglevel", body).await.0, 400);
    }
    assert_eq!(page(admin, "/loglevel").await.1.trim(), "access=off,info");
    process.signal("TERM");
    let (_, log) = process.end();
    assert!(log.contains("call failed"), "{log}");
    assert!(!log.contains("\"target\":\"access\""), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_flight_are_shown_with_their_phase() {
    let (upstream, process, admin, grpc) = start("admin-inflight", &[]).await;
    upstream.arm(
        Fault::once(FaultKind::Hold { when: When::Before }).on(followme::simulator::Route::Add),
    );
    let mut client = FollowMeServiceClient::new(channel(grpc).await);
    let call = tokio::spawn(async move { client.add(add(new_number("Van", "15550121"))).await });
    while upstream.fired_count("hold") == 0 {
        tokio::task::yield_now().await;
    }
    let (_, text) = page(admin, "/inflight").await;
    let shown: Value = serde_json::from_str(&text).expect("JSON");
    let calls = shown["calls"].as_array().expect("a list");
    assert_eq!(calls.len(), 1, "{text}");
    assert_eq!(calls[0]["method"], "porta.followme.v1.FollowMeService/Add");
    assert_eq!(calls[0]["phase"], "writing");
    assert!(calls[0]["age_seconds"].is_number());
    assert_eq!(calls[0].as_object().expect("an object").len(), 3);
    upstream.release();
    call.await.expect("it ends").expect("it is added");
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_the_drain_and_liveness_does_not() {
    let upstream = upstream(LICENSE).await;
    let url = format!("http://{}/", upstream.local_addr());
    let mut process = Process::start(
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--upstream-url",
            &url,
            "--admin-listen",
            "127.0.0.1:0",
        ],
        &[("FOLLOWME_LICENSE", LICENSE)],
    );
    let admin = process.address("admin listening on");
    process.address("grpc listening on");
    while page(admin, "/readyz").await.0 != 200 {
        tokio::task::yield_now().await;
    }
    process.signal("TERM");
    // The drain delay is 5 s by default: time enough to be seen.
    while page(admin, "/readyz").await.0 != 503 {
        tokio::task::yield_now().await;
    }
    assert_eq!(page(admin, "/livez").await.0, 200);
    process.signal("TERM");
    assert_eq!(process.end().0.code(), Some(0));
}

#[test]
fn the_pages_are_served_beyond_loopback_only_with_a_flag() {
    let load = |listen: &str, insecure: &str| {
        Config::load(
            &Flags::default(),
            &variables([
                ("FOLLOWME_LICENSE", LICENSE),
                ("FOLLOWME_UPSTREAM_URL", "http://127.0.0.1:9"),
                ("FOLLOWME_ADMIN_LISTEN", listen),
                ("FOLLOWME_ADMIN_INSECURE", insecure),
            ]),
        )
        .map(|config| config.admin_listen)
    };
    for (listen, insecure) in [
        ("127.0.0.1:1", "false"),
        ("[::1]:1", ""),
        ("0.0.0.0:1", "true"),
    ] {
        assert_eq!(load(listen, insecure), Ok(listen.parse().ok()), "{listen}");
    }
    for listen in ["0.0.0.0:1", "192.0.2.1:1", "nowhere"] {
        let errors = load(listen, "").expect_err("it is refused");
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].key, "FOLLOWME_ADMIN_LISTEN");
    }
}
