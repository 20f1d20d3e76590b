//! Deadlines on the wire: a client library would enforce them itself.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use followme::simulator::{FaultKind, HangAt, Route, When};
use h2::{
    Error, SendStream,
    client::{ResponseFuture, SendRequest},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::{
    support::raw_h2::Connection,
    support::raw_http::PATIENCE,
    support::{World, config, failure, list, new_number, update},
};

const SHORT: Duration = Duration::from_millis(300);

/// Opens an HTTP/2 connection. Abort the task to end it.
pub(crate) async fn http2(addr: SocketAddr) -> (SendRequest<Bytes>, JoinHandle<Result<(), Error>>) {
    let stream = TcpStream::connect(addr).await.expect("the facade listens");
    // As clients do: else small frames wait for each other's acknowledgement.
    stream.set_nodelay(true).expect("it is open");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    (client, tokio::spawn(connection))
}

/// Begins a call of `List` of account 1001. Where `whole` is false the request's message never comes.
pub(crate) async fn begin_list(
    client: &SendRequest<Bytes>,
    whole: bool,
    deadline: Duration,
) -> Result<(ResponseFuture, SendStream<Bytes>), Error> {
    // Field 1, varint 1001.
    let message = Bytes::from_static(&[0, 0, 0, 0, 3, 0x08, 0xe9, 0x07]);
    let path = "porta.followme.v1.FollowMeService/List";
    begin(client, path, whole.then_some(message), deadline).await
}

pub(super) async fn begin(
    client: &SendRequest<Bytes>,
    path: &str,
    message: Option<Bytes>,
    deadline: Duration,
) -> Result<(ResponseFuture, SendStream<Bytes>), Error> {
    let request = http::Request::post(format!("http://localhost/{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", format!("{}m", deadline.as_millis()))
        .body(())
        .expect("a request");
    let (response, mut body) = client.clone().ready().await?.send_request(request, false)?;
    if let Some(message) = message {
        body.send_data(message, true)?;
    }
    Ok((response, body))
}

/// Calls `List` of account 1001. Returns the value of `grpc-status`.
pub(crate) async fn list_on(
    client: &SendRequest<Bytes>,
    whole: bool,
    deadline: Duration,
) -> Result<String, Error> {
    let (response, _body) = begin_list(client, whole, deadline).await?;
    status(response).await
}

/// Waits for the end of a call. Returns the value of `grpc-status`.
pub(super) async fn status(response: ResponseFuture) -> Result<String, Error> {
    let status = timeout(PATIENCE, async {
        let mut response = response.await?;
        if let Some(status) = response.headers().get("grpc-status") {
            return Ok(status.clone());
        }
        // Trailers can be read only after the messages.
        while let Some(data) = response.body_mut().data().await {
            data?;
        }
        let trailers = response.body_mut().trailers().await?;
        Ok::<_, Error>(trailers.expect("they are there")["grpc-status"].clone())
    });
    let status = status.await.expect("the call ends")?;
    Ok(status.to_str().expect("digits").to_owned())
}

/// The same on a connection of its own.
pub(crate) async fn raw_list(addr: SocketAddr, whole: bool, deadline: Duration) -> String {
    let (client, connection) = http2(addr).await;
    let status = list_on(&client, whole, deadline).await;
    connection.abort();
    status.expect("the connection lives")
}

#[tokio::test]
async fn an_expired_deadline_is_deadline_exceeded_wherever_upstream_hangs() {
    for fault in [
        FaultKind::Hold { when: When::Before },
        FaultKind::Hang {
            at: HangAt::BeforeHead,
        },
        FaultKind::Hang {
            at: HangAt::MidHead,
        },
        FaultKind::Hang {
            at: HangAt::MidBody,
        },
        FaultKind::Trickle {
            bytes_per: 1,
            every_ms: 20,
        },
    ] {
        let world = World::start().await;
        world.arm(fault.clone(), Route::GetAll);
        let start = Instant::now();
        assert_eq!(
            raw_list(world.addr, true, SHORT).await,
            "4",
            "{}",
            fault.name()
        );
        assert!(start.elapsed() >= SHORT - Duration::from_millis(50));
        world.assert_fired(fault.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shortest_deadlines_have_a_reason_too() {
    let world = World::start().await;
    let connection = Connection::open(world.addr).await;
    let number = new_number("Bus", "");
    for timeout in ["0m", "1n", "50u", "200u", "500u", "1m", "2m", "3m"] {
        for _ in 0..40 {
            let headers = [("grpc-timeout", timeout)];
            let read = connection.call("List", &headers, &list(1001)).await;
            let write = update(70001, &["name"], number.clone());
            let write = connection.call("Update", &headers, &write).await;
            for (answer, reasons) in [
                (read, &["DEADLINE_EXCEEDED"][..]),
                (
                    write,
                    &["NOT_SENT", "WRITE_IN_PROGRESS", "DEADLINE_EXCEEDED"],
                ),
            ] {
                if let Err(status) = answer.result() {
                    let late = failure(Err::<(), _>(status));
                    assert_eq!(
                        late.code,
                        tonic::Code::DeadlineExceeded,
                        "{timeout} {late:?}"
                    );
                    assert!(reasons.contains(&late.reason.as_str()), "{late:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_slow_read_has_the_same_code_before_a_write() {
    for (number, fault) in [
        FaultKind::Hold { when: When::Before },
        FaultKind::Hang {
            at: HangAt::MidBody,
        },
        FaultKind::Trickle {
            bytes_per: 1,
            every_ms: 20,
        },
    ]
    .into_iter()
    .enumerate()
    {
        let world = World::start().await;
        world.arm(fault, Route::GetAll);
        let request = update(70001, &["name"], new_number("Bus", ""));
        let connection = Connection::open(world.addr).await;
        let headers = [("grpc-timeout", "300m")];
        let late = connection.call("Update", &headers, &request).await;
        let late = failure(late.result());
        assert_eq!(late.code, tonic::Code::DeadlineExceeded, "{number}");
        assert_eq!(late.reason, "NOT_SENT", "{number}");
    }
}

#[tokio::test]
async fn a_deadline_that_the_caller_rounded_up_is_met_before() {
    // What Python sends for 10 s.
    let world = World::start().await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::GetAll);
    let connection = Connection::open(world.addr).await;
    let start = Instant::now();
    let headers = [("grpc-timeout", "10099m")];
    let answer = connection.call("List", &headers, &list(1001)).await;
    let late = failure(answer.result());
    assert_eq!(late.reason, "DEADLINE_EXCEEDED");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_call_whose_message_never_arrives_is_answered_at_its_deadline() {
    let world = World::start().await;
    assert_eq!(raw_list(world.addr, false, SHORT).await, "4");
    assert!(world.handle.requests().is_empty());
}

#[tokio::test]
async fn a_message_must_arrive_within_the_default_timeout() {
    let world = World::configured(|config| config.server.default_deadline = SHORT).await;
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(raw_list(world.addr, false, day).await, "4");
}

#[tokio::test]
async fn a_watch_ends_at_its_deadline() {
    let world = World::start().await;
    let (client, connection) = http2(world.addr).await;
    let everything = Bytes::from_static(&[0, 0, 0, 0, 0]);
    let path = "grpc.health.v1.Health/Watch";
    let (response, _body) = begin(&client, path, Some(everything), SHORT)
        .await
        .expect("the connection lives");
    assert_eq!(status(response).await.expect("the connection lives"), "4");
    connection.abort();
}

#[tokio::test]
async fn a_call_without_a_deadline_has_the_default_one() {
    let world = World::configured(|config| config.server.default_deadline = SHORT).await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::GetAll);
    let late = crate::support::failure(world.list(crate::support::list(1001)).await);
    assert_eq!(late.reason, "DEADLINE_EXCEEDED");
    world.assert_fired("hold");
}

#[tokio::test]
async fn connecting_to_upstream_is_bounded_by_its_timeout() {
    // A listener whose queue is full does not answer: its kernel drops the SYN.
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&any.into()).expect("a free port");
    listener.listen(0).expect("it listens");
    let addr = listener
        .local_addr()
        .expect("an address")
        .as_socket()
        .expect("of IPv4");
    let time = Duration::from_millis(100);
    let mut queued = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&addr, time) {
        queued.push(stream);
    }
    let world = World::configured(|edited| {
        edited.upstream.transport.url = config(addr).upstream.transport.url;
        edited.upstream.transport.connect_timeout = time;
    })
    .await;
    let failed = crate::support::failure(world.list(crate::support::list(1001)).await);
    assert_eq!(failed.reason, "UPSTREAM_UNAVAILABLE");
}

#[tokio::test]
async fn a_cancelled_read_frees_its_upstream_connection_at_once() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = upstream.local_addr().expect("an address");
    let world = World::configured(|edited| {
        edited.upstream.transport.url = config(addr).upstream.transport.url;
    })
    .await;
    let call = tokio::spawn({
        let mut client = world.client();
        async move { client.list(crate::support::list(1001)).await }
    });
    let (mut stream, _) = timeout(PATIENCE, upstream.accept())
        .await
        .expect("the facade connects")
        .expect("accepted");
    let mut bytes = vec![0; 4096];
    let read = stream.read(&mut bytes).await.expect("a request");
    assert!(bytes[..read].starts_with(b"GET /getfollowmes/"));
    call.abort();
    let end = timeout(PATIENCE, stream.read(&mut bytes))
        .await
        .expect("the connection is closed");
    assert!(matches!(end, Ok(0) | Err(_)));
    // The call was cancelled.
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
}
