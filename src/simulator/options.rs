//! What kind of host the double plays, and the knobs for what is unknown of the live one.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

pub use crate::format::csv::Newline;

/// The framework and the host that the simulator imitates (docs/upstream/wire.md 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// ServiceStack v3 of 2013 on its own listener: the line that the page comes from.
    #[default]
    V3,
    /// ServiceStack v4.0.62 on its own listener.
    V4,
    /// The v3 code inside ASP.NET, with nginx in front as in the captures.
    AspNet,
}

impl Dialect {
    /// Returns whether the framework listens itself rather than inside ASP.NET.
    #[must_use]
    pub fn is_self_host(self) -> bool {
        self != Self::AspNet
    }
}

/// Configures one simulator.
///
/// The default is a v3 self-host on a free loopback port with LF newlines and an empty store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Which host to imitate.
    pub dialect: Dialect,
    /// The newline of CSV answers, whatever the dialect (docs/upstream/wire.md 2.3).
    pub newline: Newline,
    /// What the service behind the framework does.
    pub knobs: Knobs,
    /// Adds an `X-Svc-Bound` header with the bound request object to every answer of the service.
    pub report_bound: bool,
    /// Takes any License and creates accounts on the first add; otherwise only what was seeded exists.
    pub accept_any_license: bool,
    /// Seeds License `DEMO-KEY` with accounts 1001 (three numbers), 1002 (one) and 1003 (none).
    pub seed_demo: bool,
    /// Refuses a `Host` other than the listen address or `localhost`, as a self-host does
    /// (docs/upstream/wire.md 5).
    pub strict_host: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            dialect: Dialect::default(),
            newline: Newline::Lf,
            knobs: Knobs::default(),
            report_bound: false,
            accept_any_license: false,
            seed_demo: false,
            strict_host: false,
        }
    }
}

/// The unknowns of a live host (docs/upstream/domain.md 6); the defaults are the likeliest guesses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// The scope of `UpdateFollowmeAll`.
    pub update_all: UpdateAll,
    /// Whether reads answer `success` True; some services leave it False on reads.
    pub reads_say_success: bool,
    /// What a write answers with.
    pub write_answer: WriteAnswer,
    /// Whether a GET update blanks the fields that the request did not carry.
    pub update_resets_unseen: bool,
    /// Whether the GET handlers use properties that the route's path does not carry.
    /// The framework binds them in any case (docs/upstream/wire.md 6); a handler may ignore them.
    pub query_values: bool,
    /// What the 4-value delete with True does besides deleting.
    pub delete_forward: DeleteForward,
    /// Whether an empty list is answered as a null one (an empty field instead of `[]`).
    pub empty_list_is_null: bool,
    /// Overrides whether `text/csv` bodies are read: None follows the dialect (v3 no, v4 yes).
    pub reads_csv_bodies: Option<bool>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            update_all: UpdateAll::One,
            reads_say_success: true,
            write_answer: WriteAnswer::List,
            update_resets_unseen: false,
            query_values: true,
            delete_forward: DeleteForward::Nothing,
            empty_list_is_null: false,
            reads_csv_bodies: None,
        }
    }
}

impl Knobs {
    /// Returns whether a host of `dialect` reads `text/csv` request bodies under these knobs.
    #[must_use]
    pub(crate) fn reads_csv(&self, dialect: Dialect) -> bool {
        self.reads_csv_bodies.unwrap_or(dialect == Dialect::V4)
    }
}

/// The scope of `UpdateFollowmeAll` (docs/upstream/domain.md 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateAll {
    /// Writes all fields of the one number that the id names.
    #[default]
    One,
    /// Gives every number of the account these fields.
    Every,
    /// Takes the CSV records as the whole list: ids are matched, id 0 is new, missing ones are deleted.
    List,
}

/// What a write answers with (docs/upstream/domain.md 6.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteAnswer {
    /// The whole list after the write.
    #[default]
    List,
    /// No list: an empty field.
    Null,
    /// Only the number concerned; after a delete, an empty list.
    Changed,
}

/// What the 4-value delete with True does besides deleting (docs/upstream/domain.md 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeleteForward {
    /// Nothing: the flag is what makes it a delete.
    #[default]
    Nothing,
    /// Turns the account's forwarding off, which no answer shows.
    TurnsForwardingOff,
}
