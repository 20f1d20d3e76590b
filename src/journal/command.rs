//! `followme journal`: commands on a journal, with or without a running process.
//!
//! Personal data is shown only on request.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant, UNIX_EPOCH},
};

use rusqlite::{Connection, OpenFlags, Row, TransactionBehavior, backup::Backup, params};

use super::{
    Action, Body, Config, Location, OpenError, RecordId, State, UPDATE_ALL,
    seal::Cipher,
    store::{lock, schema},
};
use crate::telemetry::audit::{self, Audit};

/// How long a command waits until the running process has carried out a request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// How often it polls for the answer.
const ANSWER_POLL: Duration = Duration::from_millis(50);

/// How long a command waits while the running process commits.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages that a backup copies at once.
const BACKUP_PAGES: i32 = 256;

/// Why a command is not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The journal is in memory.
    #[error("journal.url: the journal is in memory, so commands cannot read it")]
    InMemory,
    /// There is no journal.
    #[error("journal.url: there is no journal at {0}")]
    Missing(PathBuf),
    /// The journal cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no such record.
    #[error("there is no record {0}")]
    NoRecord(RecordId),
    /// The outcome of the write is known already.
    #[error("record {0} is not open: its outcome is known")]
    NotOpen(RecordId),
    /// The use of `UpdateFollowmeAll` was not stopped.
    #[error("the journal does not say that UpdateFollowmeAll of {0} is not used")]
    NotStopped(String),
    /// The number of open records is not the one that was given.
    #[error("{open} records are open, not {given}: nothing was forgotten")]
    Count {
        /// How many are open.
        open: usize,
        /// How many the command named.
        given: usize,
    },
    /// A process uses the journal, and the command needs exclusive access.
    #[error("{0} uses the journal: stop it first")]
    InUse(String),
    /// The running process refused.
    #[error("{0}")]
    Refused(String),
    /// The running process does not answer.
    #[error(
        "the request is stored, but the running process has not answered within {ANSWER_TIMEOUT:?}"
    )]
    Unanswered,
    /// The backup cannot be written.
    #[error("cannot write {path}")]
    Backup {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The audit log cannot be written.
    #[error("nothing was done")]
    Audit(#[from] audit::Unavailable),
    /// SQLite cannot do it.
    #[error("the journal cannot be read or written: {0}")]
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for CommandError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// A record as the commands show it.
struct Shown {
    id: RecordId,
    state: State,
    upstream: String,
    has_key: bool,
    wall: i64,
    body: Option<Vec<u8>>,
}

const COLUMNS: &str = "select id, state, upstream, key is not null, wall, body from record";

impl Shown {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: RecordId::from_bytes(row.get(0)?),
            state: State::from_stored(row.get(1)?)
                .ok_or(rusqlite::Error::IntegralValueOutOfRange(1, 0))?,
            upstream: row.get(2)?,
            has_key: row.get(3)?,
            wall: row.get(4)?,
            body: row.get(5)?,
        })
    }

    fn changed(&self) -> impl std::fmt::Display + use<> {
        let wall = u64::try_from(self.wall).unwrap_or_default();
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(wall))
    }

    fn body(&self, cipher: &Cipher) -> Option<Body> {
        let plain = cipher.decrypt(self.id.as_bytes(), self.body.as_ref()?)?;
        Body::read(&plain).ok()
    }
}

