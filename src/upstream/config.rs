//! The configuration of the client.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BreakerConfig, ConcurrencyConfig, TransportConfig, UnsafeValues};

/// What an empty `FollowMeNumbers` with `success=True` means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NullList {
    /// A list without numbers.
    Empty,
    /// No list, which proves nothing.
    #[default]
    Refused,
}

/// What `UpdateFollowmeAll` is used for (docs/upstream/domain.md 4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateAll {
    /// Posts of one number, each followed by a check of all other numbers.
    #[default]
    One,
    /// Posts of the whole desired list as one CSV, for a host with a reader of its own that takes
    /// many records. A list with a text that CSV cannot carry is written number by number.
    WholeList,
    /// Nothing.
    Off,
}

/// The format of the body of a POST.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PostFormat {
    /// JSON, then CSV, then a form: each only after a reply that proves that the one before did not
    /// run. The format that the host accepts is remembered.
    #[default]
    Auto,
    /// `text/csv`, as the metadata page documents it. No 3.9.x reads it (docs/upstream/wire.md 7),
    /// and v4 changes some texts, which are never sent so (docs/upstream/wire.md 12).
    Csv,
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`. It cannot clear a field (docs/upstream/wire.md 7).
    Form,
}

/// The configuration of the client.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address and connections.
    pub transport: TransportConfig,
    /// The timeout of a read.
    pub read_timeout: Duration,
    /// The timeout of a write.
    pub write_timeout: Duration,
    /// What to do with values that a path cannot carry.
    pub unsafe_values: UnsafeValues,
    /// Whether a proxy, load balancer or mesh in between may answer requests itself. If not, every
    /// HTTP reply proves that the service is done with the request.
    pub gateway: bool,
    /// What an empty list field means.
    pub null_list: NullList,
    /// What `UpdateFollowmeAll` is used for.
    pub update_all: UpdateAll,
    /// The format of its body.
    pub post_format: PostFormat,
    /// The most retries of a read after a transient failure.
    pub read_retries: u32,
    /// The bounds of concurrent requests.
    pub limits: ConcurrencyConfig,
    /// When the circuit breaker opens.
    pub breaker: BreakerConfig,
}
