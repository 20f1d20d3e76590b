//! What the journal forgets, when, and whose.

use std::time::Duration;

use followme::journal::{Claimed, Clock, Config, Journal, Limits, ManualClock, NewWrite, State};

use super::{body, claim_new, directory, in_file, resolve_and_continue, write, write_without_id};

const TTL: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn small(entries: usize) -> Config {
    Config {
        limits: Limits {
            ttl: TTL,
            entries,
            ..Limits::default()
        },
        ..Config::default()
    }
}

fn of(caller: &str, request_id: &str) -> NewWrite {
    NewWrite {
        caller: caller.to_owned(),
        ..write(request_id)
    }
}

async fn settle(journal: &Journal, write: &NewWrite) {
    let mut record = claim_new(journal, write).await;
    record.begin(&body(1)).await.unwrap();
    record.settle(&body(2)).await.unwrap();
}

async fn leave_unknown(journal: &Journal, write: &NewWrite) {
    let mut record = claim_new(journal, write).await;
    record.begin(&body(1)).await.unwrap();
    record.leave_unknown(&body(2)).await.unwrap();
}

async fn is_replayed(journal: &Journal, write: &NewWrite) -> bool {
    matches!(journal.claim(write).await.unwrap(), Claimed::Replay(_))
}

#[tokio::test]
async fn an_unknown_write_is_never_evicted_by_any_number_of_others() {
    let journal = Journal::open(&small(20)).await.unwrap();
    leave_unknown(&journal, &of("alice", "unknown")).await;
    for index in 0..300 {
        settle(&journal, &of("alice", &index.to_string())).await;
        settle(&journal, &of("bob", &index.to_string())).await;
    }
    resolve_and_continue(&journal, &of("alice", "unknown")).await;
    // The youngest settled ones are there, the oldest are not.
    assert!(is_replayed(&journal, &of("alice", "299")).await);
    assert!(!is_replayed(&journal, &of("alice", "0")).await);
    assert!(journal.figures().evicted > 500);
}

#[tokio::test]
async fn a_caller_holds_its_share_and_evicts_nobody_elses() {
    let journal = Journal::open(&small(20)).await.unwrap();
    for index in 0..5 {
        settle(&journal, &of("alice", &index.to_string())).await;
    }
    for index in 0..100 {
        settle(&journal, &of("bob", &index.to_string())).await;
    }
    for index in 0..5 {
        assert!(is_replayed(&journal, &of("alice", &index.to_string())).await);
    }
    let figures = journal.figures();
    assert_eq!(figures.by_state[State::Settled as usize], 5 + 10);
    // What is open cannot be given up: the caller is full, the others are not.
    for index in 0..10 {
        leave_unknown(&journal, &of("carol", &index.to_string())).await;
        if journal.figures().by_state[State::Unknown as usize] == 5 {
            break;
        }
    }
    let full = journal.claim(&of("carol", "more")).await.unwrap();
    assert!(matches!(full, Claimed::Full), "{full:?}");
    let without_id = NewWrite {
        caller: "carol".to_owned(),
        ..write_without_id()
    };
    assert!(matches!(
        journal.claim(&without_id).await.unwrap(),
        Claimed::Full
    ));
    // Replays and resolutions go on.
    assert!(is_replayed(&journal, &of("bob", "99")).await);
    let open = resolve_and_continue(&journal, &of("carol", "0")).await;
    open.forget().await.unwrap();
    claim_new(&journal, &of("carol", "more")).await;
}

#[tokio::test]
async fn a_caller_that_holds_its_share_of_bytes_is_full() {
    let mut config = small(1000);
    config.limits.bytes = 4096;
    let journal = Journal::open(&config).await.unwrap();
    let mut count = 0;
    while let Claimed::New(mut record) = journal
        .claim(&of("alice", &count.to_string()))
        .await
        .unwrap()
    {
        record.begin(&body(1)).await.unwrap();
        record.leave_unknown(&body(1)).await.unwrap();
        count += 1;
    }
    assert!((4..=8).contains(&count), "{count}");
    claim_new(&journal, &of("bob", "0")).await;
}

