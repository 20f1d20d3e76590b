//! Reads are retried, writes never.

use std::time::Duration;

use followme::simulator::{Fault, FaultKind, Route, When};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{World, add_to, failure, list, new_number};

async fn retrying() -> World {
    World::configured(|config| config.upstream.read_retries = 2).await
}

#[tokio::test]
async fn a_read_is_retried_after_a_transient_failure() {
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
async fn a_read_has_at_most_three_attempts() {
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
async fn a_refused_read_is_not_retried() {
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
async fn a_write_is_never_retried() {
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

fn asks_for(world: &World, retry_after: &str) {
    world.arm(
        FaultKind::Raw {
            text: format!(
                "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {retry_after}\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n"
            ),
        },
        Route::GetAll,
    );
}

#[tokio::test]
async fn a_long_retry_after_ends_the_attempts_and_is_passed_on() {
    let world = retrying().await;
    // The last one is more than a clock can tell.
    for (seconds, said) in [(3600, 3600), (u64::MAX, 24 * 3600)] {
        let before = world.handle.requests().len();
        asks_for(&world, &seconds.to_string());
        let failed = failure(world.list(list(1001)).await);
        assert_eq!(failed.code, Code::Unavailable);
        assert_eq!(world.handle.requests().len(), before + 1);
        let delay = failed
            .status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay);
        assert_eq!(delay, Some(Duration::from_secs(said)));
    }
}

#[tokio::test]
async fn a_call_fails_at_once_if_its_deadline_comes_before_the_next_attempt() {
    let world = retrying().await;
    asks_for(&world, "4");
    let mut request = tonic::Request::new(list(1001));
    request
        .metadata_mut()
        .insert("grpc-timeout", "3S".parse().expect("visible ASCII"));
    let failed = failure(world.list(request).await);
    assert_eq!(failed.code, Code::Unavailable);
    let delay = failed
        .status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    assert_eq!(delay, Some(Duration::from_secs(4)));
    assert_eq!(world.handle.requests().len(), 1);
}

#[tokio::test]
async fn a_retry_after_that_is_not_in_seconds_is_ignored() {
    for odd in ["-1", "soon", "1.5", "Fri, 31 Dec 1999 23:59:59 GMT"] {
        let world = retrying().await;
        asks_for(&world, odd);
        world.list(list(1001)).await.expect("the second try");
        assert_eq!(world.handle.requests().len(), 2);
    }
}

#[tokio::test]
async fn the_retry_budget_is_a_tenth_of_the_calls() {
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
