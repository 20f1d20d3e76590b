//! Writes whose answer is lost or proves nothing: verified by reading.

use followme::simulator::{EffectKind, FaultKind, HangAt, Route, When};
use tonic::Code;

use super::{
    add_with_id, adds, changed_by_others, visibility::answering_without_lists, with_short_timeouts,
};
use crate::support::{SOON, World, delete, failure, new_number, stored_number, update};

/// What can become of an answer after the write took effect.
fn lost_answers() -> Vec<FaultKind> {
    let after = When::After;
    vec![
        FaultKind::Reset { when: after },
        FaultKind::Close { when: after },
        FaultKind::Truncated { bytes: 80 },
        FaultKind::TruncatedQuietly { bytes: 80 },
        FaultKind::Html { status: 200 },
        FaultKind::Html { status: 500 },
        FaultKind::NotSuccess { when: after },
        FaultKind::NullList,
        FaultKind::NullResult,
        FaultKind::DefaultRecord {
            status: 500,
            when: after,
        },
        FaultKind::DefaultRecord {
            status: 400,
            when: after,
        },
        FaultKind::Exception {
            type_name: "NullReferenceException".to_owned(),
            when: after,
        },
        FaultKind::Hang {
            at: HangAt::BeforeHead,
        },
        FaultKind::Hang {
            at: HangAt::MidBody,
        },
        FaultKind::Stale,
    ]
}

