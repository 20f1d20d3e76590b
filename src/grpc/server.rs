//! The gRPC server: its middleware, the services of health, reflection and followme, the server
//! span of each call.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tower::util::MapRequestLayer;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{
    Service,
    access_log::access_log,
    authenticate::authenticate,
    catch_panic::catch_panic,
    deadline::deadline,
    health,
    incoming::{self, Peer, incoming},
    middleware::Middleware,
    pb::{self, SERVICE},
    request_memory::RequestMemory,
};
use crate::{
    health::Health,
    security::Authorizer,
    telemetry::{in_flight::Calls, names, propagation},
};

/// The settings of the server.
#[derive(Debug, Clone)]
pub struct Config {
    /// The limits of connections.
    pub accept: incoming::Config,
    /// Whether reflection is served. It reveals no more than the contract.
    pub reflection: bool,
    /// The timeout of a call that sets none.
    pub default_deadline: Duration,
    /// The most concurrent calls of a connection.
    pub max_calls_per_connection: u32,
    /// The age at which a connection gets GOAWAY, so that its client opens a new one.
    pub max_connection_age: Duration,
    /// The drain delay: how long the server still accepts calls after it has become NOT_SERVING, so
    /// that balancers notice.
    pub drain_delay: Duration,
    /// The drain limit: how long calls in flight, and the writes that they began, may take after
    /// that.
    pub drain_limit: Duration,
    /// The keys of W3C baggage that are passed on to upstream.
    pub baggage_keys: Vec<String>,
}

/// The largest request, in bytes: a replace-all of the most numbers is a tenth of it.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// The largest header list of a request, in bytes.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// The HTTP/2 keep-alive: how often a connection is pinged, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// The most cancelled calls of a connection that h2 has yet to accept. h2's default of 20 answers
/// honest clients with ENHANCE_YOUR_CALM; without any limit a flood of resets would take memory.
const MAX_PENDING_RESETS: usize = 1024;

/// Serves on the listener. On `shutdown` it becomes NOT_SERVING, still accepts calls for the drain
/// delay, then refuses new calls and lets those in flight finish.
///
/// The caller bounds the time after that: this does not return while any connection stays open.
///
/// # Errors
/// Fails if the reflection service cannot be built or the server cannot run.
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
    // Jitter: replicas that start together must not make all clients reconnect together.
    let age = config
        .max_connection_age
        .mul_f64(0.9 + fastrand::f64() / 5.0);
    let local = listener.local_addr()?;
    let baggage_keys = config.baggage_keys;
    let stopping = CancellationToken::new();
    let (streams_end, memory) = (stopping.clone(), RequestMemory::new());
    Server::builder()
        .trace_fn(move |request| span(request, local, &baggage_keys))
        // tonic removes hyper's default of 200; without a limit a caller that abandons calls kills
        // its connection.
        .max_concurrent_streams(config.max_calls_per_connection)
        .max_connection_age(age)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .layer(Middleware(move |request, next| {
            access_log(&calls, request, next)
        }))
        .layer(catch_panic())
        .layer(Middleware(move |request, next| {
            deadline(config.default_deadline, &streams_end, request, next)
        }))
        .layer(Middleware(move |request, next| {
            authenticate(Arc::clone(&authorizer), request, next)
        }))
        .layer(MapRequestLayer::new(move |request| memory.limit(request)))
        .add_service(health::Service::new(health.clone()))
        .add_optional_service(v1)
        .add_optional_service(v1alpha)
        .add_service(follow_me)
        .serve_with_incoming_shutdown(incoming(listener, tls, config.accept), async move {
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

/// Returns the server span of a call, a child of the caller's span. `access_log` records how the
/// call ends.
fn span(request: &http::Request<()>, local: SocketAddr, baggage_keys: &[String]) -> tracing::Span {
    let method = request.uri().path().trim_start_matches('/');
    if !method.starts_with(SERVICE) {
        return tracing::Span::none();
    }
    // The rest of the path is the caller's own text: only known methods become names.
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
