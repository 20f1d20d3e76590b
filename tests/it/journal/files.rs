//! The file: who may have it, what it survives, and what ends the start.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use followme::journal::{
    Availability, Claimed, Config, Error, Journal, Location, OpenError, RecordId, State,
};

use super::{
    body, claim_new, directory, in_file, path_of, resolve_and_continue, write, write_without_id,
};

fn wal_of(config: &Config) -> PathBuf {
    path_of(config).with_file_name("followme.sqlite3-wal")
}

/// What must be there after a power loss that keeps this much of the write-ahead log.
struct Acknowledged {
    log_bytes: u64,
    write: String,
    id: RecordId,
    number: i32,
}

#[tokio::test]
async fn after_a_power_loss_at_any_sync_every_acknowledged_begin_is_there() {
    let mut random = fastrand::Rng::with_seed(7);
    let config = in_file(&directory());
    let journal = Journal::open(&config).await.unwrap();
    let length = || fs::metadata(wal_of(&config)).map_or(0, |file| file.len());
    let mut acknowledged: Vec<Acknowledged> = Vec::new();
    let mut records = Vec::new();
    for number in 0..60 {
        if number == 20 {
            // From here on the first ones are in the file, and the log is empty.
            journal.sweep().await;
            assert_eq!(length(), 0);
            for one in &mut acknowledged {
                one.log_bytes = 0;
            }
        }
        let request_id = number.to_string();
        let mut record = claim_new(&journal, &write(&request_id)).await;
        for number in [number, number + 1000] {
            record.begin(&body(number)).await.unwrap();
            acknowledged.push(Acknowledged {
                log_bytes: length(),
                write: request_id.clone(),
                id: record.id(),
                number,
            });
        }
        records.push(record);
    }
    let end = length();
    let mut cuts: Vec<u64> = acknowledged.iter().map(|one| one.log_bytes).collect();
    random.shuffle(&mut cuts);
    cuts.truncate(30);
    cuts.extend((0..30).map(|_| random.u64(0..=end)));
    for cut in cuts {
        let copy = in_file(&directory());
        fs::copy(path_of(&config), path_of(&copy)).unwrap();
        let mut log = fs::read(wal_of(&config)).unwrap();
        log.truncate(usize::try_from(cut).unwrap());
        // A block that was being written may hold anything.
        if random.bool() {
            log.extend((0..random.usize(0..5000)).map(|_| random.u8(..)));
        }
        fs::write(wal_of(&copy), log).unwrap();
        let next = Journal::open(&copy).await.unwrap();
        for (index, one) in acknowledged.iter().enumerate() {
            if one.log_bytes > cut {
                break;
            }
            // A later acknowledgement of the same record stands in its place.
            let later = acknowledged.get(index + 1);
            if later.is_some_and(|later| later.id == one.id && later.log_bytes <= cut) {
                continue;
            }
            let mut record = resolve_and_continue(&next, &write(&one.write)).await;
            assert_eq!(record.id(), one.id);
            let (state, stored) = record.stored().await.unwrap();
            assert_eq!(state, State::Unknown);
            // What was not acknowledged may be there too.
            let at_least = [Some(body(one.number)), Some(body(one.number + 1000))];
            assert!(at_least.contains(&stored), "cut {cut}: {stored:?}");
        }
    }
}

