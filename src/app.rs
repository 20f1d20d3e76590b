//! The composition root: the only room that sees all others.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, time::timeout};

use crate::{
    admin::{self, Admin},
    config::{Config, Reloader},
    grpc::{Service, pb::SERVICE, server},
    health::Health,
    operations::Operations,
    security::Authorizer,
    telemetry::{audit::Audit, in_flight::Calls},
    upstream::Client,
};

/// The facade, bound to its address.
pub struct App {
    listener: TcpListener,
    operations: Arc<Operations>,
    service: Service,
    health: Health,
    authorizer: Arc<Authorizer>,
    reloader: Option<Reloader>,
    /// The configuration in force, as the admin pages show it.
    shown: tokio::sync::watch::Sender<String>,
    calls: Calls,
    admin: Option<(TcpListener, Admin)>,
    config: server::Config,
}

impl App {
    /// Builds the facade and binds its address. Nothing is sent upstream yet.
    ///
    /// # Errors
    /// Fails where the address cannot be bound, others reach it and nothing keeps them out, or the
    /// HTTP client cannot be made.
    pub async fn build(config: Config) -> io::Result<Self> {
        if let Some(mistake) = config.exposure() {
            let kind = io::ErrorKind::InvalidInput;
            return Err(io::Error::new(kind, mistake.to_string()));
        }
        let shown = tokio::sync::watch::Sender::new(config.redacted());
        let client = Client::new(config.upstream).map_err(io::Error::other)?;
        let audit = Audit::new(config.audit)?;
        let authorizer = Arc::new(Authorizer::new(config.security));
        let operations = Operations::new(client, config.operations, audit, Arc::clone(&authorizer));
        let operations = Arc::new(operations);
        let health = Health::new(
            &["", SERVICE],
            config.readiness_follows_upstream,
            config.probe_after,
        );
        let listener = TcpListener::bind(config.listen).await?;
        let calls = Calls::default();
        let admin = match config.admin_listen {
            None => None,
            Some(listen) => {
                let pages = Admin {
                    health: health.clone(),
                    calls: calls.clone(),
                    config: shown.subscribe(),
                };
                Some((admin::bind(listen).await?, pages))
            }
        };
        Ok(Self {
            listener,
            service: Service::new(Arc::clone(&operations), config.defaults),
            authorizer,
            reloader: config.reloader,
            shown,
            operations,
            health,
            calls,
            admin,
            config: config.server,
        })
    }

    /// Returns the address that was bound.
    ///
    /// # Errors
    /// Fails where the system does not tell it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Returns the address of the admin pages, where there are any.
    ///
    /// # Errors
    /// Fails where the system does not tell it.
    pub fn admin_addr(&self) -> io::Result<Option<SocketAddr>> {
        self.admin
            .as_ref()
            .map(|(listener, _)| listener.local_addr())
            .transpose()
    }

    /// Serves until the signal; then says that it does not serve any more, goes on for the drain
    /// delay, and lets calls in flight and the writes that they began finish, within the drain
    /// limit.
    ///
    /// # Errors
    /// Fails where the server cannot run.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let Self {
            listener,
            operations,
            service,
            health,
            authorizer,
            reloader,
            shown,
            calls,
            admin,
            config,
        } = self;
        // The pages stay until the end: what a drain is at is what people want to see.
        let pages = admin.map(|(listener, admin)| tokio::spawn(admin.serve(listener)));
        let followed =
            reloader.map(|reloader| tokio::spawn(follow(reloader, Arc::clone(&authorizer), shown)));
        let watched = {
            let (health, operations) = (health.clone(), Arc::clone(&operations));
            tokio::spawn(async move { health.watch(operations.client()).await })
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
                stopping.send_replace(true);
            },
        );
        tokio::pin!(serving);
        let result = tokio::select! {
            result = &mut serving => result,
            () = async {
                // The sender is dropped only with the server.
                let _ = stopped.wait_for(|stopping| *stopping).await;
            } => {
                let drained = timeout(limit, async {
                    let result = serving.await;
                    operations.settled_all().await;
                    result
                });
                drained.await.unwrap_or_else(|_| {
                    tracing::warn!("not everything ended within the drain limit");
                    Ok(())
                })
            }
        };
        watched.abort();
        if let Some(followed) = followed {
            followed.abort();
        }
        if let Some(pages) = pages {
            pages.abort();
        }
        result
    }
}

/// How often the files of the configuration are looked at.
const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

/// Looks at the files of the configuration again and again, and takes over what changes in them.
async fn follow(
    mut reloader: Reloader,
    authorizer: Arc<Authorizer>,
    shown: tokio::sync::watch::Sender<String>,
) {
    loop {
        tokio::time::sleep(RELOAD_INTERVAL).await;
        let looked = tokio::task::spawn_blocking(move || {
            let changes = reloader.poll();
            (reloader, changes)
        });
        let Ok((looked, changes)) = looked.await else {
            tracing::error!("the files of the configuration are not looked at any more");
            return;
        };
        reloader = looked;
        for error in &changes.errors {
            tracing::error!(%error, "a file was not taken over; what was there stays in place");
        }
        for key in &changes.restart {
            tracing::warn!(key, "a change takes a restart");
        }
        if let Some(config) = changes.rendered {
            shown.send_replace(config);
        }
        if let Some(policy) = changes.policy {
            tracing::info!(
                read_only = policy.read_only,
                callers = policy.callers.len(),
                "took over who may call"
            );
            authorizer.replace(policy);
        }
        if let (Some(config), Some(tls)) = (changes.tls, authorizer.tls()) {
            tracing::info!("took over the certificates");
            tls.replace(config);
        }
    }
}
