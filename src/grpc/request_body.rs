//! The body of a request: its framing is checked, and its memory is limited, while it arrives.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Status, body::Body};
use tower::Service;

use super::{status, streaming::is_reflection};

/// How much of each message does not count: common messages are far smaller, so that senders of
/// large ones cannot make others fail.
const FREE: usize = 16 * 1024;

/// The request memory budget: how much of large messages may be in memory at once, and the unit
/// that it is counted in. A message can be megabytes, a connection can have hundreds of calls, and
/// a client can hold a message back before its end.
const BUDGET: usize = 64 * 1024 * 1024;
const UNIT: usize = 1024;

/// The bytes before each message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// The limits of request bodies.
#[derive(Debug, Clone)]
pub(super) struct RequestBodies {
    budget: Arc<Semaphore>,
    /// The largest message, in bytes.
    max_message: usize,
}

/// The memory of a request, taken from the budget.
type Held = Arc<Mutex<Option<OwnedSemaphorePermit>>>;

impl RequestBodies {
    pub(super) fn new(max_message: usize) -> Self {
        Self {
            budget: Arc::new(Semaphore::new(BUDGET / UNIT)),
            max_message,
        }
    }

    /// Checks the body of a request, and counts it against the budget until the call is answered:
    /// a write that waits for its account keeps its message.
    pub(super) fn check<S>(
        &self,
        request: Request<Body>,
        mut next: S,
    ) -> impl Future<Output = Result<Response<Body>, S::Error>> + use<S>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let framing = Framing {
            max: self.max_message,
            is_stream: is_reflection(request.uri().path()),
            head: [0; HEAD],
            filled: 0,
            missing: 0,
            messages: 0,
        };
        let held = Held::default();
        let budget = Arc::clone(&self.budget);
        let memory = Arc::clone(&held);
        let response = next.call(request.map(|body| {
            Body::new(CheckedBody {
                body,
                framing,
                received: 0,
                budget,
                held: memory,
                ended: false,
            })
        }));
        async move {
            let _held = held;
            response.await
        }
    }
}

/// The body of a request. It ends with its last message: trailers, which no gRPC request has, are
/// dropped, since tonic would read them as header fields.
struct CheckedBody {
    body: Body,
    framing: Framing,
    received: usize,
    budget: Arc<Semaphore>,
    held: Held,
    ended: bool,
}

impl CheckedBody {
    /// Takes the memory for `bytes` more.
    fn take(&mut self, bytes: usize) -> Result<(), Status> {
        self.received = self.received.saturating_add(bytes);
        let needed = self.received.saturating_sub(FREE).div_ceil(UNIT);
        let mut held = self.held.lock();
        let has = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if needed <= has {
            return Ok(());
        }
        let more = u32::try_from(needed - has).ok();
        let more = more.and_then(|more| Arc::clone(&self.budget).try_acquire_many_owned(more).ok());
        match (more, &mut *held) {
            (None, _) => return Err(status::memory_exhausted()),
            (Some(more), Some(held)) => held.merge(more),
            (Some(more), held @ None) => *held = Some(more),
        }
        Ok(())
    }
}

impl http_body::Body for CheckedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) if frame.is_data() => frame,
            Some(Err(error)) => {
                self.ended = true;
                return Poll::Ready(Some(Err(error)));
            }
            // The end, or trailers.
            None | Some(Ok(_)) => {
                self.ended = true;
                return Poll::Ready(self.framing.end().err().map(Err));
            }
        };
        let data = frame.data_ref().map(Bytes::as_ref).unwrap_or_default();
        let checked = self.framing.data(data);
        let length = data.len();
        let checked = checked.and_then(|()| self.take(length));
        self.ended = checked.is_err();
        Poll::Ready(Some(checked.map(|()| frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

/// The messages of a body so far.
#[derive(Debug)]
struct Framing {
    /// The largest message, in bytes.
    max: usize,
    /// Whether any number of messages is allowed; else exactly one.
    is_stream: bool,
    head: [u8; HEAD],
    /// How many bytes of the head have arrived.
    filled: usize,
    /// How many bytes of the message are missing.
    missing: usize,
    /// How many messages have begun.
    messages: usize,
}

impl Framing {
    /// Checks the next bytes.
    fn data(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            if self.missing > 0 {
                let now = self.missing.min(data.len());
                self.missing -= now;
                data = &data[now..];
                continue;
            }
            if self.messages > 0 && !self.is_stream {
                return Err(status::not_one_message());
            }
            let now = (HEAD - self.filled).min(data.len());
            self.head[self.filled..][..now].copy_from_slice(&data[..now]);
            self.filled += now;
            data = &data[now..];
            if self.filled == HEAD {
                self.begin_message()?;
            }
        }
        Ok(())
    }

    fn begin_message(&mut self) -> Result<(), Status> {
        let [flag, length @ ..] = self.head;
        if flag != 0 {
            // Only a call that names a `grpc-encoding` may compress, and such a call is refused.
            return Err(status::malformed(
                "its compressed-flag is set without a grpc-encoding",
            ));
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > self.max {
            return Err(status::message_too_large(self.max));
        }
        self.filled = 0;
        self.missing = length;
        self.messages += 1;
        Ok(())
    }

    /// Checks that the body may end here.
    fn end(&self) -> Result<(), Status> {
        if self.filled > 0 || self.missing > 0 {
            Err(status::malformed("it ends before its length"))
        } else if self.messages == 0 && !self.is_stream {
            Err(status::not_one_message())
        } else {
            Ok(())
        }
    }
}
