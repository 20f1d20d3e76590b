//! Collateral changes: other numbers that `POST /UpdateFollowmeAll` changes are detected and restored.

use std::time::Duration;

use followme::{
    grpc::pb,
    simulator::{
        Dialect, Fault, FaultKind, Knobs, Newline, Options, Received, Route, StoredNumber,
        UpdateAll as Scope, WriteAnswer,
    },
    upstream::UpdateAll,
};
use tonic::Code;

use crate::support::{
    LICENSE, World, delete, demo, failure, new_number, replace, stored_number, update,
};

pub(super) const HEADER: &str = "IAccount,IFollowMeNumber,TimeOut,Domain,Name,FollowMeOrder,RedirectNumber,\
                      KeepOriginalCld,KeepOriginalCLI,Active,Period,Period_desc,Status,\
                      isDeleteForward,License,ContentId,FeatureName\r\n";

/// A name that CSV carries and a path does not.
pub(super) const PLAIN_TEXT: &str = "Mom & Dad / home, 日本, 100%";

/// Clears the domain of 70001, which no GET can do.
pub(super) fn clear_domain() -> pb::UpdateRequest {
    update(70001, &["domain"], pb::FollowMeNumber::default())
}

/// Gives 70001 a domain, so that it can be cleared again.
pub(super) fn give_domain(domain: &str) -> pb::UpdateRequest {
    let number = pb::FollowMeNumber {
        domain: domain.to_owned(),
        ..pb::FollowMeNumber::default()
    };
    update(70001, &["domain"], number)
}

pub(super) fn posts(world: &World) -> Vec<Received> {
    let mut writes = world.writes();
    writes.retain(|request| request.method == "POST");
    writes
}

pub(super) fn content_types(posts: &[Received]) -> Vec<&str> {
    posts
        .iter()
        .filter_map(|request| request.header("content-type"))
        .collect()
}

pub(super) fn body(request: &Received) -> String {
    String::from_utf8(request.body.clone()).expect("a body is UTF-8")
}

pub(super) async fn host(knobs: Knobs, dialect: Dialect, mode: UpdateAll) -> World {
    let options = Options {
        knobs,
        dialect,
        newline: Newline::CrLf,
        ..demo()
    };
    World::with(options, |config| config.upstream.update_all = mode).await
}

pub(super) fn every() -> Knobs {
    Knobs {
        update_all: Scope::Every,
        ..Knobs::default()
    }
}

#[tokio::test]
async fn collateral_changes_are_detected_and_restored() {
    for write_answer in [WriteAnswer::List, WriteAnswer::Null, WriteAnswer::Changed] {
        let knobs = Knobs {
            write_answer,
            ..every()
        };
        let world = host(knobs, Dialect::V3, UpdateAll::One).await;
        let others: Vec<StoredNumber> = [("b", 80002), ("c", 80003)]
            .into_iter()
            .zip(2..)
            .map(|((name, id), order)| StoredNumber {
                id,
                ..stored_number(name, "15550102", order)
            })
            .collect();
        let mut numbers = others.clone();
        numbers.push(StoredNumber {
            id: 70001,
            ..stored_number("Desk", "15550101", 1)
        });
        world.seed(1001, numbers);
        let failed = failure(world.update(clear_domain()).await);
        assert_eq!(failed.code, Code::Internal);
        assert_eq!(failed.reason, "UPSTREAM_WROTE_TOO_MUCH");
        assert_eq!(failed.meta("touched_number_ids"), Some("80002,80003"));
        assert_eq!(failed.meta("not_restored_number_ids"), None);
        for other in others {
            assert_eq!(world.stored(1001, other.id), other, "{write_answer:?}");
        }
        assert_eq!(world.number(1001, 70001).await.domain, "");

        // The route is not used any more, for any account.
        let before = posts(&world).len();
        world
            .update(give_domain("pbx.example.com"))
            .await
            .expect("a GET can do that");
        let failed = failure(world.update(clear_domain()).await);
        assert_eq!(failed.reason, "FIELDS_NOT_APPLIED");
        let mut numbers = world.read(1002).await.numbers;
        numbers[0].name = "Desk 2".to_owned();
        world
            .replace_all(replace(1002, numbers))
            .await
            .expect("a GET can do that");
        assert_eq!(posts(&world).len(), before);
    }
}

#[tokio::test]
async fn collateral_changes_that_cannot_be_restored_are_named() {
    let world = World::knobs(every()).await;
    let mut numbers = world.read(1001).await.numbers;
    numbers[0].name = "Front desk".to_owned();
    let failed = failure(world.replace_all(replace(1001, numbers)).await);
    assert_eq!(failed.reason, "UPSTREAM_WROTE_TOO_MUCH");
    assert_eq!(failed.meta("touched_number_ids"), Some("70002,70003"));
    // They had no domain or no name, and no GET can clear one.
    assert_eq!(failed.meta("not_restored_number_ids"), Some("70002,70003"));
    let mobile = world.number(1001, 70002).await;
    assert_eq!(mobile.name, "Mobile, \"after hours\"");
    assert_eq!(mobile.redirect_number, "15550102");
}

