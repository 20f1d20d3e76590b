//! The composition root: the only room that sees all others.

use std::{io, net::SocketAddr};

use tokio::net::TcpListener;

use crate::{
    config::Config,
    grpc::{self, Service},
    operations::Operations,
    upstream::Client,
};

/// The facade, bound to its address.
#[derive(Debug)]
pub struct App {
    listener: TcpListener,
    service: Service,
}

impl App {
    /// Builds the facade and binds its address. Nothing is sent upstream yet.
    ///
    /// # Errors
    /// Fails where the address cannot be bound or the HTTP client cannot be made.
    pub async fn build(config: Config) -> io::Result<Self> {
        let client = Client::new(config.upstream).map_err(io::Error::other)?;
        let operations = Operations::new(client, config.operations);
        let listener = TcpListener::bind(config.listen).await?;
        Ok(Self {
            listener,
            service: Service::new(operations, config.defaults),
        })
    }

    /// Returns the address that was bound.
    ///
    /// # Errors
    /// Fails where the system does not tell it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the signal; then calls in flight finish, within 30 s.
    ///
    /// # Errors
    /// Fails where the server cannot run.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        grpc::server::serve(self.listener, self.service, shutdown).await
    }
}
