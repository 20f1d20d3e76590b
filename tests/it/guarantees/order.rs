//! The account lock: writes to one account are done one after the other; others do not wait.

use std::time::Duration;

use followme::{
    grpc::pb::{self, follow_me_service_client::FollowMeServiceClient},
    simulator::{Route, When},
};
use tonic::Code;

use super::{add_with_id, client_without_timers, hold, names, with_deadline};
use crate::support::{LICENSE, World, add_to, channel, failure, new_number, with_metadata};

#[tokio::test]
async fn writes_to_one_account_are_serialized_and_other_accounts_do_not_wait() {
    let world = World::start().await;
    hold(&world, Route::Add, When::Before);
    let first = tokio::spawn({
        let mut client = world.client();
        async move { client.add(add_with_id("id-1", "First")).await }
    });
    world.handle.wait_for_fired("hold", 1).await;
    let second = tokio::spawn({
        let mut client = world.client();
        async move { client.add(add_with_id("id-2", "Second")).await }
    });
    world
        .add(add_to(1002, new_number("Other", "15550150")))
        .await
        .expect("another account is not held up");
    assert_eq!(world.effects().len(), 1);
    world.handle.release();
    first.await.expect("no panic").expect("added");
    second.await.expect("no panic").expect("added");
    let names: Vec<String> = world
        .effects()
        .into_iter()
        .filter(|effect| effect.account == 1003)
        .filter_map(|effect| effect.after?.name)
        .collect();
    assert_eq!(names, ["First", "Second"]);
}

#[tokio::test]
async fn a_call_whose_deadline_passes_while_queued_is_not_sent() {
    let world = World::start().await;
    hold(&world, Route::Add, When::Before);
    let first = tokio::spawn({
        let mut client = world.client();
        async move { client.add(add_with_id("id-1", "First")).await }
    });
    world.handle.wait_for_fired("hold", 1).await;
    let late = with_deadline(
        add_to(1003, new_number("Late", "15550131")),
        Duration::from_millis(200),
    );
    let late = failure(client_without_timers(&world).add(late).await);
    assert_eq!(late.code, Code::DeadlineExceeded);
    assert_eq!(late.reason, "NOT_SENT");
    world.handle.release();
    first.await.expect("no panic").expect("added");
    // This one acquires the account lock: the late one left the queue.
    world
        .add(add_to(1003, new_number("Next", "15550132")))
        .await
        .expect("added");
    assert_eq!(names(&world, 1003), ["First", "Next"]);
}

#[tokio::test]
async fn writes_to_one_account_are_done_in_arrival_order() {
    let world = World::start().await;
    hold(&world, Route::Add, When::Before);
    let mut calls = Vec::new();
    let wanted: Vec<String> = (0..5).map(|place| format!("Number {place}")).collect();
    for (place, name) in wanted.iter().enumerate() {
        let request = add_to(1003, new_number(name, &format!("{}", 15_550_160 + place)));
        let mut client = world.client();
        calls.push(tokio::spawn(async move { client.add(request).await }));
        // What came before on the same connection is in the queue when a whole read is over.
        world.read(1002).await;
    }
    world.assert_fired("hold");
    world.handle.release();
    for call in calls {
        call.await.expect("no panic").expect("added");
    }
    assert_eq!(names(&world, 1003), wanted);
}

#[tokio::test]
async fn reads_do_not_wait_and_the_same_account_under_another_license_does() {
    let world =
        World::configured(|config| config.security.policy.anonymous.brings_license = true).await;
    world
        .handle
        .seed("OTHER-KEY", 1003, vec![], Default::default());
    hold(&world, Route::Add, When::Before);
    let first = tokio::spawn({
        let mut client = world.client();
        async move { client.add(add_with_id("id-1", "First")).await }
    });
    world.handle.wait_for_fired("hold", 1).await;
    assert_eq!(world.read(1003).await.total_size, 0);
    // An account id names one account whatever the License.
    let other = with_metadata(
        add_to(1003, new_number("Other", "15550150")),
        &[("x-porta-license", "OTHER-KEY")],
    );
    let other = tokio::spawn({
        let mut client = world.client();
        async move { client.add(other).await }
    });
    world.read(1002).await;
    world.handle.release();
    first.await.expect("no panic").expect("added");
    other.await.expect("no panic").expect("added");
    let licenses: Vec<String> = world
        .effects()
        .into_iter()
        .map(|effect| effect.license)
        .collect();
    assert_eq!(licenses, [LICENSE, "OTHER-KEY"]);
}

#[tokio::test]
async fn a_call_cancelled_while_queued_leaves_the_queue() {
    let world = World::start().await;
    hold(&world, Route::Add, When::Before);
    let first = tokio::spawn({
        let mut client = world.client();
        async move { client.add(add_with_id("id-1", "First")).await }
    });
    world.handle.wait_for_fired("hold", 1).await;
    let second = tokio::spawn({
        let mut client = world.client();
        async move { client.add(add_with_id("id-2", "Second")).await }
    });
    world.read(1002).await;
    second.abort();
    // The reset of the stream reaches the server before this call, on the same connection.
    world.read(1002).await;
    world.handle.release();
    first.await.expect("no panic").expect("added");
    world
        .add(add_with_id("id-3", "Third"))
        .await
        .expect("added");
    assert_eq!(names(&world, 1003), ["First", "Third"]);
}

#[tokio::test]
async fn a_call_cancelled_while_queued_releases_the_account_lock() {
    let world = World::configured(|config| {
        // Each connection has one.
        config.upstream.limits.requests = 2;
        config.upstream.limits.caller_share = 0.5;
    })
    .await;
    let mut client = FollowMeServiceClient::new(channel(world.addr).await);
    hold(&world, Route::Add, When::Before);
    let first = tokio::spawn({
        let mut client = client.clone();
        async move { client.add(add_with_id("id-1", "First")).await }
    });
    world.handle.wait_for_fired("hold", 1).await;
    let second = tokio::spawn({
        let mut client = client.clone();
        let request = add_to(1002, new_number("Second", "15550131"));
        async move { client.add(request).await }
    });
    let mut barrier = async || failure(client.list(pb::ListRequest::default()).await);
    assert_eq!(barrier().await.reason, "INVALID_REQUEST");
    second.abort();
    assert_eq!(barrier().await.reason, "INVALID_REQUEST");
    world
        .add(add_to(1002, new_number("Third", "15550132")))
        .await
        .expect("the lock is free");
    world.handle.release();
    first.await.expect("no panic").expect("added");
    assert_eq!(world.effects().len(), 2);
}
