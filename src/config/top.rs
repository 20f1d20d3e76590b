//! The keys at the top of the file: addresses, the format of logs, what holds for all callers.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use super::section::{Check, Section, section};
use crate::telemetry::logs;

/// The default address of the gRPC server.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50051);

/// The problem with a `listen` address that other machines reach without TLS or callers.
pub(super) const EXPOSED: &str = "is not a loopback address; such addresses require TLS \
                                  (tls.certificate_file, tls.key_file) and at least one caller \
                                  (callers.NAME), or --insecure";

section! {
    /// The top of the file.
    struct Top |key| {
        /// Address of the gRPC server. Port 0 lets the system choose a port. Non-loopback addresses
        /// require TLS and at least one caller, or `insecure`.
        listen: SocketAddr = key.flag("--listen").text(Some(DEFAULT_LISTEN), address)
            .unwrap_or(DEFAULT_LISTEN),
        /// Allows a non-loopback address without TLS or without callers.
        insecure: bool = key.flag("--insecure").value(false),
        /// Format of log lines: "text", "json", or "auto" for text on a terminal and JSON
        /// elsewhere. RUST_LOG filters the lines.
        log_format: logs::Format = key.flag("--log-format")
            .one_of(&["auto", "text", "json"], logs::Format::default()),
        /// Allows a non-loopback address for the admin pages.
        admin_insecure: bool = key.value(false),
        /// Address of the admin pages: health, metrics, this configuration, the log filter, calls
        /// in flight. They authenticate nobody, so non-loopback addresses require `admin_insecure`.
        /// Without it, there are no admin pages.
        admin_listen: Option<SocketAddr> = key.flag("--admin-listen").example("127.0.0.1:9464")
            .text(None, address),
        /// Refuses all writes of all callers.
        read_only: bool = key.reloaded().value(false),
        /// File of the bearer tokens, one a line: the name of the caller, the SHA-256 of the token
        /// in hexadecimal, and optionally its expiry, such as 2027-01-31T00:00:00Z. With it, or
        /// with any caller below, only callers are served.
        tokens_file: Option<PathBuf> = key.path("/etc/followme/tokens"),
    }
}

impl Check for Top {
    /// Checks the address of the admin pages. That of the server depends on other sections.
    fn check(&self, section: &mut Section<'_, '_>) {
        let is_loopback = |address: SocketAddr| address.ip().is_loopback();
        section.ensure(
            "admin_listen",
            self.admin_insecure || self.admin_listen.is_none_or(is_loopback),
            "is not a loopback address, and the admin pages authenticate nobody: set \
             admin_insecure if only operators can reach it",
        );
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let problem = || "must be an IP address and a port, such as 127.0.0.1:50051".to_owned();
    text.parse().map_err(|_| problem())
}
