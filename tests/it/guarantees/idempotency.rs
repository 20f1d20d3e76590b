//! Idempotency: request ids (AIP-155).

use std::time::Duration;

use followme::{
    grpc::pb,
    simulator::{FaultKind, Route, When},
};
use tonic::Code;

use super::{add_with_id, adds, client_without_timers, hold, with_deadline, with_short_timeouts};
use crate::support::{World, add_to, failure, new_number, replace, stored_number, update};

#[tokio::test]
async fn the_same_id_and_content_replays_the_answer_without_writing() {
    let world = World::start().await;
    let first = world.add(add_with_id("id-1", "Desk")).await.expect("added");
    let again = world.add(add_with_id("id-1", "Desk")).await.expect("known");
    assert_eq!(first, again);
    assert_eq!(adds(&world), 1);
    let other = world.add(add_with_id("id-2", "Desk")).await.expect("added");
    assert_ne!(first.number, other.number);
    assert_eq!(adds(&world), 2);
}

#[tokio::test]
async fn the_same_id_with_other_content_is_a_conflict() {
    let world = World::start().await;
    world.add(add_with_id("id-1", "Desk")).await.expect("added");
    let conflict = failure(world.add(add_with_id("id-1", "Mobile")).await);
    assert_eq!(conflict.code, Code::InvalidArgument);
    assert_eq!(conflict.reason, "REQUEST_ID_CONFLICT");
    assert_eq!(conflict.meta("request_id"), Some("id-1"));
    assert_eq!(conflict.fields(), ["request_id"]);
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn a_request_id_is_scoped_to_one_rpc_and_one_license() {
    let world =
        World::configured(|config| config.security.policy.anonymous.brings_license = true).await;
    world
        .handle
        .seed("OTHER-KEY", 1003, vec![], Default::default());
    world.add(add_with_id("id-1", "Desk")).await.expect("added");
    let other = crate::support::with_metadata(
        add_with_id("id-1", "Another"),
        &[("x-porta-license", "OTHER-KEY")],
    );
    world.add(other).await.expect("another License, another id");
    let request = pb::UpdateRequest {
        request_id: "id-1".to_owned(),
        ..update(70001, &["name"], new_number("Desk 2", ""))
    };
    world
        .update(request)
        .await
        .expect("another RPC, another id");
}

#[tokio::test]
async fn a_second_call_waits_for_the_one_in_flight_and_replays_its_answer() {
    let world = World::start().await;
    hold(&world, Route::Add, When::Before);
    let (first, second, ()) = tokio::join!(
        world.add(add_with_id("id-1", "Desk")),
        world.add(add_with_id("id-1", "Desk")),
        async {
            world.handle.wait_for_fired("hold", 1).await;
            world.handle.release();
        },
    );
    assert_eq!(first.expect("added"), second.expect("the same"));
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn a_second_call_waits_no_longer_than_its_own_deadline() {
    let world = World::start().await;
    hold(&world, Route::Add, When::Before);
    let first = tokio::spawn({
        let mut client = world.client();
        async move { client.add(add_with_id("id-1", "Desk")).await }
    });
    world.handle.wait_for_fired("hold", 1).await;
    let second = with_deadline(add_with_id("id-1", "Desk"), Duration::from_millis(200));
    let second = failure(client_without_timers(&world).add(second).await);
    assert_eq!(second.code, Code::DeadlineExceeded);
    // Not NOT_SENT: the write of this id was sent.
    assert_eq!(second.reason, "WRITE_IN_PROGRESS");
    assert_eq!(second.meta("request_id"), Some("id-1"));
    world.handle.release();
    first.await.expect("no panic").expect("added");
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn a_write_refused_before_sending_frees_its_id() {
    let world = World::start().await;
    let mut bad = add_with_id("id-1", "Desk");
    bad.number.as_mut().expect("a number").order = Some(0);
    assert_eq!(failure(world.add(bad).await).reason, "INVALID_REQUEST");
    let mut plan = add_with_id("id-1", "Plan");
    plan.validate_only = true;
    world.add(plan).await.expect("planned");
    world.add(add_with_id("id-1", "Desk")).await.expect("added");

    let stale = pb::UpdateRequest {
        request_id: "id-2".to_owned(),
        etag: "0".repeat(32),
        ..update(70001, &["name"], new_number("Desk 2", ""))
    };
    assert_eq!(
        failure(world.update(stale.clone()).await).reason,
        "ETAG_MISMATCH"
    );
    let fresh = pb::UpdateRequest {
        etag: world.number(1001, 70001).await.etag,
        ..stale
    };
    world
        .update(fresh)
        .await
        .expect("another content under a free id");
}

#[tokio::test]
async fn a_write_verified_as_not_done_frees_its_id() {
    let world = World::start().await;
    let refusal = FaultKind::NotSuccess { when: When::Before };
    world.arm(refusal, Route::Add);
    let refused = failure(world.add(add_with_id("id-1", "Desk")).await);
    assert_eq!(refused.reason, "UPSTREAM_REFUSED");
    world.assert_fired("not_success");
    world.add(add_with_id("id-1", "Desk")).await.expect("added");
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn an_add_whose_outcome_is_unknown_is_never_sent_again_under_its_id() {
    let world = with_short_timeouts().await;
    world.arm(FaultKind::Reset { when: When::Before }, Route::Add);
    for _ in 0..2 {
        let unknown = failure(world.add(add_with_id("id-1", "Desk")).await);
        assert_eq!(unknown.code, Code::Unknown);
        assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
        assert_eq!(unknown.meta("request_id"), Some("id-1"));
    }
    world.assert_fired("reset");
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test]
async fn an_unknown_outcome_is_resolved_before_anything_else() {
    let world = with_short_timeouts().await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::Add);
    let unknown = failure(world.add(add_with_id("id-1", "Desk")).await);
    assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    // The service was only slow: now the number is there.
    world.handle.release();
    world.handle.wait_for_effects(1).await;
    let settled = world
        .add(add_with_id("id-1", "Desk"))
        .await
        .expect("settled");
    assert_eq!(settled.number.expect("a number").name, "Desk");
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test]
async fn an_update_whose_outcome_is_unknown_may_be_sent_again() {
    let world = with_short_timeouts().await;
    world.arm(FaultKind::Reset { when: When::Before }, Route::Update);
    let request = pb::UpdateRequest {
        request_id: "id-1".to_owned(),
        ..update(70001, &["name"], new_number("Desk 2", ""))
    };
    assert_eq!(
        failure(world.update(request.clone()).await).reason,
        "OUTCOME_UNKNOWN"
    );
    world.assert_fired("reset");
    world.update(request).await.expect("done");
    assert_eq!(world.stored(1001, 70001).name.as_deref(), Some("Desk 2"));
}

#[tokio::test]
async fn ids_are_one_to_sixty_four_visible_characters() {
    let world = World::start().await;
    for id in ["a b", "é", "\u{7f}", &"x".repeat(65)] {
        let bad = failure(world.add(add_with_id(id, "Desk")).await);
        assert_eq!(bad.reason, "INVALID_REQUEST", "{id:?}");
        assert_eq!(bad.fields(), ["request_id"]);
    }
    world
        .add(add_with_id(&"x".repeat(64), "Desk"))
        .await
        .expect("added");
}

#[tokio::test]
async fn the_oldest_ids_are_evicted_first() {
    let world = World::configured(|config| config.journal.limits.entries = 2).await;
    for id in ["id-1", "id-2", "id-3"] {
        world.add(add_with_id(id, "Desk")).await.expect("added");
    }
    world.add(add_with_id("id-3", "Desk")).await.expect("known");
    assert_eq!(adds(&world), 3);
    world
        .add(add_with_id("id-1", "Desk"))
        .await
        .expect("forgotten");
    assert_eq!(adds(&world), 4);
}

#[tokio::test]
async fn an_id_expires_after_request_id_ttl() {
    let world = World::configured(|config| {
        config.journal.limits.ttl = Duration::from_nanos(1);
    })
    .await;
    world.add(add_with_id("id-1", "Desk")).await.expect("added");
    world
        .add(add_with_id("id-1", "Mobile"))
        .await
        .expect("a new one");
    assert_eq!(adds(&world), 2);
}

#[tokio::test]
async fn a_store_full_of_ids_in_flight_refuses_another() {
    let world = World::configured(|config| config.journal.limits.entries = 1).await;
    hold(&world, Route::Add, When::Before);
    let first = tokio::spawn({
        let mut client = world.client();
        async move { client.add(add_with_id("id-1", "Desk")).await }
    });
    world.handle.wait_for_fired("hold", 1).await;
    let full = failure(world.add(add_with_id("id-2", "Desk")).await);
    assert_eq!(full.code, Code::ResourceExhausted);
    assert_eq!(full.reason, "TOO_MANY_REQUEST_IDS");
    world.handle.release();
    first.await.expect("no panic").expect("added");
}

#[tokio::test]
async fn a_stopped_replace_all_continues_under_its_id_without_checking_its_etags_again() {
    let world = World::start().await;
    world.seed(1001, vec![stored_number("Desk", "15550101", 1)]);
    let before = world.read(1001).await;
    let mut desk = before.numbers[0].clone();
    desk.name = "Desk 2".to_owned();
    let request = pb::ReplaceAllRequest {
        request_id: "id-1".to_owned(),
        list_etag: before.list_etag,
        ..replace(
            1001,
            vec![
                desk,
                new_number("A", "15550140"),
                new_number("B", "15550141"),
            ],
        )
    };
    let refusal = FaultKind::NotSuccess { when: When::Before };
    world.handle.arm(
        followme::simulator::Fault::once(refusal)
            .on(Route::Add)
            .after(1),
    );
    let stopped = failure(world.replace_all(request.clone()).await);
    assert_eq!(stopped.code, Code::Aborted);
    assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
    world.assert_fired("not_success");
    let incomplete = stopped.incomplete();
    let told: Vec<(i32, i32)> = incomplete
        .steps
        .iter()
        .map(|step| (step.index, step.outcome))
        .collect();
    let outcome = |outcome: pb::replace_step::Outcome| outcome as i32;
    assert_eq!(
        told,
        [
            (2, outcome(pb::replace_step::Outcome::Failed)),
            (0, outcome(pb::replace_step::Outcome::Done)),
            (1, outcome(pb::replace_step::Outcome::Done)),
        ]
    );
    assert_eq!(incomplete.list_etag, world.read(1001).await.list_etag);

    let done = world.replace_all(request).await.expect("goes on");
    let names: Vec<&str> = done
        .numbers
        .iter()
        .map(|number| number.name.as_str())
        .collect();
    assert_eq!(names, ["Desk 2", "A", "B"]);
    assert_eq!(adds(&world), 2);
}

#[tokio::test]
async fn a_replace_all_whose_add_is_unknown_does_not_add_it_again() {
    let world = with_short_timeouts().await;
    let request = pb::ReplaceAllRequest {
        request_id: "id-1".to_owned(),
        ..replace(
            1003,
            vec![new_number("A", "15550140"), new_number("B", "15550141")],
        )
    };
    world.arm(FaultKind::Hold { when: When::Before }, Route::Add);
    for _ in 0..2 {
        let stopped = failure(world.replace_all(request.clone()).await);
        assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
        let steps = stopped.incomplete().steps;
        let unknown = pb::replace_step::Outcome::Unknown as i32;
        assert_eq!(steps[0].outcome, unknown, "{steps:?}");
        assert_eq!(steps[0].reason, "OUTCOME_UNKNOWN");
    }
    assert_eq!(world.writes().len(), 1);
    world.handle.release();
    world.handle.wait_for_effects(1).await;
    let done = world.replace_all(request).await.expect("goes on");
    assert_eq!(done.numbers.len(), 2);
    assert_eq!(adds(&world), 2);
}

#[tokio::test]
async fn a_write_that_provably_did_not_run_frees_its_id() {
    let world = World::start().await;
    let refusal = FaultKind::Status {
        status: 400,
        reason: None,
        body: "ResponseStatus\r\n\
               \"{ErrorCode:RequestBindingException,Message:bad,Errors:[]}\"\r\n"
            .to_owned(),
        content_type: Some("text/csv".to_owned()),
    };
    world.arm(refusal, Route::Add);
    let refused = failure(world.add(add_with_id("id-1", "Desk")).await);
    assert_eq!(refused.reason, "UPSTREAM_REFUSED");
    world.assert_fired("status");
    world
        .add(add_with_id("id-1", "Mobile"))
        .await
        .expect("another content under a free id");
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn a_write_with_unapplied_fields_is_replayed() {
    let world = World::with(
        followme::simulator::Options {
            knobs: followme::simulator::Knobs {
                query_values: false,
                ..Default::default()
            },
            ..crate::support::demo()
        },
        |config| config.upstream.update_all = followme::upstream::UpdateAll::Off,
    )
    .await;
    let mut number = new_number("Desk", "15550130");
    number.domain = "sip.example.com".to_owned();
    let request = pb::AddRequest {
        request_id: "id-1".to_owned(),
        ..add_to(1003, number)
    };
    for _ in 0..2 {
        let failed = failure(world.add(request.clone()).await);
        assert_eq!(failed.reason, "FIELDS_NOT_APPLIED");
        assert_eq!(failed.meta("unapplied_fields"), Some("domain"));
    }
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn outcomes_are_bounded_by_request_id_bytes() {
    let world = World::configured(|config| config.journal.limits.bytes = 1).await;
    for id in ["id-1", "id-2"] {
        world.add(add_with_id(id, "Desk")).await.expect("added");
    }
    world.add(add_with_id("id-2", "Desk")).await.expect("known");
    assert_eq!(adds(&world), 2);
    world
        .add(add_with_id("id-1", "Desk"))
        .await
        .expect("forgotten");
    assert_eq!(adds(&world), 3);
}

#[tokio::test]
async fn every_refusal_of_a_write_names_its_request_id() {
    let world = World::configured(|config| config.security.policy.read_only = true).await;
    let invalid = failure(world.add(add_with_id("id-1", "")).await);
    assert_eq!(invalid.reason, "INVALID_REQUEST");
    assert_eq!(invalid.meta("request_id"), Some("id-1"));
    let refused = failure(world.add(add_with_id("id-1", "Desk")).await);
    assert_eq!(refused.reason, "READ_ONLY");
    assert_eq!(refused.meta("request_id"), Some("id-1"));
    world.arm(FaultKind::Html { status: 503 }, Route::GetAll);
    let plan = pb::AddRequest {
        validate_only: true,
        ..add_with_id("id-1", "Desk")
    };
    let failed = failure(world.add(plan).await);
    assert_eq!(failed.reason, "UPSTREAM_ERROR");
    assert_eq!(failed.meta("request_id"), Some("id-1"));
}
