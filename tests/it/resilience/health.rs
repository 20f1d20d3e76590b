//! Health and readiness of the facade and of upstream.

use std::time::Duration;

use tokio::time::timeout;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::breaker::resets;
use crate::{
    support::raw_http::PATIENCE,
    support::{World, channel, failure, list},
};

#[tokio::test]
async fn health_reports_upstream_and_readiness_follows_if_configured() {
    for follows in [false, true] {
        let world = World::configured(|config| {
            config.readiness_follows_upstream = follows;
            config.upstream.breaker.failures = 2;
            config.upstream.breaker.open = Duration::from_millis(1);
            config.upstream.breaker.open_max = Duration::from_millis(1);
        })
        .await;
        let mut health = HealthClient::new(channel(world.addr).await);
        let watch = |service: &str| {
            let request = HealthCheckRequest {
                service: service.to_owned(),
            };
            let mut health = health.clone();
            async move { health.watch(request).await.expect("watched").into_inner() }
        };
        let mut upstream = watch("upstream.porta").await;
        let mut ready = watch("porta.followme.v1.FollowMeService").await;
        let until = async |stream: &mut tonic::Streaming<_>, wanted: ServingStatus| {
            loop {
                let status: tonic_health::pb::HealthCheckResponse =
                    stream.message().await.expect("watched").expect("goes on");
                if status.status() == wanted {
                    return;
                }
            }
        };
        world.list(list(1001)).await.expect("read");
        until(&mut upstream, ServingStatus::Serving).await;
        until(&mut ready, ServingStatus::Serving).await;
        resets(&world, 2);
        for _ in 0..2 {
            failure(world.list(list(1001)).await);
        }
        assert_eq!(world.handle.fired_count("reset"), 2);
        until(&mut upstream, ServingStatus::NotServing).await;
        if follows {
            until(&mut ready, ServingStatus::NotServing).await;
        }
        // Two answers show that it works again.
        let mut answers = 0;
        while answers < 2 {
            answers += usize::from(world.list(list(1001)).await.is_ok());
        }
        until(&mut upstream, ServingStatus::Serving).await;
        if follows {
            until(&mut ready, ServingStatus::Serving).await;
        }
        let request = HealthCheckRequest {
            service: String::new(),
        };
        let check = health.check(request).await.expect("checked").into_inner();
        assert_eq!(check.status(), ServingStatus::Serving);
    }
}

#[tokio::test]
async fn an_idle_upstream_is_probed_without_the_license() {
    let world = World::configured(|config| config.probe_after = Duration::from_millis(20)).await;
    let mut health = HealthClient::new(channel(world.addr).await);
    let request = HealthCheckRequest {
        service: "upstream.porta".to_owned(),
    };
    let mut watch = health.watch(request).await.expect("watched").into_inner();
    loop {
        let status = watch.message().await.expect("watched").expect("goes on");
        if status.status() == ServingStatus::Serving {
            break;
        }
    }
    let asked = world.handle.requests();
    assert!(
        asked.iter().all(|request| request.target == "/"),
        "{asked:?}"
    );
    assert!(!asked.is_empty());
}

#[tokio::test]
async fn readiness_that_follows_upstream_waits_for_no_call() {
    let world = World::configured(|config| {
        config.readiness_follows_upstream = true;
        config.probe_after = Duration::from_secs(3600);
    })
    .await;
    let mut health = HealthClient::new(channel(world.addr).await);
    let request = HealthCheckRequest::default();
    let mut watch = health.watch(request).await.expect("watched").into_inner();
    let serves = async {
        while watch
            .message()
            .await
            .expect("watched")
            .expect("goes on")
            .status()
            != ServingStatus::Serving
        {}
    };
    timeout(PATIENCE, serves).await.expect("it serves");
    let asked = world.handle.requests();
    assert!(asked.iter().all(|request| request.target == "/"));
}

#[tokio::test]
async fn an_unknown_service_is_unknown_to_a_watch_and_not_found_by_a_check() {
    let world = World::start().await;
    let mut health = HealthClient::new(channel(world.addr).await);
    let request = HealthCheckRequest {
        service: "porta.followme.v2.FollowMeService".to_owned(),
    };
    let mut watch = health.watch(request.clone()).await.expect("watched");
    let first = watch.get_mut().message().await.expect("watched");
    assert_eq!(
        first.expect("goes on").status(),
        ServingStatus::ServiceUnknown
    );
    let refused = failure(health.check(request).await);
    assert_eq!(refused.code, Code::NotFound);
    assert_eq!(refused.reason, "SERVICE_UNKNOWN");
}
