//! The metrics of what expires: certificates and tokens.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use opentelemetry::{KeyValue, global};
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::parse_x509_certificate;

use super::{METER, registrar::Registrar};
use crate::telemetry::names;

/// When something expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expiry {
    /// The series: the key of a certificate's file, or the caller of a token.
    pub(super) subject: Subject,
    /// In seconds of Unix time.
    pub(super) at: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    Certificate(&'static str),
    Token(String),
}

impl Expiry {
    /// Returns when a token of a configured caller expires.
    pub(crate) fn token(caller: &str, at: SystemTime) -> Self {
        Self {
            subject: Subject::Token(caller.to_owned()),
            at: at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        }
    }

    /// Returns when the certificates in PEM files expire, of each file the first one. Each file
    /// comes with the key that names it; one without certificates is skipped.
    pub(crate) fn of_files<'a>(
        files: impl IntoIterator<Item = (&'static str, Option<&'a Vec<u8>>)>,
    ) -> Arc<[Self]> {
        let expiry = |(key, pem): (&'static str, Option<&'a Vec<u8>>)| {
            let at = first_expiry(pem?)?;
            Some(Self {
                subject: Subject::Certificate(key),
                at,
            })
        };
        files.into_iter().filter_map(expiry).collect()
    }
}

/// Returns when the first of the certificates in a PEM expires, in seconds of Unix time.
fn first_expiry(pem: &[u8]) -> Option<u64> {
    CertificateDer::pem_slice_iter(pem)
        .filter_map(|certificate| {
            let certificate = certificate.ok()?;
            let (_, certificate) = parse_x509_certificate(&certificate).ok()?;
            u64::try_from(certificate.validity().not_after.timestamp()).ok()
        })
        .min()
}

/// Registers the metrics. They have values as long as there are expiries.
pub(crate) fn observe_expiries(
    expiries: impl Fn() -> Option<Vec<Expiry>> + Clone + Send + Sync + 'static,
) {
    register(&mut Registrar::new(&global::meter(METER)), expiries);
}

pub(super) fn register(
    metrics: &mut Registrar<'_>,
    expiries: impl Fn() -> Option<Vec<Expiry>> + Clone + Send + Sync + 'static,
) {
    let observed = expiries.clone();
    metrics
        .observed_gauge(
            ("porta.certificate.expiry", "s"),
            &[(names::FILE, &[])],
            "When a certificate expires, in Unix time, by the key of its file. Of several in a file, the first to expire.",
        )
        .with_callback(move |gauge| {
            for expiry in observed().unwrap_or_default() {
                if let Subject::Certificate(key) = expiry.subject {
                    gauge.observe(expiry.at, &[KeyValue::new(names::FILE, key)]);
                }
            }
        })
        .build();
    metrics
        .observed_gauge(
            ("porta.token.expiry", "s"),
            &[(names::CALLER, &[])],
            "When the last token of a caller expires, in Unix time.",
        )
        .with_callback(move |gauge| {
            for expiry in expiries().unwrap_or_default() {
                if let Subject::Token(caller) = expiry.subject {
                    gauge.observe(expiry.at, &[KeyValue::new(names::CALLER, caller)]);
                }
            }
        })
        .build();
}
