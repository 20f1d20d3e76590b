//! What kind of host the double plays.

use std::{
    borrow::Cow,
    net::{Ipv4Addr, SocketAddr},
};

use serde::{Deserialize, Serialize};

use super::knobs::Knobs;

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

    /// Returns the verb that the framework takes a method for: v4 ignores its case.
    pub(crate) fn verb(self, method: &str) -> Cow<'_, str> {
        match self {
            Self::V4 => method.to_ascii_uppercase().into(),
            Self::V3 | Self::AspNet => method.into(),
        }
    }
}

/// The newline that ends every record of CSV (docs/upstream/wire.md 2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Newline {
    /// What the framework writes everywhere but on Windows.
    #[default]
    Lf,
    /// What the framework writes on Windows.
    CrLf,
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
    /// Takes any License and creates accounts on the first add; otherwise only what was seeded
    /// exists.
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
            accept_any_license: false,
            seed_demo: false,
            strict_host: false,
        }
    }
}
