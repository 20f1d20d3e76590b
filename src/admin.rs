//! The admin pages: is it alive, is it ready, what does it count, how is it set up, what is it at.
//!
//! Plain text and JSON over HTTP/1.1, without scripts, cookies or a way to write anything but the log
//! filter. Nobody is asked who they are, so the address is loopback unless the configuration says
//! otherwise. Nothing here is personal, and no page holds a secret.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    sync::watch,
    task::JoinSet,
};

use crate::{
    health::Health,
    telemetry::{self, in_flight::Calls, metrics},
};

/// How many connections there may be at once: a scraper and a few people.
const MAX_CONNECTIONS: usize = 64;

/// How long a connection may last, from its request to its answer, and how long accepting rests
/// after it failed.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
";

/// What the pages show.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) health: Health,
    pub(crate) calls: Calls,
    /// The configuration in force, redacted.
    pub(crate) config: watch::Receiver<String>,
}

type Page = Response<Full<Bytes>>;

impl Admin {
    /// Serves the pages until the future is dropped.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    };
                    // One too many is closed at once.
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                        continue;
                    };
                    let admin = self.clone();
                    connections.spawn(async move {
                        let _place = place;
                        admin.converse(stream).await;
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Answers the one request of a connection, in a time that a client who is slow to ask or to
    /// read cannot stretch.
    async fn converse(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request| {
            let admin = self.clone();
            async move { Ok::<_, Infallible>(admin.answer(request).await) }
        });
        let conversation = http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        // How a connection ends is its client's affair.
        let _ = tokio::time::timeout(CONNECTION_LIMIT, conversation).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Page {
        let path = request.uri().path().to_owned();
        match (request.method(), path.as_str()) {
            (&Method::PUT, "/loglevel") => self.set_log_filter(request.into_body()).await,
            (&Method::GET | &Method::HEAD, path) => self.page(path),
            (_, "/loglevel") => refuse("GET, HEAD, PUT"),
            _ => refuse("GET, HEAD"),
        }
    }

    fn page(&self, path: &str) -> Page {
        match path {
            "/" => text(StatusCode::OK, PAGES),
            "/livez" => text(StatusCode::OK, "ok\n"),
            "/readyz" if self.health.is_ready() => text(StatusCode::OK, "ok\n"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            "/metrics" => match metrics::render() {
                Some(metrics) => page(
                    StatusCode::OK,
                    "text/plain; version=0.0.4; charset=utf-8",
                    metrics,
                ),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "no metrics are kept\n"),
            },
            "/config" => text(StatusCode::OK, self.config.borrow().clone()),
            "/loglevel" => match telemetry::log_filter() {
                Some(filter) => text(StatusCode::OK, filter.text() + "\n"),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "no log is kept\n"),
            },
            "/inflight" => self.in_flight(),
            _ => text(
                StatusCode::NOT_FOUND,
                format!("there is no such page; there are:\n{PAGES}"),
            ),
        }
    }

    fn in_flight(&self) -> Page {
        let calls: Vec<_> = self
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

    async fn set_log_filter(&self, body: Incoming) -> Page {
        let bad = |problem: &str| text(StatusCode::BAD_REQUEST, format!("{problem}\n"));
        let Ok(body) = Limited::new(body, MAX_FILTER_BYTES).collect().await else {
            return bad("the filter is too long");
        };
        let body = body.to_bytes();
        let Ok(filter) = std::str::from_utf8(&body) else {
            return bad("the filter is not UTF-8");
        };
        let Some(log) = telemetry::log_filter() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "no log is kept\n");
        };
        let filter = filter.trim();
        if filter.is_empty() {
            // It would be one that writes errors only; whoever means that can say so.
            return bad("the filter is empty");
        }
        match log.set(filter) {
            Ok(()) => text(StatusCode::OK, log.text() + "\n"),
            Err(problem) => bad(&problem),
        }
    }
}

/// Binds the address of the pages.
///
/// # Errors
/// Says which address cannot be had.
pub(crate) async fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(listen).await.map_err(|error| {
        std::io::Error::new(
            error.kind(),
            format!("cannot serve admin pages on {listen}: {error}"),
        )
    })
}

fn refuse(allowed: &'static str) -> Page {
    let mut page = text(StatusCode::METHOD_NOT_ALLOWED, format!("use {allowed}\n"));
    page.headers_mut()
        .insert(header::ALLOW, header::HeaderValue::from_static(allowed));
    page
}

fn text(status: StatusCode, body: impl Into<String>) -> Page {
    page(status, "text/plain; charset=utf-8", body.into())
}

fn page(status: StatusCode, content_type: &'static str, body: String) -> Page {
    let mut page = Response::new(Full::new(Bytes::from(body)));
    *page.status_mut() = status;
    let headers = page.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    page
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn admin() -> Admin {
        Admin {
            health: Health::new(&[""], false, Duration::from_secs(60)),
            calls: Calls::default(),
            config: watch::Sender::default().subscribe(),
        }
    }

    /// How long a client may hold a connection, in a time that passes by itself.
    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_slow_to_ask_or_to_read_does_not_hold_its_connection() {
        for (begun, room) in [
            ("", 4096),
            ("GET /livez HTTP/1.1\r\nHost: a", 4096),
            (
                "PUT /loglevel HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nwa",
                4096,
            ),
            // The answer does not fit into what the client takes.
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 64),
        ] {
            let (mut client, server) = tokio::io::duplex(room);
            let serving = tokio::spawn(admin().await.converse(server));
            client.write_all(begun.as_bytes()).await.unwrap();
            let ended = tokio::time::timeout(LONG, serving).await;
            assert!(ended.is_ok(), "{begun:?} holds its connection");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_with_its_answer() {
        let (mut client, server) = tokio::io::duplex(4096);
        let serving = tokio::spawn(admin().await.converse(server));
        let request = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("ok\n"), "{answer}");
        serving.await.unwrap();
    }
}
