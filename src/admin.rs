//! The admin pages: liveness, readiness, metrics, configuration, log filter, calls in flight.
//!
//! Plain text and JSON over HTTP/1.1, without scripts and cookies; only the log filter can be
//! written. They are not authenticated, so the address is loopback unless the configuration says
//! otherwise. No page holds a secret or personal data.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    response::Response,
    routing::get,
};
use http::{Method, StatusCode, Uri, header, header::HeaderValue};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Semaphore, SetOnce, watch},
};
use tower::Service as _;

use crate::{
    health::Health,
    journal::{self, Availability, Figures, Journal},
    net::accept_loop,
    telemetry::{self, in_flight::Calls, metrics},
};

/// The most connections at once: a scraper and a few people.
const MAX_CONNECTIONS: usize = 64;

/// How long a connection may last, from its request to its response.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);

/// The longest log filter, in bytes.
const MAX_FILTER_BYTES: usize = 4096;

/// The pages, and what they show.
const PAGES: &str = "\
GET  /livez     the process runs
GET  /readyz    it is ready to serve
GET  /metrics   what is counted and timed, for Prometheus
GET  /config    the configuration in force, without secrets
GET  /loglevel  the filter of log lines
PUT  /loglevel  set it: the body is a filter as in RUST_LOG
GET  /inflight  the calls in flight: method, age, phase
GET  /journal   whether the journal takes writes, and how many records it holds
";

/// What the pages show.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) health: Health,
    pub(crate) calls: Calls,
    /// The configuration in force, redacted.
    pub(crate) config: watch::Receiver<String>,
    /// Empty until it is open.
    pub(crate) journal: Arc<SetOnce<Journal>>,
}

impl Admin {
    /// Serves the pages until the future is dropped.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let router = self.router();
        accept_loop(listener, |stream, _| {
            // A connection beyond the cap is closed at once.
            let permit = Arc::clone(&permits).try_acquire_owned().ok()?;
            let router = router.clone();
            Some(async move {
                let _permit = permit;
                serve_connection(router, stream).await;
            })
        })
        .await;
    }

    fn router(self) -> Router {
        Router::new()
            .route("/", get(async || text(StatusCode::OK, PAGES)))
            .route("/livez", get(async || text(StatusCode::OK, "ok\n")))
            .route("/readyz", get(ready))
            .route("/metrics", get(render_metrics))
            .route("/config", get(config))
            .route("/loglevel", get(log_filter).put(set_log_filter))
            .route("/inflight", get(in_flight))
            .route("/journal", get(journal_line))
            .fallback(unknown_page)
            .method_not_allowed_fallback(refuse)
            .with_state(self)
    }
}

/// Answers the one request of a connection, within a limit that a client cannot stretch by sending
/// or reading slowly.
async fn serve_connection(router: Router, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(|request| router.clone().call(request)),
        );
    // How a connection ends is its client's affair.
    let _ = tokio::time::timeout(CONNECTION_LIMIT, connection).await;
}

/// Describes the journal in a line.
async fn journal_line(State(admin): State<Admin>) -> Response {
    let Some(journal) = admin.journal.get() else {
        let line = "unavailable (another process still has it)\n";
        return text(StatusCode::OK, line);
    };
    let availability = match &*journal.availability().borrow() {
        Availability::Available => "available".to_owned(),
        Availability::Unavailable(reason) => format!("unavailable ({reason})"),
        Availability::Poisoned(reason) => format!("unavailable until a restart ({reason})"),
    };
    let Figures {
        by_state,
        bytes,
        evicted,
        ..
    } = journal.figures();
    let states: Vec<_> = journal::State::ALL
        .into_iter()
        .zip(by_state)
        .map(|(state, count)| format!("{count} {}", state.name()))
        .collect();
    let states = states.join(", ");
    let line = format!("{availability}; records: {states}; {bytes} bytes; {evicted} evicted\n");
    text(StatusCode::OK, line)
}

