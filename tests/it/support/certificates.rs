//! Certificates of the tests' own.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType, string::Ia5String,
};
use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// A CA.
pub(crate) struct Authority {
    pub(crate) pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub(crate) struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("signed");
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Signs a certificate for a DNS name, or for a URI.
    pub(crate) fn sign(&self, name: &str) -> Identity {
        self.sign_as(name, |_| {})
    }

    /// Signs one whose time was over an hour ago.
    pub(crate) fn sign_expired(&self, name: &str) -> Identity {
        self.sign_as(name, |params| {
            let hour = Duration::from_secs(60 * 60);
            params.not_before = (SystemTime::now() - 2 * hour).into();
            params.not_after = (SystemTime::now() - hour).into();
        })
    }

    /// Signs one that expires at a time, in seconds of Unix time.
    pub(crate) fn sign_until(&self, name: &str, end: u64) -> Identity {
        self.sign_as(name, |params| {
            params.not_after = (SystemTime::UNIX_EPOCH + Duration::from_secs(end)).into();
        })
    }

    /// Signs one that `edit` has changed.
    pub(crate) fn sign_as(
        &self,
        name: &str,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        let text = Ia5String::try_from(name).expect("ASCII");
        params.subject_alt_names = vec![if name.contains("://") {
            SanType::URI(text)
        } else {
            SanType::DnsName(text)
        }];
        edit(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        Identity { certificate, key }
    }

    /// Returns what trusts this CA.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a CA");
        roots
    }
}

impl Identity {
    pub(crate) fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()))
    }
}