#[tokio::test]
async fn a_second_process_waits_for_the_first_and_then_says_who_it_is() {
    let mut config = in_file(&directory());
    let journal = Journal::open(&config).await.unwrap();
    // Closing other descriptors of the files does not give the lock away.
    for name in ["followme.sqlite3", "followme.sqlite3.lock"] {
        drop(fs::File::open(path_of(&config).with_file_name(name)).unwrap());
    }
    config.lock_timeout = Duration::from_millis(100);
    let error = Journal::open(&config).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, OpenError::Locked { .. }), "{text}");
    let holder = format!("process {}", std::process::id());
    assert!(
        text.contains(&holder) && text.starts_with("journal.url: "),
        "{text}"
    );
    // It is there as soon as the first has ended.
    config.lock_timeout = Duration::from_secs(30);
    let second = tokio::spawn({
        let config = config.clone();
        async move { Journal::open(&config).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!second.is_finished());
    drop(journal);
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_second_process_cannot_use_the_file_under_another_name() {
    let config = in_file(&directory());
    let other_name = |name: &str| {
        let mut other = in_file(&directory());
        other.lock_timeout = Duration::from_millis(100);
        other.location = Location::File(path_of(&config).with_file_name(name));
        other
    };
    let symbolic = other_name("symbolic");
    // The first process makes the file, by the link or without it.
    std::os::unix::fs::symlink(path_of(&config), path_of(&symbolic)).unwrap();
    for (first, second) in [(&symbolic, &config), (&config, &symbolic)] {
        let mut second = second.clone();
        second.lock_timeout = Duration::from_millis(100);
        let journal = Journal::open(first).await.unwrap();
        let error = Journal::open(&second).await.unwrap_err();
        assert!(matches!(error, OpenError::Locked { .. }), "{error}");
        drop(journal);
    }
    let hard = other_name("hard");
    fs::hard_link(path_of(&config), path_of(&hard)).unwrap();
    let error = Journal::open(&hard).await.unwrap_err();
    assert!(matches!(error, OpenError::Unwritable { .. }), "{error}");
}

#[tokio::test]
async fn a_place_that_cannot_be_written_ends_the_start_and_names_the_key() {
    let directory = directory();
    fs::write(directory.join("file"), "").unwrap();
    fs::create_dir(directory.join("followme.sqlite3")).unwrap();
    for path in [
        directory.join("file/below/followme.sqlite3"),
        directory.join("followme.sqlite3"),
        PathBuf::from("/proc/followme/followme.sqlite3"),
    ] {
        let mut config = in_file(&directory);
        config.location = Location::File(path.clone());
        let error = Journal::open(&config).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, OpenError::Unwritable { .. }), "{text}");
        assert!(text.starts_with("journal.url: "), "{text}");
    }
}

#[tokio::test]
async fn a_journal_on_a_network_file_system_is_refused_unless_that_is_allowed() {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let directories = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (directory, kind) = (fields.next()?, fields.next()?);
        let kinds = ["nfs", "nfs4", "cifs", "smb3", "9p"];
        (kinds.contains(&kind) || kind.starts_with("fuse")).then_some(directory)
    });
    // Most machines of tests have none; the numbers of the file systems have a test of their own.
    for directory in directories {
        let mut config = in_file(Path::new(directory));
        config.lock_timeout = Duration::ZERO;
        let error = Journal::open(&config).await.unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, OpenError::NetworkFileSystem { .. }),
            "{text}"
        );
        assert!(text.contains("journal.allow_network_fs"), "{text}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_journal_or_of_a_later_release_is_refused() {
    let config = in_file(&directory());
    fs::write(path_of(&config), "not a database at all, but long enough").unwrap();
    Journal::open(&config).await.unwrap_err();

    let config = in_file(&directory());
    let foreign = rusqlite::Connection::open(path_of(&config)).unwrap();
    foreign.execute_batch("create table t (a)").unwrap();
    drop(foreign);
    let error = Journal::open(&config).await.unwrap_err();
    assert!(matches!(error, OpenError::Damaged(_)), "{error}");

    let config = in_file(&directory());
    let journal = Journal::open(&config).await.unwrap();
    let mut record = claim_new(&journal, &write("a")).await;
    record.begin(&body(1)).await.unwrap();
    drop((record, journal));
    for change in ["update record set version = 99", "pragma user_version = 99"] {
        drop(Journal::open(&config).await);
        let later = rusqlite::Connection::open(path_of(&config)).unwrap();
        later.busy_timeout(Duration::from_secs(5)).unwrap();
        later.execute_batch(change).unwrap();
        drop(later);
        let text = Journal::open(&config).await.unwrap_err().to_string();
        assert!(text.contains("version 99"), "{text}");
    }
}

/// Waits until the journal is as wanted.
async fn until(journal: &Journal, wanted: impl FnMut(&Availability) -> bool) {
    let mut availability = journal.availability();
    tokio::time::timeout(Duration::from_secs(30), availability.wait_for(wanted))
        .await
        .expect("it changes")
        .expect("the journal lives");
}

