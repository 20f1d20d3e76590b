//! The gRPC server: the service, health, reflection, and the span of each call.

use std::{io, time::Duration};

use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tokio::net::TcpListener;
use tonic::transport::{Server, server::TcpIncoming};
use tonic_health::{ServingStatus, server::HealthReporter};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{Service, pb};

/// How long calls in flight may take after the shutdown signal.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// The largest request, in bytes: a replace-all of the most numbers is a tenth of it.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

const SERVICE: &str = <pb::follow_me_service_server::FollowMeServiceServer<Service> as tonic::server::NamedService>::NAME;

/// Serves on the listener until the signal; then refuses new calls, lets those in flight finish,
/// and returns after 30 s at the latest.
///
/// # Errors
/// Fails where the reflection service cannot be built or the server cannot run.
pub async fn serve(
    listener: TcpListener,
    service: Service,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (health, health_service) = tonic_health::server::health_reporter();
    report(&health, ServingStatus::Serving).await;
    let v1 = reflection().build_v1().map_err(io::Error::other)?;
    let v1alpha = reflection().build_v1alpha().map_err(io::Error::other)?;
    let follow_me = pb::follow_me_service_server::FollowMeServiceServer::new(service)
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let serving = Server::builder()
        .trace_fn(span)
        // hyper's own default of 200 is removed by tonic; without a limit a caller that abandons
        // calls kills its connection. Honest callers cancel: h2's 20 resets are too few.
        .max_concurrent_streams(200)
        .http2_max_pending_accept_reset_streams(Some(1024))
        .http2_keepalive_interval(Some(Duration::from_secs(60)))
        .add_service(health_service)
        .add_service(v1)
        .add_service(v1alpha)
        .add_service(follow_me)
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            async move {
                // An error means that the sender is gone, which ends it as well.
                let _ = stopped.wait_for(|stop| *stop).await;
            },
        );
    let drain = async move {
        shutdown.await;
        report(&health, ServingStatus::NotServing).await;
        stop.send_replace(true);
        // The server never returns while a connection exists that has said nothing.
        tokio::time::sleep(DRAIN_LIMIT).await;
    };
    tokio::select! {
        result = serving => result.map_err(io::Error::other),
        () = drain => {
            tracing::warn!("not all connections ended within the drain limit");
            Ok(())
        }
    }
}

async fn report(health: &HealthReporter, status: ServingStatus) {
    health.set_service_status("", status).await;
    health.set_service_status(SERVICE, status).await;
}

/// Without the descriptors of google.rpc, clients print error details as base64.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

/// Makes the server span of a call, a child of the caller's.
fn span(request: &http::Request<()>) -> tracing::Span {
    let method = request.uri().path().trim_start_matches('/');
    if !method.starts_with(SERVICE) {
        return tracing::Span::none();
    }
    let span = tracing::info_span!(
        "call",
        otel.name = method,
        otel.kind = "server",
        rpc.system.name = "grpc",
        rpc.method = method,
    );
    let parent = TraceContextPropagator::new().extract(&Headers(request.headers()));
    // Fails only where no OpenTelemetry layer is installed.
    let _ = span.set_parent(parent);
    span
}

struct Headers<'a>(&'a http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
