//! TLS of the gRPC server: its certificate, and client certificates.

use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::{Mutex, RwLock};
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, HandshakeKind, RootCertStore, ServerConfig,
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::{
            CertificateDer, PrivateKeyDer, UnixTime,
            pem::{self, PemObject as _},
        },
        server::{WebPkiClientVerifier, danger::ClientCertVerifier},
        sign::CertifiedKey,
    },
    server::TlsStream,
};
use webpki::EndEntityCert;
use x509_parser::{certificate::X509Certificate, der_parser::asn1_rs::Tag, prelude::GeneralName};
use zeroize::Zeroizing;

use crate::telemetry::metrics::Expiry;

/// How long a verified client certificate is trusted on its connection before it is verified again:
/// it may have expired, or its CA may have been removed.
const VERIFIED_FOR: Duration = Duration::from_secs(60);

/// Certificates and key as PEM.
pub struct Pem {
    /// The server certificate, followed by its intermediate certificates.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Zeroizing<Vec<u8>>,
    /// The CAs of client certificates; `None` if clients are not asked for one.
    pub client_ca: Option<Vec<u8>>,
    /// Whether connections without a client certificate are refused.
    pub require_client_certificate: bool,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pem(…)")
    }
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The PEM of the certificate holds none, or a broken one.
    #[error("holds no valid certificate")]
    Certificate(#[source] Option<pem::Error>),
    /// The PEM of the key holds none, or an unsupported one.
    #[error("holds no usable private key")]
    Key,
    /// The key belongs to another certificate.
    #[error("is not the key of the certificate")]
    Mismatch,
    /// The PEM of the CAs holds none, or a broken one.
    #[error("holds no valid CA certificate")]
    ClientCa,
    /// Any other error.
    #[error("cannot be used")]
    Rustls(#[source] rustls::Error),
}

/// A certificate with its key, and the CAs of client certificates.
#[derive(Clone)]
pub struct Config {
    server: Arc<ServerConfig>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    expiries: Arc<[Expiry]>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `server` holds the key.
        f.debug_struct("Config")
            .field("asks_for_certificates", &self.verifier.is_some())
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Creates a configuration: TLS 1.2 and 1.3, HTTP/2 only.
    ///
    /// # Errors
    /// Returns which part of the PEM cannot be used.
    pub fn new(pem: &Pem) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let key = certified_key(pem, &provider)?;
        let verifier = pem
            .client_ca
            .as_deref()
            .map(|ca| verifier(ca, pem.require_client_certificate, &provider))
            .transpose()?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(Error::Rustls)?;
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut server =
            builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)));
        server.alpn_protocols = vec![b"h2".to_vec()];
        let files = [
            ("tls.certificate_file", Some(&pem.certificate)),
            ("tls.client_ca_file", pem.client_ca.as_ref()),
        ];
        Ok(Self {
            server: Arc::new(server),
            verifier,
            expiries: Expiry::of_files(files),
        })
    }

    /// Verifies a chain of client certificates.
    fn verifies(&self, chain: &[CertificateDer<'_>]) -> bool {
        let (Some((end_entity, intermediates)), Some(verifier)) =
            (chain.split_first(), &self.verifier)
        else {
            return false;
        };
        let now = UnixTime::now();
        let verified = verifier.verify_client_cert(end_entity, intermediates, now);
        verified.is_ok()
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Option<pem::Error>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(Some)?;
    if certificates.is_empty() {
        Err(None)
    } else {
        Ok(certificates)
    }
}

fn certified_key(pem: &Pem, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let certificates = certificates(&pem.certificate).map_err(Error::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|_| Error::Key)?;
    match CertifiedKey::from_der(certificates, key, provider) {
        Ok(key) => Ok(key),
        Err(rustls::Error::InconsistentKeys(_)) => Err(Error::Mismatch),
        Err(rustls::Error::InvalidCertificate(_)) => Err(Error::Certificate(None)),
        Err(_) => Err(Error::Key),
    }
}

fn verifier(
    ca: &[u8],
    required: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca).map_err(|_| Error::ClientCa)? {
        roots.add(certificate).map_err(|_| Error::ClientCa)?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if required {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    builder.build().map_err(|_| Error::ClientCa)
}

/// Accepts TLS connections with the certificate in force.
#[derive(Debug)]
pub struct Tls(RwLock<Current>);

#[derive(Debug, Clone)]
struct Current {
    config: Config,
    /// The number of replacements so far.
    generation: u64,
}

/// The peer of a TLS connection.
#[derive(Debug, Clone)]
pub struct Session {
    /// The client certificate, if there is one.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// A client certificate that was verified when its connection was opened.
#[derive(Debug)]
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    /// Its SPIFFE id: its only subject alternative name that is a URI. `None` for a certificate
    /// with several, or one that may sign others (SPIFFE X509-SVID, 2 and 4).
    pub spiffe_id: Option<String>,
    /// Its subject alternative names that are DNS names.
    pub dns_names: Vec<String>,
    /// When it expires.
    expires: SystemTime,
    /// When, and against which generation of the configuration, it was last verified.
    verified: Mutex<(Instant, u64)>,
}

impl Tls {
    /// Creates an acceptor with a first configuration.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self(RwLock::new(Current {
            config,
            generation: 0,
        }))
    }

    /// Replaces the configuration for later connections. Open ones keep their session, but their
    /// client certificates are verified again.
    pub fn replace(&self, config: Config) {
        let mut current = self.0.write();
        current.config = config;
        current.generation += 1;
    }

    /// Returns when the certificates in force expire.
    pub(super) fn expiries(&self) -> Arc<[Expiry]> {
        Arc::clone(&self.0.read().config.expiries)
    }

    fn current(&self) -> Current {
        self.0.read().clone()
    }

    /// Performs the handshake.
    ///
    /// # Errors
    /// Fails if the client does not speak TLS, or if either side does not trust the other.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Session)> {
        let Current { config, generation } = self.current();
        let stream = TlsAcceptor::from(Arc::clone(&config.server))
            .accept(stream)
            .await?;
        let connection = stream.get_ref().1;
        let chain = connection.peer_certificates();
        // rustls verifies no certificate when a session is resumed: it may have expired since.
        if connection.handshake_kind() == Some(HandshakeKind::Resumed)
            && let Some(chain) = chain
            && !config.verifies(chain)
        {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the client certificate of the resumed session is no longer valid",
            ));
        }
        let certificate = chain
            .and_then(|chain| ClientCertificate::new(chain, generation))
            .map(Arc::new);
        Ok((stream, Session { certificate }))
    }

    /// Returns whether a client certificate is still valid. It is verified again each minute, and
    /// after each reload of the CAs.
    pub(super) fn still_trusts(&self, certificate: &ClientCertificate) -> bool {
        if certificate.expires <= SystemTime::now() {
            return false;
        }
        let now = Instant::now();
        let Current { config, generation } = self.current();
        let (verified, by) = *certificate.verified.lock();
        if by == generation && now.duration_since(verified) < VERIFIED_FOR {
            return true;
        }
        let is_valid = config.verifies(&certificate.chain);
        if is_valid {
            *certificate.verified.lock() = (now, generation);
        }
        is_valid
    }
}

