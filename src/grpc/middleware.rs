//! Middleware as a function.

use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

/// A layer made of a function, which takes the request and the inner service and returns the future
/// of the response.
///
/// As `axum::middleware::from_fn`, but without a box per call, and what the function does before it
/// returns its future is done before the first poll.
#[derive(Debug, Clone)]
pub(super) struct Middleware<F>(pub(super) F);

impl<F: Clone, S> Layer<S> for Middleware<F> {
    type Service = Wrapped<F, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Wrapped {
            function: self.0.clone(),
            inner,
        }
    }
}

/// A service inside a [`Middleware`].
#[derive(Debug, Clone)]
pub(super) struct Wrapped<F, S> {
    function: F,
    inner: S,
}

impl<F, S, R, B> Service<Request<Body>> for Wrapped<F, S>
where
    F: FnMut(Request<Body>, S) -> R,
    S: Service<Request<Body>> + Clone,
    R: Future<Output = Result<Response<B>, S::Error>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = R;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> R {
        // The one that was polled is ready; the clone is for the next call.
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        (self.function)(request, ready)
    }
}
