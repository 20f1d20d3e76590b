//! How much of large messages there may be in memory at once.
//!
//! A message can be a megabyte, a connection can have hundreds of calls, and a message can be held
//! back before its end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::status;

/// How much of a message needs no room: common ones are far smaller, so that those who send large
/// ones refuse nothing to others.
const FREE: usize = 16 * 1024;

/// The room, and what it is counted in.
const ROOM: usize = 64 * 1024 * 1024;
const UNIT: usize = 1024;

/// Refuses calls whose messages find no room, with RESOURCE_EXHAUSTED. A message leaves it when it
/// has come whole.
#[derive(Debug, Clone)]
pub(super) struct RoomLayer(Arc<Semaphore>);

impl RoomLayer {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ROOM / UNIT)))
    }
}

impl<S> Layer<S> for RoomLayer {
    type Service = RoomService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RoomService {
            inner,
            room: Arc::clone(&self.0),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct RoomService<S> {
    inner: S,
    room: Arc<Semaphore>,
}

impl<S> Service<http::Request<Body>> for RoomService<S>
where
    S: Service<http::Request<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let room = Arc::clone(&self.room);
        self.inner.call(request.map(|body| {
            Body::new(Roomed {
                body,
                received: 0,
                room,
                held: None,
            })
        }))
    }
}

/// The body of a request, which takes room as it comes.
struct Roomed {
    body: Body,
    received: usize,
    room: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Roomed {
    /// Takes the room for so many bytes more, or finds none.
    fn take(&mut self, bytes: usize) -> Option<()> {
        self.received = self.received.saturating_add(bytes);
        let needed = self.received.saturating_sub(FREE).div_ceil(UNIT);
        let held = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(needed.saturating_sub(held)).ok()?;
        if more > 0 {
            let more = Arc::clone(&self.room).try_acquire_many_owned(more).ok()?;
            match &mut self.held {
                Some(held) => held.merge(more),
                held @ None => *held = Some(more),
            }
        }
        Some(())
    }
}

impl http_body::Body for Roomed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let bytes = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) | None => 0,
        };
        Poll::Ready(match self.take(bytes) {
            Some(()) => frame,
            None => Some(Err(status::memory_exhausted())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
