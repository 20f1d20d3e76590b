//! Authenticates the caller of each call, before its message is read.

use std::sync::Arc;

use http::{Request, Response};
use tonic::body::Body;
use tower::Service;

use super::{incoming::Peer, pb::SERVICE, status, streaming::is_reflection};
use crate::{
    security::{Authorizer, Caller, Denied, Unauthenticated},
    telemetry::{in_flight::Progress, names},
};

/// The service that needs no credentials: balancers, which check the health, have none.
const HEALTH: &str = "grpc.health.v1.Health";

/// Puts the [`Caller`] into the extensions of the request as an `Arc`, or refuses the call. A path
/// that is not served is UNIMPLEMENTED for everybody: balancers probe such paths.
pub(super) async fn authenticate<S>(
    authorizer: Arc<Authorizer>,
    serves_reflection: bool,
    mut request: Request<Body>,
    mut next: S,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let path = request.uri().path();
    if names::method(path) == names::OTHER || is_reflection(path) && !serves_reflection {
        return Ok(status::unknown_method().into_http());
    }
    if service_and_method(&request).is_none_or(|(service, _)| service != HEALTH) {
        match caller(&authorizer, &request) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
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
                return Ok(status::from_denied(&denied, None).into_http());
            }
        }
    }
    next.call(request).await
}

fn caller(authorizer: &Authorizer, request: &Request<Body>) -> Result<Arc<Caller>, Denied> {
    let peer = request
        .extensions()
        .get::<Peer>()
        .ok_or(Unauthenticated::Missing)?;
    let caller = authorizer.authenticate(peer.remote, peer.session.as_ref(), request.headers())?;
    // The access line names the caller even if the call is then denied.
    if let Some(progress) = request.extensions().get::<Progress>() {
        progress.set_caller(&caller.name);
    }
    if let Some((SERVICE, method)) = service_and_method(request) {
        caller.authorize_method(method)?;
    }
    Ok(caller)
}

fn service_and_method(request: &Request<Body>) -> Option<(&str, &str)> {
    request.uri().path().strip_prefix('/')?.split_once('/')
}