#[tokio::test]
async fn a_replace_all_continues_under_its_id_after_a_collateral_change() {
    let world = World::knobs(every()).await;
    let stored = (1..=3).map(|order| StoredNumber {
        id: 80000 + order,
        ..stored_number("Desk", &format!("1555010{order}"), order)
    });
    world.seed(1001, stored.collect());
    let mut numbers = world.read(1001).await.numbers;
    for number in &mut numbers {
        number.name = format!("Desk {}", number.number_id);
    }
    let request = pb::ReplaceAllRequest {
        request_id: "id-1".to_owned(),
        ..replace(1001, numbers)
    };
    let failed = failure(world.replace_all(request.clone()).await);
    assert_eq!(failed.reason, "UPSTREAM_WROTE_TOO_MUCH");
    assert_eq!(failed.meta("request_id"), Some("id-1"));
    assert_eq!(world.stored(1001, 80002).name.as_deref(), Some("Desk"));
    // Not the first answer again: its other steps are still to be done.
    world.replace_all(request).await.expect("it goes on");
    for id in 80001..=80003 {
        let name = world.stored(1001, id).name;
        assert_eq!(name, Some(format!("Desk {id}")));
    }
}

#[tokio::test]
async fn a_concurrent_change_is_not_mistaken_for_a_collateral_change() {
    let world = World::on(Dialect::V4, Newline::Lf).await;
    world.arm(
        FaultKind::Hold {
            when: followme::simulator::When::After,
        },
        Route::UpdateAll,
    );
    let somebody_else = async {
        world.handle.wait_for_fired("hold", 1).await;
        let mut numbers = world.handle.numbers(LICENSE, 1001).expect("seeded");
        numbers[1].name = Some("Theirs".to_owned());
        world.seed(1001, numbers);
        world.handle.release();
    };
    let (answer, ()) = tokio::join!(world.update(clear_domain()), somebody_else);
    assert_eq!(answer.expect("it is updated").unapplied_fields, [""; 0]);
    assert_eq!(world.number(1001, 70002).await.name, "Theirs");
    // The route is still used.
    world
        .update(give_domain("pbx.example.com"))
        .await
        .expect("it is updated");
    world.update(clear_domain()).await.expect("it is updated");
}

#[tokio::test]
async fn numbers_deleted_by_a_collateral_change_are_added_again() {
    let knobs = Knobs {
        update_all: Scope::List,
        reads_csv_bodies: Some(true),
        ..Knobs::default()
    };
    let world = host(knobs, Dialect::V3, UpdateAll::One).await;
    world.seed(
        1001,
        vec![
            StoredNumber {
                id: 70001,
                ..stored_number("Desk", "15550101", 1)
            },
            StoredNumber {
                id: 80002,
                ..stored_number("b", "15550102", 2)
            },
        ],
    );
    let failed = failure(world.update(clear_domain()).await);
    assert_eq!(failed.reason, "UPSTREAM_WROTE_TOO_MUCH");
    assert_eq!(failed.meta("touched_number_ids"), Some("80002"));
    assert_eq!(failed.meta("not_restored_number_ids"), None);
    let now = world.read(1001).await;
    let names: Vec<&str> = now
        .numbers
        .iter()
        .map(|number| number.name.as_str())
        .collect();
    assert_eq!(names, ["Desk", "b"]);
}

#[tokio::test]
async fn a_collateral_change_behind_a_lost_answer_is_detected_by_the_next_call() {
    let options = Options {
        knobs: every(),
        ..demo()
    };
    // Long enough for the POST to be sent on a busy machine too.
    let world = World::with(options, |config| {
        config.operations.write_limit = Duration::from_secs(3);
    })
    .await;
    let others: Vec<StoredNumber> = [("b", 80002), ("c", 80003)]
        .into_iter()
        .zip(2..)
        .map(|((name, id), order)| StoredNumber {
            id,
            ..stored_number(name, &format!("1555010{order}"), order)
        })
        .collect();
    let mut numbers = others.clone();
    numbers.push(StoredNumber {
        id: 70001,
        ..stored_number("Desk", "15550101", 1)
    });
    world.seed(1001, numbers);
    let request = pb::UpdateRequest {
        request_id: "id-1".to_owned(),
        ..clear_domain()
    };
    let when = followme::simulator::When::After;
    world.arm(FaultKind::Reset { when }, Route::UpdateAll);
    let reads_fail = async {
        world.handle.wait_for_fired("reset", 1).await;
        world.handle.arm(
            Fault::once(FaultKind::NullList)
                .on(Route::GetAll)
                .times(1000),
        );
    };
    let (unknown, ()) = tokio::join!(world.update(request.clone()), reads_fail);
    assert_eq!(failure(unknown).reason, "OUTCOME_UNKNOWN");
    world.handle.disarm_all();
    for _ in 0..2 {
        let failed = failure(world.update(request.clone()).await);
        assert_eq!(failed.reason, "UPSTREAM_WROTE_TOO_MUCH");
        assert_eq!(failed.meta("touched_number_ids"), Some("80002,80003"));
        assert_eq!(failed.meta("not_restored_number_ids"), None);
    }
    for other in others {
        assert_eq!(world.stored(1001, other.id), other);
    }
}

