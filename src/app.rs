//! The composition root: the only room that sees all others.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, time::timeout};

use crate::{
    config::Config,
    grpc::{
        Service,
        server::{self, SERVICE},
    },
    health::Health,
    operations::Operations,
    upstream::Client,
};

/// The facade, bound to its address.
pub struct App {
    listener: TcpListener,
    operations: Arc<Operations>,
    service: Service,
    health: Health,
    config: server::Config,
}

impl App {
    /// Builds the facade and binds its address. Nothing is sent upstream yet.
    ///
    /// # Errors
    /// Fails where the address cannot be bound or the HTTP client cannot be made.
    pub async fn build(config: Config) -> io::Result<Self> {
        let client = Client::new(config.upstream).map_err(io::Error::other)?;
        let operations = Arc::new(Operations::new(client, config.operations));
        let health = Health::new(
            &["", SERVICE],
            config.readiness_follows_upstream,
            config.probe_after,
        )
        .await;
        let listener = TcpListener::bind(config.listen).await?;
        Ok(Self {
            listener,
            service: Service::new(Arc::clone(&operations), config.defaults),
            operations,
            health,
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
            config,
        } = self;
        let watched = {
            let (health, operations) = (health.clone(), Arc::clone(&operations));
            tokio::spawn(async move { health.watch(operations.client()).await })
        };
        let (stopping, mut stopped) = tokio::sync::watch::channel(false);
        let limit = config.drain_delay + config.drain_limit;
        let serving = server::serve(listener, service, health, config, async move {
            shutdown.await;
            stopping.send_replace(true);
        });
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
        result
    }
}
