//! The time of a call from end to end: client, followme and simulator in one process.
//!
//! ```sh
//! cargo bench --bench rpc
//! ```
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a bench prints, and fails by panicking"
)]

use std::time::{Duration, Instant};

use followme::{
    app::App,
    config::Config,
    domain::License,
    grpc::pb::{self, follow_me_service_client::FollowMeServiceClient},
    simulator::{Options, Simulator},
};
use tonic::transport::Channel;

const CALLS: u32 = 5_000;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let options = Options {
        seed_demo: true,
        ..Options::default()
    };
    let simulator = Simulator::bind(options).await.expect("a free port");
    let url = format!("http://{}/", simulator.local_addr());
    tokio::spawn(simulator.run(std::future::pending()));
    let license = License::new("DEMO-KEY").expect("a License");
    let mut config = Config::new(url.parse().expect("a URL"), Some(license));
    config.listen = ([127, 0, 0, 1], 0).into();
    config.upstream.limits.caller_share = 1.0;
    config.audit.file = Some("/dev/null".into());
    let app = App::build(config).await.expect("a free port");
    let addr = app.local_addr().expect("an address");
    tokio::spawn(app.run(std::future::pending()));
    let channel = Channel::from_shared(format!("http://{addr}"))
        .expect("a URL")
        .connect()
        .await
        .expect("it listens");

    let client = FollowMeServiceClient::new(channel);
    // Warms up connections and caches before the clock starts.
    list(client.clone(), 500).await;
    for callers in [1, 16] {
        let start = Instant::now();
        let calls = CALLS / callers;
        let tasks: Vec<_> = (0..callers)
            .map(|_| tokio::spawn(list(client.clone(), calls)))
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        report(
            &format!("List, {callers} callers"),
            start.elapsed(),
            calls * callers,
        );
    }
    let start = Instant::now();
    update(client, CALLS / 5).await;
    report("Update, 1 caller", start.elapsed(), CALLS / 5);
}

fn report(what: &str, time: Duration, calls: u32) {
    println!(
        "{what}: {:?} a call, {:.0} calls/s",
        time / calls,
        f64::from(calls) / time.as_secs_f64()
    );
}

async fn list(mut client: FollowMeServiceClient<Channel>, calls: u32) {
    for _ in 0..calls {
        let request = pb::ListRequest {
            account_id: 1001,
            ..Default::default()
        };
        client.list(request).await.expect("read");
    }
}

async fn update(mut client: FollowMeServiceClient<Channel>, calls: u32) {
    for call in 0..calls {
        let request = pb::UpdateRequest {
            number: Some(pb::FollowMeNumber {
                account_id: 1001,
                number_id: 70001,
                name: format!("Desk {call}"),
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["name".to_owned()],
            }),
            ..Default::default()
        };
        client.update(request).await.expect("written");
    }
}