/// Lists the open records, or all of them, and what is known of the upstreams.
///
/// # Errors
/// Fails where there is no journal, or it cannot be read.
pub fn list(config: &Config, all: bool, personal: bool) -> Result<String, CommandError> {
    let connection = open_to_read(config)?;
    let cipher = Cipher::new(config.keys.as_ref())?;
    let mut statement = connection.prepare(&format!("{COLUMNS} order by at, id"))?;
    let mut text = format!("{:<32}  {:<10}  {:<20}  UPSTREAM", "ID", "STATE", "CHANGED");
    if personal {
        text.push_str("  CALLER  METHOD  ACCOUNT  REQUEST ID");
    }
    text.push('\n');
    let mut settled = 0;
    for shown in statement.query_map([], Shown::read)? {
        let shown = shown?;
        if !all && !shown.state.is_open() {
            settled += 1;
            continue;
        }
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "{}  {:<10}  {}  {}",
            shown.id,
            shown.state.name(),
            shown.changed(),
            shown.upstream
        );
        if personal {
            let origin = shown.body(&cipher).and_then(|body| body.origin);
            let _ = match origin {
                Some(origin) => write!(
                    text,
                    "  {:?}  {}  {}  {:?}",
                    origin.caller, origin.method, origin.account, origin.request_id
                ),
                None => write!(text, "  unreadable"),
            };
        }
        text.push('\n');
    }
    if settled > 0 {
        let _ = writeln!(text, "and {settled} settled");
    }
    let mut facts = connection.prepare("select upstream, name, value from fact order by 1, 2")?;
    let mut facts = facts.query([])?;
    while let Some(row) = facts.next()? {
        let [upstream, name, value] = [row.get::<_, String>(0)?, row.get(1)?, row.get(2)?];
        let _ = writeln!(text, "{upstream}: {name} = {value}");
    }
    Ok(text)
}

/// Shows a record.
///
/// # Errors
/// Fails where there is no such record, or it cannot be read.
pub fn show(config: &Config, id: RecordId, personal: bool) -> Result<String, CommandError> {
    let connection = open_to_read(config)?;
    let cipher = Cipher::new(config.keys.as_ref())?;
    let shown = find(&connection, id)?;
    let mut text = format!(
        "record      {}\nstate       {}\nchanged     {}\nupstream    {}\nrequest id  {}\n",
        shown.id,
        shown.state.name(),
        shown.changed(),
        shown.upstream,
        if shown.has_key { "yes" } else { "no" },
    );
    let body = shown.body(&cipher);
    let _ = match &body {
        Some(body) if personal => writeln!(text, "{body:#?}"),
        Some(Body {
            origin: Some(origin),
            ..
        }) => writeln!(text, "method      {}", origin.method),
        Some(_) => Ok(()),
        None if shown.body.is_some() => {
            writeln!(text, "the body cannot be read: see journal.key_file")
        }
        None => writeln!(text, "the body has expired"),
    };
    Ok(text)
}

/// Resolves an open record, or resumes a replace-all. The running process does it, or if none runs,
/// this command or the next process. It is recorded in the audit log.
///
/// # Errors
/// Fails where the record is not open, or the process refuses or does not answer.
pub fn resolve(
    config: &Config,
    id: RecordId,
    action: Action,
    operator: &str,
    audit: &Audit,
) -> Result<String, CommandError> {
    let path = path_of(config)?;
    let lock = try_lock(path)?;
    let mut connection = open_to_write(path)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !find(&transaction, id)?.state.is_open() {
        return Err(CommandError::NotOpen(id));
    }
    if lock.is_ok() && action == Action::NotApplied {
        audit.operator_blocking(operator, "resolve --not-applied", &id.to_string())?;
        transaction.execute("delete from record where id = ?1", [id.as_bytes()])?;
        transaction.commit()?;
        return Ok(format!(
            "{id} is settled as not applied: its request id is free"
        ));
    }
    transaction.execute(
        "insert into request (record, action, number, operator) values (?1, ?2, ?3, ?4)",
        params![id.as_bytes(), action.name(), action.number(), operator],
    )?;
    let request = transaction.last_insert_rowid();
    transaction.commit()?;
    match lock {
        Ok(_) => Ok("no process uses the journal: the next one carries it out at its start".into()),
        Err(_) => wait_for_answer(&connection, request),
    }
}

