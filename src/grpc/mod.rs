//! gRPC: the service, its middleware, the conversion of messages, and the statuses of errors.
//!
//! Architecture invariants: generated types stop at this module; statuses are built in `status`
//! only.

mod access_log;
mod authenticate;
mod call;
mod catch_panic;
mod codec;
mod connection;
mod convert;
mod deadline;
mod health;
pub mod incoming;
mod metadata;
mod middleware;
pub mod pb;
mod protocol;
mod reflection;
mod request_body;
pub mod server;
mod service;
mod status;
mod streaming;

pub use metadata::{Defaults, MAX_FEATURE_NAME_BYTES};
pub use service::Service;
pub use status::{DOMAIN, error_reference};
