//! The lock file: held for the life of the process, it proves that the one before has ended.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::super::OpenError;

/// How often a lock that another process holds is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// Returns the path of the lock file of a journal: beside the file itself, so that a symbolic link to
/// it has the same lock.
pub(in super::super) fn path_of(journal: &Path) -> PathBuf {
    let journal = fs::canonicalize(journal).unwrap_or_else(|_| journal.to_owned());
    let mut path = journal.into_os_string();
    path.push(".lock");
    path.into()
}

/// Acquires the lock, as soon as the process that holds it has ended.
///
/// # Errors
/// [`OpenError::Locked`] after the limit, [`OpenError::Unwritable`].
pub(in super::super) fn acquire(journal: &Path, limit: Duration) -> Result<File, OpenError> {
    let path = path_of(journal);
    let unwritable = |source| OpenError::Unwritable {
        path: path.clone(),
        source,
    };
    let until = Instant::now() + limit;
    let mut waits = false;
    loop {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {
                write_holder(&mut file).map_err(unwritable)?;
                return Ok(file);
            }
            Err(TryLockError::Error(source)) => return Err(unwritable(source)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The text is for people only.
                let _ = file.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    text => text.to_owned(),
                };
                if Instant::now() >= until {
                    return Err(OpenError::Locked { path, holder });
                }
                if !waits {
                    waits = true;
                    tracing::warn!(%holder, "waiting for the process that uses the journal to end");
                }
                std::thread::sleep(RETRY);
            }
        }
    }
}

/// Writes into the lock file who holds it.
fn write_holder(file: &mut File) -> io::Result<()> {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "process {} on {host}", std::process::id())
}
