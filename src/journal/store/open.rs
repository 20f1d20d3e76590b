//! Opens a journal: its directory, its lock, its tables, its keys, and what it holds.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64, mpsc},
};

use parking_lot::Mutex;
use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::{Semaphore, watch};
use zeroize::Zeroizing;

use super::{
    super::{
        Availability, Config, Location, OpenError, RecordId, State,
        clock::{JournalTime, millis},
        operator::{self, Outlet},
        seal::{Cipher, Seal},
        table::{About, Bounds, Entry, Table},
    },
    QUEUE, Shared, Store, lock, schema,
    thread::{self, Writer},
};

/// A journal that was opened.
pub(in super::super) struct Opened {
    pub(in super::super) store: Store,
    pub(in super::super) seal: Seal,
    pub(in super::super) time: JournalTime,
    pub(in super::super) facts: Vec<(String, String)>,
    pub(in super::super) requests: Outlet,
}

/// Opens a journal, and starts the thread that writes it. Waits for the process that uses it.
pub(in super::super) fn open(config: &Config) -> Result<Opened, OpenError> {
    let (mut connection, lock, file) = match &config.location {
        Location::Memory => (Connection::open_in_memory()?, None, None),
        Location::File(path) => {
            prepare_directory(path, config.allow_network_fs)?;
            prepare_file(path)?;
            let lock = lock::acquire(path, config.lock_timeout)?;
            let identity = identify(path)?;
            let connection = Connection::open(path)?;
            (connection, Some(lock), Some((path.clone(), identity)))
        }
    };
    schema::set_up(&connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let created = schema::create_or_check(&transaction)?;
    let (time, last_write) = resume_time(&transaction, config)?;
    let seal = open_keys(&transaction, config)?;
    // The outcomes of records that an earlier process left begun are unknown.
    transaction.execute(
        "update record set state = ?1 where state = ?2",
        [State::Unknown as i64, State::Begun as i64],
    )?;
    thread::write_time(&transaction, &time)?;
    let mut table = Table::new(Bounds {
        entries: config.limits.entries,
        bytes: config.limits.bytes,
        caller_share: config.caller_share,
        ttl: millis(config.limits.ttl),
        unknown_ttl: millis(config.unknown_ttl),
    });
    load(&transaction, config, &mut table)?;
    let facts = transaction
        .prepare("select name, value from fact where upstream = ?1")?
        .query_map([&config.upstream], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let others: i64 = transaction.query_row(
        "select count(*) from record where upstream <> ?1",
        [&config.upstream],
        |row| row.get(0),
    )?;
    transaction.commit()?;
    // What was encrypted or overwritten is not left in the file as it was.
    connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?;
    if let Location::File(path) = &config.location {
        announce(path, created, table.all_open().len(), others, last_write);
    }
    let shared = Arc::new(Shared {
        table: Mutex::new(table),
        availability: watch::Sender::new(Availability::Available),
        commits: AtomicU64::new(0),
    });
    let (jobs, receiver) = mpsc::channel();
    let (requests, outlet) = operator::inbox();
    let writer = Writer {
        connection,
        shared: Arc::clone(&shared),
        time: time.clone(),
        upstream: config.upstream.clone(),
        ttl: millis(config.limits.ttl),
        file,
        lock,
        requests,
    };
    std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || writer.run(&receiver))
        .map_err(OpenError::Thread)?;
    let in_memory = config.location == Location::Memory;
    let store = Store {
        jobs,
        slots: Arc::new(Semaphore::new(QUEUE)),
        timeout: (!in_memory).then_some(config.timeout),
        state: shared,
    };
    Ok(Opened {
        store,
        seal,
        time,
        facts,
        requests: outlet,
    })
}

fn announce(path: &Path, created: bool, open: usize, others: i64, last_write: Option<i64>) {
    let path = path.display();
    if created {
        tracing::warn!(%path, "created the journal: nothing is known of earlier writes");
        return;
    }
    let last_write = last_write.map_or_else(
        || "never".to_owned(),
        |wall| {
            let wall = u64::try_from(wall).unwrap_or_default();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(wall);
            humantime::format_rfc3339_millis(time).to_string()
        },
    );
    tracing::info!(
        %path,
        open,
        of_other_upstreams = others,
        last_write,
        "opened the journal"
    );
}

/// Makes the directory, and checks that its file system is local.
fn prepare_directory(path: &Path, allow_network_fs: bool) -> Result<(), OpenError> {
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(unwritable(path, io::ErrorKind::IsADirectory.into())),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| unwritable(directory, source))?;
    let kind = rustix::fs::statfs(directory)
        .map_err(|source| unwritable(directory, source.into()))?
        .f_type;
    // The field is wider than the number on some machines, and signed on others.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "32 bits"
    )]
    let kind = kind as u32;
    match network_file_system(kind) {
        Some(kind) if !allow_network_fs => Err(OpenError::NetworkFileSystem {
            path: directory.to_owned(),
            kind,
        }),
        _ => Ok(()),
    }
}

/// Names a file system whose locks or syncs end elsewhere, by its number in `statfs(2)`.
fn network_file_system(kind: u32) -> Option<&'static str> {
    match kind {
        0x6969 => Some("NFS"),
        0x517b => Some("SMB"),
        0xff53_4d42 => Some("CIFS"),
        0xfe53_4d42 => Some("SMB2"),
        0x6573_5546 => Some("FUSE"),
        0x0102_1997 => Some("9P"),
        0x00c3_6400 => Some("Ceph"),
        0x5346_414f => Some("AFS"),
        _ => None,
    }
}

