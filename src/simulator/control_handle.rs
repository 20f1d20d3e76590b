//! The inside of a running simulator, for tests and the control pages: faults, knobs, logs, store.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    fault_kind::{Behaviour, FaultKind, Run},
    faults::{Fault, FiredFault},
    framework::Disposition,
    host::{Host, RawRequest},
    knobs::Knobs,
    log::{Effect, Received},
    options::{Dialect, Options},
    service::Call,
    state::{Served, State},
    store::{Account, Settings, StoredNumber},
    writer::Style,
};

#[derive(Debug)]
struct Shared {
    options: Options,
    local_addr: SocketAddr,
    state: Mutex<State>,
    /// Changes whenever a log does.
    progress: watch::Sender<()>,
    /// Counts releases of held calls.
    releases: watch::Sender<u64>,
    stop: CancellationToken,
}

/// How long a handle waits for something that should come.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// Controls a running simulator; clones control the same one.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

impl Handle {
    pub(crate) fn new(options: Options, local_addr: SocketAddr) -> Self {
        let state = State::new(options.knobs.clone(), options.seed_demo);
        Self(Arc::new(Shared {
            options,
            local_addr,
            state: Mutex::new(state),
            progress: watch::Sender::default(),
            releases: watch::Sender::default(),
            stop: CancellationToken::new(),
        }))
    }

