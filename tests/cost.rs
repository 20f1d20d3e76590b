//! What a List costs the facade, in counts that no load of the machine changes: allocations and
//! bytes here, instructions in `.ci/checks.d/instructions`.
//!
//! The facade runs on a thread of its own, and only what that thread does is counted. The cost of a
//! call is the difference between a run of many calls and one of few.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads how often to call"
)]

use std::{net::SocketAddr, sync::mpsc, thread};

use allocation_counter::{AllocationInfo, measure};
use followme::{
    app::App,
    config::Config,
    domain::License,
    grpc::pb::{ListRequest, follow_me_service_client::FollowMeServiceClient},
    simulator::{Options, Simulator},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
};
use tonic::transport::Channel;

/// The most that a List of three numbers may cost: some 10 % above what it costs now.
const MAX_ALLOCATIONS: u64 = 195;
const MAX_BYTES: u64 = 100_000;

/// The calls of a run of few. They warm up what is made once.
const FEW: u32 = 50;

/// How often to call: then nothing is asserted, since another program counts.
const CALLS: &str = "FOLLOWME_COST_CALLS";

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Returns what the thread of the facade allocates from its start to its end, for a number of Lists
/// one after the other.
fn run(calls: u32) -> AllocationInfo {
    let (upstream, upstream_addr) = mpsc::channel();
    let simulator = thread::spawn(move || {
        runtime().block_on(async {
            let options = Options {
                seed_demo: true,
                ..Options::default()
            };
            let simulator = Simulator::bind(options).await.expect("a free port");
            let (stop, stopped) = oneshot::channel::<()>();
            upstream
                .send((simulator.local_addr(), stop))
                .expect("it is awaited");
            simulator
                .run(async {
                    let _ = stopped.await;
                })
                .await
        })
    });
    let (upstream, stop_upstream) = upstream_addr.recv().expect("it listens");

    let (serving, facade_addr) = mpsc::channel();
    let facade = thread::spawn(move || measure(|| runtime().block_on(serve(upstream, &serving))));
    let (addr, stop_facade) = facade_addr.recv().expect("it listens");
    runtime().block_on(list(addr, calls));
    drop(stop_facade);
    let cost = facade.join().expect("it ends");
    drop(stop_upstream);
    drop(simulator);
    cost
}

async fn serve(upstream: SocketAddr, serving: &mpsc::Sender<(SocketAddr, oneshot::Sender<()>)>) {
    let url = format!("http://{upstream}/").parse().expect("a URL");
    let license = License::new("DEMO-KEY").expect("a License");
    let mut config = Config::new(url, Some(license));
    config.listen = ([127, 0, 0, 1], 0).into();
    config.server.drain_delay = std::time::Duration::ZERO;
    config.audit.file = Some("/dev/null".into());
    let app = App::build(config).await.expect("a free port");
    let (stop, stopped) = oneshot::channel();
    let addr = app.local_addr().expect("an address");
    serving.send((addr, stop)).expect("it is awaited");
    app.run(async {
        let _ = stopped.await;
    })
    .await
    .expect("it serves");
}

async fn list(addr: SocketAddr, calls: u32) {
    let channel = Channel::from_shared(format!("http://{addr}"))
        .expect("a URL")
        .connect()
        .await
        .expect("it listens");
    let mut client = FollowMeServiceClient::new(channel);
    for _ in 0..calls {
        let request = ListRequest {
            account_id: 1001,
            ..ListRequest::default()
        };
        let answer = client.list(request).await.expect("a list");
        assert_eq!(answer.into_inner().numbers.len(), 3);
    }
}

#[test]
fn a_list_stays_within_its_bounds_of_allocations_and_bytes() {
    if let Ok(calls) = std::env::var(CALLS) {
        run(calls.parse().expect("a number"));
        return;
    }
    let (few, many) = (run(FEW), run(FEW * 5));
    let calls = u64::from(FEW * 4);
    let allocations = (many.count_total - few.count_total) / calls;
    let bytes = (many.bytes_total - few.bytes_total) / calls;
    println!("a List of three numbers: {allocations} allocations, {bytes} bytes");
    assert!(allocations <= MAX_ALLOCATIONS, "{allocations} allocations");
    assert!(bytes <= MAX_BYTES, "{bytes} bytes");
}
