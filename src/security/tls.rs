//! TLS on the gRPC address: our certificate, and those of callers.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, RootCertStore, ServerConfig,
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
use zeroize::Zeroizing;

/// How long the certificate of a caller counts as good on a connection before it is checked again:
/// it may have expired, or its CA may have been taken away.
const CHECKED_FOR: Duration = Duration::from_secs(60);

/// What TLS is set up from, as PEM.
pub struct Pem {
    /// Our certificate and those between it and its root.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Zeroizing<Vec<u8>>,
    /// The CAs of callers' certificates; `None` where callers show none.
    pub client_ca: Option<Vec<u8>>,
    /// Whether a connection without such a certificate is refused.
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
    /// The certificate's PEM holds none, or a broken one.
    #[error("holds no certificate that can be read")]
    Certificate(#[source] Option<pem::Error>),
    /// The key's PEM holds none that can be used.
    #[error("holds no private key that can be used")]
    Key,
    /// The key is that of another certificate.
    #[error("is not the key of the certificate")]
    Mismatch,
    /// The PEM of the CAs holds none, or a broken one.
    #[error("holds no CA certificate that can be read")]
    ClientCa,
    /// What remains.
    #[error("cannot be used")]
    Rustls(#[source] rustls::Error),
}

/// A certificate with its key, and the CAs of callers: ready for use.
#[derive(Clone)]
pub struct Config {
    server: Arc<ServerConfig>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The server's configuration holds the key.
        f.debug_struct("Config")
            .field("asks_for_certificates", &self.verifier.is_some())
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Makes it: TLS 1.2 and 1.3, HTTP/2 only.
    ///
    /// # Errors
    /// Says which of the files cannot be used.
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
        Ok(Self {
            server: Arc::new(server),
            verifier,
        })
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

/// Accepts connections with the certificate of the moment.
#[derive(Debug)]
pub struct Tls(RwLock<Current>);

#[derive(Debug, Clone)]
struct Current {
    config: Config,
    /// How often it was replaced.
    generation: u64,
}

/// What is known of the other end of a connection over TLS.
#[derive(Debug, Clone)]
pub struct Session {
    /// The certificate that the caller showed.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// The certificate of a caller, which a CA of ours had vouched for when the connection was made.
#[derive(Debug)]
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    /// Its subject alternative names that are URIs, SPIFFE ids among them.
    pub uris: Vec<String>,
    /// Its subject alternative names that are DNS names.
    pub dns_names: Vec<String>,
    /// Since when, and by which configuration, it counts as good.
    checked: Mutex<(Instant, u64)>,
}

impl Tls {
    /// Begins with a configuration.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self(RwLock::new(Current {
            config,
            generation: 0,
        }))
    }

    /// Takes another configuration for connections that come from now on. Those that are there go
    /// on with what they have; the certificates of callers are checked again.
    pub fn replace(&self, config: Config) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        current.config = config;
        current.generation += 1;
    }

    fn current(&self) -> Current {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Does the handshake.
    ///
    /// # Errors
    /// Fails where the client does not speak TLS, or one of both does not trust the other.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Session)> {
        let Current { config, generation } = self.current();
        let stream = TlsAcceptor::from(config.server).accept(stream).await?;
        let certificate = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| ClientCertificate::new(chain, generation))
            .map(Arc::new);
        Ok((stream, Session { certificate }))
    }

    /// Tells whether the certificate of a caller is still good: it is asked at each call, and
    /// checked each minute and after each change of our CAs.
    pub(super) fn still_trusts(&self, certificate: &ClientCertificate) -> bool {
        let now = Instant::now();
        let Current { config, generation } = self.current();
        let (since, by) = *certificate.checked();
        if by == generation && now.duration_since(since) < CHECKED_FOR {
            return true;
        }
        let Some((end_entity, intermediates)) = certificate.chain.split_first() else {
            return false;
        };
        let good = config.verifier.is_some_and(|verifier| {
            verifier
                .verify_client_cert(end_entity, intermediates, UnixTime::now())
                .is_ok()
        });
        if good {
            *certificate.checked() = (now, generation);
        }
        good
    }
}

impl ClientCertificate {
    fn new(chain: &[CertificateDer<'_>], generation: u64) -> Option<Self> {
        let end_entity = EndEntityCert::try_from(chain.first()?).ok()?;
        let texts = |names: &mut dyn Iterator<Item = &str>| names.map(str::to_owned).collect();
        Some(Self {
            uris: texts(&mut end_entity.valid_uri_names()),
            dns_names: texts(&mut end_entity.valid_dns_names()),
            chain: chain
                .iter()
                .map(|certificate| certificate.clone().into_owned())
                .collect(),
            checked: Mutex::new((Instant::now(), generation)),
        })
    }

    fn checked(&self) -> std::sync::MutexGuard<'_, (Instant, u64)> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
