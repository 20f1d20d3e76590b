//! The second way, by which what did not take is written again: what it leaves alone, and what is
//! told where nobody knows whether it was taken.

use std::path::PathBuf;

use followme::{
    grpc::pb,
    simulator::{Fault, FaultKind, Knobs, Options, Route, StoredNumber, When, WriteAnswer},
};
use tonic::Code;

use super::{adds, changed_by_others, hold};
use crate::support::{
    Failure, LICENSE, SOON, World, add_to, demo, failure, new_number, scratch, update,
};

/// A host that takes from a GET what its path carries and nothing else.
fn by_path_alone() -> Knobs {
    Knobs {
        query_values: false,
        ..Knobs::default()
    }
}

/// A host whose writes answer without a list.
fn without_lists() -> Knobs {
    Knobs {
        write_answer: WriteAnswer::Null,
        ..Knobs::default()
    }
}

fn with_period(name: &str, redirect_number: &str, period: &str) -> pb::FollowMeNumber {
    pb::FollowMeNumber {
        period: period.to_owned(),
        ..new_number(name, redirect_number)
    }
}

/// Counts the posts that had their effect.
fn posts(world: &World) -> usize {
    let requests = world.handle.requests();
    let posted = |sequence| {
        let mut requests = requests.iter();
        requests.any(|request| request.sequence == sequence && request.method == "POST")
    };
    let effects = world.effects();
    effects
        .iter()
        .filter(|effect| posted(effect.request))
        .count()
}

/// Does something once a call is held, and then lets the call go on.
async fn while_held(world: &World, others: impl FnOnce()) {
    world.handle.wait_for_fired("hold", 1).await;
    others();
    world.handle.release();
}

/// Changes the only number of account 1003 at the service itself, as somebody else would.
fn new_one_changed(world: &World, edit: impl FnOnce(&mut StoredNumber)) {
    let mut numbers = world.handle.numbers(LICENSE, 1003).expect("seeded");
    edit(&mut numbers[0]);
    world.seed(1003, numbers);
}

#[tokio::test]
async fn what_somebody_else_set_over_an_update_is_left_and_told() {
    let world = World::knobs(without_lists()).await;
    hold(&world, Route::Update, When::After);
    let others = while_held(&world, || {
        changed_by_others(&world, 70001, |number| {
            number.name = Some("Theirs".to_owned());
        });
    });
    let (updated, ()) = tokio::join!(
        world.update(update(70001, &["name"], new_number("Ours", ""))),
        others
    );
    let updated = updated.expect("it was done");
    assert_eq!(updated.unapplied_fields, ["name"]);
    assert_eq!(updated.number.expect("a number").name, "Theirs");
    assert_eq!(world.stored(1001, 70001).name.as_deref(), Some("Theirs"));
    assert_eq!(posts(&world), 0);
}

#[tokio::test]
async fn a_field_that_matters_and_that_somebody_else_set_fails_the_call() {
    let world = World::knobs(without_lists()).await;
    hold(&world, Route::Update, When::After);
    let others = while_held(&world, || {
        changed_by_others(&world, 70001, |number| {
            number.redirect_number = Some("15550199".to_owned());
        });
    });
    let (updated, ()) = tokio::join!(
        world.update(update(
            70001,
            &["redirect_number"],
            new_number("", "15550198")
        )),
        others
    );
    let failed = failure(updated);
    assert_eq!(failed.reason, "FIELDS_NOT_APPLIED");
    assert_eq!(failed.meta("unapplied_fields"), Some("redirect_number"));
    let stored = world.stored(1001, 70001);
    assert_eq!(stored.redirect_number.as_deref(), Some("15550199"));
}

#[tokio::test]
async fn what_somebody_else_set_in_a_new_number_is_left_and_told() {
    let world = World::knobs(without_lists()).await;
    hold(&world, Route::Add, When::After);
    let others = while_held(&world, || {
        new_one_changed(&world, |number| number.period = Some("wd{mo}".to_owned()));
    });
    let (added, ()) = tokio::join!(
        world.add(add_to(1003, with_period("Desk", "15550130", "wd{tu}"))),
        others
    );
    let added = added.expect("it was done");
    assert_eq!(added.unapplied_fields, ["period"]);
    assert_eq!(added.number.expect("a number").period, "wd{mo}");
    assert_eq!(posts(&world), 0);
}

