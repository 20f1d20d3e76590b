//! Streaming responses: a health watch, reflection.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use http_body::Frame;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};
use tower::Service;

use super::{deadline::ReplyDeadline, incoming::Peer, status};
use crate::security::{Authorizer, Caller};

/// How long a streaming response goes on after its connection has got GOAWAY for its age.
const GRACE: Duration = Duration::from_secs(5);

/// Returns whether the response to a request path is a stream that does not end by itself.
fn is_streaming(path: &str) -> bool {
    path == "/grpc.health.v1.Health/Watch" || is_reflection(path)
}

/// Returns whether a request path is that of reflection, whose requests are streams too.
pub(super) fn is_reflection(path: &str) -> bool {
    path.starts_with("/grpc.reflection.")
}

/// Ends a streaming response after the messages that are ready, with
///
/// * DEADLINE_EXCEEDED at the caller's deadline;
/// * UNAUTHENTICATED when its caller's credential no longer counts;
/// * OK when the server stops, else a watch would hold up every drain, and some time after its
///   connection has reached its age.
pub(super) fn end_streams<S>(
    authorizer: &Arc<Authorizer>,
    stopping: &CancellationToken,
    request: Request<Body>,
    mut next: S,
) -> impl Future<Output = Result<Response<Body>, S::Error>> + use<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let end = is_streaming(request.uri().path()).then(|| {
        let end = end(Arc::clone(authorizer), stopping.clone(), &request);
        Box::pin(end) as Pin<Box<dyn Future<Output = Status> + Send>>
    });
    let response = next.call(request);
    async move {
        let response = response.await?;
        Ok(match end {
            None => response,
            Some(end) => response.map(|body| {
                Body::new(StreamingBody {
                    body,
                    end,
                    ended: false,
                })
            }),
        })
    }
}

/// Returns the future of the status with which a streaming response ends.
fn end(
    authorizer: Arc<Authorizer>,
    stopping: CancellationToken,
    request: &Request<Body>,
) -> impl Future<Output = Status> + use<> {
    let extensions = request.extensions();
    let deadline = extensions
        .get::<ReplyDeadline>()
        .and_then(ReplyDeadline::of_caller);
    let peer = extensions.get::<Peer>().cloned();
    let is_old = peer.as_ref().map(|peer| peer.is_old.clone());
    // A health watch needs no credential. If it has one, it ends with that.
    let has_credential =
        extensions.get::<Arc<Caller>>().is_some() || request.headers().contains_key(AUTHORIZATION);
    let mut headers = HeaderMap::new();
    for value in request.headers().get_all(AUTHORIZATION) {
        headers.append(AUTHORIZATION, value.clone());
    }
    async move {
        let deadline = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let too_old = async {
            match is_old {
                Some(is_old) => is_old.cancelled().await,
                None => std::future::pending().await,
            }
            sleep(GRACE).await;
        };
        let denied = async {
            match peer {
                Some(peer) if has_credential => {
                    authorizer
                        .until_denied(peer.remote, peer.session.as_ref(), &headers)
                        .await
                }
                _ => None,
            }
        };
        let denied = async {
            match denied.await {
                Some(denied) => denied,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = deadline => status::deadline_exceeded(),
            () = stopping.cancelled() => status::stopped(),
            () = too_old => status::stopped(),
            denied = denied => status::from_denied(&denied.into(), None),
        }
    }
}

/// The body of a streaming response.
struct StreamingBody {
    body: Body,
    end: Pin<Box<dyn Future<Output = Status> + Send>>,
    ended: bool,
}

impl http_body::Body for StreamingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        self.end.as_mut().poll(cx).map(|status| {
            self.ended = true;
            let mut trailers = HeaderMap::new();
            Some(
                status
                    .add_header(&mut trailers)
                    .map(|()| Frame::trailers(trailers)),
            )
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }
}