impl ClientCertificate {
    fn new(chain: &[CertificateDer<'_>], generation: u64) -> Option<Self> {
        let der = chain.first()?;
        let end_entity = EndEntityCert::try_from(der).ok()?;
        let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
        let expires = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
        Some(Self {
            spiffe_id: spiffe_id(&parsed),
            dns_names: end_entity.valid_dns_names().map(str::to_owned).collect(),
            chain: chain
                .iter()
                .map(|certificate| certificate.clone().into_owned())
                .collect(),
            // The last second counts.
            expires: SystemTime::UNIX_EPOCH + Duration::from_secs(expires + 1),
            verified: Mutex::new((Instant::now(), generation)),
        })
    }
}

/// Returns the SPIFFE id of a leaf certificate.
fn spiffe_id(certificate: &X509Certificate<'_>) -> Option<String> {
    let usage = certificate.key_usage().ok()?;
    let signs = usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign());
    let constraints = certificate.basic_constraints().ok()?;
    if signs || constraints.is_some_and(|constraints| constraints.value.ca) {
        return None;
    }
    let names = certificate.subject_alternative_name().ok()??;
    let mut uris = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(Some(*uri)),
            GeneralName::Invalid(URI, _) => Some(None),
            _ => None,
        });
    match (uris.next()?, uris.next()) {
        (Some(uri), None) => Some(uri.to_owned()),
        _ => None,
    }
}

/// The tag of a URI among the subject alternative names (RFC 5280, 4.2.1.6).
const URI: Tag = Tag(6);
