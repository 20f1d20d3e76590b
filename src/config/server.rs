//! `listen`, `insecure` and `[server]`: the gRPC server.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::{key::to_toml, source::Source};
use crate::grpc::{incoming, server};

/// The default address of the gRPC server.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50051);

/// The problem with a `listen` address that other machines reach without TLS or callers.
pub(super) const EXPOSED: &str = "is not a loopback address; such addresses require TLS \
                                  (tls.certificate_file, tls.key_file) and at least one caller \
                                  (callers.NAME), or --insecure";

pub(super) struct Server {
    pub(super) listen: SocketAddr,
    pub(super) insecure: bool,
    pub(super) readiness_follows_upstream: bool,
    pub(super) config: server::Config,
}

pub(super) fn read(source: &mut Source<'_>) -> Server {
    let mut top = source.section("");
    let listen = top
        .key("listen")
        .meaning(
            "Address of the gRPC server. Port 0 lets the system choose a port. Non-loopback \
             addresses require TLS and at least one caller, or `insecure`.",
        )
        .flag("--listen")
        .parsed(DEFAULT_LISTEN, address, to_toml);
    let insecure = top
        .key("insecure")
        .meaning("Allows a non-loopback address without TLS or without callers.")
        .flag("--insecure")
        .value(false);

    let mut s = source.section("server");
    Server {
        listen,
        insecure,
        config: server::Config {
            default_deadline: s
                .key("default_deadline")
                .meaning("Deadline of a call whose client sets none.")
                .duration(Duration::from_secs(15)),
            accept: incoming::Config {
                max_connections: s
                    .key("max_connections")
                    .meaning(
                        "Maximum number of open connections. The server closes any further one.",
                    )
                    .within(1..=1_000_000, 16_384),
                handshake_timeout: s
                    .key("handshake_timeout")
                    .meaning(
                        "Time limit of a new connection for the TLS handshake and the HTTP/2 \
                         preface.",
                    )
                    .duration(Duration::from_secs(10)),
                idle_timeout: s
                    .key("idle_timeout")
                    .meaning("Time after which the server closes a connection without calls.")
                    .duration(Duration::from_secs(15 * 60)),
            },
            max_connection_age: s
                .key("max_connection_age")
                .meaning(
                    "Age, give or take a tenth, at which the server asks a client to reconnect \
                     (GOAWAY).",
                )
                .duration(Duration::from_secs(30 * 60)),
            max_calls_per_connection: s
                .key("max_calls_per_connection")
                .meaning("Maximum number of concurrent calls on one connection.")
                .within(1..=10_000, 200),
            drain_delay: s
                .key("drain_delay")
                .meaning(
                    "Graceful shutdown: time after SIGTERM during which health reports \
                     NOT_SERVING while the server still accepts calls. May be \"0s\".",
                )
                .checked_duration(Duration::from_secs(5), |_| Ok(())),
            drain_limit: s
                .key("drain_limit")
                .meaning(
                    "Graceful shutdown: time limit after the drain delay for calls and writes in \
                     flight.",
                )
                .duration(Duration::from_secs(30)),
            reflection: s
                .key("reflection")
                .meaning(
                    "Serves gRPC reflection. Once callers are configured, only they can use it.",
                )
                .value(true),
            baggage_keys: Vec::new(),
        },
        readiness_follows_upstream: s
            .key("readiness_follows_upstream")
            .meaning("Reports NOT_SERVING in health also while upstream is unavailable.")
            .value(false),
    }
}

/// Parses the address of a listener.
pub(super) fn address(text: String) -> Result<SocketAddr, Vec<String>> {
    let problem = || vec!["must be an IP address and a port, such as 127.0.0.1:50051".to_owned()];
    text.parse().map_err(|_| problem())
}
