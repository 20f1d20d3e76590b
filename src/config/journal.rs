//! `[journal]`: what must survive a crash, and where it is kept.

use std::{path::PathBuf, time::Duration};

use reqwest::Url;

use super::{
    section::{Check, Section, section},
    upstream::{IS_SHARE, is_share},
};
use crate::journal::{Config, Location};

/// The name of the journal's file.
const FILE: &str = "followme.sqlite3";

/// The variables that name directories for state: systemd's, the user's, and the user's home.
const STATE_DIRECTORIES: [&str; 3] = ["STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"];

/// The longest time for which unknown outcomes are kept.
const MAX_UNKNOWN_TTL: Duration = Duration::from_secs(366 * 24 * 60 * 60);

section! {
    /// `[journal]`.
    struct Journal |key| {
        /// Where the journal is kept: "sqlite:PATH", or "sqlite::memory:" to forget unfinished
        /// writes at each restart. By default followme.sqlite3 in the first directory of
        /// $STATE_DIRECTORY, else in followme below $XDG_STATE_HOME or ~/.local/state.
        url: Option<Location> = {
            let default = default_location(|name| key.environment(name));
            let parse = |text: &str| text.parse().map_err(str::to_owned);
            key.example("sqlite:/var/lib/followme/followme.sqlite3").text(default, parse)
        },
        /// Time limit of one access to the journal. Afterwards writes are refused until it answers
        /// again.
        timeout: Duration = key.duration(Config::default().timeout),
        /// Fraction of calls.request_id_entries and calls.request_id_bytes that one caller can
        /// use, above 0 and up to 1.
        caller_share: f64 = key.value(Config::default().caller_share),
        /// Time for which a write whose outcome is unknown is kept after its caller asked for it
        /// last: the limit of the promise that a request id adds one number at most.
        unknown_ttl: Duration = key.up_to(MAX_UNKNOWN_TTL).duration(Config::default().unknown_ttl),
        /// Allows a journal on NFS, SMB or FUSE, whose locks and syncs are unreliable.
        allow_network_fs: bool = key.value(false),
        /// File of keys that encrypt what the journal holds: a base64 key of 32 bytes per line. The
        /// first encrypts, all decrypt.
        key_file: Option<PathBuf> = key.path("/etc/followme/journal.key"),
    }
}

impl Check for Journal {
    fn check(&self, section: &mut Section<'_, '_>) {
        let has_url = self.url.is_some() || section.is_set("url");
        section.ensure(
            "url",
            has_url,
            "is missing, and there is no $STATE_DIRECTORY, $XDG_STATE_HOME or $HOME: set it to \
             sqlite:PATH, or to sqlite::memory: to forget unfinished writes at each restart",
        );
        section.ensure("caller_share", is_share(self.caller_share), IS_SHARE);
    }
}

impl Journal {
    pub(super) fn config(&self) -> Config {
        Config {
            location: self.url.clone().unwrap_or(Location::Memory),
            timeout: self.timeout,
            caller_share: self.caller_share,
            unknown_ttl: self.unknown_ttl,
            allow_network_fs: self.allow_network_fs,
            ..Config::default()
        }
    }
}

/// Returns the file in the directory for state: systemd's, else the user's.
fn default_location(variable: impl Fn(&str) -> Option<String>) -> Option<Location> {
    let [systemd, xdg, home] = STATE_DIRECTORIES.map(variable);
    let systemd = systemd.and_then(|list| Some(PathBuf::from(list.split(':').next()?)));
    let directory = systemd
        .or_else(|| Some(PathBuf::from(xdg?).join("followme")))
        .or_else(|| Some(PathBuf::from(home?).join(".local/state/followme")))?;
    Some(Location::File(directory.join(FILE)))
}

/// Returns the name under which the records of an upstream are kept if none is configured.
pub(super) fn name_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let path = url.path().trim_end_matches('/');
    format!("{}://{host}:{port}{path}", url.scheme())
}
