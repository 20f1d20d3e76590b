//! Reads are tried again, writes never.

use std::time::Duration;

use followme::simulator::{Fault, FaultKind, Route, When};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{World, add_to, failure, list, new_number};

async fn retrying() -> World {
    World::configured(|config| config.upstream.read_retries = 2).await
}

#[tokio::test]
async fn a_read_is_tried_again_after_what_passes() {
    for fault in [
        FaultKind::DefaultRecord {
            status: 503,
            when: When::Before,
        },
        FaultKind::Reset { when: When::Before },
        FaultKind::Truncated { bytes: 40 },
    ] {
        let world = retrying().await;
        let name = fault.name();
        world
            .handle
            .arm(Fault::once(fault).on(Route::GetAll).times(2));
        world.list(list(1001)).await.expect("the third try");
        assert_eq!(world.handle.fired_count(name), 2);
        assert_eq!(world.handle.requests().len(), 3);
    }
}

#[tokio::test]
async fn a_read_is_tried_three_times_at_most() {
    let world = retrying().await;
    let fault = FaultKind::DefaultRecord {
        status: 503,
        when: When::Before,
    };
    world
        .handle
        .arm(Fault::once(fault).on(Route::GetAll).times(9));
    let failed = failure(world.list(list(1001)).await);
    assert_eq!(failed.reason, "UPSTREAM_ERROR");
    assert_eq!(world.handle.fired_count("default_record"), 3);
}

#[tokio::test]
async fn what_upstream_refuses_is_not_tried_again() {
    let world = retrying().await;
    let fault = FaultKind::DefaultRecord {
        status: 400,
        when: When::Before,
    };
    world
        .handle
        .arm(Fault::once(fault).on(Route::GetAll).times(9));
    let failed = failure(world.list(list(1001)).await);
    assert_eq!(failed.reason, "UPSTREAM_REFUSED");
    assert_eq!(world.handle.fired_count("default_record"), 1);
}

#[tokio::test]
async fn a_write_is_never_tried_again() {
    let world = retrying().await;
    let fault = FaultKind::DefaultRecord {
        status: 503,
        when: When::Before,
    };
    world.handle.arm(Fault::once(fault).on(Route::Add).times(9));
    let failed = failure(
        world
            .add(add_to(1003, new_number("Desk", "15550130")))
            .await,
    );
    assert_eq!(failed.reason, "WRITE_NOT_DONE");
    assert_eq!(world.handle.fired_count("default_record"), 1);
}

#[tokio::test]
async fn upstream_can_ask_to_be_left_alone_for_longer_than_anybody_waits() {
    let world = retrying().await;
    world.arm(
        FaultKind::Raw {
            text: "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3600\r\n\
                   Content-Length: 0\r\nConnection: close\r\n\r\n"
                .to_owned(),
        },
        Route::GetAll,
    );
    let failed = failure(world.list(list(1001)).await);
    assert_eq!(failed.code, Code::Unavailable);
    assert_eq!(world.handle.requests().len(), 1);
    let delay = failed
        .status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    assert_eq!(delay, Some(Duration::from_secs(3600)));
}

#[tokio::test]
async fn retries_are_a_tenth_of_the_calls_in_a_long_outage() {
    let world = World::configured(|config| {
        config.upstream.read_retries = 2;
        // The breaker would end the retries sooner.
        config.upstream.breaker.failures = u32::MAX;
    })
    .await;
    const CALLS: usize = 300;
    let fault = FaultKind::DefaultRecord {
        status: 503,
        when: When::Before,
    };
    world
        .handle
        .arm(Fault::once(fault).on(Route::GetAll).times(u32::MAX));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..CALLS {
        let mut client = world.client();
        calls.spawn(async move { client.list(list(1001)).await.map(drop) });
    }
    while let Some(call) = calls.join_next().await {
        let failed = failure(call.expect("no panic"));
        assert!(["UPSTREAM_ERROR", "OVERLOADED"].contains(&failed.reason.as_str()));
    }
    let sent = world.handle.fired_count("default_record");
    // A tenth, and the ten that a quiet service has in hand.
    assert!(sent <= CALLS + CALLS / 10 + 12, "{sent}");
}