#[tokio::test]
async fn restoring_does_not_overwrite_an_equal_concurrent_change() {
    let world = World::start().await;
    let mut numbers = world.read(1001).await.numbers;
    for number in &mut numbers {
        number.etag.clear();
    }
    numbers[0].ring_timeout = crate::support::seconds(41);
    world.arm(
        FaultKind::Hold {
            when: followme::simulator::When::After,
        },
        Route::UpdateAll,
    );
    let somebody_else = async {
        world.handle.wait_for_fired("hold", 1).await;
        let mut numbers = world.handle.numbers(LICENSE, 1001).expect("seeded");
        numbers[1].timeout = Some(41);
        world.seed(1001, numbers);
        world.handle.release();
    };
    numbers[1].ring_timeout = None;
    let (replaced, ()) = tokio::join!(world.replace_all(replace(1001, numbers)), somebody_else);
    replaced.expect("it is replaced");
    assert_eq!(world.stored(1001, 70002).timeout, Some(41));
    // The route is still used.
    let before = posts(&world).len();
    world.update(clear_domain()).await.expect("it is updated");
    world
        .update(give_domain("pbx.example.com"))
        .await
        .expect("it is updated");
    world.update(clear_domain()).await.expect("it is updated");
    assert!(posts(&world).len() > before);
}

#[tokio::test]
async fn a_number_that_was_just_deleted_is_not_restored_from_a_list_that_lags() {
    let knobs = Knobs {
        lag_reads: 2,
        ..Knobs::default()
    };
    let world = World::knobs(knobs).await;
    let two = [("Desk", 70001), ("Van", 70002)].into_iter().zip(1..);
    let two = two.map(|((name, id), order)| StoredNumber {
        id,
        ..stored_number(name, "15550101", order)
    });
    world.seed(1001, two.collect());
    let before = world.read(1001).await;
    world
        .delete(delete(70002))
        .await
        .expect("its answer shows it");
    let mut numbers = before.numbers;
    numbers.truncate(1);
    numbers[0].name = "Front desk".to_owned();
    // The list of the plan still shows the number.
    let replaced = world.replace_all(replace(1001, numbers)).await;
    replaced.expect("nothing else changed");
    assert_eq!(posts(&world).len(), 1);
    let kept = world.handle.numbers(LICENSE, 1001).expect("seeded");
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].name.as_deref(), Some("Front desk"));
}

#[tokio::test]
async fn a_collateral_change_of_an_unverified_step_is_reported_by_the_next_call() {
    let options = Options {
        knobs: every(),
        ..demo()
    };
    let world = World::with(options, |config| {
        config.operations.write_limit = Duration::from_millis(600);
        config.upstream.read_timeout = Duration::from_millis(200);
    })
    .await;
    let three = [("a", 80001), ("b", 80002), ("c", 80003)]
        .into_iter()
        .zip(1..);
    let three = three.map(|((name, id), order)| StoredNumber {
        id,
        ..stored_number(name, "15550102", order)
    });
    world.seed(1001, three.collect());
    let mut numbers = world.read(1001).await.numbers;
    // The new number takes the record of the first.
    numbers[0] = new_number("New", "15550140");
    let request = pb::ReplaceAllRequest {
        request_id: "id-1".to_owned(),
        ..replace(1001, numbers)
    };
    world.arm(FaultKind::HttpSys, Route::UpdateAll);
    let unread = Fault::once(FaultKind::Html { status: 500 }).on(Route::GetAll);
    world.handle.arm(unread.after(1).times(100));
    let stopped = failure(world.replace_all(request.clone()).await);
    assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
    world.assert_fired("http_sys");
    world.handle.disarm_all();
    let failed = failure(world.replace_all(request.clone()).await);
    assert_eq!(failed.reason, "UPSTREAM_WROTE_TOO_MUCH");
    assert_eq!(failed.meta("touched_number_ids"), Some("80002,80003"));
    for (name, id) in [("b", 80002), ("c", 80003)] {
        assert_eq!(world.stored(1001, id).name.as_deref(), Some(name));
    }
}
