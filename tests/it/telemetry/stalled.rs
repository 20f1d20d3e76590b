//! A reader of standard error that stalls: what it stops, and what it does not.

use std::{collections::BTreeSet, net::SocketAddr};

use followme::{grpc::pb::follow_me_service_client::FollowMeServiceClient, simulator::Handle};
use serde_json::Value;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{
    admin::page,
    audit::{fresh, lines},
    receiver::{serve_stalled, upstream},
};
use crate::{
    cli::Process,
    support::{LICENSE, add, channel, failure, list, new_number},
};

/// A facade whose standard error is full.
struct Stalled {
    process: Process,
    upstream: Handle,
    channel: Channel,
    client: FollowMeServiceClient<Channel>,
    admin: SocketAddr,
}

/// Starts a facade, and calls it until it drops log lines.
async fn stalled(name: &str, toml: &str) -> Stalled {
    let upstream = upstream(LICENSE).await;
    let environment = [
        ("FOLLOWME_LICENSE", LICENSE),
        ("FOLLOWME_ADMIN_LISTEN", "127.0.0.1:0"),
        // Many lines for each call.
        ("RUST_LOG", "trace"),
    ];
    let mut process = serve_stalled(name, toml, upstream.local_addr(), &environment);
    let admin = process.address("admin listening on");
    let channel = channel(process.address("grpc listening on")).await;
    let mut client = FollowMeServiceClient::new(channel.clone());
    while dropped(admin).await == 0 {
        client.list(list(1001)).await.expect("a list");
    }
    Stalled {
        process,
        upstream,
        channel,
        client,
        admin,
    }
}

/// Returns how many lines were dropped, by the metric.
async fn dropped(admin: SocketAddr) -> u64 {
    let (_, metrics) = page(admin, "/metrics").await;
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix("porta_log_dropped_total"))
        .and_then(|rest| rest.rsplit(' ').next())
        .expect("it has the metric");
    value.parse().expect("a count")
}

impl Stalled {
    /// Reads and health checks work.
    async fn assert_serves(&mut self) {
        self.client.list(list(1001)).await.expect("a list");
        let mut health = HealthClient::new(self.channel.clone());
        let check = health.check(HealthCheckRequest::default());
        check.await.expect("an answer");
    }

    /// Reads standard error to its end, and returns its lines.
    fn end(mut self) -> Vec<Value> {
        self.process.read_stderr();
        self.process.signal("TERM");
        drop((self.client, self.channel));
        let (status, log) = self.process.end();
        assert_eq!(status.code(), Some(0));
        log.lines()
            .map(|line| serde_json::from_str(line).expect("each line is an object"))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stalls_stops_no_call_and_lines_that_are_dropped_are_counted() {
    let file = fresh("audit-stalled");
    let toml = format!("[telemetry]\naudit_file = {file:?}\n");
    let mut stalled = stalled("stalled", &toml).await;
    stalled.assert_serves().await;
    let number = new_number("Van", "15550121");
    stalled.client.add(add(number)).await.expect("it is added");
    assert_eq!(lines(&file).len(), 2, "the audit log is complete");

    let counted = dropped(stalled.admin).await;
    let log = stalled.end();
    let told: u64 = log
        .iter()
        .filter(|line| line["message"] == "log lines were dropped")
        .filter_map(|line| line["dropped"].as_u64())
        .sum();
    assert!(told >= counted, "{told} of {counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stalls_refuses_writes_if_it_is_the_target_of_the_audit_log() {
    let mut stalled = stalled("stalled-audit", "[journal]\ntimeout = \"300ms\"\n").await;
    let request = || add(new_number("Van", "15550121"));
    for _ in 0..2 {
        let refused = failure(stalled.client.add(request()).await);
        assert_eq!(refused.code, Code::Unavailable);
        assert_eq!(refused.reason, "AUDIT_UNAVAILABLE");
    }
    assert!(stalled.upstream.effects().is_empty(), "nothing was sent");
    stalled.assert_serves().await;

    stalled.process.read_stderr();
    let added = loop {
        // It takes a moment until the lines in the queue are read.
        match stalled.client.add(request()).await {
            Ok(added) => break added,
            Err(status) => assert_eq!(failure::<()>(Err(status)).reason, "AUDIT_UNAVAILABLE"),
        }
    };
    assert!(added.into_inner().number.is_some());
    let log = stalled.end();
    let entries = |phase: &str| -> BTreeSet<String> {
        log.iter()
            .filter(|line| line["target"] == "audit" && line["phase"] == phase)
            .map(|line| line["entry"].to_string())
            .collect()
    };
    assert_eq!(entries("begin"), entries("end"));
    assert!(!entries("begin").is_empty());
}