/// Makes the file where there is none, readable by its owner only.
fn prepare_file(path: &Path) -> Result<(), OpenError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| unwritable(path, source))?;
    // The new name is on the disk before anything relies on it.
    if let Some(directory) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        fs::File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|source| unwritable(directory, source))?;
    }
    Ok(())
}

/// Returns the device and inode of the file.
///
/// # Errors
/// [`OpenError::Unwritable`] if the file has a second name: a process that uses that one has another
/// lock and another write-ahead log.
fn identify(path: &Path) -> Result<(u64, u64), OpenError> {
    let file = fs::metadata(path).map_err(|source| unwritable(path, source))?;
    if file.nlink() > 1 {
        let source = io::Error::other("the file has a second name, a hard link: remove one");
        return Err(unwritable(path, source));
    }
    Ok((file.dev(), file.ino()))
}

fn unwritable(path: impl Into<PathBuf>, source: io::Error) -> OpenError {
    OpenError::Unwritable {
        path: path.into(),
        source,
    }
}

/// Returns the time of the journal, and when it was written last by the wall clock.
fn resume_time(
    connection: &Connection,
    config: &Config,
) -> Result<(JournalTime, Option<i64>), OpenError> {
    let kept = |name| -> Result<Option<i64>, OpenError> {
        let value = schema::meta(connection, name)?;
        let value = value.and_then(|value| Some(i64::from_be_bytes(value.try_into().ok()?)));
        Ok(value)
    };
    let records: (Option<i64>, Option<i64>) =
        connection.query_row("select max(at), max(wall) from record", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let written = kept("at")?;
    let at = written.max(records.0);
    let wall = kept("wall")?.max(records.1);
    // What the process before kept at its start and at times since tells the boot clock of then.
    let boot = kept("boot")?;
    let boot = boot.and_then(|boot| Some(boot + at? - written?));
    let clock = config.clock.clone();
    let now = clock.wall();
    let time = JournalTime::resume(clock, at.unwrap_or(0), wall.unwrap_or(now), boot);
    Ok((time, wall))
}

/// Opens or makes the key of hashes, and encrypts with the first key what is not yet.
fn open_keys(connection: &Connection, config: &Config) -> Result<Seal, OpenError> {
    let cipher = Cipher::new(config.keys.as_ref())?;
    let failed = || OpenError::Damaged("the cipher");
    let hash_key = if let Some(stored) = schema::meta(connection, "hash_key")? {
        let hash_key = cipher.unwrap(&stored)?;
        if !cipher.is_current(&stored) {
            // From here on the first key opens everything.
            encrypt_anew(connection, &cipher)?;
            let wrapped = cipher.wrap(&hash_key).ok_or_else(failed)?;
            schema::set_meta(connection, "hash_key", &wrapped)?;
        }
        hash_key
    } else {
        let mut hash_key = Zeroizing::new(vec![0; 32]);
        getrandom::fill(&mut hash_key).map_err(|_| OpenError::Damaged("the random source"))?;
        let wrapped = cipher.wrap(&hash_key).ok_or_else(failed)?;
        schema::set_meta(connection, "hash_key", &wrapped)?;
        hash_key
    };
    Seal::new(&hash_key, cipher)
}

/// Encrypts every body with the first key.
fn encrypt_anew(connection: &Connection, cipher: &Cipher) -> Result<(), OpenError> {
    let mut bodies = connection.prepare("select id, body from record where body is not null")?;
    let mut rows = bodies.query([])?;
    while let Some(row) = rows.next()? {
        let id: [u8; 16] = row.get(0)?;
        let stored: Vec<u8> = row.get(1)?;
        if cipher.is_current(&stored) {
            continue;
        }
        let plain = cipher.decrypt(&id, &stored);
        let plain = plain.ok_or(OpenError::Key { given: true })?;
        let sealed = cipher.encrypt(&id, plain.to_vec());
        let sealed = sealed.ok_or(OpenError::Damaged("the cipher"))?;
        connection
            .prepare_cached("update record set body = ?2 where id = ?1")?
            .execute(params![id, sealed])?;
    }
    Ok(())
}

/// Loads the records of this upstream into the table, without their bodies.
fn load(connection: &Connection, config: &Config, table: &mut Table) -> Result<(), OpenError> {
    let mut statement = connection.prepare(
        "select id, key, account, caller, fingerprint, state, at, coalesce(length(body), 0)
         from record where upstream = ?1",
    )?;
    let mut rows = statement.query([&config.upstream])?;
    while let Some(row) = rows.next()? {
        let entry = Entry {
            about: About {
                key: row.get(1)?,
                account: row.get(2)?,
                caller: row.get(3)?,
                fingerprint: row.get(4)?,
            },
            state: State::from_stored(row.get(5)?)
                .ok_or(OpenError::Damaged("the state of a record"))?,
            at: row.get(6)?,
            body_bytes: usize::try_from(row.get::<_, i64>(7)?).unwrap_or_default(),
            running: None,
        };
        table.insert(RecordId::from_bytes(row.get(0)?), entry);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        const EXT4: u32 = 0xef53;
        const OVERLAY: u32 = 0x794c_7630;
        assert_eq!(network_file_system(0x6969), Some("NFS"));
        assert_eq!(network_file_system(0xfe53_4d42), Some("SMB2"));
        assert_eq!(network_file_system(0x6573_5546), Some("FUSE"));
        assert_eq!(network_file_system(EXT4), None);
        assert_eq!(network_file_system(OVERLAY), None);
    }
}
