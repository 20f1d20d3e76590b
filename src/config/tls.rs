//! `[tls]`: TLS on the gRPC address.

use std::path::PathBuf;

use super::source::Source;

#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub(super) certificate_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) client_ca_file: Option<PathBuf>,
    pub(super) require_client_certificate: bool,
}

pub(super) fn read(source: &mut Source<'_>) -> Tls {
    let mut s = source.section("tls");
    let tls = Tls {
        certificate_file: s
            .key("certificate_file")
            .meaning(
                "Server certificate, followed by its intermediate certificates. Clients use TLS \
                 1.2 or 1.3.",
            )
            .path("/etc/followme/tls.pem"),
        key_file: s
            .key("key_file")
            .meaning("Private key of the server certificate.")
            .path("/etc/followme/tls.key"),
        client_ca_file: s
            .key("client_ca_file")
            .meaning(
                "CA certificates that client certificates are verified against; without it, \
                 clients are not asked for a certificate.",
            )
            .path("/etc/followme/callers-ca.pem"),
        require_client_certificate: s
            .key("require_client_certificate")
            .meaning(
                "Refuses connections without a client certificate, those of health checks too.",
            )
            .value(false),
    };
    s.require_both(
        ("certificate_file", &tls.certificate_file),
        ("key_file", &tls.key_file),
    );
    if tls.client_ca_file.is_some() && tls.certificate_file.is_none() {
        s.error(
            "client_ca_file",
            "needs tls.certificate_file and tls.key_file",
        );
    }
    if tls.require_client_certificate && tls.client_ca_file.is_none() {
        s.error("require_client_certificate", "needs tls.client_ca_file");
    }
    tls
}
