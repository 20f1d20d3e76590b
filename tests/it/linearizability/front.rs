//! The facades of a batch in front of one simulator: one that crashes and is built anew over the same
//! journal, and one that writes behind its back.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use followme::{
    app::App,
    config::Config,
    domain::License,
    grpc::pb::follow_me_service_client::FollowMeServiceClient,
    journal::{Journal, UPDATE_ALL},
    simulator::{Handle, Knobs, Options, Simulator, UpdateAll},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{RwLock, oneshot},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::plan::Host;
use crate::{
    guarantees::ClientWithoutTimers,
    journal::{directory, in_file},
    support::{LICENSE, config, demo, install_telemetry},
};

/// How many records a small journal holds: those of the writes in flight, of unknown outcomes, and
/// few others.
const SMALL: usize = 64;

/// The License between two rotations.
const ROTATED: &str = "ROTATED-KEY";

/// The facades of a batch, and their simulator.
pub(super) struct Front {
    pub(super) handle: Handle,
    _simulator: JoinSet<()>,
    http: Client<HttpConnector, tonic::body::Body>,
    config: Config,
    crashing: RwLock<Facade>,
    outside: Facade,
}

/// A facade on a runtime of its own: dropping that ends it in the middle of everything.
struct Facade {
    runtime: Option<Runtime>,
    origin: http::Uri,
}

impl Front {
    pub(super) async fn start(host: Host) -> Self {
        install_telemetry();
        let knobs = match host {
            Host::Normalises => Knobs {
                name_limit: Some(super::log::NAME_LIMIT),
                folds_blanks: true,
                drops_dashes: true,
                ..Knobs::default()
            },
            Host::Lags => Knobs {
                lag_reads: 2,
                ..Knobs::default()
            },
            Host::WritesAll => Knobs {
                update_all: UpdateAll::Every,
                ..Knobs::default()
            },
            Host::Plain | Host::Crashes | Host::Small => Knobs::default(),
        };
        let simulator = Simulator::bind(Options { knobs, ..demo() })
            .await
            .expect("a loopback port is free");
        let handle = simulator.handle();
        handle.alias_license(ROTATED, LICENSE);
        let mut tasks = JoinSet::new();
        tasks.spawn(simulator.run(std::future::pending()));
        let mut config = settings(&handle);
        let outside = Facade::start(config.clone()).await;
        if host.crashes() {
            config.journal = in_file(&directory());
        }
        if host == Host::Small {
            config.journal.limits.entries = SMALL;
            config.journal.caller_share = 1.0;
        }
        Self {
            handle,
            _simulator: tasks,
            http: Client::builder(TokioExecutor::new())
                .http2_only(true)
                .build_http(),
            crashing: RwLock::new(Facade::start(config.clone()).await),
            config,
            outside,
        }
    }

    /// Makes a client of the facade that runs now.
    pub(super) async fn client(&self, outside: bool) -> ClientWithoutTimers {
        let origin = if outside {
            self.outside.origin.clone()
        } else {
            self.crashing.read().await.origin.clone()
        };
        FollowMeServiceClient::with_origin(self.http.clone(), origin)
    }

    /// Crashes the facade again and again, until the batch is over, and rotates its License each
    /// time: at any time, or right after a write has had its effect, before its answer comes.
    /// Returns how often.
    pub(super) async fn crash_until(&self, mut over: oneshot::Receiver<()>, seed: u64) -> u64 {
        let mut rng = Rng::with_seed(seed);
        let mut crashes = 0;
        loop {
            let pause = Duration::from_millis(rng.u64(100..600));
            let after_effect = rng.u8(..4) > 0;
            let moment = async {
                sleep(pause).await;
                if after_effect {
                    let count = self.handle.effects().len() as u64;
                    // There is none if nobody writes any more.
                    let effect = self.handle.wait_for_effects(count + 1);
                    let _ = timeout(Duration::from_secs(1), effect).await;
                }
            };
            tokio::select! {
                _ = &mut over => return crashes,
                () = moment => {}
            }
            let mut facade = self.crashing.write().await;
            facade.end().await;
            crashes += 1;
            self.allow_update_all().await;
            let mut config = self.config.clone();
            if crashes % 2 == 1 {
                config.security.policy.anonymous.license =
                    Some(License::new(ROTATED).expect("the License is one"));
            }
            *facade = Facade::start(config).await;
        }
    }
}

impl Front {
    /// Lets the next facade use `UpdateFollowmeAll`, as an operator does.
    async fn allow_update_all(&self) {
        let journal = Journal::open(&self.config.journal).await;
        let journal = journal.expect("the facade before has ended");
        if journal.host_fact(UPDATE_ALL).is_some() {
            let allowed = journal.set_host_fact(UPDATE_ALL, None).await;
            allowed.expect("the journal can be written");
        }
    }
}

impl Facade {
    async fn start(config: Config) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread can be had");
        let (bound, addr) = oneshot::channel();
        runtime.spawn(async move {
            let app = App::build(config).await.expect("the facade can be built");
            let addr = app.local_addr().expect("a bound listener has an address");
            let _ = bound.send(addr);
            app.run(std::future::pending())
                .await
                .expect("the server runs");
        });
        let addr = addr.await.expect("the facade starts");
        Self {
            runtime: Some(runtime),
            origin: format!("http://{addr}")
                .parse()
                .expect("an address makes a URL"),
        }
    }

    async fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            let ended = tokio::task::spawn_blocking(|| drop(runtime));
            ended.await.expect("the runtime ends");
        }
    }
}

impl Drop for Facade {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn settings(handle: &Handle) -> Config {
    let mut config = config(handle.local_addr());
    // Soon enough that outcomes stay unknown, and neither breaker nor limits interfere.
    config.operations.write_limit = Duration::from_millis(300);
    config.upstream.read_timeout = Duration::from_millis(100);
    config.upstream.write_timeout = Duration::from_millis(100);
    config.upstream.breaker.failures = u32::MAX;
    config.upstream.limits.requests = 10_000;
    config.upstream.limits.queue = 10_000;
    config.upstream.limits.caller_share = 1.0;
    config
}

/// What crashes the facade of a batch while it runs.
pub(super) struct Crashes {
    over: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<u64>,
}

impl Crashes {
    pub(super) fn start(front: &Arc<Front>, seed: u64) -> Self {
        let (over, until) = oneshot::channel();
        let front = Arc::clone(front);
        Self {
            over,
            task: tokio::spawn(async move { front.crash_until(until, seed).await }),
        }
    }

    pub(super) async fn end(self) -> u64 {
        let _ = self.over.send(());
        self.task.await.expect("no crash fails")
    }
}
