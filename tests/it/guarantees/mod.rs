//! The promises of `docs/guarantees.md`: what callers can rely on after a write.

mod cancellation;
mod collateral;
mod crash;
mod crash_replace_all;
mod equal_adds;
mod etags;
mod idempotency;
mod journal_failures;
mod order;
mod outages;
mod post_bodies;
mod repair;
mod replace_all;
mod retry_after_unknown;
mod revoked;
mod rotated_license;
mod stored_differently;
mod unknown_outcomes;
mod verification;
mod visibility;
mod whole_list;

use std::{net::SocketAddr, time::Duration};

use followme::{
    grpc::pb::{self, follow_me_service_client::FollowMeServiceClient},
    simulator::{EffectKind, Fault, FaultKind, Route, StoredNumber, When},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::support::{LICENSE, World, add_to, delete, new_number};

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

/// A client without timers: tonic's own channel heeds `grpc-timeout` as well, and answers before
/// the server does where the machine is busy.
pub(crate) type ClientWithoutTimers =
    FollowMeServiceClient<Client<HttpConnector, tonic::body::Body>>;

pub(crate) fn client_without_timers(world: &World) -> ClientWithoutTimers {
    without_timers(world.addr)
}

fn without_timers(addr: SocketAddr) -> ClientWithoutTimers {
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let origin = format!("http://{addr}")
        .parse()
        .expect("an address makes a URL");
    FollowMeServiceClient::with_origin(client, origin)
}

/// Gives a request a deadline. To be sent by a [`client_without_timers`] client.
fn with_deadline<T>(request: T, time: Duration) -> tonic::Request<T> {
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

/// Returns when every write to an account that came before is finished.
async fn wait_for_writes(world: &World, account: i32) {
    // It has nothing to delete, and waits for the account lock.
    let last = pb::DeleteRequest {
        account_id: account,
        allow_missing: true,
        ..delete(i32::MAX)
    };
    world.delete(last).await.expect("there is nothing to do");
}

/// Returns the names of an account's numbers, as upstream keeps them.
fn names(world: &World, account: i32) -> Vec<String> {
    world
        .handle
        .numbers(LICENSE, account)
        .expect("the account exists")
        .into_iter()
        .filter_map(|number| number.name)
        .collect()
}

/// Changes a number of account 1001 at the service itself, as a concurrent writer would.
fn changed_by_others(world: &World, id: i32, edit: impl FnOnce(&mut StoredNumber)) {
    let mut numbers = world
        .handle
        .numbers(LICENSE, 1001)
        .expect("the account exists");
    let number = numbers
        .iter_mut()
        .find(|number| number.id == id)
        .expect("the number exists");
    edit(number);
    world.seed(1001, numbers);
}

/// A facade that gives up an unanswered write soon.
async fn with_short_timeouts() -> World {
    World::configured(|config| {
        config.operations.write_limit = Duration::from_millis(400);
        config.upstream.write_timeout = Duration::from_millis(150);
    })
    .await
}
