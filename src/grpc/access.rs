//! Who calls: every call is admitted here, or refused before its message is read.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tonic::body::Body;
use tower::{Layer, Service};

use super::{accept::Peer, server::SERVICE, status};
use crate::{
    security::{Authorizer, Caller, Denied, Unauthenticated},
    telemetry::{in_flight::Progress, names},
};

/// Health, which everybody may ask for: balancers have no credentials.
const OPEN: &str = "grpc.health.v1.Health";

/// Admits calls, and puts the [`Caller`] into the extensions of their requests as an `Arc`.
#[derive(Debug, Clone)]
pub(super) struct AccessLayer {
    pub(super) authorizer: Arc<Authorizer>,
}

impl<S> Layer<S> for AccessLayer {
    type Service = AccessService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AccessService {
            inner,
            authorizer: Arc::clone(&self.authorizer),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct AccessService<S> {
    inner: S,
    authorizer: Arc<Authorizer>,
}

impl<S> AccessService<S> {
    fn admit<B>(&self, request: &http::Request<B>) -> Result<Arc<Caller>, Denied> {
        let peer = request
            .extensions()
            .get::<Peer>()
            .ok_or(Unauthenticated::Missing)?;
        let session = peer.session.as_ref();
        let caller = self
            .authorizer
            .authenticate(peer.remote, session, request.headers())?;
        // Whoever is known is told of, whatever the call then comes to.
        if let Some(call) = request.extensions().get::<Progress>() {
            call.set_caller(&caller.name);
        }
        if let Some((SERVICE, method)) = named(request) {
            caller.authorize_method(method)?;
        }
        Ok(caller)
    }
}

/// Returns the service and the method that a call names.
fn named<B>(request: &http::Request<B>) -> Option<(&str, &str)> {
    request.uri().path().strip_prefix('/')?.split_once('/')
}

impl<S> Service<http::Request<Body>> for AccessService<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if named(&request).is_some_and(|(service, _)| service == OPEN) {
            return Box::pin(self.inner.call(request));
        }
        match self.admit(&request) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                Box::pin(self.inner.call(request))
            }
            Err(denied) => {
                let remote = request.extensions().get::<Peer>().map(|peer| peer.remote);
                tracing::info!(
                    method = names::method(request.uri().path()),
                    remote = remote.map(tracing::field::display),
                    reason = denied.reason().as_str(),
                    error = &denied as &dyn std::error::Error,
                    "call denied"
                );
                let answer = status::from_denied(&denied, None).into_http();
                Box::pin(async move { Ok(answer) })
            }
        }
    }
}
