//! Repeating a request id whose earlier attempt has an unknown outcome.

use std::time::Duration;

use followme::{
    grpc::pb::{
        self,
        follow_me_service_client::FollowMeServiceClient,
        replace_step::{Action, Outcome},
    },
    simulator::{FaultKind, Route, When},
};
use tonic::{Code, transport::Channel};

use super::{
    add_with_id, adds, changed_by_others, client_without_timers, hold, with_deadline,
    with_short_timeouts,
};
use crate::support::{Failure, World, delete, failure, new_number, replace, update};

/// A world in which the add of `id-1` was sent, and its outcome is unknown.
async fn unknown_add() -> World {
    let world = with_short_timeouts().await;
    world.arm(FaultKind::Reset { when: When::After }, Route::Add);
    world.handle.arm(
        followme::simulator::Fault::once(FaultKind::NullList)
            .on(Route::GetAll)
            .after(1)
            .times(100),
    );
    assert_unknown(&failure(world.add(add_with_id("id-1", "Desk")).await));
    world.assert_fired("reset");
    world.handle.disarm_all();
    assert_eq!(adds(&world), 1, "it was done");
    world
}

fn assert_unknown(failed: &Failure) {
    assert_eq!(failed.code, Code::Unknown);
    assert_eq!(failed.reason, "OUTCOME_UNKNOWN");
    assert_eq!(failed.meta("request_id"), Some("id-1"));
}

