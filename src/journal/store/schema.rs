//! The tables of the journal, and how SQLite is set up for them.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, Transaction, params};

use super::super::{OpenError, RecordId, State, body, seal::Hash};

/// Marks a file of SQLite as a journal: "FMJ1".
const APPLICATION_ID: i64 = 0x464d_4a31;

/// The version of the tables. A release reads those of its predecessor and only adds.
const SCHEMA_VERSION: i64 = 1;

/// How long a commit waits while an operator's command writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const TABLES: &str = "
create table meta (name text primary key, value blob not null) without rowid;
create table record (
    id blob primary key,
    upstream text not null,
    key blob unique,
    account blob not null,
    caller blob not null,
    fingerprint blob not null,
    state integer not null,
    version integer not null,
    at integer not null,
    wall integer not null,
    body blob
);
create table fact (
    upstream text not null,
    name text not null,
    value text not null,
    primary key (upstream, name)
) without rowid;
create table request (
    id integer primary key,
    record blob not null,
    action text not null,
    number integer,
    operator text not null,
    done integer,
    answer text
);
";

/// A record as it is stored.
#[derive(Debug, Clone)]
pub(in super::super) struct Row {
    pub(in super::super) id: RecordId,
    pub(in super::super) key: Option<Hash>,
    pub(in super::super) account: Hash,
    pub(in super::super) caller: Hash,
    pub(in super::super) fingerprint: Hash,
    pub(in super::super) state: State,
    pub(in super::super) at: i64,
    /// The body, sealed; `None` of a tombstone.
    pub(in super::super) body: Option<Vec<u8>>,
}

/// Sets a connection up: a commit is on the disk when it returns, and what was deleted is
/// overwritten. The thread checkpoints itself: SQLite would hide that a sync failed in one.
pub(super) fn set_up(connection: &Connection) -> Result<(), OpenError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(
        "pragma journal_mode = wal; pragma synchronous = full; pragma secure_delete = on;
         pragma wal_autocheckpoint = 0;",
    )?;
    Ok(())
}

/// Makes the tables, or checks that this release reads them. Returns whether they were made.
pub(super) fn create_or_check(transaction: &Transaction<'_>) -> Result<bool, OpenError> {
    let tables: i64 =
        transaction.query_row("select count(*) from sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 {
        check(transaction)?;
        return Ok(false);
    }
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    Ok(true)
}

/// Checks that a file is a journal that this release reads.
pub(in super::super) fn check(connection: &Connection) -> Result<(), OpenError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if pragma("application_id")? != APPLICATION_ID {
        return Err(OpenError::Damaged("the mark of a journal"));
    }
    let known = SCHEMA_VERSION;
    let found = pragma("user_version")?;
    if found > known {
        return Err(OpenError::Version { found, known });
    }
    let known = i64::from(body::VERSION);
    let found: Option<i64> =
        connection.query_row("select max(version) from record", [], |row| row.get(0))?;
    match found {
        Some(found) if found > known => Err(OpenError::Version { found, known }),
        _ => Ok(()),
    }
}

pub(super) fn meta(connection: &Connection, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .query_row("select value from meta where name = ?1", [name], |row| {
            row.get(0)
        })
        .optional()
}

pub(super) fn set_meta(connection: &Connection, name: &str, value: &[u8]) -> rusqlite::Result<()> {
    connection.execute(
        "insert into meta (name, value) values (?1, ?2)
         on conflict (name) do update set value = excluded.value",
        params![name, value],
    )?;
    Ok(())
}

/// Writes a record, or its new state and body.
pub(super) fn put(
    connection: &Connection,
    upstream: &str,
    wall: i64,
    row: &Row,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "insert into record (id, upstream, key, account, caller, fingerprint, state, version, \
             at, wall, body) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
             on conflict (id) do update set state = excluded.state, version = excluded.version, \
             at = excluded.at, wall = excluded.wall, body = excluded.body",
        )?
        .execute(params![
            row.id.as_bytes(),
            upstream,
            row.key,
            row.account,
            row.caller,
            row.fingerprint,
            row.state as i64,
            body::VERSION,
            row.at,
            wall,
            row.body,
        ])?;
    Ok(())
}

/// Reads a row of `select id, key, account, caller, fingerprint, state, at, body`.
pub(super) fn read_row(row: &SqlRow<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        id: RecordId::from_bytes(row.get(0)?),
        key: row.get(1)?,
        account: row.get(2)?,
        caller: row.get(3)?,
        fingerprint: row.get(4)?,
        state: State::from_stored(row.get(5)?)
            .ok_or(rusqlite::Error::IntegralValueOutOfRange(5, 0))?,
        at: row.get(6)?,
        body: row.get(7)?,
    })
}
