//! Writes of one account go one after the other; others are not held up.

use std::time::Duration;

use followme::simulator::{Route, When};
use tonic::Code;

use super::{add_with_id, heedless, hold, within};
use crate::support::{World, add_to, failure, new_number};

#[tokio::test]
async fn the_writes_of_an_account_wait_for_each_other_and_other_accounts_do_not() {
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
async fn waiting_for_the_turn_counts_against_the_deadline_and_nothing_is_sent() {
    let world = World::start().await;
    hold(&world, Route::Add, When::Before);
    let first = tokio::spawn({
        let mut client = world.client();
        async move { client.add(add_with_id("id-1", "First")).await }
    });
    world.handle.wait_for_fired("hold", 1).await;
    let late = within(
        add_to(1003, new_number("Late", "15550131")),
        Duration::from_millis(200),
    );
    let late = failure(heedless(&world).add(late).await);
    assert_eq!(late.code, Code::DeadlineExceeded);
    assert_eq!(late.reason, "NOT_SENT");
    world.handle.release();
    first.await.expect("no panic").expect("added");
    // The turn has passed to this one: the late one left the queue.
    world
        .add(add_to(1003, new_number("Next", "15550132")))
        .await
        .expect("added");
    let names: Vec<String> = world
        .read(1003)
        .await
        .numbers
        .into_iter()
        .map(|number| number.name)
        .collect();
    assert_eq!(names, ["First", "Next"]);
}