#[tokio::test]
async fn what_somebody_else_set_after_the_answer_is_left_and_told() {
    let world = World::knobs(by_path_alone()).await;
    // The read right before the post.
    world.handle.arm(
        Fault::once(FaultKind::Hold { when: When::Before })
            .on(Route::GetAll)
            .after(1),
    );
    let others = while_held(&world, || {
        changed_by_others(&world, 70001, |number| {
            number.period = Some("wd{mo}".to_owned());
        });
    });
    let (updated, ()) = tokio::join!(
        world.update(update(
            70001,
            &["period"],
            with_period("", "", "hr{9am-5pm} wd{tu}")
        )),
        others
    );
    assert_eq!(updated.expect("it was done").unapplied_fields, ["period"]);
    assert_eq!(world.stored(1001, 70001).period.as_deref(), Some("wd{mo}"));
    assert_eq!(posts(&world), 0);
}

#[tokio::test]
async fn what_is_still_as_before_is_written_beside_what_somebody_else_set() {
    let world = World::knobs(Knobs {
        write_answer: WriteAnswer::Null,
        ..by_path_alone()
    })
    .await;
    hold(&world, Route::Update, When::After);
    let others = while_held(&world, || {
        changed_by_others(&world, 70001, |number| {
            number.name = Some("Theirs".to_owned());
        });
    });
    let (updated, ()) = tokio::join!(
        world.update(update(
            70001,
            &["name", "period"],
            with_period("Ours", "", "wd{tu}")
        )),
        others
    );
    assert_eq!(updated.expect("it was done").unapplied_fields, ["name"]);
    let stored = world.stored(1001, 70001);
    assert_eq!(stored.name.as_deref(), Some("Theirs"));
    assert_eq!(stored.period.as_deref(), Some("wd{tu}"));
    assert_eq!(posts(&world), 1);
}

#[tokio::test]
async fn what_somebody_else_set_before_a_late_update_is_found_is_left_and_told() {
    let world = impatient(None).await;
    hold(&world, Route::Update, When::Before);
    let request = pb::UpdateRequest {
        request_id: "id-1".to_owned(),
        ..update(
            70001,
            &["name", "period"],
            with_period("Ours", "", "wd{tu}"),
        )
    };
    let unknown = failure(world.update(request.clone()).await);
    assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    world.handle.release();
    world.handle.wait_for_effects(1).await;
    changed_by_others(&world, 70001, |number| {
        number.period = Some("wd{mo}".to_owned());
    });
    let found = world.update(request).await.expect("found");
    assert_eq!(found.unapplied_fields, ["period"]);
    assert_eq!(world.stored(1001, 70001).period.as_deref(), Some("wd{mo}"));
    assert_eq!(posts(&world), 0);
}

/// A world of little patience whose host uses what the path carries alone. Where a file is named, the
/// audit log goes there.
async fn impatient(audit: Option<PathBuf>) -> World {
    let options = Options {
        knobs: by_path_alone(),
        ..demo()
    };
    World::with(options, |config| {
        config.upstream.write_timeout = SOON;
        config.operations.write_limit = 2 * SOON;
        if audit.is_some() {
            config.audit.file = audit;
        }
    })
    .await
}

/// Lets the post of the second way have no answer, and every read after it fail.
async fn unknown_rest(world: &World, when: When) {
    hold(world, Route::UpdateAll, when);
    world.handle.wait_for_fired("hold", 1).await;
    world.handle.arm(
        Fault::once(FaultKind::Html { status: 500 })
            .on(Route::GetAll)
            .times(1000),
    );
}

fn assert_rest_unknown(failed: &Failure, number_id: &str) {
    assert_eq!(failed.code, Code::Unknown);
    assert_eq!(failed.reason, "OUTCOME_UNKNOWN");
    assert_eq!(failed.meta("number_id"), Some(number_id));
    assert_eq!(failed.meta("unapplied_fields"), Some("period"));
    assert_eq!(failed.meta("request_id"), Some("id-1"));
}

