//! What a caller is told whose deadline comes first, and what becomes of the write.

use std::time::Duration;

use followme::{
    grpc::pb,
    simulator::{FaultKind, Route, When},
};
use tonic::Code;

use super::{add_with_id, adds, hold, names, patient, within, writes_are_over};
use crate::support::{World, failure, list, new_number, replace};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_write_whose_deadline_comes_before_it_is_sent_is_never_sent() {
    let world = World::start().await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::GetAll);
    let request = within(add_with_id("id-1", "Desk"), SHORT);
    let late = failure(patient(&world).add(request).await);
    assert_eq!(late.code, Code::DeadlineExceeded);
    assert_eq!(late.reason, "NOT_SENT");
    world.assert_fired("hold");
    world.handle.release();
    // The id is free, and the turn is: this one goes through and is the only one.
    world.add(add_with_id("id-1", "Desk")).await.expect("added");
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn a_write_that_has_begun_goes_on_and_its_outcome_is_had_under_its_id() {
    let world = World::start().await;
    hold(&world, Route::Add, When::Before);
    let request = within(add_with_id("id-1", "Desk"), SHORT);
    let late = failure(patient(&world).add(request).await);
    assert_eq!(late.code, Code::DeadlineExceeded);
    assert_eq!(late.reason, "WRITE_IN_PROGRESS");
    assert_eq!(late.meta("request_id"), Some("id-1"));
    world.assert_fired("hold");
    assert_eq!(adds(&world), 0);
    world.handle.release();
    let outcome = world.add(add_with_id("id-1", "Desk")).await.expect("done");
    assert_eq!(outcome.number.expect("a number").name, "Desk");
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn a_cancelled_call_stops_a_write_that_was_not_sent() {
    let world = World::start().await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::GetAll);
    let call = tokio::spawn({
        let mut client = world.client();
        async move { client.add(add_with_id("id-1", "Desk")).await }
    });
    world.handle.wait_for_fired("hold", 1).await;
    call.abort();
    // The reset of the stream reaches the server before this call, on the same connection.
    world.read(1002).await;
    world.handle.release();
    // The next write of the account comes after the cancelled one.
    world.add(add_with_id("id-2", "Next")).await.expect("added");
    let names: Vec<String> = world
        .read(1003)
        .await
        .numbers
        .into_iter()
        .map(|number| number.name)
        .collect();
    assert_eq!(names, ["Next"]);
}

#[tokio::test]
async fn a_cancelled_call_does_not_stop_a_write_that_was_sent() {
    let world = World::start().await;
    hold(&world, Route::Add, When::Before);
    let call = tokio::spawn({
        let mut client = world.client();
        async move { client.add(add_with_id("id-1", "Desk")).await }
    });
    world.handle.wait_for_fired("hold", 1).await;
    call.abort();
    world.read(1002).await;
    world.handle.release();
    let outcome = world.add(add_with_id("id-1", "Desk")).await.expect("done");
    assert_eq!(outcome.number.expect("a number").name, "Desk");
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn a_read_whose_deadline_comes_first_says_so() {
    let world = World::start().await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::GetAll);
    let late = failure(patient(&world).list(within(list(1001), SHORT)).await);
    assert_eq!(late.code, Code::DeadlineExceeded);
    assert_eq!(late.reason, "DEADLINE_EXCEEDED");
    world.assert_fired("hold");
}

/// A replace-all of two adds to the empty account 1003, of which the first is held.
fn two_adds() -> pb::ReplaceAllRequest {
    pb::ReplaceAllRequest {
        request_id: "id-1".to_owned(),
        ..replace(
            1003,
            vec![new_number("A", "15550140"), new_number("B", "15550141")],
        )
    }
}

#[tokio::test]
async fn a_replace_all_that_has_begun_is_finished_after_its_deadline() {
    let world = World::start().await;
    hold(&world, Route::Add, When::Before);
    let late = failure(patient(&world).replace_all(within(two_adds(), SHORT)).await);
    assert_eq!(late.code, Code::DeadlineExceeded);
    assert_eq!(late.reason, "WRITE_IN_PROGRESS");
    world.assert_fired("hold");
    world.handle.release();
    writes_are_over(&world, 1003).await;
    assert_eq!(names(&world, 1003), ["A", "B"]);
    let first = world.replace_all(two_adds()).await.expect("its answer");
    assert_eq!(first.numbers.len(), 2);
    assert_eq!(adds(&world), 2);
}

#[tokio::test]
async fn a_replace_all_ends_between_two_steps_at_its_limit_and_goes_on_under_its_id() {
    let world = World::configured(|config| {
        config.operations.replace_limit = Duration::from_millis(1);
    })
    .await;
    let stopped = failure(world.replace_all(two_adds()).await);
    assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
    let steps = stopped.incomplete().steps;
    assert_eq!(steps[0].outcome(), pb::replace_step::Outcome::NotStarted);
    assert_eq!(steps[0].reason, "NOT_SENT");
    assert_eq!(names(&world, 1003), ["A"]);
    world.replace_all(two_adds()).await.expect("it goes on");
    assert_eq!(names(&world, 1003), ["A", "B"]);
    assert_eq!(adds(&world), 2);
}

#[tokio::test]
async fn a_replace_all_that_has_begun_is_finished_after_its_caller_has_gone() {
    let world = World::start().await;
    hold(&world, Route::Add, When::Before);
    let call = tokio::spawn({
        let mut client = world.client();
        async move { client.replace_all(two_adds()).await }
    });
    world.handle.wait_for_fired("hold", 1).await;
    call.abort();
    // The reset of the stream reaches the server before this call, on the same connection.
    world.read(1002).await;
    world.handle.release();
    writes_are_over(&world, 1003).await;
    assert_eq!(names(&world, 1003), ["A", "B"]);
}

#[tokio::test]
async fn a_replace_all_that_is_late_before_its_first_step_is_not_sent() {
    let world = World::start().await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::GetAll);
    let late = failure(patient(&world).replace_all(within(two_adds(), SHORT)).await);
    assert_eq!(late.reason, "NOT_SENT");
    world.handle.release();
    writes_are_over(&world, 1003).await;
    assert!(world.effects().is_empty());
}
