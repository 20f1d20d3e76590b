//! The simulator: a real HTTP/1.1 server that answers as PortaFollowMe does.
//!
//! It imitates the framework as captured (routing, binding, formats, errors; docs/upstream/wire.md
//! 2 to 9) in three dialects, keeps numbers per License and account, and fails on demand. Each
//! unknown of the live service has a knob. Shares only the accept loop with the rest of
//! the crate.
//!
//! Life of a request: `host::server` reads it, `host` admits it, `framework` finds its route and
//! binds it, `service` changes the `store`, `fault::effects` lets a fault change the `answer`,
//! `framework::writer` writes it, and `host::stream` cuts it on the connection if the fault says
//! so. `handle` and `control_pages` show and change all of that while the simulator runs.
//!
//! Left out: metadata pages, batches of v4, XML bodies, and the fragment of a request target, which
//! the HTTP library drops.

mod answer;
mod control_pages;
mod fault;
mod framework;
mod handle;
mod host;
mod knobs;
mod lag;
mod log;
mod options;
mod reference;
mod service;
mod state;
mod store;

use std::{io, net::SocketAddr};

use tokio::net::TcpListener;

use crate::net::accept_loop;

pub use fault::{Fault, FaultKind, FiredFault, HangAt, Odd, Unasked, When};
pub use framework::{EmptyString, Route, Value, write_record};
pub use handle::Handle;
pub use knobs::{DeleteForward, Knobs, UpdateAll, WriteAnswer};
pub use log::{Effect, EffectKind, Received};
pub use options::{Dialect, Newline, Options};
pub use reference::{control_pages_reference, faults_reference, knobs_reference};
pub use store::{Account, Settings, StoredNumber};

/// A simulator that has bound its port and waits to run.
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
        let handle = Handle::new(options, listener.local_addr()?)?;
        Ok(Self { listener, handle })
    }

    /// Returns the address that it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.handle.local_addr()
    }

    /// Returns a handle, which works while the simulator runs and after.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until `shutdown` completes, then drops every connection and every call.
    ///
    /// Dropping the future does the same.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let _stop_on_drop = self.handle.stop().clone().drop_guard();
        let mut number = 0;
        let connections = accept_loop(self.listener, |stream, _| {
            number += 1;
            Some(host::connection(stream, number, self.handle.clone()))
        });
        tokio::select! {
            () = shutdown => {}
            () = connections => {}
        }
    }
}
