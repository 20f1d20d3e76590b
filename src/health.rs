//! Whether the facade serves, and whether upstream was seen to work: what `grpc.health.v1` and the
//! admin pages say.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::interval};

use crate::upstream::Client;

/// The name under which upstream's state is told.
pub const UPSTREAM: &str = "upstream.porta";

/// How often upstream is asked while the facade waits for it to be ready itself: nobody else asks
/// it then.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The health of the facade.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    /// The names that say whether the facade is ready to serve.
    ready: Arc<[&'static str]>,
    follows_upstream: bool,
    /// How long upstream may go unheard of before it is asked.
    probe_after: Duration,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct State {
    /// Whether the facade has begun to serve.
    started: bool,
    /// Whether it has begun to end.
    stopped: bool,
    /// Whether upstream was seen to work.
    upstream: Option<bool>,
}

/// Whether something serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serving {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Nobody knows yet.
    Unknown,
}

impl Health {
    /// Nothing serves yet.
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

    /// Follows upstream, and asks it where nothing was heard of it, until the facade stops.
    pub(crate) async fn watch(self, client: &Client) {
        let mut availability = client.availability();
        let mut state = self.state.subscribe();
        self.state.send_modify(|state| state.started = true);
        if self.follows_upstream {
            client.probe_when_idle(Duration::ZERO).await;
        }
        let often = (self.probe_after / 2).min(ASK_AGAIN);
        let mut ask = interval(often.max(Duration::from_millis(1)));
        loop {
            tokio::select! {
                changed = availability.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let available = *availability.borrow_and_update();
                    self.state.send_modify(|state| state.upstream = available);
                }
                _ = ask.tick() => {
                    let waits = self.follows_upstream && !self.is_ready();
                    let idle = if waits { ASK_AGAIN } else { Duration::MAX };
                    client.probe_when_idle(idle.min(self.probe_after)).await;
                }
                () = async {
                    // The sender is our own.
                    let _ = state.wait_for(|state| state.stopped).await;
                } => return,
            }
        }
    }

    /// Says that the facade does not serve any more.
    pub(crate) fn stop(&self) {
        self.state.send_modify(|state| state.stopped = true);
    }

    /// Tells whether the facade is ready to serve.
    pub(crate) fn is_ready(&self) -> bool {
        let state = *self.state.borrow();
        let works = !self.follows_upstream || state.upstream == Some(true);
        state.started && !state.stopped && works
    }

    /// Returns whether what has this name serves, if anything has.
    pub(crate) fn serving(&self, name: &str) -> Option<Serving> {
        let serving = |yes| if yes { Serving::Yes } else { Serving::No };
        if name == UPSTREAM {
            let upstream = self.state.borrow().upstream;
            return Some(upstream.map_or(Serving::Unknown, serving));
        }
        self.ready.contains(&name).then(|| serving(self.is_ready()))
    }

    /// Follows what changes. Not every change is one of what serves.
    pub(crate) fn changes(&self) -> watch::Receiver<impl Clone + Send + Sync + use<>> {
        self.state.subscribe()
    }
}
