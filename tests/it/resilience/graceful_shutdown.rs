//! Graceful shutdown.

use std::time::Duration;

use followme::{
    app::App,
    grpc::pb::follow_me_service_client::FollowMeServiceClient,
    simulator::{Fault, FaultKind, Handle, Options, Route, Simulator, When},
};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};
use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    support::raw_http::PATIENCE,
    support::{add_to, channel, config, failure, list, new_number},
};

/// A facade that can be shut down.
struct Ending {
    handle: Handle,
    channel: Channel,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<()>>,
}

async fn start(edit: impl FnOnce(&mut followme::config::Config)) -> Ending {
    let options = Options {
        seed_demo: true,
        ..Options::default()
    };
    let simulator = Simulator::bind(options).await.expect("a free port");
    let handle = simulator.handle();
    tokio::spawn(simulator.run(std::future::pending()));
    let mut config = config(handle.local_addr());
    config.server.drain_delay = Duration::ZERO;
    edit(&mut config);
    let app = App::build(config).await.expect("a free port");
    let addr = app.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(app.run(async {
        let _ = stopped.await;
    }));
    Ending {
        handle,
        channel: channel(addr).await,
        stop,
        ended,
    }
}

async fn ended(ended: JoinHandle<std::io::Result<()>>) {
    timeout(PATIENCE, ended)
        .await
        .expect("it ends")
        .expect("no panic")
        .expect("no error");
}

fn hold(handle: &Handle, route: Route) {
    handle.arm(Fault::once(FaultKind::Hold { when: When::Before }).on(route));
}

#[tokio::test]
async fn calls_in_flight_finish_and_new_ones_are_refused() {
    let facade = start(|_| {}).await;
    hold(&facade.handle, Route::GetAll);
    let call = tokio::spawn({
        let mut client = FollowMeServiceClient::new(facade.channel.clone());
        async move { client.list(list(1001)).await }
    });
    facade.handle.wait_for_fired("hold", 1).await;
    let mut health = HealthClient::new(facade.channel.clone());
    let request = HealthCheckRequest::default();
    let mut watch = health.watch(request).await.expect("watched").into_inner();
    facade.stop.send(()).expect("it runs");
    loop {
        match watch.message().await {
            Ok(Some(status)) if status.status() == ServingStatus::NotServing => break,
            Ok(Some(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    drop(watch);
    assert!(!call.is_finished());
    facade.handle.release();
    call.await.expect("no panic").expect("it finishes");
    ended(facade.ended).await;
    let mut client = FollowMeServiceClient::new(facade.channel);
    let refused = client.list(list(1001)).await.expect_err("it has ended");
    assert_eq!(refused.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_write_whose_call_was_cancelled_is_finished_before_shutdown() {
    let facade = start(|_| {}).await;
    hold(&facade.handle, Route::Add);
    let mut client = FollowMeServiceClient::new(facade.channel.clone());
    let mut request = tonic::Request::new(add_to(1003, new_number("Desk", "15550130")));
    let value = "2000m".parse().expect("visible ASCII");
    request.metadata_mut().insert("grpc-timeout", value);
    let late = failure(client.add(request).await);
    assert_eq!(late.reason, "WRITE_IN_PROGRESS");
    drop(client);
    facade.stop.send(()).expect("it runs");
    drop(facade.channel);
    assert!(!facade.ended.is_finished());
    facade.handle.release();
    ended(facade.ended).await;
    assert_eq!(facade.handle.effects().len(), 1);
}

#[tokio::test]
async fn a_health_watch_is_notified_and_does_not_delay_shutdown() {
    let facade = start(|config| config.server.drain_limit = Duration::from_secs(3600)).await;
    let mut health = HealthClient::new(facade.channel.clone());
    let request = HealthCheckRequest::default();
    let mut watch = health.watch(request).await.expect("watched").into_inner();
    facade.stop.send(()).expect("it runs");
    let mut last = None;
    while let Some(status) = timeout(PATIENCE, watch.message())
        .await
        .expect("it ends")
        .expect("it ends well")
    {
        last = Some(status.status());
    }
    assert_eq!(last, Some(ServingStatus::NotServing));
    ended(facade.ended).await;
}

#[tokio::test]
async fn calls_that_exceed_the_drain_limit_are_cut() {
    let facade = start(|config| config.server.drain_limit = Duration::from_millis(100)).await;
    hold(&facade.handle, Route::GetAll);
    let call = tokio::spawn({
        let mut client = FollowMeServiceClient::new(facade.channel.clone());
        async move { client.list(list(1001)).await }
    });
    facade.handle.wait_for_fired("hold", 1).await;
    facade.stop.send(()).expect("it runs");
    ended(facade.ended).await;
    call.abort();
}
