//! The store, knobs, faults and control pages of the simulator, each seen on the wire.

mod connections;
mod control;
mod faults;
mod gateway;
mod hosts;
mod knobs;
mod normalise;
mod store;
mod vectors;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use followme::simulator::{
    DeleteForward, Dialect, EffectKind, Fault, FaultKind, Handle, HangAt, Knobs, Odd, Options,
    Route, Simulator, Unasked, UpdateAll, When, WriteAnswer,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::raw_http::{self, Ending, PATIENCE, RawResponse};

const HEADER: &str = "FollowMeNumbers,FollowMeinfo,success,License,ContentId,FeatureName\n";
const GET_ALL: &str = "/getfollowmes/DEMO-KEY/1001?format=csv";
const GET_ONE_LIST: &str = "/getfollowmes/DEMO-KEY/1002?format=csv";
const ADD: &str = "/addfollowme/DEMO-KEY/1002/30/Van/2/15550111/Y?format=csv";

async fn start(options: Options) -> (SocketAddr, Handle) {
    let simulator = Simulator::bind(options)
        .await
        .expect("a loopback port is free");
    let (addr, handle) = (simulator.local_addr(), simulator.handle());
    tokio::spawn(simulator.run(std::future::pending()));
    (addr, handle)
}

async fn demo() -> (SocketAddr, Handle) {
    start(Options {
        seed_demo: true,
        ..Options::default()
    })
    .await
}

async fn demo_with(knobs: Knobs) -> (SocketAddr, Handle) {
    start(Options {
        seed_demo: true,
        knobs,
        ..Options::default()
    })
    .await
}

/// Starts the demo with one fault armed for the next call.
async fn demo_failing(kind: FaultKind) -> (SocketAddr, Handle) {
    let (addr, handle) = demo().await;
    handle.arm(Fault::once(kind));
    (addr, handle)
}

async fn get(addr: SocketAddr, target: &str) -> RawResponse {
    raw_http::get(addr, target).await.response()
}

async fn post(addr: SocketAddr, target: &str, content_type: &str, body: &str) -> RawResponse {
    let headers = [("Content-Type", content_type)];
    let bytes = raw_http::request(addr, "POST", target, &headers, body.as_bytes());
    raw_http::send(addr, &bytes).await.response()
}

async fn update_all(addr: SocketAddr, content_type: &str, body: &str) -> RawResponse {
    post(addr, "/UpdateFollowmeAll?format=csv", content_type, body).await
}

fn ids(handle: &Handle, account: i32) -> Vec<i32> {
    let numbers = handle
        .numbers("DEMO-KEY", account)
        .expect("the account exists");
    numbers.iter().map(|number| number.id).collect()
}

/// Asserts that one fault of the kind fired and whether the add of [`ADD`] took effect.
fn fired_once(handle: &Handle, name: &str, added: bool) {
    assert_eq!(handle.fired_count(name), 1, "{name} fired");
    assert_eq!(handle.fired().len(), 1, "nothing else fired");
    assert_eq!(
        ids(handle, 1002).len(),
        if added { 2 } else { 1 },
        "the effect"
    );
}
