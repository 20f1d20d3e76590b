//! The configuration of the journal.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::Clock;

/// The configuration of the journal. The default keeps it in memory.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it is kept.
    pub location: Location,
    /// The stable name of the upstream whose writes it records.
    pub upstream: String,
    /// The keys that encrypt the bodies of records; `None` for plaintext.
    pub keys: Option<Keys>,
    /// How long a caller waits for the journal.
    pub timeout: Duration,
    /// The share of the entries and of the bytes that one caller may hold.
    pub caller_share: f64,
    /// How long a write whose outcome is unknown is kept after the last call with its request id.
    pub unknown_ttl: Duration,
    /// Whether a file on a network file system is allowed.
    pub allow_network_fs: bool,
    /// How long opening waits until another process releases the file.
    pub lock_timeout: Duration,
    /// The limits of settled records.
    pub limits: Limits,
    /// The clocks.
    pub clock: Clock,
}

/// The limits of settled records.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a record is kept after it was settled.
    pub ttl: Duration,
    /// The maximum number of records.
    pub entries: usize,
    /// The approximate maximum size of their bodies, in bytes.
    pub bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            location: Location::Memory,
            upstream: String::new(),
            keys: None,
            timeout: Duration::from_secs(3),
            caller_share: 0.5,
            unknown_ttl: Duration::from_secs(30 * 24 * 60 * 60),
            allow_network_fs: false,
            lock_timeout: Duration::from_secs(40),
            limits: Limits::default(),
            clock: Clock::System,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(60 * 60),
            entries: 100_000,
            bytes: 64 * 1024 * 1024,
        }
    }
}

/// Where a journal is kept: `sqlite:PATH` or `sqlite::memory:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In memory: it ends with the process.
    Memory,
    /// In a file of SQLite.
    File(PathBuf),
}

impl FromStr for Location {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("sqlite:") {
            Some(":memory:") => Ok(Self::Memory),
            Some(path) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err("must be sqlite:PATH or sqlite::memory:"),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("sqlite::memory:"),
            Self::File(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

/// The keys of a key file. The first encrypts, all decrypt.
#[derive(Clone)]
pub struct Keys(Vec<Zeroizing<[u8; 32]>>);

impl Keys {
    /// Parses a key file: a base64 key of 32 bytes per line; empty lines and lines that begin with
    /// `#` are skipped.
    ///
    /// # Errors
    /// Returns what is wrong, without the text of a key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).enumerate();
        let keys = lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(index, line)| {
                let bytes = STANDARD.decode(line).map(Zeroizing::new);
                bytes
                    .ok()
                    .and_then(|bytes| Some(Zeroizing::new(<[u8; 32]>::try_from(&**bytes).ok()?)))
                    .ok_or_else(|| format!("line {} must be 32 bytes in base64", index + 1))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err("must hold a base64 key of 32 bytes per line".to_owned());
        }
        Ok(Self(keys))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.0.iter().map(|key| &**key)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}
