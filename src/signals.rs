//! The signals that end the process.

use std::io;

use rustix::process::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Counts SIGTERM and SIGINT. The first asks for a graceful shutdown, the second ends the process
/// at once.
pub(crate) struct Signals(watch::Receiver<u32>);

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // With a handler, a file that reaches a limit of the system fails a write and does not end
        // the process.
        let _handled = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
        let (count, receiver) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(Self(receiver))
    }

    /// Completes at the signal with this number, counted from 1.
    pub(crate) fn nth(&self, number: u32) -> impl Future<Output = ()> + Send + use<> {
        let mut count = self.0.clone();
        async move {
            // The sender lives as long as the process.
            let _ = count.wait_for(|count| *count >= number).await;
        }
    }
}
