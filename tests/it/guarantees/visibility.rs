//! Confirmed writes that the list shows late or never: the visibility timeout.

use followme::simulator::{FaultKind, Route, When};

use super::add_with_id;
use crate::support::{World, delete, failure, new_number};

/// A world whose writes answer without a list.
pub(super) async fn answering_without_lists() -> World {
    let knobs = followme::simulator::Knobs {
        write_answer: followme::simulator::WriteAnswer::Null,
        ..Default::default()
    };
    let options = followme::simulator::Options {
        knobs,
        ..crate::support::demo()
    };
    World::with(options, |_| {}).await
}

/// Lets the reads after a write show the list from before it, until `shown` more have come.
async fn shows_late(world: &World, account: i32, route: Route, shown: Option<u64>) {
    let numbers = || {
        let numbers = world.handle.numbers(crate::support::LICENSE, account);
        numbers.expect("the account exists")
    };
    let before = numbers();
    world.arm(FaultKind::Hold { when: When::After }, route);
    world.handle.wait_for_fired("hold", 1).await;
    let after = numbers();
    assert_ne!(before, after, "it was done");
    world.seed(account, before);
    world.handle.release();
    if let Some(shown) = shown {
        // The list and the write came before.
        world.handle.wait_for_requests(2 + shown).await;
        world.seed(account, after);
    }
}

#[tokio::test]
async fn a_confirmed_write_that_shows_within_the_visibility_timeout_is_ok() {
    let world = answering_without_lists().await;
    let (added, ()) = tokio::join!(
        world.add(add_with_id("id-1", "Desk")),
        shows_late(&world, 1003, Route::Add, Some(2))
    );
    assert_eq!(added.expect("done").number.expect("a number").name, "Desk");
    assert_eq!(world.writes().len(), 1);

    let world = answering_without_lists().await;
    let (deleted, ()) = tokio::join!(
        world.delete(delete(70001)),
        shows_late(&world, 1001, Route::Delete, Some(2))
    );
    deleted.expect("done");
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test]
async fn a_confirmed_add_that_never_shows_is_unknown_and_a_delete_is_not_done() {
    let world = answering_without_lists().await;
    let (added, ()) = tokio::join!(
        world.add(add_with_id("id-1", "Desk")),
        shows_late(&world, 1003, Route::Add, None)
    );
    assert_eq!(failure(added).reason, "OUTCOME_UNKNOWN");
    assert_eq!(world.writes().len(), 1);

    let world = answering_without_lists().await;
    let (deleted, ()) = tokio::join!(
        world.delete(delete(70001)),
        shows_late(&world, 1001, Route::Delete, None)
    );
    assert_eq!(failure(deleted).reason, "WRITE_NOT_DONE");
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test]
async fn a_confirmed_whole_list_that_shows_late_is_not_added_again() {
    let knobs = followme::simulator::Knobs {
        update_all: followme::simulator::UpdateAll::List,
        reads_csv_bodies: Some(true),
        ..Default::default()
    };
    let options = followme::simulator::Options {
        knobs,
        ..crate::support::demo()
    };
    let world = World::with(options, |config| {
        config.upstream.update_all = followme::upstream::UpdateAll::WholeList;
    })
    .await;
    let request = crate::support::replace(1003, vec![new_number("Desk", "15550130")]);
    let (replaced, ()) = tokio::join!(
        world.replace_all(request),
        shows_late(&world, 1003, Route::UpdateAll, Some(2))
    );
    assert_eq!(replaced.expect("done").numbers[0].name, "Desk");
    assert_eq!(world.writes().len(), 1);
}
