//! The composition root: the only module that sees all others.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::Url;
use tokio::{net::TcpListener, time::timeout};

use crate::{
    admin::{self, Admin},
    config::{Config, Reloader},
    grpc::{Service, pb::SERVICE, server},
    health::Health,
    journal::{self, Journal, OpenError},
    operations::Operations,
    security::Authorizer,
    telemetry::{
        audit::Audit,
        in_flight::Calls,
        metrics::{self, Expiry},
    },
    upstream::Client,
};

/// The facade, bound to its address.
pub struct App {
    listener: TcpListener,
    operations: Arc<Operations>,
    /// The journal to open while serving, if another process holds it.
    held_journal: Option<journal::Config>,
    service: Service,
    health: Health,
    authorizer: Arc<Authorizer>,
    reloader: Option<Reloader>,
    /// The configuration in force, redacted, for the admin pages.
    rendered: tokio::sync::watch::Sender<String>,
    calls: Calls,
    admin: Option<(TcpListener, Admin)>,
    config: server::Config,
}

impl App {
    /// Builds the facade and binds its address. Nothing is sent upstream yet.
    ///
    /// # Errors
    /// Fails if an address cannot be bound, if it is exposed without TLS or callers, or if the HTTP
    /// client, the audit log or the journal cannot be set up.
    pub async fn build(config: Config) -> io::Result<Self> {
        if let Some(error) = config.exposure() {
            let kind = io::ErrorKind::InvalidInput;
            return Err(io::Error::new(kind, error.to_string()));
        }
        log_start(&config);
        let rendered = tokio::sync::watch::Sender::new(config.redacted());
        let (ca, identity) = (
            &config.upstream.transport.ca,
            &config.upstream.transport.identity,
        );
        let upstream_certificates = Expiry::of_files([
            ("upstream.ca_file", ca.as_ref()),
            ("upstream.client_certificate_file", identity.as_deref()),
        ]);
        let client = Client::new(config.upstream).map_err(io::Error::other)?;
        let audit = Audit::new(config.audit)?;
        let authorizer = Arc::new(Authorizer::new(config.security));
        let operations = Arc::new(Operations::new(
            client,
            config.operations,
            audit,
            Arc::clone(&authorizer),
        ));
        observe(&operations, &authorizer, upstream_certificates);
        let at_once = journal::Config {
            lock_timeout: Duration::ZERO,
            ..config.journal.clone()
        };
        // A journal that another process still holds is waited for while the facade serves reads.
        let mut held_journal = match open_journal(&operations, &at_once).await {
            Ok(()) => None,
            Err(OpenError::Locked { .. }) => Some(config.journal),
            Err(error) => return Err(io::Error::other(error)),
        };
        let health = Health::new(
            &["", SERVICE],
            config.readiness_follows_upstream,
            config.probe_after,
        );
        let listener = match TcpListener::bind(config.listen).await {
            // That process may have the address, too.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && held_journal.is_some() => {
                if let Some(config) = held_journal.take() {
                    let opened = open_journal(&operations, &config).await;
                    opened.map_err(io::Error::other)?;
                }
                TcpListener::bind(config.listen).await?
            }
            bound => bound?,
        };
        let calls = Calls::default();
        let admin = match config.admin_listen {
            None => None,
            Some(listen) => {
                let pages = Admin {
                    health: health.clone(),
                    calls: calls.clone(),
                    config: rendered.subscribe(),
                    journal: operations.journal(),
                };
                Some((admin::bind(listen).await?, pages))
            }
        };
        Ok(Self {
            listener,
            service: Service::new(Arc::clone(&operations), config.defaults),
            authorizer,
            reloader: config.reloader,
            rendered,
            operations,
            held_journal,
            health,
            calls,
            admin,
            config: config.server,
        })
    }

    /// Returns the address of the gRPC server.
    ///
    /// # Errors
    /// Fails if the system does not return it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Returns the address of the admin pages; `None` if there are none.
    ///
    /// # Errors
    /// Fails if the system does not return it.
    pub fn admin_addr(&self) -> io::Result<Option<SocketAddr>> {
        self.admin
            .as_ref()
            .map(|(listener, _)| listener.local_addr())
            .transpose()
    }

    /// Serves until `shutdown` completes, then shuts down gracefully: health reports NOT_SERVING,
    /// the server accepts calls for the drain delay, and calls and writes in flight finish within
    /// the drain limit.
    ///
    /// # Errors
    /// Fails if the server cannot run.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let Self {
            listener,
            operations,
            held_journal,
            service,
            health,
            authorizer,
            reloader,
            rendered,
            calls,
            admin,
            config,
        } = self;
        // The admin pages show the progress of the shutdown, so they are served until its end.
        let pages = admin.map(|(listener, admin)| tokio::spawn(admin.serve(listener)));
        let reloading = reloader
            .map(|reloader| tokio::spawn(reload(reloader, Arc::clone(&authorizer), rendered)));
        let mut starting = {
            let (health, operations) = (health.clone(), Arc::clone(&operations));
            tokio::spawn(async move {
                if let Some(config) = held_journal {
                    open_journal(&operations, &config).await?;
                }
                if let Some(journal) = operations.journal().get() {
                    let operators = Arc::clone(&operations).serve_operators();
                    tokio::join!(operators, health.watch(operations.client(), journal));
                }
                Ok::<(), OpenError>(())
            })
        };
        let (stopping, mut stopped) = tokio::sync::watch::channel(false);
        let limit = config.drain_delay + config.drain_limit;
        let serving = server::serve(
            listener,
            service,
            health,
            authorizer,
            calls,
            config,
            async move {
                shutdown.await;
                tracing::info!(?limit, "draining");
                stopping.send_replace(true);
            },
        );
        tokio::pin!(serving);
        let result = tokio::select! {
            result = &mut serving => result,
            Ok(Err(error)) = &mut starting => Err(io::Error::other(error)),
            () = async {
                // The sender is dropped only with the server.
                let _ = stopped.wait_for(|stopping| *stopping).await;
            } => {
                operations.stop_replacing();
                let drained = timeout(limit, async {
                    let result = serving.await;
                    operations.finish_writes().await;
                    result
                });
                drained.await.unwrap_or_else(|_| {
                    tracing::warn!("calls or writes were still in flight at the drain limit");
                    Ok(())
                })
            }
        };
        starting.abort();
        for task in [reloading, pages].into_iter().flatten() {
            task.abort();
        }
        match &result {
            Ok(()) => tracing::info!("stopped"),
            Err(error) => tracing::error!(error = error as &dyn std::error::Error, "stopped"),
        }
        result
    }
}

