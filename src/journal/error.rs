//! The errors of the journal.

use std::{borrow::Cow, io, path::PathBuf};

use super::RecordId;

/// Why the journal cannot record or read now.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It does not answer, or it cannot write. Nothing was recorded.
    #[error("the journal is not available: {0}")]
    Unavailable(Cow<'static, str>),
    /// A record cannot be read: its key is not in the key file any more, or the file is damaged.
    #[error("record {0} of the journal cannot be read")]
    Unreadable(RecordId),
}

/// Why the journal cannot be opened. Each text names the configuration key and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its directory or file cannot be made or written.
    #[error(
        "journal.url: {path} cannot be written ({source}); name a file in a directory that this \
         user may write to and that outlives the process, or sqlite::memory: to forget \
         unfinished writes at each restart"
    )]
    Unwritable {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is on a file system that does not keep locks and syncs reliably.
    #[error(
        "journal.url: {path} is on a network file system ({kind}); keep the journal on a local \
         disk, or set journal.allow_network_fs = true if its locks and fsync can be trusted"
    )]
    NetworkFileSystem {
        /// The directory.
        path: PathBuf,
        /// The name of the file system.
        kind: &'static str,
    },
    /// Another process owns it.
    #[error(
        "journal.url: {path} is in use by {holder}; end that process, or give each its own file"
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The description of the process in the lock file.
        holder: String,
    },
    /// It was encrypted with a key that is not configured.
    #[error(
        "journal.key_file: {} opens this journal; configure the key file that it was written \
         with, or delete its records with `followme journal reset --forget-open N`",
        if *given { "none of the keys" } else { "the journal is encrypted, and only its key" }
    )]
    Key {
        /// Whether a key file is configured.
        given: bool,
    },
    /// A later release wrote it.
    #[error(
        "journal.url: the journal has version {found} and this release reads up to {known}; run \
         the release that wrote it, or a later one"
    )]
    Version {
        /// Its version.
        found: i64,
        /// The latest version that this release reads.
        known: i64,
    },
    /// It is not a journal, or it is damaged.
    #[error("journal.url: this is not a journal that can be read: {0} is damaged")]
    Damaged(&'static str),
    /// The thread that writes it cannot be started.
    #[error("the thread of the journal cannot be started")]
    Thread(#[source] io::Error),
    /// SQLite cannot open it.
    #[error("journal.url: SQLite cannot open the journal: {0}")]
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}
