//! The gRPC server: its middleware, and the services of health, reflection and followme.

use std::{io, sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;
use tower::ServiceBuilder;

use super::{
    Service,
    access_log::{Observer, access_log},
    authenticate::authenticate,
    catch_panic::catch_panic,
    connection::Connections,
    deadline::deadline,
    health,
    incoming::{self, incoming},
    middleware::Middleware,
    pb,
    protocol::{complete_statuses, only_grpc},
    reflection::Reflection,
    request_body::RequestBodies,
    streaming::end_streams,
};
use crate::{health::Health, security::Authorizer, telemetry::in_flight::Calls};

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

/// Serves on the listener. On `shutdown` it becomes NOT_SERVING, still accepts calls for the drain
/// delay, then refuses new calls and lets those in flight finish.
///
/// The caller bounds the time after that: this does not return while any call is in flight.
///
/// # Errors
/// Fails if the reflection service cannot be built.
pub(crate) async fn serve(
    listener: TcpListener,
    service: Service,
    health: Health,
    authorizer: Arc<Authorizer>,
    calls: Calls,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let observer = Arc::new(Observer {
        calls,
        local: listener.local_addr()?,
        baggage_keys: config.baggage_keys,
    });
    let stopping = CancellationToken::new();
    let max_message = service.max_message_bytes();
    let mut routes = Routes::new(health::Service::new(health.clone())).add_service(
        pb::follow_me_service_server::FollowMeServiceServer::new(service)
            .max_decoding_message_size(max_message),
    );
    if config.reflection {
        let (v1, v1alpha) = Reflection::services().map_err(io::Error::other)?;
        routes = routes.add_service(v1).add_service(v1alpha);
    }
    let mut accepted = incoming(listener, authorizer.tls().cloned(), config.accept.clone());
    let bodies = RequestBodies::new(max_message);
    let (of_streams, streams_end) = (Arc::clone(&authorizer), stopping.clone());
    let service = ServiceBuilder::new()
        .layer(Middleware(only_grpc))
        .layer(Middleware(move |request, next| {
            access_log(&observer, request, next)
        }))
        .layer(catch_panic())
        .layer(Middleware(move |request, next| {
            deadline(config.default_deadline, request, next)
        }))
        .layer(Middleware(move |request, next| {
            authenticate(Arc::clone(&authorizer), config.reflection, request, next)
        }))
        .layer(Middleware(move |request, next| {
            end_streams(&of_streams, &streams_end, request, next)
        }))
        .layer(Middleware(complete_statuses))
        .layer(Middleware(move |request, next| bodies.check(request, next)))
        .service(routes.prepare());
    // Jitter: replicas that start together must not make all clients reconnect together.
    let age = config
        .max_connection_age
        .mul_f64(0.9 + fastrand::f64() / 5.0);
    let connections = Connections::new(
        config.max_calls_per_connection,
        age,
        config.accept.idle_timeout,
        stopping.clone(),
    );
    let open = TaskTracker::new();
    let stopped = async {
        shutdown.await;
        health.stop();
        tokio::time::sleep(config.drain_delay).await;
    };
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => break,
            Some(connection) = accepted.recv() => {
                open.spawn(connections.clone().serve(connection, service.clone()));
            }
        }
    }
    // The listener is closed, so that clients try another replica.
    drop(accepted);
    stopping.cancel();
    open.close();
    open.wait().await;
    Ok(())
}