/// Opens the journal, and starts to write.
async fn open_journal(
    operations: &Arc<Operations>,
    config: &journal::Config,
) -> Result<(), OpenError> {
    let journal = Journal::open(config).await?;
    journal.observe();
    operations.start(journal).await;
    Ok(())
}

/// Logs what is about to be served, and warns of what is insecure about it.
fn log_start(config: &Config) {
    let upstream = &config.upstream.transport.url;
    let policy = &config.security.policy;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        commit = env!("BUILD_COMMIT"),
        listen = %config.listen,
        upstream = %upstream.origin().ascii_serialization(),
        callers = policy.callers.len(),
        tls = config.security.tls.is_some(),
        journal = %config.journal.location,
        read_only = policy.read_only,
        "starting"
    );
    let is_exposed = !config.listen.ip().is_loopback();
    if is_exposed && config.security.tls.is_none() {
        tracing::warn!(
            "insecure: calls and tokens cross the network without TLS; set tls.certificate_file"
        );
    }
    if is_exposed && !policy.callers_only {
        tracing::warn!(
            "insecure: every process that reaches the address may write; configure callers"
        );
    }
    if upstream.scheme() == "http" && !is_loopback(upstream) {
        tracing::warn!(
            "insecure: the License crosses the network without TLS; use https in upstream.url"
        );
    }
    if config
        .admin_listen
        .is_some_and(|address| !address.ip().is_loopback())
    {
        tracing::warn!(
            "insecure: the admin pages have no authentication; bind admin_listen to a loopback address"
        );
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// Registers the metrics of what exists as long as the facade does.
fn observe(
    operations: &Arc<Operations>,
    authorizer: &Arc<Authorizer>,
    upstream_certificates: Arc<[Expiry]>,
) {
    let operations = Arc::downgrade(operations);
    metrics::observe_upstream(move || Some(operations.upgrade()?.figures()));
    let authorizer = Arc::downgrade(authorizer);
    metrics::observe_expiries(move || {
        let mut expiries = authorizer.upgrade()?.expiries();
        expiries.extend_from_slice(&upstream_certificates);
        Some(expiries)
    });
    metrics::config_loaded();
}

/// How often the files of the configuration are polled.
const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

/// Polls the files of the configuration, and applies what changes in them.
async fn reload(
    mut reloader: Reloader,
    authorizer: Arc<Authorizer>,
    rendered: tokio::sync::watch::Sender<String>,
) {
    loop {
        tokio::time::sleep(RELOAD_INTERVAL).await;
        let polled = tokio::task::spawn_blocking(move || {
            let changes = reloader.poll();
            (reloader, changes)
        });
        let Ok((returned, changes)) = polled.await else {
            tracing::error!("the reloader panicked; files are no longer polled");
            return;
        };
        reloader = returned;
        for error in &changes.errors {
            metrics::config_load_failed();
            tracing::error!(%error, "could not reload; the last good content stays in force");
        }
        for key in &changes.restart {
            tracing::warn!(key, "a change requires a restart");
        }
        if changes.policy.is_some() || changes.tls.is_some() {
            metrics::config_loaded();
        }
        if let Some(config) = changes.rendered {
            rendered.send_replace(config);
        }
        if let Some(policy) = changes.policy {
            tracing::info!(
                read_only = policy.read_only,
                callers = policy.callers.len(),
                "reloaded the policy"
            );
            authorizer.replace(policy);
        }
        if let (Some(config), Some(tls)) = (changes.tls, authorizer.tls()) {
            tracing::info!("reloaded the certificates");
            tls.replace(config);
        }
    }
}
