//! The journal, by its public API.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bounds;
mod commands;
mod contract;
mod cost;
mod files;
mod keys;
mod lifecycle;
mod settings;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use followme::{
    domain::AccountId,
    journal::{
        Body, Claimed, Config, Journal, Location, NewWrite, Record, RequestKey, body,
        command::CommandError,
    },
};

use crate::support::scratch;

/// Makes an empty directory.
pub(crate) fn directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let test = std::thread::current();
    let test = test.name().unwrap_or_default().replace("::", "-");
    let path = scratch().join(format!("{test}-{count}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("the directory of tests can be written");
    path
}

/// A body that a test tells from others.
pub(crate) fn body(number: i32) -> Body {
    Body {
        version: body::VERSION,
        origin: Some(body::Origin {
            account: number,
            ..body::Origin::default()
        }),
        ..Body::default()
    }
}

/// A journal in a file, whose lock is waited for as long as the thread of the one before needs to
/// end.
pub(crate) fn in_file(directory: &Path) -> Config {
    Config {
        location: Location::File(directory.join("followme.sqlite3")),
        upstream: "porta".to_owned(),
        lock_timeout: Duration::from_secs(10),
        ..Config::default()
    }
}

/// The file of a journal.
pub(crate) fn path_of(config: &Config) -> &Path {
    match &config.location {
        Location::File(path) => path,
        Location::Memory => panic!("not in a file"),
    }
}

/// Repeats a command until the thread of a journal that was dropped has ended.
pub(crate) fn until_free<T>(
    command: impl Fn() -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    loop {
        match command() {
            Err(CommandError::InUse(_) | CommandError::Unanswered) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

/// A write with a request id.
pub(crate) fn write(request_id: &str) -> NewWrite {
    NewWrite {
        request: Some(RequestKey {
            tenant: "default".to_owned(),
            method: "Add",
            request_id: request_id.to_owned(),
            fingerprint: [7; 32],
        }),
        ..write_without_id()
    }
}

/// A write without a request id.
pub(crate) fn write_without_id() -> NewWrite {
    NewWrite {
        request: None,
        caller: "alice".to_owned(),
        account: AccountId::new(1001).expect("it is positive"),
    }
}

/// Claims a write that is new.
pub(crate) async fn claim_new(journal: &Journal, write: &NewWrite) -> Record {
    match journal
        .claim(write)
        .await
        .expect("the journal is available")
    {
        Claimed::New(record) => record,
        other => panic!("not new: {other:?}"),
    }
}

/// Claims a write that an earlier try left open.
pub(crate) async fn resolve_and_continue(journal: &Journal, write: &NewWrite) -> Record {
    match journal
        .claim(write)
        .await
        .expect("the journal is available")
    {
        Claimed::TakenUp(record) => record,
        other => panic!("not taken up: {other:?}"),
    }
}
