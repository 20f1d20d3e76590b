//! The gRPC server: the service, health, reflection, the span of each call, and how it ends.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{
    Service,
    accept::{self, Peer, accept},
    access::AccessLayer,
    ending::EndingLayer,
    health,
    layers::{DeadlineLayer, catch_panic},
    pb,
    room::RoomLayer,
};
use crate::{
    health::Health,
    security::Authorizer,
    telemetry::{in_flight::Calls, names, propagation},
};

/// How the server serves.
#[derive(Debug, Clone)]
pub struct Config {
    /// What connections may do.
    pub accept: accept::Config,
    /// Whether the reflection services are there. They tell no more than the contract does.
    pub reflection: bool,
    /// The time of a call that names none.
    pub default_deadline: Duration,
    /// How many calls one connection may have at once.
    pub max_calls_per_connection: u32,
    /// How old a connection may become; then its client is asked to open a new one.
    pub max_connection_age: Duration,
    /// How long the server goes on after it has said that it does not serve any more, so that
    /// balancers take note.
    pub drain_delay: Duration,
    /// How long calls in flight, and the writes that they began, may take after that.
    pub drain_limit: Duration,
    /// The keys of W3C baggage that go on to upstream.
    pub baggage_keys: Vec<String>,
}

/// The largest request, in bytes: a replace-all of the most numbers is a tenth of it.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// The largest header list of a request, in bytes.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// How often a connection is asked whether it lives, and how long it may take to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How many calls that a client has cancelled may wait to be taken note of. h2's 20 answers honest
/// clients with ENHANCE_YOUR_CALM; without any limit a flood of resets would take memory.
const MAX_PENDING_RESETS: usize = 1024;

/// The name of the service.
pub const SERVICE: &str = <pb::follow_me_service_server::FollowMeServiceServer<Service> as tonic::server::NamedService>::NAME;

/// Serves on the listener. At the signal it says that it does not serve any more, goes on for the
/// drain delay, then refuses new calls and lets those in flight finish.
///
/// The caller bounds the time after that: the server never returns while a connection exists that
/// does not end.
///
/// # Errors
/// Fails where the reflection service cannot be built or the server cannot run.
pub(crate) async fn serve(
    listener: TcpListener,
    service: Service,
    health: Health,
    authorizer: Arc<Authorizer>,
    calls: Calls,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let mut reflections = None;
    if config.reflection {
        let v1 = reflection().build_v1().map_err(io::Error::other)?;
        let v1alpha = reflection().build_v1alpha().map_err(io::Error::other)?;
        reflections = Some((v1, v1alpha));
    }
    let (v1, v1alpha) = reflections.unzip();
    let tls = authorizer.tls().cloned();
    let follow_me = pb::follow_me_service_server::FollowMeServiceServer::new(service)
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    // Replicas that start together must not ask all their clients back together.
    let age = config
        .max_connection_age
        .mul_f64(0.9 + fastrand::f64() / 5.0);
    let local = listener.local_addr()?;
    let baggage_keys = config.baggage_keys;
    let stopping = CancellationToken::new();
    Server::builder()
        .trace_fn(move |request| span(request, local, &baggage_keys))
        // hyper's own default of 200 is removed by tonic; without a limit a caller that abandons
        // calls kills its connection.
        .max_concurrent_streams(config.max_calls_per_connection)
        .max_connection_age(age)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .layer(EndingLayer(calls))
        .layer(catch_panic())
        .layer(DeadlineLayer {
            default: config.default_deadline,
            stopping: stopping.clone(),
        })
        .layer(AccessLayer { authorizer })
        .layer(RoomLayer::new())
        .add_service(health::Service::new(health.clone()))
        .add_optional_service(v1)
        .add_optional_service(v1alpha)
        .add_service(follow_me)
        .serve_with_incoming_shutdown(accept(listener, tls, config.accept), async move {
            shutdown.await;
            health.stop();
            tokio::time::sleep(config.drain_delay).await;
            stopping.cancel();
        })
        .await
        .map_err(io::Error::other)
}

/// Without the descriptors of google.rpc, clients print error details as base64.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

/// Makes the server span of a call, a child of the caller's. How the call ends is noted by
/// `EndingLayer`.
fn span(request: &http::Request<()>, local: SocketAddr, baggage_keys: &[String]) -> tracing::Span {
    let method = request.uri().path().trim_start_matches('/');
    if !method.starts_with(SERVICE) {
        return tracing::Span::none();
    }
    // A caller may have made the rest of the path up.
    let method = names::method(request.uri().path());
    let peer = request.extensions().get::<Peer>().map(|peer| peer.remote);
    let span = tracing::info_span!(
        "call",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
        server.address = display(local.ip()),
        server.port = local.port(),
        network.peer.address = peer.map(|peer| display(peer.ip())),
        error.type = Empty,
        porta.reason = Empty,
    );
    let parent = propagation::extract(request.headers(), baggage_keys);
    // Fails only where no OpenTelemetry layer is installed.
    let _ = span.set_parent(parent);
    span
}
