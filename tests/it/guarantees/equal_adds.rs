//! Adds of the same redirect number, domain and name, which only their ids distinguish: no number
//! is reported to two of them.

use followme::{
    grpc::pb,
    simulator::{Fault, FaultKind, Route, StoredNumber, When},
};

use super::{add_with_id, adds, with_short_timeouts};
use crate::support::{
    LICENSE, SOON, World, add_to, failure, new_number, replace, stored_number, update,
};

/// The number of [`add_with_id`] as the service keeps it.
fn late(id: i32) -> StoredNumber {
    StoredNumber {
        id,
        timeout: Some(30),
        domain: None,
        period: None,
        period_description: None,
        ..stored_number("Desk", "15550130", 1)
    }
}

/// A world in which an add was sent, and its outcome is unknown. It was not done.
async fn after_an_unknown_add(id: &str) -> World {
    let world = with_short_timeouts().await;
    world.arm(FaultKind::Reset { when: When::Before }, Route::Add);
    let unknown = failure(world.add(add_with_id(id, "Desk")).await);
    assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    world.assert_fired("reset");
    world
}

/// Lets the first add take effect between an equal one and the read that verifies it.
async fn comes_late(world: &World) {
    world.handle.arm(
        Fault::once(FaultKind::Hold { when: When::Before })
            .on(Route::GetAll)
            .after(1),
    );
    world.handle.wait_for_fired("hold", 1).await;
    let mut numbers = world.handle.numbers(LICENSE, 1003).expect("seeded");
    numbers.push(late(81));
    world.seed(1003, numbers);
    world.handle.release();
}

#[tokio::test]
async fn a_late_add_is_not_reported_to_an_equal_add_that_was_refused() {
    // The one that may still come has an id, or none.
    for id in ["id-1", ""] {
        let world = after_an_unknown_add(id).await;
        world.arm(FaultKind::NotSuccess { when: When::Before }, Route::Add);
        let (second, ()) = tokio::join!(world.add(add_with_id("id-2", "Desk")), comes_late(&world));
        world.assert_fired("not_success");
        let unknown = failure(second);
        assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
        assert_eq!(unknown.meta("candidate_number_ids"), Some("81"));
        // Nor is it reported to either later.
        for id in [id, "id-2"].into_iter().filter(|id| !id.is_empty()) {
            let unknown = failure(world.add(add_with_id(id, "Desk")).await);
            assert_eq!(unknown.reason, "OUTCOME_UNKNOWN", "{id}");
            assert_eq!(unknown.meta("candidate_number_ids"), Some("81"), "{id}");
        }
        assert_eq!(adds(&world), 0);
    }
}

#[tokio::test]
async fn a_reported_number_is_not_reported_to_an_earlier_equal_add() {
    let world = after_an_unknown_add("id-1").await;
    let second = world.add(add_with_id("id-2", "Desk")).await.expect("added");
    let second = second.number.expect("a number").number_id;
    let unknown = failure(world.add(add_with_id("id-1", "Desk")).await);
    assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    assert_eq!(unknown.meta("candidate_number_ids"), None);
    // Now it takes effect.
    let mut numbers = world.handle.numbers(LICENSE, 1003).expect("seeded");
    numbers.push(late(81));
    world.seed(1003, numbers);
    let first = world.add(add_with_id("id-1", "Desk")).await.expect("found");
    assert_eq!(first.number.expect("a number").number_id, 81);
    assert_ne!(second, 81);
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn an_add_confirmed_by_upstream_is_ok_beside_an_unknown_equal_add() {
    let world = after_an_unknown_add("id-1").await;
    world.arm(FaultKind::NullList, Route::Add);
    world.add(add_with_id("id-2", "Desk")).await.expect("added");
    world.assert_fired("null_list");
    assert_eq!(adds(&world), 1);
}

#[tokio::test]
async fn a_resolved_add_does_not_make_equal_adds_unknown() {
    let world = after_an_unknown_add("id-1").await;
    world.seed(1003, vec![late(81)]);
    world.add(add_with_id("id-1", "Desk")).await.expect("found");
    world.arm(FaultKind::Reset { when: When::After }, Route::Add);
    let second = world.add(add_with_id("id-2", "Desk")).await.expect("found");
    assert_eq!(world.handle.fired_count("reset"), 2);
    assert_ne!(second.number.expect("a number").number_id, 81);
}

#[tokio::test]
async fn an_unknown_add_does_not_make_different_adds_unknown() {
    let world = after_an_unknown_add("id-1").await;
    world.arm(FaultKind::Reset { when: When::After }, Route::Add);
    world
        .add(add_with_id("id-2", "Mobile"))
        .await
        .expect("found");
    assert_eq!(world.handle.fired_count("reset"), 2);
}

#[tokio::test]
async fn a_late_add_is_not_reported_as_an_equal_step_of_a_replace_all() {
    let world = after_an_unknown_add("id-1").await;
    world.arm(FaultKind::NotSuccess { when: When::Before }, Route::Add);
    let request = replace(1003, vec![new_number("Desk", "15550130")]);
    let (replaced, ()) = tokio::join!(world.replace_all(request), comes_late(&world));
    world.assert_fired("not_success");
    let stopped = failure(replaced);
    assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
    let steps = stopped.incomplete().steps;
    assert_eq!(steps[0].outcome, pb::replace_step::Outcome::Unknown as i32);
    assert_eq!(adds(&world), 0);
}

#[tokio::test]
async fn an_unconfirmed_add_is_unknown_beside_an_unknown_equal_add() {
    let world = after_an_unknown_add("").await;
    world.arm(FaultKind::Reset { when: When::After }, Route::Add);
    let unknown = failure(world.add(add_with_id("id-2", "Desk")).await);
    assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    let id = world.read(1003).await.numbers[0].number_id.to_string();
    assert_eq!(unknown.meta("candidate_number_ids"), Some(id.as_str()));
}

/// Sends an add without an id whose outcome is unknown. It was not done.
async fn another_unknown_add(world: &World, name: &str) {
    let fired = world.handle.fired_count("reset");
    world.arm(FaultKind::Reset { when: When::Before }, Route::Add);
    let request = add_to(1002, new_number(name, "15550131"));
    let unknown = failure(world.add(request).await);
    assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    assert_eq!(world.handle.fired_count("reset"), fired + 1);
}

#[tokio::test]
async fn an_unknown_add_is_never_evicted_and_writes_are_refused_when_they_fill_the_journal() {
    let world = World::configured(|config| {
        config.operations.write_limit = SOON;
        config.journal.limits.entries = 4;
    })
    .await;
    world.arm(FaultKind::Reset { when: When::Before }, Route::Add);
    let unknown = failure(world.add(add_with_id("id-1", "Desk")).await);
    assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    // Settled records make space for others, an unknown one does not.
    for index in 0..8 {
        let request = pb::UpdateRequest {
            request_id: format!("update-{index}"),
            ..update(70001, &["name"], new_number(&format!("Desk {index}"), ""))
        };
        world.update(request).await.expect("updated");
    }
    let unknown = failure(world.add(add_with_id("id-1", "Desk")).await);
    assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    assert_eq!(adds(&world), 0);
    another_unknown_add(&world, "A").await;
    let full = failure(world.add(add_with_id("id-2", "Van")).await);
    assert_eq!(full.reason, "TOO_MANY_REQUEST_IDS");
    let full = failure(world.add(add_to(1003, new_number("Van", "15550139"))).await);
    assert_eq!(full.reason, "JOURNAL_UNAVAILABLE");
    world.read(1003).await;
}
