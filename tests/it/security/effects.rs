//! Effects of configuration keys that no other test shows, each set in a configuration file.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use followme::{
    app::App,
    config::{Config, Flags},
    grpc::pb::{self, follow_me_service_client::FollowMeServiceClient},
    simulator::{Fault, FaultKind, Knobs, Options, Route, When},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::timeout,
};
use tonic::{Code, codegen::tokio_stream};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt as _;

use super::support::{Directory, Facade};
use crate::{
    config::variables,
    resilience::upstream_tls::in_front,
    support::certificates::Authority,
    support::raw_http::PATIENCE,
    support::{World, add_to, channel, demo, failure, list, new_number},
};

/// Passes connections on to upstream, and counts them.
async fn counted(upstream: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut upstream = TcpStream::connect(upstream).await?;
                tokio::io::copy_bidirectional(&mut stream, &mut upstream).await
            });
        }
    });
    (addr, count)
}

/// Serves what a file says, in front of an upstream.
async fn serve(upstream: &str, toml: &str) -> FollowMeServiceClient<tonic::transport::Channel> {
    let dir = Directory::new();
    dir.configure(toml);
    let flags = Flags {
        config: Some(dir.path("followme.toml")),
        upstream_url: Some(upstream.to_owned()),
        listen: Some("127.0.0.1:0".to_owned()),
        ..Flags::default()
    };
    let license = variables([("FOLLOWME_LICENSE", "DEMO-KEY")]);
    let config = Config::load(&flags, &license).expect("complete");
    let app = App::build(config).await.expect("a free port");
    let addr = app.local_addr().expect("an address");
    tokio::spawn(app.run(std::future::pending()));
    FollowMeServiceClient::new(channel(addr).await)
}

#[tokio::test]
async fn upstream_connections_have_an_idle_timeout_and_a_maximum_age() {
    let world = World::start().await;
    for (toml, connections) in [
        ("", 1),
        ("[upstream]\nidle_timeout = \"20ms\"\n", 2),
        ("[upstream]\nmax_connection_age = \"20ms\"\n", 2),
    ] {
        let (addr, count) = counted(world.handle.local_addr()).await;
        let mut client = serve(&format!("http://{addr}/"), toml).await;
        client.list(list(1001)).await.expect("a list");
        // The time that a connection lies unused is the matter of the test.
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.list(list(1001)).await.expect("a list");
        assert_eq!(count.load(Ordering::Relaxed), connections, "{toml}");
    }
}

#[tokio::test]
async fn upstream_is_verified_by_its_ca_file_and_given_our_certificate() {
    let world = World::start().await;
    let authority = Authority::new();
    let addr = in_front(&world.handle, &authority).await;
    let files = Directory::new();
    files.write("ca.pem", &authority.pem);
    files.identity("ours", &authority.sign("followme"));
    let path = |name: &str| files.path(name).display().to_string();
    let ca = format!("ca_file = {:?}\n", path("ca.pem"));
    let ours = format!(
        "client_certificate_file = {:?}\nclient_key_file = {:?}\n",
        path("ours.pem"),
        path("ours.key")
    );
    for (toml, works) in [(format!("{ca}{ours}"), true), (ca, false), (ours, false)] {
        let url = format!("https://localhost:{}/", addr.port());
        let mut client = serve(&url, &format!("[upstream]\nread_retries = 0\n{toml}")).await;
        assert_eq!(client.list(list(1001)).await.is_ok(), works, "{toml}");
    }
}

#[tokio::test]
async fn the_breaker_stays_open_longer_each_time_up_to_its_maximum() {
    let facade = Facade::start(
        "[upstream]\nread_retries = 0\nbreaker_failures = 1\n\
         breaker_open = \"20ms\"\nbreaker_open_max = \"100ms\"\n",
    )
    .await;
    let reset = FaultKind::Reset { when: When::Before };
    facade
        .handle
        .arm(Fault::once(reset).on(Route::GetAll).times(6));
    let mut client = facade.client().await;
    let mut longest = Duration::ZERO;
    timeout(PATIENCE, async {
        while facade.handle.fired_count("reset") < 6 {
            let refused = failure(client.list(list(1001)).await);
            let details = refused.status.get_error_details();
            if let Some(wait) = details.retry_info().and_then(|info| info.retry_delay) {
                longest = longest.max(wait);
            }
        }
    })
    .await
    .expect("the breaker lets a probe through again and again");
    // Doubled five times, it would be 640 ms; the span is not the same for every process.
    assert!(longest > Duration::from_millis(40), "{longest:?}");
    assert!(longest < Duration::from_millis(150), "{longest:?}");
}

