//! What SIGTERM does to the process.

use std::process::Command;

use followme::grpc::pb::follow_me_service_client::FollowMeServiceClient;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::Process;
use crate::{
    config::file,
    support::{channel, list},
};

#[tokio::test(flavor = "multi_thread")]
async fn demo_serves_the_demo_accounts_and_stops_at_sigterm() {
    for signal in ["TERM", "INT"] {
        let mut process = Process::start(&["demo", "--listen", "127.0.0.1:0"], &[]);
        process.address("simulator listening on");
        let addr = process.address("grpc listening on");
        let mut client = FollowMeServiceClient::new(channel(addr).await);
        let answer = client.list(list(1001)).await.expect("a list").into_inner();
        assert_eq!(answer.numbers.len(), 3);
        process.signal(signal);
        // The connection ends with the server, not after the drain limit.
        let (status, err) = process.end();
        assert_eq!(status.code(), Some(0), "{err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigterm_skips_the_drain() {
    let slow = file("slow-drain.toml", "[server]\ndrain_delay = \"1h\"\n");
    let slow = slow.to_str().expect("a path in UTF-8");
    let mut process = Process::start(
        &["serve", "--config", slow, "--listen", "127.0.0.1:0"],
        &[
            ("FOLLOWME_LICENSE", "DEMO-KEY"),
            // No request is sent there.
            ("FOLLOWME_UPSTREAM_URL", "http://127.0.0.1:9/"),
        ],
    );
    let addr = process.address("grpc listening on");
    let mut health = HealthClient::new(channel(addr).await);
    let request = HealthCheckRequest::default();
    let mut watch = health.watch(request).await.expect("health").into_inner();
    let mut next = async || watch.message().await.expect("an update").expect("one more");
    let (serving, not_serving) = (ServingStatus::Serving, ServingStatus::NotServing);
    assert_eq!(next().await.status(), serving);
    process.signal("TERM");
    // The first was understood, and the drain lasts.
    assert_eq!(next().await.status(), not_serving);
    process.signal("TERM");
    let (status, err) = process.end();
    assert_eq!(status.code(), Some(0), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_file_read_does_not_delay_shutdown() {
    let path = file("hangs.toml", "[server]\ndrain_delay = \"0s\"\n");
    let config = path.to_str().expect("a path in UTF-8");
    let mut process = Process::start(
        &["serve", "--config", config, "--listen", "127.0.0.1:0"],
        &[
            ("FOLLOWME_LICENSE", "DEMO-KEY"),
            // No request is sent there.
            ("FOLLOWME_UPSTREAM_URL", "http://127.0.0.1:9/"),
        ],
    );
    process.address("grpc listening on");
    std::fs::remove_file(&path).expect("it was made");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo can be run").success());
    // Is open as soon as the process looks at its files again, and reads.
    let _open = std::fs::File::options()
        .write(true)
        .open(&path)
        .expect("a reader");
    process.signal("TERM");
    let (status, err) = process.end();
    // A second writer would block.
    std::fs::remove_file(&path).expect("it was made");
    assert_eq!(status.code(), Some(0), "{err}");
}
