//! Streaming responses: a health watch, reflection.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};

use super::{incoming::ActiveCall, status};

/// Returns whether the response to a request path is a stream that does not end by itself.
pub(super) fn is_streaming(path: &str) -> bool {
    path.ends_with("/Watch") || path.contains("ServerReflection/")
}

/// The body of a streaming response.
///
/// It ends with DEADLINE_EXCEEDED at the caller's deadline, and with OK when the server stops,
/// after the messages that are ready; else a watch would hold up every drain. Until then its
/// connection is not idle.
pub(super) struct StreamingBody {
    body: Body,
    end: Pin<Box<dyn Future<Output = Status> + Send>>,
    ended: bool,
    _activity: Option<ActiveCall>,
}

impl StreamingBody {
    /// Ends a body at the deadline, if there is one, and when `stopping` is cancelled.
    pub(super) fn wrap(
        body: Body,
        deadline: Option<Instant>,
        stopping: CancellationToken,
        activity: Option<ActiveCall>,
    ) -> Body {
        let end = async move {
            let deadline = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = deadline => status::deadline_exceeded(),
                () = stopping.cancelled() => status::stopped(),
            }
        };
        Body::new(Self {
            body,
            end: Box::pin(end),
            ended: false,
            _activity: activity,
        })
    }
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
            let mut trailers = http::HeaderMap::new();
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
