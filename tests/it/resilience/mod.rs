//! `docs/resilience.md`: upstream hangs or is away, clients send too much, the process ends.

mod breaker;
mod concurrency_limit;
pub(crate) mod connections;
pub(crate) mod deadlines;
mod graceful_shutdown;
mod health;
mod retries;
pub(crate) mod upstream_tls;
