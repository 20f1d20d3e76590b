//! `[journal]`: what must survive a crash, and where it is kept.

use std::{path::PathBuf, time::Duration};

use reqwest::Url;

use super::{environment::STATE_DIRECTORIES, source::Source};
use crate::journal::{Config, Location};

/// The name of the journal's file.
const FILE: &str = "followme.sqlite3";

/// The longest time for which unknown outcomes are kept.
const MAX_UNKNOWN_TTL: Duration = Duration::from_secs(366 * 24 * 60 * 60);

pub(super) struct Journal {
    pub(super) config: Config,
    pub(super) key_file: Option<PathBuf>,
}

pub(super) fn read(source: &mut Source<'_>) -> Journal {
    let default = default_location(source);
    let mut s = source.section("journal");
    let defaults = Config::default();
    let location = s
        .key("url")
        .meaning(
            "Where the journal is kept: \"sqlite:PATH\", or \"sqlite::memory:\" to forget \
             unfinished writes at each restart. By default followme.sqlite3 in the first \
             directory of $STATE_DIRECTORY, else in followme below $XDG_STATE_HOME or \
             ~/.local/state.",
        )
        .example("sqlite:/var/lib/followme/followme.sqlite3")
        .parsed(
            default,
            |text: String| match text.parse() {
                Ok(location) => Ok(Some(location)),
                Err(problem) => Err(vec![problem.to_owned()]),
            },
            |location| {
                location
                    .as_ref()
                    .map(|url: &Location| url.to_string().into())
            },
        );
    if location.is_none() && !s.is_set("url") {
        s.error(
            "url",
            "is missing, and there is no $STATE_DIRECTORY, $XDG_STATE_HOME or $HOME: set it to \
             sqlite:PATH, or to sqlite::memory: to forget unfinished writes at each restart",
        );
    }
    let config = Config {
        location: location.unwrap_or(Location::Memory),
        timeout: s
            .key("timeout")
            .meaning(
                "Time limit of one access to the journal. Afterwards writes are refused until it \
                 answers again.",
            )
            .duration(defaults.timeout),
        caller_share: s
            .key("caller_share")
            .meaning(
                "Fraction of calls.request_id_entries and calls.request_id_bytes that one caller \
                 can use, above 0 and up to 1.",
            )
            .checked(defaults.caller_share, |share| {
                let problem = || "must be more than 0 and at most 1".to_owned();
                (*share > 0.0 && *share <= 1.0)
                    .then_some(())
                    .ok_or_else(problem)
            }),
        unknown_ttl: s
            .key("unknown_ttl")
            .meaning(
                "Time for which a write whose outcome is unknown is kept after its caller asked \
                 for it last: the limit of the promise that a request id adds one number at most.",
            )
            .up_to(MAX_UNKNOWN_TTL)
            .duration(defaults.unknown_ttl),
        allow_network_fs: s
            .key("allow_network_fs")
            .meaning("Allows a journal on NFS, SMB or FUSE, whose locks and syncs are unreliable.")
            .value(false),
        ..defaults
    };
    let key_file = s
        .key("key_file")
        .meaning(
            "File of keys that encrypt what the journal holds: a base64 key of 32 bytes per line. \
             The first encrypts, all decrypt.",
        )
        .path("/etc/followme/journal.key");
    Journal { config, key_file }
}

/// Returns the file in the directory for state: systemd's, else the user's.
fn default_location(source: &Source<'_>) -> Option<Location> {
    let [systemd, xdg, home] = STATE_DIRECTORIES.map(|name| source.variable(name));
    let systemd = systemd.and_then(|list| Some(PathBuf::from(list.split(':').next()?)));
    let directory = systemd
        .or_else(|| Some(PathBuf::from(xdg?).join("followme")))
        .or_else(|| Some(PathBuf::from(home?).join(".local/state/followme")))?;
    Some(Location::File(directory.join(FILE)))
}

/// Returns the name under which the records of an upstream are kept where none is configured.
pub(super) fn name_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let path = url.path().trim_end_matches('/');
    format!("{}://{host}:{port}{path}", url.scheme())
}