#[tokio::test]
async fn a_settled_write_is_forgotten_after_its_ttl() {
    let clock = ManualClock::default();
    let mut config = small(100);
    config.clock = Clock::Manual(clock.clone());
    let journal = Journal::open(&config).await.unwrap();
    settle(&journal, &write("a")).await;
    settle(&journal, &write("b")).await;
    clock.advance(TTL - Duration::from_secs(1));
    assert!(is_replayed(&journal, &write("a")).await);
    clock.advance(Duration::from_secs(1));
    // At once where it is asked for, and by the sweep.
    claim_new(&journal, &write("a")).await;
    journal.sweep().await;
    assert_eq!(journal.figures().by_state, [0; 6]);
}

#[tokio::test]
async fn an_unknown_write_that_nobody_asks_about_shrinks_and_ends_by_its_documented_limit() {
    let clock = ManualClock::default();
    let mut config = in_file(&directory());
    config.clock = Clock::Manual(clock.clone());
    let mut journal = Journal::open(&config).await.unwrap();
    leave_unknown(&journal, &write("asked")).await;
    leave_unknown(&journal, &write("unasked")).await;
    clock.advance(TTL / 2);
    drop(resolve_and_continue(&journal, &write("asked")).await);
    clock.advance(TTL / 2);
    journal.sweep().await;
    drop(resolve_and_continue(&journal, &write("asked")).await);
    let Claimed::Tombstone(id) = journal.claim(&write("unasked")).await.unwrap() else {
        panic!("nobody asked about it");
    };
    // It still counts for other writes of the account.
    let other = claim_new(&journal, &write("other")).await;
    let open = other.open_writes().await.unwrap();
    assert!(
        open.iter()
            .any(|open| open.id == id && open.state == State::Tombstone && open.body.is_none())
    );
    drop(other);
    for restarts in 0..3 {
        clock.advance(9 * DAY);
        if restarts < 2 {
            journal.sweep().await;
        }
        assert!(matches!(
            journal.claim(&write("unasked")).await.unwrap(),
            Claimed::Tombstone(_)
        ));
        drop(journal);
        journal = Journal::open(&config).await.unwrap();
    }
    clock.advance(31 * DAY);
    journal.sweep().await;
    claim_new(&journal, &write("unasked")).await;
}

#[tokio::test]
async fn a_restart_takes_at_most_an_hour_off_a_ttl() {
    let clock = ManualClock::default();
    let mut config = in_file(&directory());
    config.clock = Clock::Manual(clock.clone());
    config.limits.ttl = 3 * TTL;
    clock.advance(DAY);
    let mut journal = Journal::open(&config).await.unwrap();
    settle(&journal, &write("a")).await;
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap();
    // The wall clock jumps while the machine restarts: to next year, and back.
    let mut up = Duration::from_secs(10);
    for (jump, replayed) in [
        (millis(365 * DAY), true),
        (-millis(700 * DAY), true),
        (millis(600 * DAY), true),
        (millis(2 * DAY), false),
    ] {
        drop(journal);
        clock.shift_wall(jump);
        clock.reboot();
        // The machine has run for less than before: so the journal sees that it restarted.
        up -= Duration::from_secs(1);
        clock.advance(up);
        journal = Journal::open(&config).await.unwrap();
        assert_eq!(is_replayed(&journal, &write("a")).await, replayed, "{jump}");
    }
}

#[tokio::test]
async fn a_wall_clock_that_is_set_forward_expires_nothing() {
    let clock = ManualClock::default();
    let mut config = in_file(&directory());
    config.clock = Clock::Manual(clock.clone());
    let mut journal = Journal::open(&config).await.unwrap();
    settle(&journal, &write("a")).await;
    for _ in 0..5 {
        drop(journal);
        clock.shift_wall(365 * 24 * 60 * 60 * 1000);
        clock.advance(TTL / 10);
        journal = Journal::open(&config).await.unwrap();
        assert!(is_replayed(&journal, &write("a")).await);
    }
    // The time that passed counts.
    drop(journal);
    clock.advance(TTL);
    let journal = Journal::open(&config).await.unwrap();
    assert!(!is_replayed(&journal, &write("a")).await);
}
