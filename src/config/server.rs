//! `[server]`: the gRPC server.

use std::time::Duration;

use super::section::{Check, section};
use crate::grpc::{incoming, server};

section! {
    /// `[server]`.
    struct Server |key| {
        /// Deadline of a call whose client sets none.
        default_deadline: Duration = key.duration(Duration::from_secs(15)),
        /// Maximum number of open connections. The server closes any further one.
        max_connections: usize = key.within(1..=1_000_000, 16_384),
        /// Time limit of a new connection for the TLS handshake and the HTTP/2 preface.
        handshake_timeout: Duration = key.duration(Duration::from_secs(10)),
        /// Time after which the server closes a connection without calls.
        idle_timeout: Duration = key.duration(Duration::from_secs(15 * 60)),
        /// Age, give or take a tenth, at which the server asks a client to reconnect (GOAWAY).
        max_connection_age: Duration = key.duration(Duration::from_secs(30 * 60)),
        /// Maximum number of concurrent calls on one connection.
        max_calls_per_connection: u32 = key.within(1..=10_000, 200),
        /// Graceful shutdown: time after SIGTERM during which health reports NOT_SERVING while the
        /// server still accepts calls. May be "0s".
        drain_delay: Duration = key.may_be_zero().duration(Duration::from_secs(5)),
        /// Graceful shutdown: time limit after the drain delay for calls and writes in flight.
        drain_limit: Duration = key.duration(Duration::from_secs(30)),
        /// Serves gRPC reflection. Once callers are configured, only they can use it.
        reflection: bool = key.value(true),
        /// Reports NOT_SERVING in health also while upstream is unavailable.
        readiness_follows_upstream: bool = key.value(false),
    }
}

impl Check for Server {}

impl Server {
    pub(super) fn config(&self, baggage_keys: Vec<String>) -> server::Config {
        server::Config {
            accept: incoming::Config {
                max_connections: self.max_connections,
                handshake_timeout: self.handshake_timeout,
                idle_timeout: self.idle_timeout,
            },
            reflection: self.reflection,
            default_deadline: self.default_deadline,
            max_calls_per_connection: self.max_calls_per_connection,
            max_connection_age: self.max_connection_age,
            drain_delay: self.drain_delay,
            drain_limit: self.drain_limit,
            baggage_keys,
        }
    }
}
