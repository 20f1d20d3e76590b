//! gRPC: the service, what its messages mean, and what its errors become.
//!
//! Architecture invariants: generated types stop at this room; statuses are built in `status.rs`
//! only.

pub mod accept;
mod access;
mod call;
mod convert;
mod deadline;
mod ending;
mod health;
mod lasting;
mod layers;
mod metadata;
pub mod pb;
mod room;
pub mod server;
mod service;
mod status;

pub use metadata::{Defaults, MAX_FEATURE_NAME_BYTES};
pub use service::Service;
pub use status::{DOMAIN, error_reference};
