//! The request memory budget: how much of large messages may be in memory at once.
//!
//! A message can be a megabyte, a connection can have hundreds of calls, and a client can hold a
//! message back before its end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Status, body::Body};

use super::status;

/// How much of each message does not count: common messages are far smaller, so that senders of
/// large ones cannot make others fail.
const FREE: usize = 16 * 1024;

/// The budget, and the unit that it is counted in.
const BUDGET: usize = 64 * 1024 * 1024;
const UNIT: usize = 1024;

/// The budget of all calls of the server.
#[derive(Debug, Clone)]
pub(super) struct RequestMemory(Arc<Semaphore>);

impl RequestMemory {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(BUDGET / UNIT)))
    }

    /// Counts the body of a request against the budget until it has been received. Beyond the
    /// budget the body fails with RESOURCE_EXHAUSTED.
    pub(super) fn limit(&self, request: http::Request<Body>) -> http::Request<Body> {
        request.map(|body| {
            Body::new(LimitedBody {
                body,
                received: 0,
                budget: Arc::clone(&self.0),
                held: None,
            })
        })
    }
}

/// The body of a request, which takes memory from the budget as it arrives.
struct LimitedBody {
    body: Body,
    received: usize,
    budget: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl LimitedBody {
    /// Takes the memory for `bytes` more; `None` where the budget is exhausted.
    fn take(&mut self, bytes: usize) -> Option<()> {
        self.received = self.received.saturating_add(bytes);
        let needed = self.received.saturating_sub(FREE).div_ceil(UNIT);
        let held = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(needed.saturating_sub(held)).ok()?;
        if more > 0 {
            let more = Arc::clone(&self.budget).try_acquire_many_owned(more).ok()?;
            match &mut self.held {
                Some(held) => held.merge(more),
                held @ None => *held = Some(more),
            }
        }
        Some(())
    }
}

impl http_body::Body for LimitedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
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
