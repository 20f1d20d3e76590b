//! Serves a connection, and ends it: HTTP/2 with GOAWAY, so that no call is lost.

use std::{convert::Infallible, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{pin, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::Service;

use super::incoming::Connection;

/// The largest header list of a request, in bytes.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// The HTTP/2 keep-alive: how often a connection is pinged, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// The most cancelled calls of a connection that h2 has yet to accept. h2's default of 20 answers
/// honest clients with ENHANCE_YOUR_CALM; without any limit a flood of resets would take memory.
const MAX_PENDING_RESETS: usize = 1024;

/// How long a connection without calls stays open after GOAWAY. Its client closes it at once; one
/// that does not answer is closed by the server.
const GOAWAY_TIMEOUT: Duration = Duration::from_secs(5);

/// How connections are served.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    http2: http2::Builder<TokioExecutor>,
    /// The age at which a connection gets GOAWAY.
    max_age: Duration,
    /// How long a connection without calls stays open.
    idle_timeout: Duration,
    /// Cancelled when the server stops.
    stopping: CancellationToken,
}

impl Connections {
    pub(super) fn new(
        max_calls: u32,
        max_age: Duration,
        idle_timeout: Duration,
        stopping: CancellationToken,
    ) -> Self {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(max_calls)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_header_list_size(MAX_HEADER_BYTES)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        Self {
            http2,
            max_age,
            idle_timeout,
            stopping,
        }
    }

    /// Serves a connection to its end; sends GOAWAY when it is old or idle, or the server stops.
    /// `service` must always be ready.
    pub(super) async fn serve<S>(self, connection: Connection, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
        S::Future: Send + 'static,
    {
        let peer = connection.peer.clone();
        let of_calls = peer.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(of_calls.clone());
            // Called here, before the first poll: the deadline of the call is counted from now.
            service.clone().call(request)
        });
        let serving = self
            .http2
            .serve_connection(TokioIo::new(connection), service);
        pin!(serving);
        let result = tokio::select! {
            result = &mut serving => Some(result),
            () = sleep(self.max_age) => {
                peer.is_old.cancel();
                None
            }
            () = peer.activity.idle(self.idle_timeout) => {
                tracing::debug!(remote = %peer.remote, "closes an idle connection");
                None
            }
            () = self.stopping.cancelled() => None,
        };
        let result = match result {
            Some(result) => result,
            None => {
                serving.as_mut().graceful_shutdown();
                tokio::select! {
                    result = &mut serving => result,
                    () = peer.activity.idle(GOAWAY_TIMEOUT) => Ok(()),
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(
                remote = %peer.remote,
                error = &error as &dyn std::error::Error,
                "a connection failed"
            );
        }
    }
}
