//! The facade as `serve` builds it: from a TOML file and the files that it names, which a test can
//! change while it runs.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use followme::{
    app::App,
    config::{Config, ConfigError, Flags},
    grpc::pb::{self, follow_me_service_client::FollowMeServiceClient},
    simulator::{Handle, Options, Simulator},
};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, SupportedProtocolVersion,
        pki_types::{CertificateDer, ServerName},
        version::{TLS12, TLS13},
    },
};
use tonic::{
    Request, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    config::variables,
    support::certificates::{Authority, Identity},
    support::raw_http::PATIENCE,
    support::{LICENSE, channel, demo, install_telemetry, list, scratch, with_metadata},
};

/// A directory of a test's own, for the files of its configuration.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = scratch().join(format!("facade-{number}"));
        // What an earlier run left there is not the test's.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the directory for tests can be written");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file as a careful operator does: to another name first, then renamed.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let beside = self.path(&format!("{name}.new"));
        fs::write(&beside, text).expect("the directory for tests can be written");
        fs::rename(&beside, self.path(name)).expect("a file can be renamed");
    }

    /// Writes a certificate and its key.
    pub(crate) fn identity(&self, name: &str, identity: &Identity) {
        self.write(&format!("{name}.pem"), &identity.certificate_pem());
        self.write(&format!("{name}.key"), &identity.key_pem());
    }

    /// Writes the configuration; `{dir}` in it is the directory.
    pub(crate) fn configure(&self, toml: &str) {
        let dir = self.0.to_str().expect("a path in UTF-8");
        self.write("followme.toml", &toml.replace("{dir}", dir));
    }

    pub(crate) fn load(&self, upstream: SocketAddr) -> Result<Config, Vec<ConfigError>> {
        if !self.path("license").exists() {
            self.write("license", LICENSE);
        }
        let flags = Flags {
            config: Some(self.path("followme.toml")),
            listen: Some("127.0.0.1:0".to_owned()),
            upstream_url: Some(format!("http://{upstream}/")),
            license_file: Some(self.path("license")),
            ..Flags::default()
        };
        let mut config = Config::load(&flags, &variables([]))?;
        // Not among the output of the tests.
        config.audit.file.get_or_insert("/dev/null".into());
        Ok(config)
    }
}

/// The facade in front of a simulator with the demo accounts. Dropping it ends both.
pub(crate) struct Facade {
    pub(crate) dir: Directory,
    pub(crate) handle: Handle,
    pub(crate) addr: SocketAddr,
    /// The admin pages, where the configuration names their address.
    pub(crate) admin: Option<SocketAddr>,
    _tasks: JoinSet<()>,
}

impl Facade {
    /// Starts with a configuration, and the files of it that are not there by themselves.
    pub(crate) async fn start(toml: &str) -> Self {
        Self::with(toml, |_| {}).await
    }

    pub(crate) async fn with(toml: &str, files: impl FnOnce(&Directory)) -> Self {
        Self::on(demo(), toml, files).await
    }

    pub(crate) async fn on(options: Options, toml: &str, files: impl FnOnce(&Directory)) -> Self {
        install_telemetry();
        let dir = Directory::new();
        files(&dir);
        dir.configure(toml);
        let simulator = Simulator::bind(options)
            .await
            .expect("a loopback port is free");
        let handle = simulator.handle();
        let config = dir.load(handle.local_addr()).expect("it is complete");
        let app = App::build(config).await.expect("a loopback port is free");
        let addr = app.local_addr().expect("a bound listener has an address");
        let admin = app.admin_addr().expect("a bound listener has an address");
        let mut tasks = JoinSet::new();
        tasks.spawn(simulator.run(std::future::pending()));
        tasks.spawn(async move {
            app.run(std::future::pending())
                .await
                .expect("the server runs");
        });
        Self {
            dir,
            handle,
            addr,
            admin,
            _tasks: tasks,
        }
    }

    /// Connects without TLS.
    pub(crate) async fn client(&self) -> FollowMeServiceClient<Channel> {
        FollowMeServiceClient::new(channel(self.addr).await)
    }

    /// Lists account 1001 without TLS, with a token.
    pub(crate) async fn list_with(&self, token: &str) -> Result<pb::ListResponse, Status> {
        let mut client = self.client().await;
        let answer = client.list(with_token(list(1001), token)).await?;
        Ok(answer.into_inner())
    }
}

/// Gives a call a token.
pub(crate) fn with_token<T>(request: T, token: &str) -> Request<T> {
    with_metadata(request, &[("authorization", &format!("Bearer {token}"))])
}

/// Returns a line of a file of tokens.
pub(crate) fn token_line(caller: &str, token: &str, end: &str) -> String {
    let hash = Sha256::digest(token);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{caller} {hash} {end}\n")
}

/// Polls until there is an answer: nothing else shows that the change of a file was seen.
pub(crate) async fn until<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    timeout(PATIENCE, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{what} in time"))
}

/// A client's side of TLS.
#[derive(Clone)]
pub(crate) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Trusts a CA, and shows a certificate or none.
    pub(crate) fn new(authority: &Authority, identity: Option<&Identity>) -> Self {
        Self::of_versions(authority, identity, &[&TLS13, &TLS12])
    }

    pub(crate) fn of_versions(
        authority: &Authority,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions that the provider speaks")
            .with_root_certificates(authority.roots());
        let mut config = match identity {
            Some(identity) => builder
                .with_client_auth_cert(vec![identity.der()], identity.key())
                .expect("a certificate with its key"),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self(Arc::new(config))
    }

    /// Does the handshake alone.
    pub(crate) async fn handshake(
        &self,
        addr: SocketAddr,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TcpStream::connect(addr).await?;
        TlsConnector::from(Arc::clone(&self.0))
            .connect(name, stream)
            .await
    }

    /// Returns the certificate that is served to a new connection.
    pub(crate) async fn served(&self, addr: SocketAddr) -> CertificateDer<'static> {
        let stream = self.handshake(addr).await.expect("a handshake");
        let certificates = stream.get_ref().1.peer_certificates();
        certificates.expect("a certificate")[0].clone().into_owned()
    }

    /// Connects to the facade.
    pub(crate) async fn connect(
        &self,
        addr: SocketAddr,
    ) -> Result<FollowMeServiceClient<Channel>, tonic::transport::Error> {
        let tls = self.clone();
        let connector = tower::service_fn(move |_: http::Uri| {
            let tls = tls.clone();
            async move { tls.handshake(addr).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        let channel = endpoint.connect_with_connector(connector).await?;
        Ok(FollowMeServiceClient::new(channel))
    }
}
