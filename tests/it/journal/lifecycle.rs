//! What a record is after each of its steps, in this process and in the next.

use followme::journal::{Claimed, Config, Journal, State};

use super::{body, claim_new, directory, in_file, resolve_and_continue, write, write_without_id};

#[tokio::test]
async fn a_settled_write_is_replayed_also_by_the_next_process() {
    let config = in_file(&directory());
    let journal = Journal::open(&config).await.unwrap();
    let mut record = claim_new(&journal, &write("a")).await;
    record.begin(&body(1)).await.unwrap();
    record.settle(&body(2)).await.unwrap();
    for _ in 0..2 {
        match journal.claim(&write("a")).await.unwrap() {
            Claimed::Replay(stored) => assert_eq!(stored, body(2)),
            other => panic!("{other:?}"),
        }
    }
    drop(journal);
    let journal = Journal::open(&config).await.unwrap();
    assert!(matches!(
        journal.claim(&write("a")).await.unwrap(),
        Claimed::Replay(stored) if stored == body(2)
    ));
}

#[tokio::test]
async fn a_write_that_was_begun_is_unknown_to_the_next_process() {
    let config = in_file(&directory());
    let journal = Journal::open(&config).await.unwrap();
    let mut record = claim_new(&journal, &write("a")).await;
    record.begin(&body(1)).await.unwrap();
    record.update(&body(3)).await.unwrap();
    // The process dies: nothing is done for the record any more.
    let id = record.id();
    std::mem::forget(record);
    let copy = directory();
    for file in ["followme.sqlite3", "followme.sqlite3-wal"] {
        let from = match &config.location {
            followme::journal::Location::File(path) => path.with_file_name(file),
            followme::journal::Location::Memory => unreachable!(),
        };
        std::fs::copy(from, copy.join(file)).unwrap();
    }
    let next = Journal::open(&in_file(&copy)).await.unwrap();
    assert_eq!(next.all_open(), [(id, State::Unknown)]);
    let mut record = resolve_and_continue(&next, &write("a")).await;
    assert_eq!(record.id(), id);
    assert_eq!(
        record.stored().await.unwrap(),
        (State::Unknown, Some(body(3)))
    );
}

#[tokio::test]
async fn a_claim_that_is_dropped_before_begin_leaves_the_id_free() {
    let journal = Journal::open(&Config::default()).await.unwrap();
    let first = claim_new(&journal, &write("a")).await;
    let Claimed::InFlight(in_flight) = journal.claim(&write("a")).await.unwrap() else {
        panic!("the first call has it");
    };
    drop(first);
    in_flight.ended().await;
    claim_new(&journal, &write("a")).await;
}

#[tokio::test]
async fn a_begun_record_that_is_dropped_is_unknown_and_never_free() {
    let journal = Journal::open(&Config::default()).await.unwrap();
    let mut first = claim_new(&journal, &write("a")).await;
    first.begin(&body(1)).await.unwrap();
    drop(first);
    // A try that sends nothing leaves it as it was.
    for _ in 0..2 {
        let mut record = resolve_and_continue(&journal, &write("a")).await;
        assert_eq!(
            record.stored().await.unwrap(),
            (State::Unknown, Some(body(1)))
        );
    }
    // So does one that begins, and then sends nothing.
    let mut record = resolve_and_continue(&journal, &write("a")).await;
    record.stored().await.unwrap();
    record.begin(&body(2)).await.unwrap();
    record.release().await.unwrap();
    let mut record = resolve_and_continue(&journal, &write("a")).await;
    assert_eq!(
        record.stored().await.unwrap(),
        (State::Unknown, Some(body(1)))
    );
    // Proof ends it.
    record.forget().await.unwrap();
    claim_new(&journal, &write("a")).await;
}

#[tokio::test]
async fn the_request_id_is_bound_to_what_was_asked() {
    let journal = Journal::open(&Config::default()).await.unwrap();
    let record = claim_new(&journal, &write("a")).await;
    let mut other = write("a");
    other.request.as_mut().unwrap().fingerprint = [8; 32];
    assert!(matches!(
        journal.claim(&other).await.unwrap(),
        Claimed::Conflict
    ));
    // Another tenant's, another caller's or another method's is another id.
    let mut tenant = write("a");
    tenant.request.as_mut().unwrap().tenant = "other".to_owned();
    let mut method = write("a");
    method.request.as_mut().unwrap().method = "Update";
    let mut caller = write("a");
    caller.caller = "bob".to_owned();
    for write in [tenant, method, caller] {
        claim_new(&journal, &write).await;
    }
    drop(record);
}

#[tokio::test]
async fn other_writes_of_the_account_see_open_ones_and_amend_them() {
    let journal = Journal::open(&Config::default()).await.unwrap();
    let mut unknown = claim_new(&journal, &write_without_id()).await;
    unknown.begin(&body(1)).await.unwrap();
    let id = unknown.id();
    unknown.leave_unknown(&body(2)).await.unwrap();
    let other = claim_new(&journal, &write("a")).await;
    let open = other.open_writes().await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].id, open[0].state), (id, State::Unknown));
    assert_eq!(open[0].body, Some(body(2)));
    journal.amend(id, &body(3)).await.unwrap();
    let open = other.open_writes().await.unwrap();
    assert_eq!(open[0].body, Some(body(3)));
    // Recovery takes it up by its id, once.
    let mut record = journal.claim_open(id).unwrap().unwrap();
    assert!(journal.claim_open(id).unwrap().is_none());
    assert_eq!(
        record.stored().await.unwrap(),
        (State::Unknown, Some(body(3)))
    );
    // Settled without a request id, nothing is left of it.
    record.settle(&body(4)).await.unwrap();
    assert!(other.open_writes().await.unwrap().is_empty());
    assert!(journal.claim_open(id).unwrap().is_none());
}

#[tokio::test]
async fn what_is_known_of_the_upstream_outlives_the_process() {
    let config = in_file(&directory());
    let journal = Journal::open(&config).await.unwrap();
    journal
        .set_host_fact("update_all", Some("off"))
        .await
        .unwrap();
    drop(journal);
    let journal = Journal::open(&config).await.unwrap();
    assert_eq!(journal.host_fact("update_all").as_deref(), Some("off"));
    journal.set_host_fact("update_all", None).await.unwrap();
    drop(journal);
    let mut other = config.clone();
    other.upstream = "another".to_owned();
    let journal = Journal::open(&config).await.unwrap();
    assert_eq!(journal.host_fact("update_all"), None);
}
