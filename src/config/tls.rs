//! `[tls]`: TLS on the gRPC address.

use std::path::PathBuf;

use super::section::{Check, Section, section};

section! {
    /// `[tls]`.
    struct Tls |key| {
        /// Server certificate, followed by its intermediate certificates. Clients use TLS 1.2 or
        /// 1.3.
        certificate_file: Option<PathBuf> = key.path("/etc/followme/tls.pem"),
        /// Private key of the server certificate.
        key_file: Option<PathBuf> = key.path("/etc/followme/tls.key"),
        /// CA certificates that client certificates are verified against; without it, clients are
        /// not asked for a certificate.
        client_ca_file: Option<PathBuf> = key.path("/etc/followme/callers-ca.pem"),
        /// Refuses connections without a client certificate, those of health checks too.
        require_client_certificate: bool = key.value(false),
    }
}

impl Check for Tls {
    fn check(&self, section: &mut Section<'_, '_>) {
        section.require_both(
            ("certificate_file", &self.certificate_file),
            ("key_file", &self.key_file),
        );
        section.ensure(
            "client_ca_file",
            self.client_ca_file.is_none() || self.certificate_file.is_some(),
            "needs tls.certificate_file and tls.key_file",
        );
        section.ensure(
            "require_client_certificate",
            !self.require_client_certificate || self.client_ca_file.is_some(),
            "needs tls.client_ca_file",
        );
    }
}