#[tokio::test]
async fn a_file_that_is_removed_or_replaced_takes_no_writes_until_a_restart() {
    for replace in [false, true] {
        let config = in_file(&directory());
        let journal = Journal::open(&config).await.unwrap();
        let mut record = claim_new(&journal, &write("a")).await;
        record.begin(&body(1)).await.unwrap();
        if replace {
            let other = path_of(&config).with_file_name("other");
            fs::copy(path_of(&config), &other).unwrap();
            fs::rename(other, path_of(&config)).unwrap();
        } else {
            fs::remove_file(path_of(&config)).unwrap();
        }
        // From the first commit on.
        let mut next = claim_new(&journal, &write("next")).await;
        next.begin(&body(2)).await.unwrap_err();
        until(&journal, |now| matches!(now, Availability::Poisoned(_))).await;
        let refused = journal.claim(&write("b")).await.unwrap_err();
        assert!(matches!(refused, Error::Unavailable(_)), "{refused}");
        record.settle(&body(2)).await.unwrap_err();
    }
}

#[tokio::test]
async fn while_the_disk_does_not_answer_claims_are_refused_and_finishes_are_kept() {
    let mut config = in_file(&directory());
    config.timeout = Duration::from_millis(200);
    let journal = Journal::open(&config).await.unwrap();
    let mut begun = claim_new(&journal, &write("begun")).await;
    begun.begin(&body(1)).await.unwrap();
    let mut settled = claim_new(&journal, &write("settled")).await;
    settled.begin(&body(1)).await.unwrap();
    settled.settle(&body(2)).await.unwrap();
    let mut late = claim_new(&journal, &write("late")).await;
    // Another process has the write lock of SQLite.
    let other = rusqlite::Connection::open(path_of(&config)).unwrap();
    other.execute_batch("begin immediate").unwrap();
    let started = Instant::now();
    late.begin(&body(3)).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(!journal.availability().borrow().is_available());
    let refused = journal.claim(&write("new")).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "{refused}");
    drop(late);
    let finish = tokio::spawn(async move { begun.settle(&body(4)).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!finish.is_finished());
    other.execute_batch("rollback").unwrap();
    finish.await.unwrap().unwrap();
    until(&journal, Availability::is_available).await;
    assert!(matches!(
        journal.claim(&write("begun")).await.unwrap(),
        Claimed::Replay(stored) if stored == body(4)
    ));
    // The begin that was given up is undone.
    loop {
        match journal.claim(&write("late")).await.unwrap() {
            Claimed::New(_) => break,
            Claimed::InFlight(in_flight) => in_flight.ended().await,
            other => panic!("{other:?}"),
        }
    }
    drop(journal);
    let next = Journal::open(&config).await.unwrap();
    assert!(next.all_open().is_empty());
}

#[tokio::test]
async fn everything_that_waits_goes_into_one_commit() {
    let config = in_file(&directory());
    let journal = Journal::open(&config).await.unwrap();
    let before = journal.figures().commits;
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..200 {
        let journal = journal.clone();
        tasks.spawn(async move {
            let mut record = claim_new(&journal, &write(&index.to_string())).await;
            record.begin(&body(1)).await.unwrap();
            record
        });
    }
    let records = tasks.join_all().await;
    let commits = journal.figures().commits - before;
    assert!((1..=100).contains(&commits), "{commits} commits");
    assert_eq!(records.len(), 200);
}

#[tokio::test]
async fn a_write_takes_two_commits_and_a_claim_none() {
    let config = in_file(&directory());
    let journal = Journal::open(&config).await.unwrap();
    let before = journal.figures().commits;
    for write in [write("a"), write_without_id()] {
        let mut record = claim_new(&journal, &write).await;
        record.open_writes().await.unwrap();
        record.begin(&body(1)).await.unwrap();
        record.settle(&body(2)).await.unwrap();
        drop(claim_new(&journal, &super::write("b")).await);
    }
    assert_eq!(journal.figures().commits - before, 4);
}
