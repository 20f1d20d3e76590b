//! A License whose file is rotated: what is known of the writes under the old one is known under the
//! new one.

use followme::{
    grpc::pb::{self, follow_me_service_client::FollowMeServiceClient},
    simulator::{Effect, Fault, FaultKind, Route, When},
};
use tonic::transport::Channel;

use super::add_with_id;
use crate::{
    security::support::{Facade, until},
    support::{LICENSE, add_to, failure, list, new_number},
};

const ROTATED: &str = "TURNED-KEY";

async fn start() -> (Facade, FollowMeServiceClient<Channel>) {
    let facade =
        Facade::start("[upstream]\nwrite_timeout = \"300ms\"\n[calls]\nwrite_limit = \"600ms\"\n")
            .await;
    facade.handle.alias_license(ROTATED, LICENSE);
    let client = facade.client().await;
    (facade, client)
}

/// Rotates the License, and waits until a read uses the new one.
async fn rotate(facade: &Facade, client: &FollowMeServiceClient<Channel>) {
    facade.dir.write("license", ROTATED);
    until("the License is rotated", || async {
        client.clone().list(list(1002)).await.expect("a list");
        let requests = facade.handle.requests();
        let last = requests.iter().rev().find(|request| {
            request.route == Some(Route::GetAll) && request.target.contains("1002")
        });
        last.is_some_and(|last| last.target.contains(ROTATED))
            .then_some(())
    })
    .await;
}

fn added(facade: &Facade) -> Vec<String> {
    let effects = facade.handle.effects().into_iter();
    let name = |effect: Effect| (effect.account == 1003).then_some(effect.after?.name?);
    effects.filter_map(name).collect()
}

#[tokio::test]
async fn a_rotated_license_keeps_answers_and_unknown_outcomes() {
    let (facade, mut client) = start().await;
    let first = client.add(add_with_id("id-1", "First")).await.expect("ok");
    let reset = Fault::once(FaultKind::Reset { when: When::Before }).on(Route::Add);
    facade.handle.arm(reset);
    let unknown = failure(client.add(add_with_id("id-2", "Second")).await);
    assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    rotate(&facade, &client).await;
    let again = client.add(add_with_id("id-1", "First")).await.expect("ok");
    assert_eq!(again.into_inner(), first.into_inner());
    let unknown = failure(client.add(add_with_id("id-2", "Second")).await);
    assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    let conflict = failure(client.add(add_with_id("id-2", "Third")).await);
    assert_eq!(conflict.reason, "REQUEST_ID_CONFLICT");
    assert_eq!(added(&facade), ["First"]);
}

#[tokio::test]
async fn writes_of_one_account_under_the_old_and_the_new_license_are_serialized() {
    let facade = Facade::start("").await;
    facade.handle.alias_license(ROTATED, LICENSE);
    let client = facade.client().await;
    let hold = Fault::once(FaultKind::Hold { when: When::Before }).on(Route::Add);
    facade.handle.arm(hold);
    let add = |request: pb::AddRequest| {
        let mut client = client.clone();
        tokio::spawn(async move { client.add(request).await })
    };
    let first = add(add_with_id("id-1", "First"));
    facade.handle.wait_for_fired("hold", 1).await;
    rotate(&facade, &client).await;
    let second = add(add_with_id("id-2", "Second"));
    let other = add(add_to(1002, new_number("Other", "15550150")));
    other.await.expect("no panic").expect("another account");
    assert_eq!(added(&facade), [""; 0]);
    facade.handle.release();
    first.await.expect("no panic").expect("added");
    second.await.expect("no panic").expect("added");
    assert_eq!(added(&facade), ["First", "Second"]);
}
