//! More calls than the concurrency limit, the queue and the request memory budget admit.

use std::time::{Duration, Instant};

use followme::grpc::pb::follow_me_service_client::FollowMeServiceClient;
use followme::simulator::{Fault, FaultKind, Route, When};
use tokio::task::JoinSet;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use super::deadlines::{begin, http2, status};
use crate::{
    support::raw_http::PATIENCE,
    support::{World, add_to, channel, failure, list, new_number, with_metadata},
};

/// A facade with few permits; upstream holds every read until it is released.
async fn few(requests: usize, queue: usize, share: f64) -> World {
    let world = World::configured(|config| {
        config.upstream.limits.requests = requests;
        config.upstream.limits.queue = queue;
        config.upstream.limits.caller_share = share;
    })
    .await;
    world.handle.arm(
        Fault::once(FaultKind::Hold { when: When::Before })
            .on(Route::GetAll)
            .times(u32::MAX),
    );
    world
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_with_retry_info() {
    let world = few(1, 1, 1.0).await;
    let held = tokio::spawn({
        let mut client = world.client();
        async move { client.list(list(1001)).await }
    });
    world.handle.wait_for_fired("hold", 1).await;
    // Of two more, one waits and one is refused.
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let mut client = world.client();
        others.spawn(async move { client.list(list(1002)).await });
    }
    let first = others.join_next().await.expect("two").expect("no panic");
    let refused = failure(first);
    assert_eq!(refused.code, Code::ResourceExhausted);
    assert_eq!(refused.reason, "OVERLOADED");
    assert!(refused.status.get_details_retry_info().is_some());
    assert_eq!(world.handle.requests().len(), 1);
    world.handle.disarm_all();
    world.handle.release();
    held.await.expect("no panic").expect("read");
    let waited = others.join_next().await.expect("two").expect("no panic");
    waited.expect("read");
}

#[tokio::test]
async fn a_greedy_caller_leaves_permits_for_others() {
    let world = few(4, 16, 0.5).await;
    let mut storm = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut client = world.client();
        storm.spawn(async move { client.list(list(1001)).await });
    }
    world.handle.wait_for_fired("hold", 2).await;
    // Two of twenty are under way, the whole queue waits, the rest is refused.
    for _ in 0..2 {
        let refused = failure(storm.join_next().await.expect("twenty").expect("no panic"));
        assert_eq!(refused.reason, "OVERLOADED");
    }
    world.handle.disarm_all();
    let mut other = followme::grpc::pb::follow_me_service_client::FollowMeServiceClient::new(
        channel(world.addr).await,
    );
    other.list(list(1002)).await.expect("another connection");
    world.handle.release();
    while let Some(call) = storm.join_next().await {
        call.expect("no panic").expect("read");
    }
}

#[tokio::test]
async fn a_newcomer_displaces_the_newest_call_of_the_biggest_caller() {
    let world = few(1, 3, 1.0).await;
    let mut storm = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut client = world.client();
        storm.spawn(async move { client.list(list(1001)).await });
    }
    world.handle.wait_for_fired("hold", 1).await;
    // The queue is full as soon as one more is refused.
    loop {
        let mut client = world.client();
        let late = with_metadata(list(1001), &[("grpc-timeout", "100m")]);
        let refused = failure(client.list(late).await);
        if refused.reason == "OVERLOADED" {
            break;
        }
    }
    let other = channel(world.addr).await;
    let newcomer = tokio::spawn(async move {
        let mut client = FollowMeServiceClient::new(other);
        client.list(list(1002)).await
    });
    let displaced = failure(storm.join_next().await.expect("four").expect("no panic"));
    assert_eq!(displaced.reason, "OVERLOADED");
    assert!(displaced.status.get_details_retry_info().is_some());
    world.handle.disarm_all();
    world.handle.release();
    newcomer.await.expect("no panic").expect("read");
    while let Some(call) = storm.join_next().await {
        call.expect("no panic").expect("read");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_channel_may_use_an_idle_facade_alone() {
    let world = World::start().await;
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let mut client = world.client();
        calls.spawn(async move { client.list(list(1001)).await });
    }
    while let Some(call) = calls.join_next().await {
        call.expect("no panic").expect("no call is refused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_unfinished_messages_stay_within_the_request_memory_budget() {
    let world = World::start().await;
    let (client, connection) = http2(world.addr).await;
    // All but the last byte of more messages than fit into the budget.
    let length: u32 = 1_000_000;
    let mut message = vec![0; 4 + length as usize];
    message[1..5].copy_from_slice(&length.to_be_bytes());
    let message = bytes::Bytes::from(message);
    let mut calls = JoinSet::new();
    for _ in 0..80 {
        let path = "porta.followme.v1.FollowMeService/ReplaceAll";
        let (response, mut body) = begin(&client, path, None, PATIENCE).await.expect("begun");
        body.send_data(message.clone(), false).expect("sent");
        calls.spawn(async move { (status(response).await, body) });
    }
    let refused = calls.join_next().await.expect("eighty").expect("no panic");
    assert_eq!(refused.0.expect("the connection lives"), "8");
    // Small ones do not count.
    world.list(list(1001)).await.expect("read");
    connection.abort();
}

#[tokio::test]
async fn the_permit_of_a_write_cools_down_when_its_connection_was_aborted() {
    // One permit for this caller, of so many that it cools down for 0.4 s.
    let world = few(200, 10, 0.005).await;
    let mut request = Request::new(add_to(1003, new_number("Van", "15550120")));
    request.set_timeout(Duration::from_millis(100));
    world.client().add(request).await.expect_err("held");
    assert_eq!(world.handle.fired_count("hold"), 1);
    world.handle.disarm_all();
    let cooled = Instant::now();
    world.list(list(1001)).await.expect("read");
    assert!(cooled.elapsed() >= Duration::from_millis(200));
}
