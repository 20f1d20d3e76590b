//! What `grpc.health.v1` says: whether the facade serves, and whether upstream was seen to work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

use crate::upstream::Client;

/// The name under which upstream's state is told.
pub const UPSTREAM: &str = "upstream.porta";

/// Tells the health of the facade.
#[derive(Clone)]
pub(crate) struct Health {
    reporter: HealthReporter,
    /// The names that say whether the facade is ready to serve.
    ready: Arc<[&'static str]>,
    follows_upstream: bool,
    /// How long upstream may go unheard of before it is asked.
    probe_after: Duration,
    stopped: watch::Sender<bool>,
    is_ready: Arc<AtomicBool>,
}

impl Health {
    /// Nothing serves yet.
    pub(crate) async fn new(
        ready: &[&'static str],
        follows_upstream: bool,
        probe_after: Duration,
    ) -> Self {
        let health = Self {
            reporter: HealthReporter::new(),
            ready: ready.into(),
            follows_upstream,
            probe_after,
            stopped: watch::Sender::new(false),
            is_ready: Arc::default(),
        };
        health.report_ready(false).await;
        health
            .reporter
            .set_service_status(UPSTREAM, ServingStatus::Unknown)
            .await;
        health
    }

    pub(crate) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Follows upstream, and asks it where nothing was heard of it, until the facade stops.
    pub(crate) async fn watch(self, client: &Client) {
        let mut working = client.working();
        let mut stopped = self.stopped.subscribe();
        if !self.follows_upstream {
            self.report_ready(true).await;
        }
        let mut ask = tokio::time::interval(self.probe_after / 2);
        loop {
            tokio::select! {
                changed = working.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let works = *working.borrow_and_update() == Some(true);
                    self.reporter.set_service_status(UPSTREAM, status(works)).await;
                    let stopping = *self.stopped.borrow();
                    if self.follows_upstream && !stopping {
                        self.report_ready(works).await;
                    }
                }
                _ = ask.tick() => {
                    client.probe_when_idle(self.probe_after).await;
                }
                () = async {
                    // The sender is our own.
                    let _ = stopped.wait_for(|stopped| *stopped).await;
                } => return,
            }
        }
    }

    /// Says that the facade does not serve any more.
    pub(crate) async fn stop(&self) {
        self.stopped.send_replace(true);
        self.report_ready(false).await;
    }

    /// Tells whether the facade says that it is ready to serve.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    async fn report_ready(&self, ready: bool) {
        self.is_ready.store(ready, Ordering::Relaxed);
        for name in self.ready.iter() {
            self.reporter.set_service_status(name, status(ready)).await;
        }
    }
}

fn status(serving: bool) -> ServingStatus {
    if serving {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}
