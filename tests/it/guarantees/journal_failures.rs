//! A journal that fails between two calls of one request id: no answer denies a write that may have
//! been sent.

use std::{fs, time::Duration};

use followme::{
    journal::Config,
    simulator::{FaultKind, Route, When},
};

use super::{add_with_id, adds, client_without_timers, hold, with_deadline};
use crate::{
    journal::{directory, in_file, path_of},
    support::{World, failure},
};

async fn over(journal: &Config) -> World {
    World::configured(|config| {
        config.journal = journal.clone();
        config.operations.write_limit = Duration::from_millis(400);
        config.upstream.write_timeout = Duration::from_millis(150);
    })
    .await
}

async fn reason_of_add(world: &World, id: &str) -> String {
    failure(world.add(add_with_id(id, "Desk")).await).reason
}

#[tokio::test]
async fn an_unknown_add_stays_unknown_while_the_journal_takes_no_writes() {
    let journal = Config {
        timeout: Duration::from_millis(200),
        ..in_file(&directory())
    };
    let world = over(&journal).await;
    world.arm(FaultKind::Reset { when: When::Before }, Route::Add);
    assert_eq!(reason_of_add(&world, "id-1").await, "OUTCOME_UNKNOWN");
    let other = rusqlite::Connection::open(path_of(&journal)).expect("it can be opened");
    other.execute_batch("begin immediate").expect("it is free");
    // The journal learns by this one that it cannot be written.
    let late = with_deadline(add_with_id("id-2", "Van"), Duration::from_secs(1));
    failure(client_without_timers(&world).add(late).await);
    assert_eq!(reason_of_add(&world, "id-3").await, "JOURNAL_UNAVAILABLE");
    assert_eq!(reason_of_add(&world, "id-1").await, "OUTCOME_UNKNOWN");
    assert_eq!(adds(&world), 0);
}

#[tokio::test]
async fn a_write_whose_outcome_the_journal_cannot_keep_is_unknown() {
    let journal = in_file(&directory());
    let world = over(&journal).await;
    hold(&world, Route::Add, When::After);
    let remove = async {
        world.handle.wait_for_fired("hold", 1).await;
        fs::remove_file(path_of(&journal)).expect("it is there");
        world.handle.release();
    };
    let (first, ()) = tokio::join!(world.add(add_with_id("id-1", "Desk")), remove);
    assert_eq!(failure(first).reason, "OUTCOME_UNKNOWN");
    assert_eq!(reason_of_add(&world, "id-1").await, "OUTCOME_UNKNOWN");
    assert_eq!(reason_of_add(&world, "id-2").await, "JOURNAL_UNAVAILABLE");
    assert_eq!(adds(&world), 1);
}
