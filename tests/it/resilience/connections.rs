//! Connections that say nothing, too little, too slowly, or are too many.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use followme::{
    grpc::pb::follow_me_service_client::FollowMeServiceClient,
    simulator::{FaultKind, Route, When},
};
use h2::{Reason, client::SendRequest};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::deadlines::{begin_list, http2, list_on};
use crate::{
    support::raw_http::PATIENCE,
    support::{World, channel, list},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Reads until the facade closes the connection. Returns what it sent before.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .expect("the facade closes the connection");
    bytes
}

async fn connect(addr: SocketAddr, begin: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.expect("the facade listens");
    stream.write_all(begin).await.expect("sent");
    stream
}

#[tokio::test]
async fn a_connection_without_a_preface_in_time_is_closed() {
    let world = World::configured(|config| {
        config.server.accept.handshake_timeout = Duration::from_millis(100);
    })
    .await;
    for begin in [&b""[..], &PREFACE[..10], PREFACE] {
        let mut stream = connect(world.addr, begin).await;
        assert!(closed(&mut stream).await.is_empty());
    }
    world.read(1001).await;
}

#[tokio::test]
async fn a_connection_with_an_invalid_preface_is_closed_at_once() {
    let world = World::start().await;
    let http1 = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let data_frame = [PREFACE, &[0, 0, 0, 0, 0, 0, 0, 0, 1]].concat();
    for begin in [&http1[..], &data_frame] {
        let mut stream = connect(world.addr, begin).await;
        assert!(closed(&mut stream).await.is_empty());
    }
}

#[tokio::test]
async fn a_connection_over_the_limit_is_closed_and_the_others_go_on() {
    let world = World::configured(|config| config.server.accept.max_connections = 2).await;
    let mut kept = connect(world.addr, &[PREFACE, EMPTY_SETTINGS].concat()).await;
    let mut settings = [0; 9];
    kept.read_exact(&mut settings).await.expect("SETTINGS");
    let mut refused = connect(world.addr, b"").await;
    assert!(closed(&mut refused).await.is_empty());
    world.read(1001).await;
    drop(kept);
    // It no longer counts once the facade has seen that it is closed.
    loop {
        let mut next = connect(world.addr, &[PREFACE, EMPTY_SETTINGS].concat()).await;
        if next.read_exact(&mut settings).await.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_with_a_call_is_not() {
    let world = World::configured(|config| {
        config.server.accept.idle_timeout = Duration::from_millis(100);
    })
    .await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::GetAll);
    let call = tokio::spawn({
        let mut client = world.client();
        async move { client.list(list(1001)).await }
    });
    world.handle.wait_for_fired("hold", 1).await;
    let mut idle = connect(world.addr, &[PREFACE, EMPTY_SETTINGS].concat()).await;
    assert!(!closed(&mut idle).await.is_empty());
    // The one with the call is as old, and lives.
    assert!(!call.is_finished());
    world.handle.release();
    call.await.expect("no panic").expect("read");
}

/// Returns the types of the HTTP/2 frames in what was received.
fn frame_types(mut bytes: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        types.push(head[3]);
        bytes = rest.get(length..).unwrap_or_default();
    }
    types
}

#[tokio::test]
async fn an_idle_connection_ends_with_goaway() {
    const GOAWAY: u8 = 7;
    let world = World::configured(|config| {
        config.server.accept.idle_timeout = Duration::from_millis(100);
    })
    .await;
    // A client that answers closes the connection itself, without an error.
    let (client, connection) = http2(world.addr).await;
    assert_eq!(
        list_on(&client, true, PATIENCE).await.expect("answered"),
        "0"
    );
    let ended = timeout(PATIENCE, connection).await.expect("it ends");
    ended.expect("no panic").expect("no error");
    // One that does not answer is closed, but told before.
    let mut silent = connect(world.addr, &[PREFACE, EMPTY_SETTINGS].concat()).await;
    let received = closed(&mut silent).await;
    assert!(frame_types(&received).contains(&GOAWAY), "{received:?}");
}

#[tokio::test]
async fn no_call_fails_that_begins_when_its_connection_is_idle() {
    let world = World::configured(|config| {
        config.server.accept.idle_timeout = Duration::from_millis(20);
    })
    .await;
    let mut client = world.client();
    let mut answered = 0;
    for pause in (0..60).map(|number| 10 + number % 20) {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        match client.list(list(1001)).await {
            Ok(_) => answered += 1,
            // The client library gave the call to a connection that it had seen end, and sent none
            // of it. Other libraries send it on another one.
            Err(status) => assert_eq!(status.message(), "operation was canceled", "{status:?}"),
        }
    }
    // Every call that was sent was answered.
    assert_eq!(world.handle.requests().len(), answered);
    assert!(answered > 30, "{answered}");
}

#[tokio::test]
async fn a_watch_ends_after_the_age_of_its_connection() {
    let world = World::configured(|config| {
        config.server.max_connection_age = Duration::from_millis(300);
    })
    .await;
    let mut health = HealthClient::new(channel(world.addr).await);
    let request = HealthCheckRequest::default();
    let mut watch = health.watch(request).await.expect("watched").into_inner();
    let ended = timeout(PATIENCE, async {
        while watch.message().await.expect("it ends well").is_some() {}
    });
    ended.await.expect("it ends");
}

#[tokio::test]
async fn a_connection_with_a_health_watch_is_not_idle() {
    let world = World::configured(|config| {
        config.server.accept.idle_timeout = Duration::from_millis(100);
    })
    .await;
    let mut health = HealthClient::new(channel(world.addr).await);
    let request = HealthCheckRequest {
        service: "upstream.porta".to_owned(),
    };
    let mut watch = health.watch(request).await.expect("watched").into_inner();
    let first = watch.message().await.expect("watched").expect("goes on");
    assert_eq!(first.status(), ServingStatus::Unknown);
    let mut idle = connect(world.addr, &[PREFACE, EMPTY_SETTINGS].concat()).await;
    assert!(!closed(&mut idle).await.is_empty());
    // The one with the watch is older, and lives.
    let mut other = FollowMeServiceClient::new(channel(world.addr).await);
    other.list(list(1001)).await.expect("read");
    let next = watch.message().await.expect("watched").expect("goes on");
    assert_eq!(next.status(), ServingStatus::Serving);
}

/// Begins calls, each cancelled at once, as fast as the connection takes them. Returns how many
/// there were before it ended, if it did.
pub(crate) async fn cancel_calls(client: &SendRequest<Bytes>, count: usize) -> usize {
    for number in 0..count {
        let Ok((_, mut body)) = begin_list(client, true, PATIENCE).await else {
            return number;
        };
        body.send_reset(Reason::CANCEL);
        // Sends them in bursts, each of as many as the connection may hold.
        if number % 200 == 0 {
            tokio::task::yield_now().await;
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_cancelled_calls_harm_neither_their_connection_nor_upstream() {
    let world = World::start().await;
    let (client, connection) = http2(world.addr).await;
    assert_eq!(cancel_calls(&client, 10_000).await, 10_000);
    let status = list_on(&client, true, PATIENCE).await;
    assert_eq!(status.expect("the connection lives"), "0");
    // A few may have begun before their end was read.
    let requests = world.handle.requests().len();
    assert!(requests < 500, "{requests} upstream requests");
    connection.abort();
}
