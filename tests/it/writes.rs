//! What callers can rely on after a write: request ids, etags, order, deadlines, unknown outcomes.

mod deadlines;
mod etags;
mod order;
mod request_ids;
mod unknown;

use std::time::Duration;

use followme::{
    grpc::pb::{self, follow_me_service_client::FollowMeServiceClient},
    simulator::{EffectKind, Fault, FaultKind, Route, When},
};

use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::support::{World, add_to, new_number};

/// An add to the empty account 1003 with a request id.
fn add_with_id(id: &str, name: &str) -> pb::AddRequest {
    pb::AddRequest {
        request_id: id.to_owned(),
        ..add_to(1003, new_number(name, "15550130"))
    }
}

/// Holds the next call of a route until the handle releases it.
fn hold(world: &World, route: Route, when: When) {
    world
        .handle
        .arm(Fault::once(FaultKind::Hold { when }).on(route));
}

/// Counts the adds that had their effect.
fn adds(world: &World) -> usize {
    world
        .effects()
        .iter()
        .filter(|effect| effect.kind == EffectKind::Add)
        .count()
}

/// Gives a request a deadline. [`heedless`] makes a client that leaves it to the server.
fn within<T>(request: T, time: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(request);
    let value = format!("{}m", time.as_millis());
    request.metadata_mut().insert(
        "grpc-timeout",
        value
            .parse()
            .expect("digits and a letter are visible ASCII"),
    );
    request
}

/// A client that does not look at its clock: tonic's own answers CANCELLED at the deadline, and on a
/// busy machine before the server's answer has come.
fn heedless(world: &World) -> FollowMeServiceClient<Client<HttpConnector, tonic::body::Body>> {
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let origin = format!("http://{}", world.addr)
        .parse()
        .expect("an address makes a URL");
    FollowMeServiceClient::with_origin(client, origin)
}

/// A world in which an unanswered write is given up soon.
async fn impatient() -> World {
    World::configured(|config| {
        config.operations.write_limit = Duration::from_millis(400);
        config.upstream.write_timeout = Duration::from_millis(150);
        config.upstream.read_timeout = Duration::from_millis(150);
    })
    .await
}
