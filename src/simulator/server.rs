//! Connections: HTTP/1.1 in, replies out with each host's header fields and framing
//! (docs/upstream/wire.md 9).

use std::{
    convert::Infallible,
    future::pending,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use http_body_util::{BodyExt, Limited};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    ext::ReasonPhrase,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::{
    control_handle::Handle,
    control_pages, fault_effects,
    fault_stream::{End, FaultStream, Script, StreamControl},
    framework::{Disposition, dispatch},
    host::{RawRequest, Refusal},
    options::Dialect,
    parameters::lossy,
    reply::{Reply, reason_of},
};

/// The largest request body that is read.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// How long a self-host keeps an idle connection (docs/upstream/wire.md 9).
const SELF_HOST_KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long nginx keeps one, by its default.
const NGINX_KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The size of a self-host's chunks.
const CHUNK: usize = 1024;

/// Serves one connection until either side closes it.
///
/// A call continues when its client is gone, as on a real host, until the simulator stops.
pub(crate) async fn connection(stream: TcpStream, number: u64, handle: Handle) {
    // Answers go out in small pieces when they trickle; they must not wait for each other.
    let _ = stream.set_nodelay(true);
    let keep_alive = if handle.options().dialect.is_self_host() {
        SELF_HOST_KEEP_ALIVE
    } else {
        NGINX_KEEP_ALIVE
    };
    let control = StreamControl::default();
    let stream = TokioIo::new(FaultStream::new(stream, control.clone()));
    let serve = service_fn(move |request| {
        let (handle, control) = (handle.clone(), control.clone());
        let call = tokio::spawn(async move {
            tokio::select! {
                () = handle.stop().cancelled() => None,
                response = answer(request, number, &handle, &control) => response,
            }
        });
        async move {
            match call.await {
                Ok(Some(response)) => Ok(response),
                // An error ends the connection without an answer.
                Ok(None) | Err(_) => Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
            }
        }
    });
    // The peer or a fault caused the error; nothing is left to do on the connection.
    let _ = hyper::server::conn::http1::Builder::new()
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(keep_alive)
        .serve_connection(stream, serve)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    connection: u64,
    handle: &Handle,
    control: &StreamControl,
) -> Option<Response<ReplyBody>> {
    control.set(Script::Pass);
    let dialect = handle.options().dialect;
    let closes = request
        .headers()
        .get(header::CONNECTION)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
    let (parts, body) = request.into_parts();
    let raw = RawRequest {
        method: parts.method.as_str().to_owned(),
        target: parts.uri.to_string(),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), lossy(value.as_bytes())))
            .collect(),
        body: Limited::new(body, MAX_BODY)
            .collect()
            .await
            .ok()?
            .to_bytes()
            .to_vec(),
    };
    if let Some(reply) = control_pages::page(handle, &raw) {
        return Some(respond(reply, dialect, closes));
    }
    let head = raw.method == "HEAD" && dialect.is_self_host();
    let disposition = dispatch(&raw, &handle.host());
    let sequence = handle.record(connection, raw, &disposition);
    let mut reply = match disposition {
        Disposition::Serve(call) => fault_effects::serve(handle, control, sequence, *call).await,
        Disposition::Refuse(Refusal::Reply(reply)) => *reply,
        Disposition::Refuse(Refusal::NeverAnswer) => pending().await,
        Disposition::Refuse(Refusal::Close) => {
            control.set(Script::CutHead {
                keep: 0,
                end: End::Close,
            });
            Reply::text(400, "")
        }
    };
    if handle.knobs().standard_reasons && reason_of(reply.status) != "Unknown" {
        reply.reason = None;
    }
    if head {
        // A self-host sends the body of its answer to a HEAD, which the HTTP library does not.
        control.set(Script::Append {
            bytes: reply.body.clone(),
            started: false,
        });
    }
    Some(respond(reply, dialect, closes))
}

fn respond(reply: Reply, dialect: Dialect, closes: bool) -> Response<ReplyBody> {
    let self_host = dialect.is_self_host();
    let sized = !self_host || reply.sized;
    let mut response = Response::new(ReplyBody::new(reply.body, sized));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(reason) = reply
        .reason
        .and_then(|text| ReasonPhrase::try_from(text.into_bytes()).ok())
    {
        response.extensions_mut().insert(reason);
    }
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    if let Some(bound) = &reply.bound {
        set(HeaderName::from_static("x-svc-bound"), &ascii_json(bound));
    }
    if let Some(operation) = &reply.attachment {
        set(
            header::CONTENT_DISPOSITION,
            &format!("attachment;filename={operation}.csv"),
        );
    }
    if let Some(location) = &reply.location {
        set(header::LOCATION, location);
    }
    if reply.powered {
        if dialect == Dialect::V4 {
            set(header::VARY, "Accept");
        }
        let version = if dialect == Dialect::V4 {
            "4.00"
        } else {
            "3.960"
        };
        let powered = format!("ServiceStack/{version} Unix/Mono");
        set(HeaderName::from_static("x-powered-by"), &powered);
    }
    if let Some(content_type) = &reply.content_type {
        set(header::CONTENT_TYPE, content_type);
    }
    if let Some(server) = reply.server {
        set(header::SERVER, server);
        if reply.closes {
            set(header::CONNECTION, "close");
        }
    } else if self_host {
        set(header::SERVER, "Mono-HTTPAPI/1.0");
        if matches!(reply.status, 400 | 500) {
            set(header::CONNECTION, "close");
        } else if !closes {
            set(HeaderName::from_static("keep-alive"), "timeout=15,max=100");
        }
    } else {
        set(header::SERVER, "nginx/1.22.1");
        set(HeaderName::from_static("x-aspnet-version"), "4.0.30319");
        set(header::CACHE_CONTROL, "private");
    }
    response
}

/// Escapes what a header field cannot hold; the text is JSON, so this stays the same JSON.
fn ascii_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for char in json.chars() {
        if matches!(char, ' '..='~') {
            out.push(char);
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

/// The body of a reply, of known length or in chunks.
#[derive(Debug)]
pub(crate) struct ReplyBody {
    left: Bytes,
    sized: bool,
}

impl ReplyBody {
    fn new(body: Vec<u8>, sized: bool) -> Self {
        Self {
            left: Bytes::from(body),
            sized,
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.left.is_empty() {
            return Poll::Ready(None);
        }
        let size = if this.sized {
            this.left.len()
        } else {
            this.left.len().min(CHUNK)
        };
        Poll::Ready(Some(Ok(Frame::data(this.left.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        // Without an exact hint hyper sends chunks.
        if self.sized || self.left.is_empty() {
            SizeHint::with_exact(self.left.len() as u64)
        } else {
            SizeHint::default()
        }
    }
}