#[tokio::test]
async fn an_unapplied_strict_field_fails_the_call() {
    let options = || Options {
        knobs: Knobs {
            query_values: false,
            ..Knobs::default()
        },
        ..demo()
    };
    for (strict, reason) in [("period", Some("FIELDS_NOT_APPLIED")), ("name", None)] {
        let toml =
            format!("[upstream]\nupdate_all = \"off\"\n[calls]\nstrict_fields = [\"{strict}\"]\n");
        let facade = Facade::on(options(), &toml, |_| {}).await;
        let number = pb::FollowMeNumber {
            period: "hr{9am-5pm}".to_owned(),
            ..new_number("Van", "15550120")
        };
        let answer = facade.client().await.add(add_to(1003, number)).await;
        match reason {
            Some(reason) => assert_eq!(failure(answer).reason, reason),
            None => {
                let answer = answer.expect("added").into_inner();
                assert_eq!(answer.unapplied_fields, ["period"]);
            }
        }
    }
}

#[tokio::test]
async fn a_connection_has_a_maximum_of_calls_and_a_maximum_age() {
    for (toml, calls, ends) in [
        ("[server]\nmax_calls_per_connection = 3\n", 3, false),
        ("[server]\nmax_connection_age = \"50ms\"\n", 200, true),
    ] {
        let facade = Facade::start(toml).await;
        let stream = TcpStream::connect(facade.addr).await.expect("a port");
        let (send, mut connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        let received = std::future::poll_fn(|context| {
            if Pin::new(&mut connection).poll(context).is_ready() {
                return Poll::Ready(None);
            }
            // Without a limit until the settings of the server have come.
            match connection.max_concurrent_send_streams() {
                usize::MAX => Poll::Pending,
                received => Poll::Ready(Some(received)),
            }
        });
        let received = timeout(PATIENCE, received).await.expect("settings come");
        assert_eq!(received, Some(calls));
        if ends {
            let ended = timeout(PATIENCE, connection).await.expect("it ends");
            ended.expect("it ends well");
        }
        // Without one who may send, the client would end it.
        drop(send);
    }
}

#[tokio::test]
async fn calls_are_accepted_during_the_drain_delay_while_health_is_not_serving() {
    let world = World::start().await;
    let dir = Directory::new();
    dir.configure("[server]\ndrain_delay = \"10m\"\n");
    let config = dir.load(world.handle.local_addr()).expect("complete");
    let app = App::build(config).await.expect("a free port");
    let addr = app.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(app.run(async {
        let _ = stopped.await;
    }));
    let mut health = HealthClient::new(channel(addr).await);
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let mut watch = health.watch(request).await.expect("watched").into_inner();
    stop.send(()).expect("it runs");
    loop {
        let received = watch.message().await.expect("watched").expect("it goes on");
        if received.status() == ServingStatus::NotServing {
            break;
        }
    }
    let mut client = FollowMeServiceClient::new(channel(addr).await);
    client.list(list(1001)).await.expect("a list");
    running.abort();
}

#[tokio::test]
async fn reflection_can_be_disabled() {
    use tonic_reflection::pb::{v1, v1alpha};
    let facade = Facade::start("[server]\nreflection = false\n").await;
    let channel = channel(facade.addr).await;
    let mut new = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let ask = tokio_stream::once(v1::ServerReflectionRequest::default());
    let refused = new.server_reflection_info(ask).await.err();
    assert_eq!(refused.expect("refused").code(), Code::Unimplemented);
    let mut old = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let ask = tokio_stream::once(v1alpha::ServerReflectionRequest::default());
    let refused = old.server_reflection_info(ask).await.err();
    assert_eq!(refused.expect("refused").code(), Code::Unimplemented);
    assert!(facade.client().await.list(list(1001)).await.is_ok());
}

#[tokio::test]
async fn the_address_and_the_upstream_are_those_of_the_file() {
    let world = World::start().await;
    let dir = Directory::new();
    dir.write("license", "DEMO-KEY\n");
    dir.configure(&format!(
        "listen = \"127.0.0.3:0\"\n[upstream]\nurl = \"http://{}\"\n\
         license_file = \"{{dir}}/license\"\n",
        world.handle.local_addr()
    ));
    let flags = Flags {
        config: Some(dir.path("followme.toml")),
        ..Flags::default()
    };
    let config = Config::load(&flags, &variables([])).expect("complete");
    let app = App::build(config).await.expect("a free port");
    let addr = app.local_addr().expect("an address");
    assert_eq!(addr.ip().to_string(), "127.0.0.3");
    tokio::spawn(app.run(std::future::pending()));
    let mut client = FollowMeServiceClient::new(channel(addr).await);
    client.list(list(1001)).await.expect("a list");
}
