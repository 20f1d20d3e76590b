//! The upstream's double: a real HTTP/1.1 server that answers as PortaFollowMe does.
//!
//! It imitates the framework as captured (routing, binding, formats, errors; docs/upstream/wire.md
//! 2 to 9) in three dialects, keeps numbers per License and account, and goes wrong on demand. What
//! nobody knows of the live service is a knob. Shares only [`crate::format`] with the rest of the
//! crate.
//!
//! One request's way: `server` reads it, `framework` binds it with `routing`, `bound` and `body` (or
//! `aspnet` refuses it), `service` changes the `store`, `shaping` lets a fault spoil the `answer`,
//! `formats` writes it, and `wire` may cut it on the way out.
//!
//! Left out: metadata pages, batches of v4, XML bodies, and the fragment of a request target, which
//! the HTTP library drops.

mod answer;
mod aspnet;
mod body;
mod bound;
mod control;
mod csv_reader;
mod errors;
mod faults;
mod formats;
mod framework;
mod handle;
mod jsv_reader;
mod options;
mod params;
mod reply;
mod routing;
mod server;
mod service;
mod shaping;
mod store;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use faults::{Fault, FaultKind, FiredFault, HangAt, Odd, When};
pub use handle::{Effect, Handle, Received};
pub use options::{DeleteForward, Dialect, Knobs, Newline, Options, UpdateAll, WriteAnswer};
pub use routing::Route;
pub use service::EffectKind;
pub use store::{Account, Settings, StoredNumber};

/// How long accepting rests after it failed, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Is a simulator that has its port and waits to run.
#[derive(Debug)]
pub struct Simulator {
    listener: TcpListener,
    handle: Handle,
}

impl Simulator {
    /// Binds the listen address.
    ///
    /// # Errors
    /// Returns the system's error when the address cannot be bound.
    pub async fn bind(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let handle = Handle::new(options, listener.local_addr()?);
        Ok(Self { listener, handle })
    }

    /// Returns the address that it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.handle.local_addr()
    }

    /// Returns a handle, which stays of use while the simulator runs and after.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until `shutdown` completes, then drops every connection and every call.
    ///
    /// Dropping the future does the same.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let stop = CancellationToken::new();
        let _stop_on_drop = stop.clone().drop_guard();
        let mut connections = JoinSet::new();
        let mut number = 0;
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        number += 1;
                        let served =
                            server::connection(stream, number, self.handle.clone(), stop.clone());
                        connections.spawn(served);
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}
