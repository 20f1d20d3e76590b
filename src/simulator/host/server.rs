//! Connections: HTTP/1.1 in, replies out with each host's header fields and framing
//! (docs/upstream/wire.md 9).

use std::{future::pending, io, time::Duration};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    ext::ReasonPhrase,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_stream::{Stream, StreamExt as _};

use super::{
    Refusal,
    reply::{Cut, Reply, reason_of},
    stream::{End, FaultStream, Script, StreamControl},
};
use crate::simulator::{
    Dialect, Handle, control_pages,
    fault::effects,
    framework::{dispatch, parameters::lossy},
    log::Received,
};

/// The largest request body that is read.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// How long a self-host keeps an idle connection (docs/upstream/wire.md 9).
const SELF_HOST_KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long nginx keeps one, by its default.
const NGINX_KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The size of a self-host's chunks.
const CHUNK: usize = 1024;

type ReplyBody = UnsyncBoxBody<Bytes, io::Error>;

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
        let gone = || io::Error::from(io::ErrorKind::ConnectionAborted);
        // An error ends the connection without an answer.
        async move { call.await.ok().flatten().ok_or_else(gone) }
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
    *control.lock() = Script::Pass;
    let dialect = handle.options().dialect;
    let (parts, body) = request.into_parts();
    let headers = parts.headers.iter();
    let received = Received {
        connection,
        method: parts.method.as_str().to_owned(),
        target: parts.uri.to_string(),
        headers: headers
            .map(|(name, value)| (name.as_str().to_owned(), lossy(value.as_bytes())))
            .collect(),
        body: Limited::new(body, MAX_BODY)
            .collect()
            .await
            .ok()?
            .to_bytes()
            .to_vec(),
        ..Received::default()
    };
    let connection = received.header("connection").unwrap_or_default();
    let closes = connection.eq_ignore_ascii_case("close");
    let head = received.method == "HEAD" && dialect.is_self_host();
    if let Some(reply) = control_pages::page(handle, &received) {
        return Some(respond(reply, dialect, closes));
    }
    let dispatched = dispatch(&received, &handle.host());
    let sequence = handle.record(received, &dispatched);
    let mut reply = match dispatched {
        Ok(call) => effects::serve(handle, control, sequence, call).await,
        Err(Refusal::Reply(reply)) => *reply,
        Err(Refusal::NeverAnswer) => pending().await,
        Err(Refusal::Close) => {
            *control.lock() = Script::Cut {
                keep: 0,
                end: End::Close,
            };
            Reply::text(400, "")
        }
    };
    if handle.knobs().standard_reasons && reason_of(reply.status) != "Unknown" {
        reply.reason = None;
    }
    if head {
        // A self-host sends the body of its answer to a HEAD, which the HTTP library does not.
        *control.lock() = Script::Append {
            bytes: reply.body.clone(),
            started: false,
        };
    }
    Some(respond(reply, dialect, closes))
}

/// Makes the response of a reply; `closes` is whether the client asked to close the connection.
fn respond(reply: Reply, dialect: Dialect, closes: bool) -> Response<ReplyBody> {
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    const ASPNET_VERSION: HeaderName = HeaderName::from_static("x-aspnet-version");
    let self_host = dialect.is_self_host();
    let file = reply
        .attachment
        .map(|operation| format!("attachment;filename={operation}.csv"));
    let (vary, powered) = match dialect {
        Dialect::V4 => (Some("Accept"), "ServiceStack/4.00 Unix/Mono"),
        Dialect::V3 | Dialect::AspNet => (None, "ServiceStack/3.960 Unix/Mono"),
    };
    let mut fields = vec![
        (header::CONTENT_DISPOSITION, file.as_deref()),
        (header::LOCATION, reply.location.as_deref()),
        (header::VARY, vary.filter(|_| reply.powered)),
        (
            HeaderName::from_static("x-powered-by"),
            Some(powered).filter(|_| reply.powered),
        ),
        (header::CONTENT_TYPE, reply.content_type.as_deref()),
    ];
    let close = (header::CONNECTION, Some("close"));
    match reply.server {
        Some(server) => {
            fields.push((header::SERVER, Some(server)));
            fields.extend(reply.closes.then_some(close));
        }
        None if self_host => {
            fields.push((header::SERVER, Some("Mono-HTTPAPI/1.0")));
            if matches!(reply.status, 400 | 500) {
                fields.push(close);
            } else if !closes {
                fields.push((KEEP_ALIVE, Some("timeout=15,max=100")));
            }
        }
        None => fields.extend([
            (header::SERVER, Some("nginx/1.22.1")),
            (ASPNET_VERSION, Some("4.0.30319")),
            (header::CACHE_CONTROL, Some("private")),
        ]),
    }
    let length = reply.body.len().to_string();
    let sized = reply.sized || !self_host || reply.body.is_empty();
    if sized && reply.cut.is_some() {
        fields.push((header::CONTENT_LENGTH, Some(&length)));
    }
    let mut response = Response::new(body(reply.body, sized, reply.cut));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(Ok(reason)) = reply
        .reason
        .map(|text| ReasonPhrase::try_from(text.into_bytes()))
    {
        response.extensions_mut().insert(reason);
    }
    for (name, value) in fields {
        if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Makes the body of a reply, of known length or in chunks.
fn body(mut bytes: Vec<u8>, sized: bool, cut: Option<Cut>) -> ReplyBody {
    let Some(cut) = cut else {
        if sized {
            return Full::from(bytes)
                .map_err(|never| match never {})
                .boxed_unsync();
        }
        return StreamBody::new(chunks(bytes)).boxed_unsync();
    };
    bytes.truncate(cut.keep);
    let start = chunks(bytes);
    if cut.hangs {
        return StreamBody::new(start.chain(tokio_stream::pending())).boxed_unsync();
    }
    // The error closes the connection at once; a pending body lets the start leave before.
    let close = tokio_stream::once(()).then(|()| async {
        tokio::task::yield_now().await;
        Err(io::ErrorKind::ConnectionAborted.into())
    });
    StreamBody::new(start.chain(close)).boxed_unsync()
}

fn chunks(bytes: Vec<u8>) -> impl Stream<Item = io::Result<Frame<Bytes>>> {
    let mut rest = Bytes::from(bytes);
    tokio_stream::iter(std::iter::from_fn(move || {
        let chunk = rest.split_to(rest.len().min(CHUNK));
        (!chunk.is_empty()).then(|| Ok(Frame::data(chunk)))
    }))
}