fn wait_for_answer(connection: &Connection, request: i64) -> Result<String, CommandError> {
    let until = Instant::now() + ANSWER_TIMEOUT;
    loop {
        let (done, answer): (Option<bool>, Option<String>) = connection.query_row(
            "select done, answer from request where id = ?1",
            [request],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let answer = answer.unwrap_or_default();
        match done {
            Some(true) => return Ok(answer),
            Some(false) => return Err(CommandError::Refused(answer)),
            None if Instant::now() >= until => return Err(CommandError::Unanswered),
            None => std::thread::sleep(ANSWER_POLL),
        }
    }
}

/// Deletes every record, the open ones too, for example if the key of the journal is lost. The next
/// start makes new keys.
///
/// # Errors
/// Fails if a process uses the journal, or if another number of records is open than the command
/// names.
pub fn reset(
    config: &Config,
    forget_open: usize,
    operator: &str,
    audit: &Audit,
) -> Result<String, CommandError> {
    let path = path_of(config)?;
    let _lock = try_lock(path)?.map_err(CommandError::InUse)?;
    let mut connection = open_to_write(path)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let open: Vec<i64> = transaction
        .prepare("select state from record")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let is_open = |state: &&i64| State::from_stored(**state).is_none_or(State::is_open);
    let open = open.iter().filter(is_open).count();
    if open != forget_open {
        return Err(CommandError::Count {
            open,
            given: forget_open,
        });
    }
    audit.operator_blocking(operator, "reset", &format!("{open} open records"))?;
    transaction.execute_batch(
        "delete from record; delete from request; delete from meta where name = 'hash_key'",
    )?;
    transaction.commit()?;
    Ok(format!(
        "the journal is empty; {open} open writes are forgotten"
    ))
}

/// Deletes the fact that `UpdateFollowmeAll` changed other numbers at the configured upstream, so that
/// the next process uses it again.
///
/// # Errors
/// Fails if a process uses the journal, or if the journal holds no such fact.
pub fn allow_update_all(
    config: &Config,
    operator: &str,
    audit: &Audit,
) -> Result<String, CommandError> {
    let path = path_of(config)?;
    let _lock = try_lock(path)?.map_err(CommandError::InUse)?;
    let mut connection = open_to_write(path)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let deleted = transaction.execute(
        "delete from fact where upstream = ?1 and name = ?2",
        params![config.upstream, UPDATE_ALL],
    )?;
    if deleted == 0 {
        return Err(CommandError::NotStopped(config.upstream.clone()));
    }
    audit.operator_blocking(operator, "allow-update-all", &config.upstream)?;
    transaction.commit()?;
    Ok(format!(
        "the next process uses UpdateFollowmeAll of {} again",
        config.upstream
    ))
}

/// Copies the journal into a new file, as it is at one moment, also while a process writes to it.
///
/// # Errors
/// Fails where the file is there already or cannot be written.
pub fn backup(config: &Config, to: &Path) -> Result<String, CommandError> {
    let source = open_to_read(config)?;
    let failed = |source| CommandError::Backup {
        path: to.to_owned(),
        source,
    };
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(failed)?;
    let mut target = Connection::open(to)?;
    Backup::new(&source, &mut target)?.run_to_completion(
        BACKUP_PAGES,
        Duration::from_millis(1),
        None,
    )?;
    drop(target);
    File::open(to)
        .and_then(|file| file.sync_all())
        .map_err(failed)?;
    Ok(format!("copied the journal to {}", to.display()))
}

fn path_of(config: &Config) -> Result<&Path, CommandError> {
    match &config.location {
        Location::Memory => Err(CommandError::InMemory),
        Location::File(path) if path.exists() => Ok(path),
        Location::File(path) => Err(CommandError::Missing(path.clone())),
    }
}

/// Takes the lock of the journal, or names the process that has it.
fn try_lock(path: &Path) -> Result<Result<File, String>, CommandError> {
    match lock::acquire(path, Duration::ZERO) {
        Ok(lock) => Ok(Ok(lock)),
        Err(OpenError::Locked { holder, .. }) => Ok(Err(holder)),
        Err(error) => Err(error.into()),
    }
}

fn open_to_read(config: &Config) -> Result<Connection, CommandError> {
    open(path_of(config)?, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn open_to_write(path: &Path) -> Result<Connection, CommandError> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch("pragma synchronous = full; pragma secure_delete = on;")?;
    Ok(connection)
}

fn open(path: &Path, access: OpenFlags) -> Result<Connection, CommandError> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    schema::check(&connection)?;
    Ok(connection)
}

fn find(connection: &Connection, id: RecordId) -> Result<Shown, CommandError> {
    let found = connection.query_row(
        &format!("{COLUMNS} where id = ?1"),
        [id.as_bytes()],
        Shown::read,
    );
    match found {
        Err(rusqlite::Error::QueryReturnedNoRows) => Err(CommandError::NoRecord(id)),
        found => Ok(found?),
    }
}
