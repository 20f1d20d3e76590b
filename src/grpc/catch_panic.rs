//! Answers a call whose handler panicked with INTERNAL; the process continues.

use std::any::Any;

use tonic::{Status, body::Body};
use tower_http::catch_panic::{CatchPanicLayer, ResponseForPanic};

use super::status;

/// Returns the layer that catches panics.
pub(super) fn catch_panic() -> CatchPanicLayer<Panicked> {
    CatchPanicLayer::custom(Panicked)
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Panicked;

impl ResponseForPanic for Panicked {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, _: Box<dyn Any + Send>) -> http::Response<Body> {
        // The panic hook has logged where it was. Its text may hold anything, so it is dropped.
        tracing::error!("a handler panicked");
        let status: Status = status::panicked();
        status.into_http()
    }
}

#[cfg(test)]
mod tests {
    use tower::{Layer as _, Service as _};

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_internal_with_details() {
        let handler = tower::service_fn(|_: http::Request<Body>| async move {
            if true {
                std::panic::panic_any("the handler's own words");
            }
            Ok::<_, std::convert::Infallible>(http::Response::new(Body::empty()))
        });
        let mut service = catch_panic().layer(handler);
        let answer = service
            .call(http::Request::new(Body::empty()))
            .await
            .unwrap();
        assert_eq!(answer.headers()["grpc-status"], "13");
        assert!(answer.headers().contains_key("grpc-status-details-bin"));
        assert!(!format!("{:?}", answer.headers()).contains("own words"));
    }
}
