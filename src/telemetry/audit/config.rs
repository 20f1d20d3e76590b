//! How the audit log is written.

use std::{
    fmt,
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{Access, OFlags, access};
use zeroize::Zeroizing;

/// How the audit log is written.
#[derive(Clone)]
pub struct Config {
    /// `telemetry.audit_file`: the file that lines are appended to; `None` for standard error.
    pub file: Option<PathBuf>,
    /// `telemetry.audit_required`: whether a write is refused where its line cannot be written
    /// (true).
    pub required: bool,
    /// How long a write waits for its line: as long as for the journal.
    pub timeout: Duration,
    /// `telemetry.audit_numbers`: whether redirect numbers and names are masked (full).
    pub masking: Masking,
    /// `telemetry.audit_key_file`: the key of the hashes of masked values and of tenants; `None`
    /// for a new one in each process.
    pub key: Option<Zeroizing<Vec<u8>>>,
}

impl Config {
    /// Returns why a required file cannot be appended to; `None` if it can. Creates none: it would
    /// belong to the user who checks the configuration.
    pub(crate) fn unwritable(&self) -> Option<String> {
        let path = self.file.as_deref().filter(|_| self.required)?;
        // A FIFO without a reader would block.
        let opened = OpenOptions::new()
            .append(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path);
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let error = match opened {
            Ok(_) => return None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                access(folder, Access::WRITE_OK | Access::EXEC_OK)
                    .err()?
                    .into()
            }
            Err(error) => error,
        };
        let path = path.display();
        Some(format!(
            "cannot append to {path}: {error}; correct the permissions, or set \
             telemetry.audit_required = false to write without an audit log"
        ))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            required: true,
            timeout: Duration::from_secs(3),
            masking: Masking::Full,
            key: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("file", &self.file)
            .field("required", &self.required)
            .field("timeout", &self.timeout)
            .field("masking", &self.masking)
            .finish_non_exhaustive()
    }
}

/// Whether redirect numbers and names are masked in the audit log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Masking {
    /// They are written as they are.
    #[default]
    Full,
    /// The last three digits of a number and nothing of a name are written, with a keyed hash by
    /// which the values of two lines can be matched.
    Masked,
}
