//! `docs/resilience.md`: a slow or failing upstream, overload, health, and graceful shutdown.

mod breaker;
mod concurrency_limit;
pub(crate) mod connections;
pub(crate) mod deadlines;
mod graceful_shutdown;
mod health;
mod retries;
pub(crate) mod upstream_tls;
