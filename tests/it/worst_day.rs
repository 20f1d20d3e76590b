//! The worst day: upstream hangs, a client storms, the process is told to end;
//! and the TLS on the way to upstream.

mod breaker;
pub(crate) mod connections;
pub(crate) mod deadlines;
mod drain;
mod health;
mod overload;
mod retries;
pub(crate) mod tls;