    /// Returns the address that the simulator listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr
    }

    /// Arms a fault behind those that are armed already.
    pub fn arm(&self, fault: Fault) {
        self.state().armed.arm(fault);
    }

    /// Disarms every fault that has not fired; calls that are held stay held.
    pub fn disarm_all(&self) {
        self.state().armed.disarm_all();
    }

    /// Returns the faults that are armed, with the counts that are left.
    #[must_use]
    pub fn armed(&self) -> Vec<Fault> {
        self.state().armed.armed().to_vec()
    }

    /// Returns the faults that have fired, oldest first.
    #[must_use]
    pub fn fired(&self) -> Vec<FiredFault> {
        self.state().fired.all()
    }

    /// Counts the faults of a kind that have fired; `name` is [`FaultKind::name`].
    #[must_use]
    pub fn fired_count(&self, name: &str) -> usize {
        self.state()
            .fired
            .iter()
            .filter(|fired| fired.kind.name() == name)
            .count()
    }

    /// Releases every call that a [`FaultKind::Hold`] holds now.
    pub fn release(&self) {
        self.0.releases.send_modify(|count| *count += 1);
    }

    /// Returns the requests, oldest first; those to the control pages are not among them.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.state().requests.all()
    }

    /// Returns the changes of the store, oldest first. Seeding is none.
    #[must_use]
    pub fn effects(&self) -> Vec<Effect> {
        self.state().effects.all()
    }

    /// Returns the knobs in force.
    #[must_use]
    pub fn knobs(&self) -> Knobs {
        self.state().knobs.clone()
    }

    /// Sets the knobs for the calls to come.
    pub fn set_knobs(&self, knobs: Knobs) {
        self.state().knobs = knobs;
    }

    /// Opens the accounts of a License to another one, too, as while a License is rotated.
    pub fn alias_license(&self, alias: &str, license: &str) {
        self.state().store.alias(alias, license);
    }

    /// Creates or replaces an account; ids of 0 are assigned.
    pub fn seed(
        &self,
        license: &str,
        account: i32,
        numbers: Vec<StoredNumber>,
        settings: Settings,
    ) {
        self.state().seed(license, account, numbers, settings);
    }

    /// Returns an account's numbers, or None when there is no such account.
    #[must_use]
    pub fn numbers(&self, license: &str, account: i32) -> Option<Vec<StoredNumber>> {
        self.state()
            .store
            .account(license, account)
            .map(|account| account.numbers.clone())
    }

    /// Returns an account's settings, or None when there is no such account.
    #[must_use]
    pub fn settings(&self, license: &str, account: i32) -> Option<Settings> {
        self.state()
            .store
            .account(license, account)
            .map(|account| account.settings.clone())
    }

    /// Returns all accounts by License and id.
    #[must_use]
    pub fn accounts(&self) -> BTreeMap<String, BTreeMap<i32, Account>> {
        self.state().store.all().clone()
    }

    /// Forgets every account and disarms every fault; logs and knobs stay.
    pub fn clear(&self) {
        self.state().clear();
    }

    /// Waits until `count` requests have come since the start.
    ///
    /// # Panics
    /// After a minute.
    pub async fn wait_for_requests(&self, count: u64) {
        self.wait_until(&format!("request {count}"), |handle| {
            handle.state().request_count >= count
        })
        .await;
    }

    /// Waits until `count` effects have happened since the start.
    ///
    /// # Panics
    /// After a minute.
    pub async fn wait_for_effects(&self, count: u64) {
        self.wait_until(&format!("effect {count}"), |handle| {
            handle.state().effect_count >= count
        })
        .await;
    }

    /// Waits until a kind of fault has fired `count` times; `name` is [`FaultKind::name`].
    ///
    /// # Panics
    /// After a minute.
    pub async fn wait_for_fired(&self, name: &str, count: usize) {
        self.wait_until(&format!("fault {name} to fire {count} times"), |handle| {
            handle.fired_count(name) >= count
        })
        .await;
    }

    /// Waits until `reached` holds, asking again after every entry in a log; `what` names that for
    /// the message of the panic.
    ///
    /// # Panics
    /// After a minute.
    pub async fn wait_until(&self, what: &str, mut reached: impl FnMut(&Self) -> bool) {
        let mut progress = self.0.progress.subscribe();
        let wait = async {
            // The sender lives as long as the handle, so waiting does not fail.
            while !reached(self) && progress.changed().await.is_ok() {}
        };
        let waited = tokio::time::timeout(WAIT_LIMIT, wait).await;
        assert!(waited.is_ok(), "waited {WAIT_LIMIT:?} for {what}");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    /// Returns the token that ends connections and calls.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Returns a receiver that sees the releases from now on.
    pub(crate) fn releases(&self) -> watch::Receiver<u64> {
        self.0.releases.subscribe()
    }

    pub(crate) fn style(&self) -> Style {
        Style {
            dialect: self.0.options.dialect,
            newline: self.0.options.newline,
        }
    }

    /// Describes the host to the framework, with the knobs in force.
    pub(crate) fn host(&self) -> Host {
        let options = &self.0.options;
        let names = options.strict_host.then(|| {
            vec![
                self.0.local_addr.to_string(),
                format!("localhost:{}", self.0.local_addr.port()),
            ]
        });
        Host {
            style: self.style(),
            reads_csv: self
                .state()
                .knobs
                .reads_csv_bodies
                .unwrap_or(options.dialect == Dialect::V4),
            names,
        }
    }

    /// Logs a request and returns its sequence number.
    pub(crate) fn record(
        &self,
        connection: u64,
        raw: RawRequest,
        disposition: &Disposition,
    ) -> u64 {
        let sequence = {
            let mut state = self.state();
            state.request_count += 1;
            let sequence = state.request_count;
            state
                .requests
                .push(Received::new(sequence, connection, raw, disposition));
            sequence
        };
        self.0.progress.send_replace(());
        sequence
    }

    /// Takes the fault that hits a call and, unless it comes before the effect, runs the service.
    ///
    /// Both happen at once, so that a test that sees the fault fired sees the effect too.
    pub(crate) fn begin(&self, request: u64, call: &Call) -> (Option<FaultKind>, Option<Served>) {
        let begun = {
            let mut state = self.state();
            let account = call.account(&state.store);
            let kind = state.armed.take(call.route, account);
            if let Some(kind) = &kind {
                state.fired.push(FiredFault {
                    request,
                    kind: kind.clone(),
                });
            }
            let run = kind.as_ref().map_or(Run::Now, FaultKind::run);
            let behaviour = kind.as_ref().map(FaultKind::behaviour).unwrap_or_default();
            let any_license = self.0.options.accept_any_license;
            let mut serve = || state.serve(request, call, any_license, behaviour);
            let served = match run {
                Run::Now => Some(serve()),
                Run::Twice => {
                    serve();
                    Some(serve())
                }
                Run::Never | Run::AfterWaiting | Run::Late(_) => None,
            };
            (kind, served)
        };
        self.0.progress.send_replace(());
        begun
    }

    /// Runs the service for a call that a fault delays.
    pub(crate) fn serve(&self, request: u64, call: &Call) -> Served {
        let any_license = self.0.options.accept_any_license;
        let served = self
            .state()
            .serve(request, call, any_license, Behaviour::Normal);
        self.0.progress.send_replace(());
        served
    }

    /// Runs the service for a call that is answered already.
    pub(crate) fn serve_later(&self, request: u64, call: Call, later: Duration) {
        let handle = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = handle.stop().cancelled() => {}
                () = tokio::time::sleep(later) => {
                    handle.serve(request, &call);
                }
            }
        });
    }
}
