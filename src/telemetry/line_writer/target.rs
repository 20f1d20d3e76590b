//! What lines are written to.

use std::{
    fs::{OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// What lines are written to.
pub(in crate::telemetry) enum Target {
    /// Standard error.
    StandardError,
    /// A file that they are appended to. It is opened for each batch, so that it can be rotated by
    /// moving it away.
    File(PathBuf),
}

impl Target {
    /// Writes a batch of lines in one piece.
    pub(super) fn write(&self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::StandardError => io::stderr().lock().write_all(lines),
            Self::File(path) => append(path, lines),
        }
    }
}

/// Appends to a file that only its owner may read. All or nothing is appended, since half a line
/// would spoil the next one.
fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    const OWNER_ONLY: u32 = 0o600;
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(OWNER_ONLY)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.permissions().mode() & 0o777 != OWNER_ONLY {
        file.set_permissions(Permissions::from_mode(OWNER_ONLY))?;
    }
    let written = file.write_all(bytes);
    if written.is_err() && metadata.is_file() {
        // Where this fails too, the half line stays; the error is returned in any case.
        let _ = file.set_len(metadata.len());
    }
    written
}