#[tokio::test]
async fn a_second_way_whose_outcome_is_unknown_is_told_and_found_later() {
    let world = impatient(None).await;
    let request = pb::UpdateRequest {
        request_id: "id-1".to_owned(),
        etag: world.number(1001, 70001).await.etag,
        ..update(
            70001,
            &["name", "period"],
            with_period("Ours", "", "wd{tu}"),
        )
    };
    let (updated, ()) = tokio::join!(
        world.update(request.clone()),
        unknown_rest(&world, When::After)
    );
    assert_rest_unknown(&failure(updated), "70001");
    // A read that fails makes it no clearer.
    let again = failure(world.update(request.clone()).await);
    assert_rest_unknown(&again, "70001");
    world.handle.disarm_all();
    world.handle.release();
    let found = world.update(request).await.expect("found");
    assert!(found.unapplied_fields.is_empty(), "{found:?}");
    assert_eq!(found.number.expect("a number").period, "wd{tu}");
    assert_eq!(world.effects().len(), 2);
}

#[tokio::test]
async fn an_add_whose_second_way_is_unknown_is_not_added_again() {
    let file = scratch().join("audit-second-way");
    let _ = std::fs::remove_file(&file);
    let world = impatient(Some(file.clone())).await;
    let audited = || {
        let text = std::fs::read_to_string(&file).expect("the file is there");
        let lines = text.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("an object");
            ["phase", "write", "outcome"].map(|key| line[key].as_str().unwrap_or("").to_owned())
        });
        lines.collect::<Vec<_>>()
    };
    let request = pb::AddRequest {
        request_id: "id-1".to_owned(),
        ..add_to(1003, with_period("Desk", "15550130", "wd{tu}"))
    };
    let (added, ()) = tokio::join!(
        world.add(request.clone()),
        unknown_rest(&world, When::Before)
    );
    let id = world.handle.numbers(LICENSE, 1003).expect("seeded")[0].id;
    assert_rest_unknown(&failure(added), &id.to_string());
    assert_eq!(audited(), [["begin", "add", ""], ["end", "add", "unknown"]]);
    world.handle.disarm_all();
    let added = world.add(request.clone()).await.expect("done");
    assert!(added.unapplied_fields.is_empty(), "{added:?}");
    let number = added.number.expect("a number");
    assert_eq!((number.number_id, number.period.as_str()), (id, "wd{tu}"));
    assert_eq!(adds(&world), 1);
    assert_eq!(
        audited()[2..],
        [["begin", "update", ""], ["end", "update", "done"]]
    );
    assert_eq!(posts(&world), 1, "what still read empty was written again");
}

#[tokio::test]
async fn a_late_update_whose_rest_cannot_be_noted_is_told_done_but_for_that() {
    let directory = scratch().join("audit-late");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory).expect("it can be made");
    let world = impatient(Some(directory.join("audit"))).await;
    hold(&world, Route::Update, When::Before);
    let request = pb::UpdateRequest {
        request_id: "id-1".to_owned(),
        ..update(
            70001,
            &["name", "period"],
            with_period("Ours", "", "wd{tu}"),
        )
    };
    let unknown = failure(world.update(request.clone()).await);
    assert_eq!(unknown.meta("unapplied_fields"), None);
    world.handle.release();
    world.handle.wait_for_effects(1).await;
    std::fs::remove_dir_all(&directory).expect("it can be removed");
    assert_rest_unknown(&failure(world.update(request.clone()).await), "70001");
    assert_eq!(posts(&world), 0);
    std::fs::create_dir(&directory).expect("it can be made");
    let done = world.update(request).await.expect("done");
    assert!(done.unapplied_fields.is_empty(), "{done:?}");
    assert_eq!(world.effects().len(), 2);
}

#[tokio::test]
async fn a_second_way_that_is_found_later_has_a_line_in_the_audit_log() {
    let file = scratch().join("audit-rest-later");
    let _ = std::fs::remove_file(&file);
    let world = impatient(Some(file.clone())).await;
    let request = pb::UpdateRequest {
        request_id: "id-1".to_owned(),
        ..update(70001, &["period"], with_period("", "", "wd{tu}"))
    };
    let (updated, ()) = tokio::join!(
        world.update(request.clone()),
        unknown_rest(&world, When::After)
    );
    assert_rest_unknown(&failure(updated), "70001");
    world.handle.disarm_all();
    world.handle.release();
    world.update(request).await.expect("found");
    let text = std::fs::read_to_string(&file).expect("the file is there");
    let last: serde_json::Value = text
        .lines()
        .last()
        .map(|line| serde_json::from_str(line).expect("an object"))
        .expect("a line");
    assert_eq!(last["later"], true, "{text}");
    assert_eq!(last["outcome"], "done");
    assert_eq!(last["number_id"], 70001);
    assert_eq!(last["after"]["period"], "wd{tu}");
}
