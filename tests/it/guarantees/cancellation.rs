//! A write outlives its caller: deadlines and cancellation before and after the commit point.

use std::time::Duration;

use followme::{
    grpc::pb,
    simulator::{FaultKind, Route, When},
};
use tonic::Code;

use super::{
    add_with_id, adds, client_without_timers, hold, names, wait_for_writes, with_deadline,
};
use crate::support::{World, failure, list, new_number, replace};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_write_is_not_sent_after_its_deadline() {
    let world = World::start().await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::GetAll);
    let request = with_deadline(add_with_id("id-1", "Desk"), SHORT);
    let late = failure(client_without_timers(&world).add(request).await);
    assert_eq!(late.code, Code::DeadlineExceeded);
    assert_eq!(late.reason, "NOT_SENT");
    world.assert_fired("hold");
    world.handle.release();
    // Id and account lock are free: this write succeeds and is the only one.
    world.add(add_with_id("id-1", "Desk")).await.expect("added");
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn a_committed_write_outlives_its_deadline_and_is_replayed_under_its_id() {
    let world = World::start().await;
    hold(&world, Route::Add, When::Before);
    let request = with_deadline(add_with_id("id-1", "Desk"), SHORT);
    let late = failure(client_without_timers(&world).add(request).await);
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
async fn cancelling_before_the_commit_point_stops_the_write() {
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
async fn cancelling_after_the_commit_point_does_not_stop_the_write() {
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
async fn a_read_past_its_deadline_is_deadline_exceeded() {
    let world = World::start().await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::GetAll);
    let late = failure(
        client_without_timers(&world)
            .list(with_deadline(list(1001), SHORT))
            .await,
    );
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
async fn a_committed_replace_all_is_finished_after_its_deadline() {
    let world = World::start().await;
    hold(&world, Route::Add, When::Before);
    let late = failure(
        client_without_timers(&world)
            .replace_all(with_deadline(two_adds(), SHORT))
            .await,
    );
    assert_eq!(late.code, Code::DeadlineExceeded);
    assert_eq!(late.reason, "WRITE_IN_PROGRESS");
    world.assert_fired("hold");
    world.handle.release();
    wait_for_writes(&world, 1003).await;
    assert_eq!(names(&world, 1003), ["A", "B"]);
    let first = world.replace_all(two_adds()).await.expect("its answer");
    assert_eq!(first.numbers.len(), 2);
    assert_eq!(adds(&world), 2);
}

#[tokio::test]
async fn a_replace_all_stops_between_steps_at_write_limit_and_continues_under_its_id() {
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
async fn a_committed_replace_all_is_finished_after_its_caller_cancels() {
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
    wait_for_writes(&world, 1003).await;
    assert_eq!(names(&world, 1003), ["A", "B"]);
}

#[tokio::test]
async fn a_replace_all_past_its_deadline_sends_no_step() {
    let world = World::start().await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::GetAll);
    let late = failure(
        client_without_timers(&world)
            .replace_all(with_deadline(two_adds(), SHORT))
            .await,
    );
    assert_eq!(late.reason, "NOT_SENT");
    world.handle.release();
    wait_for_writes(&world, 1003).await;
    assert!(world.effects().is_empty());
}
