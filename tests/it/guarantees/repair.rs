//! Repair: fields that were not applied are sent again, concurrent changes are left alone, and a
//! repair of unknown outcome is resolved later.

use std::{path::PathBuf, time::Duration};

use followme::{
    grpc::pb,
    simulator::{Fault, FaultKind, Knobs, Options, Route, StoredNumber, When, WriteAnswer},
};
use tonic::Code;

use super::{adds, changed_by_others, hold};
use crate::support::{
    Failure, LICENSE, SOON, World, add_to, demo, failure, new_number, scratch, update,
};

/// A host that ignores the query of a GET.
fn path_only() -> Knobs {
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

/// Does something while a call is held, and then releases it.
async fn while_held(world: &World, others: impl FnOnce()) {
    world.handle.wait_for_fired("hold", 1).await;
    others();
    world.handle.release();
}

/// Changes the only number of account 1003 at the service itself, as a concurrent writer would.
fn added_number_changed_by_others(world: &World, edit: impl FnOnce(&mut StoredNumber)) {
    let mut numbers = world.handle.numbers(LICENSE, 1003).expect("seeded");
    edit(&mut numbers[0]);
    world.seed(1003, numbers);
}

#[tokio::test]
async fn repair_does_not_overwrite_a_concurrent_change() {
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
async fn a_concurrent_change_of_a_strict_field_fails_the_call() {
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
async fn repair_of_an_add_does_not_overwrite_a_concurrent_change() {
    let world = World::knobs(without_lists()).await;
    hold(&world, Route::Add, When::After);
    let others = while_held(&world, || {
        added_number_changed_by_others(&world, |number| number.period = Some("wd{mo}".to_owned()));
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
async fn repair_does_not_overwrite_a_change_made_after_the_answer() {
    let world = World::knobs(path_only()).await;
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
async fn repair_writes_unchanged_fields_beside_a_concurrent_change() {
    let world = World::knobs(Knobs {
        write_answer: WriteAnswer::Null,
        ..path_only()
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
async fn repair_of_a_late_update_does_not_overwrite_a_concurrent_change() {
    let world = host_that_ignores_the_query(None).await;
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

/// A host that ignores the query, behind a facade with short timeouts, and an audit log if a file is
/// named.
async fn host_that_ignores_the_query(audit: Option<PathBuf>) -> World {
    let options = Options {
        knobs: path_only(),
        ..demo()
    };
    World::with(options, |config| {
        config.upstream.write_timeout = SOON;
        // Long enough for the repair to be sent on a busy machine too.
        config.operations.write_limit = Duration::from_secs(3);
        if audit.is_some() {
            config.audit.file = audit;
        }
    })
    .await
}

/// Withholds the answer to the repair, and fails every read after it.
async fn lose_the_repair(world: &World, when: When) {
    hold(world, Route::UpdateAll, when);
    world.handle.wait_for_fired("hold", 1).await;
    world.handle.arm(
        Fault::once(FaultKind::Html { status: 500 })
            .on(Route::GetAll)
            .times(1000),
    );
}

fn assert_repair_unknown(failed: &Failure, number_id: &str) {
    assert_eq!(failed.code, Code::Unknown);
    assert_eq!(failed.reason, "OUTCOME_UNKNOWN");
    assert_eq!(failed.meta("number_id"), Some(number_id));
    assert_eq!(failed.meta("unapplied_fields"), Some("period"));
    assert_eq!(failed.meta("request_id"), Some("id-1"));
}

#[tokio::test]
async fn an_unknown_repair_is_reported_and_resolved_later() {
    let world = host_that_ignores_the_query(None).await;
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
        lose_the_repair(&world, When::After)
    );
    assert_repair_unknown(&failure(updated), "70001");
    // A read that fails does not resolve it.
    let again = failure(world.update(request.clone()).await);
    assert_repair_unknown(&again, "70001");
    world.handle.disarm_all();
    world.handle.release();
    let found = world.update(request).await.expect("found");
    assert!(found.unapplied_fields.is_empty(), "{found:?}");
    assert_eq!(found.number.expect("a number").period, "wd{tu}");
    assert_eq!(world.effects().len(), 2);
}

#[tokio::test]
async fn an_add_whose_repair_is_unknown_is_not_added_again() {
    let file = scratch().join("audit-repair");
    let _ = std::fs::remove_file(&file);
    let world = host_that_ignores_the_query(Some(file.clone())).await;
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
        lose_the_repair(&world, When::Before)
    );
    let id = world.handle.numbers(LICENSE, 1003).expect("seeded")[0].id;
    assert_repair_unknown(&failure(added), &id.to_string());
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
    assert_eq!(
        posts(&world),
        1,
        "the field that still read empty was repaired"
    );
}

#[tokio::test]
async fn a_repair_that_cannot_be_audited_is_reported_as_unapplied() {
    let directory = scratch().join("audit-late");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory).expect("it can be made");
    let world = host_that_ignores_the_query(Some(directory.join("audit"))).await;
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
    assert_repair_unknown(&failure(world.update(request.clone()).await), "70001");
    assert_eq!(posts(&world), 0);
    std::fs::create_dir(&directory).expect("it can be made");
    let done = world.update(request).await.expect("done");
    assert!(done.unapplied_fields.is_empty(), "{done:?}");
    assert_eq!(world.effects().len(), 2);
}

#[tokio::test]
async fn a_repair_resolved_later_has_an_audit_line() {
    let file = scratch().join("audit-repair-later");
    let _ = std::fs::remove_file(&file);
    let world = host_that_ignores_the_query(Some(file.clone())).await;
    let request = pb::UpdateRequest {
        request_id: "id-1".to_owned(),
        ..update(70001, &["period"], with_period("", "", "wd{tu}"))
    };
    let (updated, ()) = tokio::join!(
        world.update(request.clone()),
        lose_the_repair(&world, When::After)
    );
    assert_repair_unknown(&failure(updated), "70001");
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
