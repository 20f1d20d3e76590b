//! The health of the facade and of upstream, as `grpc.health.v1` and the admin pages report it.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::interval};

use crate::{
    journal::{Availability, Journal},
    upstream::Client,
};

/// The name of upstream's health in `grpc.health.v1`.
pub const UPSTREAM: &str = "upstream.porta";

/// The name of the journal's health in `grpc.health.v1`.
pub const JOURNAL: &str = "journal.porta";

/// How often upstream is probed while the facade is not ready because of it: no calls arrive then.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The health of the facade.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    /// The services whose health is that of the facade.
    ready: Arc<[&'static str]>,
    follows_upstream: bool,
    /// The idle time before a health probe is sent.
    probe_after: Duration,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct State {
    /// Whether the facade serves.
    started: bool,
    /// Whether it shuts down.
    stopped: bool,
    /// Whether upstream is available; `None` before the first request.
    upstream: Option<bool>,
    /// Whether the journal takes writes; `None` before it was opened.
    journal: Option<bool>,
    /// Whether only a restart can make the journal take writes again.
    journal_is_lost: bool,
}

/// The serving status of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serving {
    /// It serves.
    Yes,
    /// It does not serve.
    No,
    /// Not known yet.
    Unknown,
}

impl Health {
    /// Makes the health of a facade that does not serve yet.
    pub(crate) fn new(
        ready: &[&'static str],
        follows_upstream: bool,
        probe_after: Duration,
    ) -> Self {
        Self {
            ready: ready.into(),
            follows_upstream,
            probe_after,
            state: watch::Sender::default(),
        }
    }

    /// Tracks the availability of upstream and of the journal, and probes upstream when it is idle,
    /// until the facade stops.
    pub(crate) async fn watch(self, client: &Client, journal: &Journal) {
        let mut availability = client.availability();
        let mut journal = journal.availability();
        self.note_journal(&journal.borrow_and_update());
        let mut state = self.state.subscribe();
        self.state.send_modify(|state| state.started = true);
        if self.follows_upstream {
            client.probe_when_idle(Duration::ZERO).await;
        }
        let period = (self.probe_after / 2).min(PROBE_INTERVAL);
        let mut probe = interval(period.max(Duration::from_millis(1)));
        loop {
            tokio::select! {
                changed = availability.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let available = *availability.borrow_and_update();
                    self.state.send_modify(|state| state.upstream = available);
                }
                changed = journal.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.note_journal(&journal.borrow_and_update());
                }
                _ = probe.tick() => {
                    let waits = self.follows_upstream && !self.is_ready();
                    let idle = if waits { PROBE_INTERVAL } else { Duration::MAX };
                    client.probe_when_idle(idle.min(self.probe_after)).await;
                }
                () = async {
                    // Fails only without a sender, which is our own.
                    let _ = state.wait_for(|state| state.stopped).await;
                } => return,
            }
        }
    }

    fn note_journal(&self, availability: &Availability) {
        self.state.send_modify(|state| {
            state.journal = Some(availability.is_available());
            state.journal_is_lost = matches!(availability, Availability::Poisoned(_));
        });
    }

    /// Makes the facade NOT_SERVING for good.
    pub(crate) fn stop(&self) {
        self.state.send_modify(|state| state.stopped = true);
    }

    /// Returns whether the facade is ready to serve.
    pub(crate) fn is_ready(&self) -> bool {
        let state = *self.state.borrow();
        let works = !self.follows_upstream || state.upstream == Some(true);
        state.started && !state.stopped && !state.journal_is_lost && works
    }

    /// Returns the serving status of a service, or `None` if there is no such service.
    pub(crate) fn serving(&self, name: &str) -> Option<Serving> {
        let serving = |yes| if yes { Serving::Yes } else { Serving::No };
        if name == UPSTREAM {
            let upstream = self.state.borrow().upstream;
            return Some(upstream.map_or(Serving::Unknown, serving));
        }
        if name == JOURNAL {
            let journal = self.state.borrow().journal;
            return Some(journal.map_or(Serving::Unknown, serving));
        }
        self.ready.contains(&name).then(|| serving(self.is_ready()))
    }

    /// Subscribes to changes; may fire without a visible change of status.
    pub(crate) fn changes(&self) -> watch::Receiver<impl Clone + Send + Sync + use<>> {
        self.state.subscribe()
    }
}