#[tokio::test]
async fn a_write_verified_as_done_is_ok_whatever_its_answer() {
    for fault in lost_answers() {
        let world = World::configured(|config| config.upstream.write_timeout = SOON).await;
        let name = fault.name();
        world.arm(fault.clone(), Route::Add);
        world.arm(fault.clone(), Route::Update);
        world.arm(fault.clone(), Route::Delete);
        let added = world.add(add_with_id("id-1", "Desk")).await;
        let added = added.unwrap_or_else(|status| panic!("{name}: {status:?}"));
        assert_eq!(added.number.expect("a number").name, "Desk");
        let updated = world
            .update(update(70001, &["name"], new_number("Desk 2", "")))
            .await
            .unwrap_or_else(|status| panic!("{name}: {status:?}"));
        assert_eq!(updated.number.expect("a number").name, "Desk 2");
        world
            .delete(delete(70002))
            .await
            .unwrap_or_else(|status| panic!("{name}: {status:?}"));
        assert_eq!(world.handle.fired_count(name), 3, "{name}");
        let kinds: Vec<EffectKind> = world.effects().iter().map(|effect| effect.kind).collect();
        assert_eq!(
            kinds,
            [EffectKind::Add, EffectKind::Update, EffectKind::Delete],
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_write_verified_as_not_done_is_write_not_done() {
    let before = When::Before;
    for (fault, code, reason) in [
        (
            FaultKind::NotSuccess { when: before },
            Code::FailedPrecondition,
            "UPSTREAM_REFUSED",
        ),
        (
            FaultKind::DefaultRecord {
                status: 400,
                when: before,
            },
            Code::FailedPrecondition,
            "UPSTREAM_REFUSED",
        ),
        (
            FaultKind::DefaultRecord {
                status: 500,
                when: before,
            },
            Code::Aborted,
            "WRITE_NOT_DONE",
        ),
        (
            FaultKind::Exception {
                type_name: "TimeoutException".to_owned(),
                when: before,
            },
            Code::Aborted,
            "WRITE_NOT_DONE",
        ),
    ] {
        let world = with_short_timeouts().await;
        world.arm(fault.clone(), Route::Add);
        let refused = failure(world.add(add_with_id("id-1", "Desk")).await);
        world.assert_fired(fault.name());
        assert_eq!((refused.code, refused.reason.as_str()), (code, reason));
        assert_eq!(world.writes().len(), 1, "it is not sent again by itself");
        assert_eq!(adds(&world), 0);
    }
}

#[tokio::test]
async fn an_unanswered_write_that_the_list_does_not_show_is_unknown() {
    for fault in [
        FaultKind::Reset { when: When::Before },
        FaultKind::Close { when: When::Before },
        FaultKind::Hold { when: When::Before },
    ] {
        let world = with_short_timeouts().await;
        world.arm(fault.clone(), Route::Add);
        let unknown = failure(world.add(add_with_id("id-1", "Desk")).await);
        world.assert_fired(fault.name());
        assert_eq!(unknown.code, Code::Unknown);
        assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
        assert_eq!(world.writes().len(), 1);
    }
}

#[tokio::test]
async fn two_candidates_for_an_add_are_both_reported() {
    let world = with_short_timeouts().await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::Add);
    let call = tokio::spawn({
        let mut client = world.client();
        async move { client.add(add_with_id("id-1", "Desk")).await }
    });
    world.handle.wait_for_fired("hold", 1).await;
    // A concurrent writer adds the same twice, at the service itself.
    let mut twin = stored_number("Desk", "15550130", 1);
    twin.domain = None;
    let twins = [81, 82].map(|id| followme::simulator::StoredNumber { id, ..twin.clone() });
    world.seed(1003, twins.to_vec());
    let unknown = failure(call.await.expect("no panic"));
    assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    assert_eq!(unknown.meta("candidate_number_ids"), Some("81,82"));
}

#[tokio::test]
async fn an_unapplied_strict_field_fails_the_call_and_says_that_the_write_was_done() {
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
    let failed = failure(world.add(crate::support::add_to(1003, number)).await);
    assert_eq!(failed.code, Code::FailedPrecondition);
    assert_eq!(failed.reason, "FIELDS_NOT_APPLIED");
    assert_eq!(failed.meta("unapplied_fields"), Some("domain"));
    let id = world.read(1003).await.numbers[0].number_id.to_string();
    assert_eq!(failed.meta("number_id"), Some(id.as_str()));
}

#[tokio::test]
async fn a_field_reset_by_a_get_update_is_repaired() {
    let world = World::knobs(followme::simulator::Knobs {
        update_resets_unseen: true,
        query_values: false,
        ..Default::default()
    })
    .await;
    let before = world.number(1001, 70002).await;
    let updated = world
        .update(update(70002, &["name"], new_number("Renamed", "")))
        .await
        .expect("updated");
    assert!(updated.unapplied_fields.is_empty(), "{updated:?}");
    let after = updated.number.expect("a number");
    assert_eq!(after.period, before.period);
    assert_eq!(after.caller_id_mode, before.caller_id_mode);
    assert_eq!(after.name, "Renamed");
}

#[tokio::test]
async fn a_gateway_error_or_timeout_proves_nothing() {
    for status in [502, 504] {
        let world = with_short_timeouts().await;
        let gateway = FaultKind::Status {
            status,
            reason: None,
            body: "<html></html>".to_owned(),
            content_type: Some("text/html".to_owned()),
        };
        world.arm(gateway, Route::Add);
        let unknown = failure(world.add(add_with_id("id-1", "Desk")).await);
        world.assert_fired("status");
        assert_eq!(unknown.code, Code::Unknown);
        assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
        // The service was still writing.
        let late = followme::simulator::StoredNumber {
            redirect_number: Some("15550130".to_owned()),
            name: Some("Desk".to_owned()),
            order: Some(1),
            timeout: Some(30),
            active: Some("Y".to_owned()),
            ..Default::default()
        };
        world.seed(1003, vec![late]);
        let found = world.add(add_with_id("id-1", "Desk")).await;
        assert_eq!(
            found.expect("found").list_etag,
            world.read(1003).await.list_etag
        );
        assert_eq!(world.writes().len(), 1);
    }
}

#[tokio::test]
async fn a_write_overwritten_by_a_concurrent_change_is_not_reported_as_not_done() {
    let world = with_short_timeouts().await;
    world.arm(
        FaultKind::DefaultRecord {
            status: 500,
            when: When::After,
        },
        Route::Update,
    );
    // The read that verifies it.
    world.handle.arm(
        followme::simulator::Fault::once(FaultKind::Hold { when: When::Before })
            .on(Route::GetAll)
            .after(1),
    );
    let others = async {
        world.handle.wait_for_fired("hold", 1).await;
        changed_by_others(&world, 70001, |number| {
            number.name = Some("Theirs".to_owned());
        });
        world.handle.release();
    };
    let (result, ()) = tokio::join!(
        world.update(update(70001, &["name"], new_number("Ours", ""))),
        others
    );
    world.assert_fired("default_record");
    assert_eq!(world.effects().len(), 1, "it was done");
    assert_eq!(failure(result).reason, "OUTCOME_UNKNOWN");
}

#[tokio::test]
async fn repair_does_not_overwrite_a_concurrent_change_of_a_reset_field() {
    let world = World::knobs(followme::simulator::Knobs {
        update_resets_unseen: true,
        query_values: false,
        write_answer: followme::simulator::WriteAnswer::Null,
        ..Default::default()
    })
    .await;
    world.arm(FaultKind::Hold { when: When::After }, Route::Update);
    let others = async {
        world.handle.wait_for_fired("hold", 1).await;
        assert_eq!(world.stored(1001, 70002).period, None, "it was reset");
        changed_by_others(&world, 70002, |number| {
            number.period = Some("wd{mo}".to_owned());
        });
        world.handle.release();
    };
    let (updated, ()) = tokio::join!(
        world.update(update(70002, &["name"], new_number("Renamed", ""))),
        others
    );
    let after = updated.expect("updated").number.expect("a number");
    assert_eq!(after.period, "wd{mo}");
    assert_eq!(after.period_description, "Evenings: and weekends");
    assert_eq!(after.name, "Renamed");
}

#[tokio::test]
async fn a_concurrent_delete_counts_as_done() {
    let world = with_short_timeouts().await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::Delete);
    let others = async {
        world.handle.wait_for_fired("hold", 1).await;
        let mut left = world
            .handle
            .numbers(crate::support::LICENSE, 1001)
            .expect("seeded");
        left.retain(|number| number.id != 70002);
        world.seed(1001, left);
        world.handle.release();
    };
    let (deleted, ()) = tokio::join!(world.delete(delete(70002)), others);
    deleted.expect("it is gone");
    assert_eq!(world.read(1001).await.total_size, 2);
}

#[tokio::test]
async fn a_list_with_an_unidentified_number_proves_no_absence() {
    let world = with_short_timeouts().await;
    world.arm(FaultKind::NotSuccess { when: When::Before }, Route::Delete);
    let blur = FaultKind::OddElement {
        odd: followme::simulator::Odd::NoId,
    };
    world.handle.arm(
        followme::simulator::Fault::once(blur)
            .on(Route::GetAll)
            .after(1)
            .times(u32::MAX),
    );
    let unknown = failure(world.delete(delete(70001)).await);
    world.assert_fired("not_success");
    assert!(world.handle.fired_count("odd_element") > 0);
    assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    assert_eq!(unknown.meta("candidate_number_ids"), Some("70001"));
}

#[tokio::test]
async fn a_list_with_an_unidentified_number_does_not_prove_not_found() {
    let blur = FaultKind::OddElement {
        odd: followme::simulator::Odd::NoId,
    };
    for allow_missing in [true, false] {
        let world = World::start().await;
        world.arm(blur.clone(), Route::GetAll);
        let request = followme::grpc::pb::DeleteRequest {
            allow_missing,
            ..delete(70001)
        };
        let failed = failure(world.delete(request).await);
        world.assert_fired("odd_element");
        assert_eq!(failed.code, Code::Internal);
        assert_eq!(failed.reason, "UPSTREAM_BAD_RESPONSE");
        assert_eq!(world.writes().len(), 0);
    }
    let world = World::start().await;
    world.arm(blur, Route::GetAll);
    let renamed = update(70001, &["name"], new_number("Desk 2", ""));
    let failed = failure(world.update(renamed).await);
    world.assert_fired("odd_element");
    assert_eq!(failed.reason, "UPSTREAM_BAD_RESPONSE");
}

#[tokio::test]
async fn a_list_with_an_unidentified_number_is_not_replaced() {
    let blur = || FaultKind::OddElement {
        odd: followme::simulator::Odd::NoId,
    };
    let world = World::start().await;
    let numbers = world.read(1001).await.numbers;
    let request = crate::support::replace(1001, numbers);
    world.arm(blur(), Route::GetAll);
    // It would add the lost one again.
    let failed = failure(world.replace_all(request.clone()).await);
    world.assert_fired("odd_element");
    assert_eq!(failed.reason, "UPSTREAM_BAD_RESPONSE");
    assert_eq!(world.writes().len(), 0);
    world.replace_all(request).await.expect("it is as desired");

    // The list that shows the first update lost the number of the second.
    let world = answering_without_lists().await;
    let mut numbers = world.read(1001).await.numbers;
    numbers.reverse();
    for number in &mut numbers {
        number.name.push_str(" 2");
    }
    let first = numbers.last().expect("three numbers").number_id;
    world.handle.arm(
        followme::simulator::Fault::once(blur())
            .on(Route::GetAll)
            .after(2),
    );
    let stopped = failure(
        world
            .replace_all(crate::support::replace(1001, numbers))
            .await,
    );
    world.assert_fired("odd_element");
    assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
    let steps = stopped.incomplete().steps;
    assert_eq!(steps[0].number_id, first, "{steps:?}");
    assert_eq!(steps[0].reason, "UPSTREAM_BAD_RESPONSE");
}
