//! Where lines are written.

use std::{
    fs::{OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

/// A file that lines are appended to, or standard error.
pub(super) struct Sink {
    file: Option<PathBuf>,
    /// Held while a line is appended, so that a line that fails can be truncated.
    appending: Mutex<()>,
}

impl Sink {
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        Self {
            file,
            appending: Mutex::default(),
        }
    }

    /// Writes a line in one piece. It blocks: a small append to a local file takes microseconds.
    /// The file is opened for each line, so that it can be rotated by moving it away.
    pub(super) fn write(&self, line: &str) -> io::Result<()> {
        match &self.file {
            Some(file) => {
                let _appending = self.appending.lock();
                append(file, line.as_bytes())
            }
            None => {
                let mut stderr = io::stderr().lock();
                stderr
                    .write_all(line.as_bytes())
                    .and_then(|()| stderr.flush())
            }
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