async fn ready(State(admin): State<Admin>) -> Response {
    if admin.health.is_ready() {
        text(StatusCode::OK, "ok\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn render_metrics() -> Response {
    match metrics::render() {
        Some(metrics) => page(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            metrics,
        ),
        None => text(StatusCode::SERVICE_UNAVAILABLE, "no metrics are kept\n"),
    }
}

async fn config(State(admin): State<Admin>) -> Response {
    text(StatusCode::OK, admin.config.borrow().clone())
}

async fn log_filter() -> Response {
    match telemetry::log_filter() {
        Some(filter) => text(StatusCode::OK, filter.text() + "\n"),
        None => text(StatusCode::SERVICE_UNAVAILABLE, "no log is kept\n"),
    }
}

async fn set_log_filter(body: Body) -> Response {
    let bad = |problem: &str| text(StatusCode::BAD_REQUEST, format!("{problem}\n"));
    let Ok(body) = to_bytes(body, MAX_FILTER_BYTES).await else {
        return bad("the filter is too long");
    };
    let Ok(filter) = std::str::from_utf8(&body) else {
        return bad("the filter is not UTF-8");
    };
    let Some(log) = telemetry::log_filter() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "no log is kept\n");
    };
    let filter = filter.trim();
    if filter.is_empty() {
        // An empty filter writes errors only, which is rarely meant; `error` says so.
        return bad("the filter is empty");
    }
    match log.set(filter) {
        Ok(()) => text(StatusCode::OK, log.text() + "\n"),
        Err(problem) => bad(&problem),
    }
}

async fn in_flight(State(admin): State<Admin>) -> Response {
    let calls: Vec<_> = admin
        .calls
        .in_flight()
        .into_iter()
        .map(|call| {
            json!({
                "method": call.method,
                "age_seconds": call.age.as_secs_f64(),
                "phase": call.phase.name(),
            })
        })
        .collect();
    let body = json!({ "calls": calls }).to_string() + "\n";
    page(StatusCode::OK, "application/json", body)
}

async fn unknown_page(method: Method, uri: Uri) -> Response {
    if method == Method::GET || method == Method::HEAD {
        let body = format!("there is no such page; there are:\n{PAGES}");
        text(StatusCode::NOT_FOUND, body)
    } else {
        refuse(uri).await
    }
}

async fn refuse(uri: Uri) -> Response {
    let allowed = match uri.path() {
        "/loglevel" => "GET, HEAD, PUT",
        _ => "GET, HEAD",
    };
    let mut page = text(StatusCode::METHOD_NOT_ALLOWED, format!("use {allowed}\n"));
    page.headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    page
}

/// Binds the address of the pages.
///
/// # Errors
/// Names the address that cannot be bound.
pub(crate) async fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(listen).await.map_err(|error| {
        std::io::Error::new(
            error.kind(),
            format!("cannot serve admin pages on {listen}: {error}"),
        )
    })
}

fn text(status: StatusCode, body: impl Into<String>) -> Response {
    page(status, "text/plain; charset=utf-8", body.into())
}

fn page(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut page = Response::new(Body::from(body));
    *page.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        page.headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    page
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn router() -> Router {
        let admin = Admin {
            health: Health::new(&[""], false, Duration::from_secs(60)),
            calls: Calls::default(),
            config: watch::Sender::default().subscribe(),
            journal: Arc::default(),
        };
        admin.router()
    }

    /// How long a client may hold a connection, in paused time.
    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_slow_to_ask_or_to_read_does_not_hold_its_connection() {
        for (sent, buffer) in [
            ("", 4096),
            ("GET /livez HTTP/1.1\r\nHost: a", 4096),
            (
                "PUT /loglevel HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nwa",
                4096,
            ),
            // The response does not fit into the buffer of the client.
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 64),
        ] {
            let (mut client, server) = tokio::io::duplex(buffer);
            let serving = tokio::spawn(serve_connection(router().await, server));
            client.write_all(sent.as_bytes()).await.unwrap();
            let ended = tokio::time::timeout(LONG, serving).await;
            assert!(ended.is_ok(), "{sent:?} holds its connection");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_with_its_answer() {
        let (mut client, server) = tokio::io::duplex(4096);
        let serving = tokio::spawn(serve_connection(router().await, server));
        let request = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("ok\n"), "{answer}");
        serving.await.unwrap();
    }
}
