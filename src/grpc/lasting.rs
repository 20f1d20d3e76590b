//! The answers of calls that last: a health watch, reflection.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};

use super::{accept::Call, status};

/// The body of an answer that would go on for ever.
///
/// It ends with DEADLINE_EXCEEDED at the caller's deadline, and well when the server stops: after
/// what there was to tell, else a watch would hold up every drain. While it lasts, its connection is
/// not idle.
pub(super) struct Lasting {
    body: Body,
    over: Pin<Box<dyn Future<Output = Status> + Send>>,
    is_over: bool,
    _counted: Option<Call>,
}

impl Lasting {
    pub(super) fn body(
        body: Body,
        ends: Option<Instant>,
        stopping: CancellationToken,
        counted: Option<Call>,
    ) -> Body {
        let over = async move {
            let deadline = async {
                match ends {
                    Some(ends) => sleep_until(ends).await,
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
            over: Box::pin(over),
            is_over: false,
            _counted: counted,
        })
    }
}

impl http_body::Body for Lasting {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        self.over.as_mut().poll(context).map(|status| {
            self.is_over = true;
            let mut trailers = http::HeaderMap::new();
            Some(
                status
                    .add_header(&mut trailers)
                    .map(|()| Frame::trailers(trailers)),
            )
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }
}
