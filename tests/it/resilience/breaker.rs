//! The circuit breaker.

use std::time::Duration;

use followme::{
    grpc::pb::follow_me_service_client::FollowMeServiceClient,
    simulator::{Fault, FaultKind, Route, When},
};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::deadlines::raw_list;
use crate::support::{World, add_to, channel, failure, list, new_number};

pub(super) fn resets(world: &World, times: u32) {
    let reset = FaultKind::Reset { when: When::Before };
    world
        .handle
        .arm(Fault::once(reset).on(Route::GetAll).times(times));
}

#[tokio::test]
async fn the_breaker_opens_when_upstream_does_not_answer() {
    let world = World::configured(|config| {
        config.upstream.breaker.failures = 3;
        config.upstream.breaker.open = Duration::from_secs(3600);
        config.upstream.breaker.open_max = Duration::from_secs(3600);
    })
    .await;
    resets(&world, 3);
    for _ in 0..3 {
        let failed = failure(world.list(list(1001)).await);
        assert_eq!(failed.reason, "UPSTREAM_UNAVAILABLE");
    }
    assert_eq!(world.handle.fired_count("reset"), 3);
    for _ in 0..2 {
        let refused = failure(world.list(list(1001)).await);
        assert_eq!(refused.code, Code::Unavailable);
        assert_eq!(refused.reason, "UPSTREAM_UNAVAILABLE");
        let delay = refused
            .status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay);
        assert!(delay.is_some_and(|delay| delay > Duration::from_secs(3000)));
    }
    let write = world
        .add(add_to(1003, new_number("Desk", "15550130")))
        .await;
    assert_eq!(failure(write).reason, "UPSTREAM_UNAVAILABLE");
    assert_eq!(world.handle.requests().len(), 3, "nothing more was sent");
}

#[tokio::test]
async fn answers_of_the_service_do_not_open_the_breaker() {
    let world = World::configured(|config| config.upstream.breaker.failures = 2).await;
    for status in [400, 404, 500] {
        let fault = FaultKind::DefaultRecord {
            status,
            when: When::Before,
        };
        world
            .handle
            .arm(Fault::once(fault).on(Route::GetAll).times(4));
        for _ in 0..4 {
            failure(world.list(list(1001)).await);
        }
    }
    let no = FaultKind::NotSuccess { when: When::Before };
    world.handle.arm(Fault::once(no).on(Route::GetAll).times(4));
    for _ in 0..4 {
        failure(world.list(list(1001)).await);
    }
    world.list(list(1001)).await.expect("the breaker is closed");
}

#[tokio::test]
async fn verification_passes_an_open_breaker() {
    let world = World::configured(|config| {
        config.upstream.breaker.failures = 1;
        config.upstream.breaker.open = Duration::from_secs(3600);
        config.upstream.breaker.open_max = Duration::from_secs(3600);
    })
    .await;
    world.arm(FaultKind::Reset { when: When::After }, Route::Add);
    let added = world
        .add(add_to(1003, new_number("Desk", "15550130")))
        .await
        .expect("verified by reading");
    world.assert_fired("reset");
    assert_eq!(added.number.expect("a number").name, "Desk");
    world
        .list(list(1003))
        .await
        .expect("the reading back was the probe that closed it");
}

/// A facade whose breaker opens at once and lets a probe through at once, or never.
async fn opened(open: Duration) -> World {
    World::configured(|config| {
        config.upstream.breaker.failures = 1;
        config.upstream.breaker.open = open;
        config.upstream.breaker.open_max = open;
        config.upstream.limits.requests = 2;
        config.upstream.limits.caller_share = 0.5;
    })
    .await
}

fn hold(world: &World) {
    let hold = FaultKind::Hold { when: When::Before };
    world.handle.arm(Fault::once(hold).on(Route::GetAll));
}

#[tokio::test]
async fn a_half_open_breaker_has_one_probe_at_a_time_and_a_cancelled_one_is_replaced() {
    let world = opened(Duration::from_millis(1)).await;
    resets(&world, 1);
    failure(world.list(list(1001)).await);
    world.assert_fired("reset");
    hold(&world);
    let probe = tokio::spawn({
        let mut client = world.client();
        async move {
            // The breaker may be open yet.
            while client.list(list(1001)).await.is_err() {}
        }
    });
    world.handle.wait_for_fired("hold", 1).await;
    let sent = world.handle.requests().len();
    for _ in 0..20 {
        let refused = failure(world.list(list(1002)).await);
        assert_eq!(refused.reason, "UPSTREAM_UNAVAILABLE");
        assert!(refused.status.get_details_retry_info().is_some());
    }
    assert_eq!(world.handle.requests().len(), sent, "one at a time");
    probe.abort();
    // Upstream has not answered the first, nor will it; as soon as its end has been noted, the next
    // one goes out.
    while world.list(list(1002)).await.is_err() {}
    world.handle.release();
}

#[tokio::test]
async fn an_open_breaker_refuses_at_once_even_without_a_free_permit() {
    let world = opened(Duration::from_secs(3600)).await;
    hold(&world);
    let held = tokio::spawn({
        let mut client = world.client();
        async move { client.list(list(1001)).await }
    });
    world.handle.wait_for_fired("hold", 1).await;
    // Another connection still gets a permit, and no answer.
    resets(&world, 1);
    let mut other = FollowMeServiceClient::new(channel(world.addr).await);
    other.list(list(1001)).await.expect_err("reset");
    world.assert_fired("reset");
    for _ in 0..2 {
        let refused = failure(world.list(list(1001)).await);
        assert_eq!(refused.reason, "UPSTREAM_UNAVAILABLE");
    }
    let write = add_to(1003, new_number("Desk", "15550130"));
    assert_eq!(
        failure(world.add(write).await).reason,
        "UPSTREAM_UNAVAILABLE"
    );
    assert!(!held.is_finished());
    world.handle.release();
    held.await.expect("no panic").expect("read");
}

#[tokio::test]
async fn timeouts_that_upstream_misses_open_the_breaker() {
    let world = World::configured(|config| {
        config.upstream.breaker.failures = 1;
        config.upstream.breaker.open = Duration::from_secs(3600);
        config.upstream.breaker.open_max = Duration::from_secs(3600);
        config.upstream.read_timeout = Duration::from_millis(100);
    })
    .await;
    hold(&world);
    failure(world.list(list(1001)).await);
    world.assert_fired("hold");
    let refused = failure(world.list(list(1001)).await);
    assert_eq!(refused.reason, "UPSTREAM_UNAVAILABLE");
}

#[tokio::test]
async fn short_deadlines_do_not_open_the_breaker_for_others() {
    let world = opened(Duration::from_secs(3600)).await;
    hold(&world);
    assert_eq!(
        raw_list(world.addr, true, Duration::from_millis(560)).await,
        "4"
    );
    world.assert_fired("hold");
    world.list(list(1001)).await.expect("the breaker is closed");
}