#[tokio::test]
async fn a_read_that_fails_leaves_an_unknown_outcome_unknown() {
    let world = unknown_add().await;
    world.arm(FaultKind::Html { status: 503 }, Route::GetAll);
    // Not UNAVAILABLE, which says that nothing was changed.
    let failed = failure(world.add(add_with_id("id-1", "Desk")).await);
    world.assert_fired("html");
    assert_unknown(&failed);
    assert_eq!(failed.meta("upstream_http_status"), Some("503"));
    world.add(add_with_id("id-1", "Desk")).await.expect("found");
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn a_deadline_while_resolving_an_unknown_outcome_is_not_reported_as_not_sent() {
    let world = unknown_add().await;
    hold(&world, Route::GetAll, When::Before);
    let request = with_deadline(add_with_id("id-1", "Desk"), Duration::from_millis(100));
    let late = failure(client_without_timers(&world).add(request).await);
    assert_eq!(late.reason, "WRITE_IN_PROGRESS");
    world.handle.release();
    world.add(add_with_id("id-1", "Desk")).await.expect("found");
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn an_unknown_update_is_not_reported_as_an_etag_mismatch() {
    let world = with_short_timeouts().await;
    let before = world.number(1001, 70001).await;
    let request = pb::UpdateRequest {
        request_id: "id-1".to_owned(),
        etag: before.etag,
        ..update(70001, &["name"], new_number("Desk 2", ""))
    };
    hold(&world, Route::Update, When::Before);
    assert_unknown(&failure(world.update(request.clone()).await));
    world.handle.release();
    world.handle.wait_for_effects(1).await;
    // It was done late, and then a concurrent writer changed it: the outcome cannot be resolved.
    changed_by_others(&world, 70001, |number| {
        number.name = Some("Desk 3".to_owned());
    });
    assert_unknown(&failure(world.update(request).await));
    assert_eq!(world.stored(1001, 70001).name.as_deref(), Some("Desk 3"));
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test]
async fn an_unknown_update_refused_when_sent_again_stays_unknown() {
    let world = with_short_timeouts().await;
    let request = pb::UpdateRequest {
        request_id: "id-1".to_owned(),
        ..update(70001, &["name"], new_number("Desk 2", ""))
    };
    world.arm(FaultKind::Reset { when: When::Before }, Route::Update);
    assert_unknown(&failure(world.update(request.clone()).await));
    world.arm(FaultKind::NotSuccess { when: When::Before }, Route::Update);
    // The first one may still come.
    assert_unknown(&failure(world.update(request.clone()).await));
    world.assert_fired("reset");
    world.assert_fired("not_success");
    world.update(request).await.expect("done");
    assert_eq!(world.stored(1001, 70001).name.as_deref(), Some("Desk 2"));
}

#[tokio::test]
async fn a_late_update_or_delete_is_resolved_and_not_sent_again() {
    let world = with_short_timeouts().await;
    let rename = pb::UpdateRequest {
        request_id: "id-1".to_owned(),
        ..update(70001, &["name"], new_number("Desk 2", ""))
    };
    let remove = pb::DeleteRequest {
        request_id: "id-1".to_owned(),
        ..delete(70002)
    };
    hold(&world, Route::Update, When::Before);
    hold(&world, Route::Delete, When::Before);
    assert_unknown(&failure(world.update(rename.clone()).await));
    assert_unknown(&failure(world.delete(remove.clone()).await));
    world.handle.release();
    world.handle.wait_for_effects(2).await;
    let renamed = world.update(rename).await.expect("found");
    assert_eq!(renamed.number.expect("a number").name, "Desk 2");
    world.delete(remove).await.expect("found");
    assert_eq!(world.writes().len(), 2);
}

#[tokio::test]
async fn an_unknown_add_is_sent_again_after_the_write_horizon() {
    let world = World::configured(|config| {
        config.operations.write_limit = Duration::from_millis(400);
        config.upstream.write_timeout = Duration::from_millis(150);
        config.operations.write_horizon = Some(Duration::from_millis(1));
    })
    .await;
    world.arm(FaultKind::Reset { when: When::Before }, Route::Add);
    assert_unknown(&failure(world.add(add_with_id("id-1", "Desk")).await));
    world.assert_fired("reset");
    let added = world.add(add_with_id("id-1", "Desk")).await.expect("added");
    let again = world.add(add_with_id("id-1", "Desk")).await.expect("added");
    assert_eq!(added, again);
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn an_unknown_update_is_not_sent_again_over_a_concurrent_change() {
    let world = with_short_timeouts().await;
    let request = pb::UpdateRequest {
        request_id: "id-1".to_owned(),
        ..update(70001, &["name"], new_number("Desk 2", ""))
    };
    world.arm(FaultKind::Reset { when: When::Before }, Route::Update);
    assert_unknown(&failure(world.update(request.clone()).await));
    world.assert_fired("reset");
    changed_by_others(&world, 70001, |number| number.timeout = Some(55));
    assert_unknown(&failure(world.update(request).await));
    assert_eq!(world.writes().len(), 1);
    assert_eq!(world.stored(1001, 70001).timeout, Some(55));
}

#[tokio::test]
async fn an_unknown_delete_is_not_sent_again_after_a_concurrent_change() {
    let world = with_short_timeouts().await;
    let request = pb::DeleteRequest {
        request_id: "id-1".to_owned(),
        ..delete(70001)
    };
    world.arm(FaultKind::Reset { when: When::Before }, Route::Delete);
    assert_unknown(&failure(world.delete(request.clone()).await));
    world.assert_fired("reset");
    changed_by_others(&world, 70001, |number| number.active = Some("N".to_owned()));
    assert_unknown(&failure(world.delete(request).await));
    assert_eq!(world.writes().len(), 1);
    assert_eq!(world.read(1001).await.total_size, 3);
}

#[tokio::test]
async fn an_incomplete_replace_all_is_not_evicted_by_other_writes() {
    let world = World::configured(|config| {
        config.journal.limits.entries = 8;
        config.journal.caller_share = 1.0;
    })
    .await;
    let request = pb::ReplaceAllRequest {
        request_id: "id-1".to_owned(),
        ..replace(
            1003,
            vec![new_number("A", "15550140"), new_number("B", "15550141")],
        )
    };
    let refused = FaultKind::NotSuccess { when: When::Before };
    let second = followme::simulator::Fault::once(refused).on(Route::Add);
    world.handle.arm(second.after(1));
    let stopped = failure(world.replace_all(request.clone()).await);
    assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
    for id in 0..40 {
        let nothing = pb::DeleteRequest {
            request_id: format!("other-{id}"),
            allow_missing: true,
            ..delete(i32::MAX)
        };
        world.delete(nothing).await.expect("there is nothing to do");
    }
    let other = pb::ReplaceAllRequest {
        numbers: Vec::new(),
        allow_empty: true,
        ..request.clone()
    };
    let conflict = failure(world.replace_all(other).await);
    assert_eq!(conflict.reason, "REQUEST_ID_CONFLICT");
    world.replace_all(request).await.expect("it continues");
    assert_eq!(adds(&world), 2);
}

#[tokio::test]
async fn a_call_that_waits_for_a_cancelled_one_does_the_write() {
    let world = World::start().await;
    hold(&world, Route::GetAll, When::Before);
    let call = |mut client: FollowMeServiceClient<Channel>| async move {
        client.add(add_with_id("id-1", "Desk")).await
    };
    let first = tokio::spawn(call(world.client()));
    world.handle.wait_for_fired("hold", 1).await;
    let second = tokio::spawn(call(world.client()));
    world.read(1002).await;
    first.abort();
    // The reset of the stream reaches the server before this call, on the same connection.
    world.read(1002).await;
    world.handle.release();
    second.await.expect("no panic").expect("added");
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn a_conflict_is_reported_while_the_first_call_is_in_flight() {
    let world = World::start().await;
    hold(&world, Route::Add, When::Before);
    let first = tokio::spawn({
        let mut client = world.client();
        async move { client.add(add_with_id("id-1", "Desk")).await }
    });
    world.handle.wait_for_fired("hold", 1).await;
    let conflict = failure(world.add(add_with_id("id-1", "Mobile")).await);
    assert_eq!(conflict.reason, "REQUEST_ID_CONFLICT");
    world.handle.release();
    first.await.expect("no panic").expect("added");
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn a_failed_continuation_of_a_replace_all_reports_that_call_alone() {
    let world = World::start().await;
    let request = pb::ReplaceAllRequest {
        request_id: "id-1".to_owned(),
        ..crate::support::replace(
            1003,
            vec![new_number("A", "15550140"), new_number("B", "15550141")],
        )
    };
    let refusal = FaultKind::NotSuccess { when: When::Before };
    world.handle.arm(
        followme::simulator::Fault::once(refusal)
            .on(Route::Add)
            .after(1),
    );
    let stopped = failure(world.replace_all(request.clone()).await);
    assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
    world.assert_fired("not_success");
    assert_eq!(adds(&world), 1);
    world.arm(FaultKind::Html { status: 500 }, Route::GetAll);
    let failed = failure(world.replace_all(request.clone()).await);
    world.assert_fired("html");
    assert_eq!(failed.code, Code::Unavailable);
    let said = failed.status.message();
    assert!(said.ends_with("nothing was changed by this call"), "{said}");
    world.replace_all(request).await.expect("goes on");
    assert_eq!(adds(&world), 2);
}

#[tokio::test]
async fn a_replace_all_with_an_unknown_add_reports_kept_numbers_as_done() {
    let world = with_short_timeouts().await;
    let kept = world.read(1002).await.numbers;
    let request = pb::ReplaceAllRequest {
        request_id: "id-1".to_owned(),
        ..crate::support::replace(1002, [kept, vec![new_number("A", "15550140")]].concat())
    };
    world.arm(FaultKind::Reset { when: When::Before }, Route::Add);
    for _ in 0..2 {
        let stopped = failure(world.replace_all(request.clone()).await);
        assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
        let outcomes: Vec<_> = stopped
            .incomplete()
            .steps
            .iter()
            .map(|step| (step.action(), step.outcome()))
            .collect();
        assert_eq!(
            outcomes,
            [
                (Action::Add, Outcome::Unknown),
                (Action::Keep, Outcome::Done)
            ]
        );
    }
    world.assert_fired("reset");
    assert_eq!(adds(&world), 0);
}

#[tokio::test]
async fn a_replace_all_that_wrote_nothing_checks_its_etags_again() {
    let world = World::start().await;
    let before = world.read(1001).await;
    let mut numbers = before.numbers;
    numbers[0].name = "Ours".to_owned();
    for number in &mut numbers {
        number.etag.clear();
    }
    let request = pb::ReplaceAllRequest {
        request_id: "id-1".to_owned(),
        list_etag: before.list_etag,
        ..crate::support::replace(1001, numbers)
    };
    for _ in 0..2 {
        world.arm(
            FaultKind::NotSuccess { when: When::Before },
            Route::UpdateAll,
        );
        let stopped = failure(world.replace_all(request.clone()).await);
        assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
    }
    assert_eq!(world.handle.fired_count("not_success"), 2);
    changed_by_others(&world, 70001, |number| {
        number.name = Some("Theirs".to_owned());
    });
    let refused = failure(world.replace_all(request).await);
    assert_eq!(refused.reason, "ETAG_MISMATCH");
    assert_eq!(world.stored(1001, 70001).name.as_deref(), Some("Theirs"));
    assert!(world.effects().is_empty());
}
