//! The typed client of PortaFollowMe: routes, requests, replies and errors.
//!
//! Invariant: wire records and the text of a License stop here.

mod body;
mod breaker;
mod classify;
mod client;
mod concurrency;
mod config;
mod error;
mod mapping;
mod options;
mod record;
mod redact;
mod request;
mod request_telemetry;
mod retry;
mod route;
mod routes;
mod target;
mod transport;

pub use body::BodyFormat;
pub use breaker::BreakerConfig;
pub use classify::Written;
pub use client::Client;
pub use concurrency::{ConcurrencyConfig, Permit};
pub use config::{Config, NullList, PostFormat, UpdateAll};
pub use error::{Error, Kind};
pub use mapping::mapping_reference;
pub use options::{ReadPurpose, RequestOptions, Tenant};
pub use retry::Backoff;
pub use route::Route;
pub use target::{DIRECTION_MARKS, PLACEHOLDER, UnsafeValues};
pub use transport::TransportConfig;
