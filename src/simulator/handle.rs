//! The inside of a running simulator, for tests and the control pages: faults, knobs, logs, store.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    fault::{self, Behaviour, Fault, FaultKind, FiredFault, Run},
    host::{Host, Refusal},
    knobs::Knobs,
    log::{Effect, Received},
    options::{Dialect, Options},
    service::{Call, Outcome},
    state::State,
    store::{Account, Settings, Store, StoredNumber},
};

/// How long a handle waits for something that should come.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Shared {
    options: Options,
    local_addr: SocketAddr,
    state: Mutex<State>,
    /// Changes whenever a log does.
    progress: watch::Sender<()>,
    /// Changes whenever held calls are released.
    releases: watch::Sender<()>,
    stop: CancellationToken,
}

/// Controls a running simulator; clones control the same one.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

impl Handle {
    pub(crate) fn new(options: Options, local_addr: SocketAddr) -> io::Result<Self> {
        let state = State {
            store: if options.seed_demo {
                Store::demo()?
            } else {
                Store::default()
            },
            knobs: options.knobs.clone(),
            accept_any_license: options.accept_any_license,
            ..State::default()
        };
        Ok(Self(Arc::new(Shared {
            options,
            local_addr,
            state: Mutex::new(state),
            progress: watch::Sender::default(),
            releases: watch::Sender::default(),
            stop: CancellationToken::new(),
        })))
    }

    /// Returns the address that the simulator listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr
    }

    /// Arms a fault behind those that are armed already.
    pub fn arm(&self, fault: Fault) {
        if fault.count > 0 {
            self.state().armed.push(fault);
        }
    }

    /// Disarms every fault that has not fired; calls that are held stay held.
    pub fn disarm_all(&self) {
        self.state().armed.clear();
    }

    /// Returns the faults that are armed, with the counts that are left.
    #[must_use]
    pub fn armed(&self) -> Vec<Fault> {
        self.state().armed.clone()
    }

    /// Returns the faults that have fired, oldest first.
    #[must_use]
    pub fn fired(&self) -> Vec<FiredFault> {
        self.state().fired.all()
    }

    /// Counts the faults of a kind that have fired; `name` is [`FaultKind::name`].
    #[must_use]
    pub fn fired_count(&self, name: &str) -> usize {
        let state = self.state();
        state
            .fired
            .iter()
            .filter(|fired| fired.kind.name() == name)
            .count()
    }

    /// Releases every call that a [`FaultKind::Hold`] holds now.
    pub fn release(&self) {
        self.0.releases.send_replace(());
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
        self.state()
            .seed(license, account, Account { settings, numbers });
    }

    /// Returns an account's numbers, or None when there is no such account.
    #[must_use]
    pub fn numbers(&self, license: &str, account: i32) -> Option<Vec<StoredNumber>> {
        let state = self.state();
        state
            .store
            .account(license, account)
            .map(|account| account.numbers.clone())
    }

    /// Returns all accounts by License and id.
    #[must_use]
    pub fn accounts(&self) -> BTreeMap<String, BTreeMap<i32, Account>> {
        self.state().store.all().clone()
    }

    /// Waits until `count` requests have come since the start.
    ///
    /// # Panics
    /// After a minute.
    pub async fn wait_for_requests(&self, count: u64) {
        let reached = |handle: &Self| handle.state().requests.count >= count;
        self.wait_until(&format!("request {count}"), reached).await;
    }

    /// Waits until `count` effects have happened since the start.
    ///
    /// # Panics
    /// After a minute.
    pub async fn wait_for_effects(&self, count: u64) {
        let reached = |handle: &Self| handle.state().effects.count >= count;
        self.wait_until(&format!("effect {count}"), reached).await;
    }

    /// Waits until a kind of fault has fired `count` times; `name` is [`FaultKind::name`].
    ///
    /// # Panics
    /// After a minute.
    pub async fn wait_for_fired(&self, name: &str, count: usize) {
        let what = format!("fault {name} to fire {count} times");
        let reached = |handle: &Self| handle.fired_count(name) >= count;
        self.wait_until(&what, reached).await;
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

    /// Changes what a log holds, and wakes those who wait for it.
    fn log<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.0.progress.send_replace(());
        changed
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    /// Returns the token that ends connections and calls.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Returns a receiver that sees the releases from now on.
    pub(crate) fn releases(&self) -> watch::Receiver<()> {
        self.0.releases.subscribe()
    }

    /// Describes the host to the framework, with the knobs in force.
    pub(crate) fn host(&self) -> Host {
        let Options {
            dialect,
            newline,
            strict_host,
            ..
        } = self.0.options;
        let addr = self.0.local_addr;
        let names = [addr.to_string(), format!("localhost:{}", addr.port())];
        let reads_csv = self.state().knobs.reads_csv_bodies;
        Host {
            dialect,
            newline,
            reads_csv: reads_csv.unwrap_or(dialect == Dialect::V4),
            names: strict_host.then_some(names),
        }
    }

    /// Logs a request and returns its sequence number.
    pub(crate) fn record(&self, received: Received, dispatched: &Result<Call, Refusal>) -> u64 {
        let entry = |number| received.logged(number, dispatched);
        self.log(|state| state.requests.push(entry))
    }

    /// Takes the fault that hits a call and, unless it comes before the effect, runs the service.
    ///
    /// Both happen at once, so that a test that sees the fault fired sees the effect too.
    pub(crate) fn begin(&self, request: u64, call: &Call) -> (Option<FaultKind>, Option<Outcome>) {
        self.log(|state| {
            let account = call.account(&state.store);
            let Some(kind) = fault::take(&mut state.armed, call.route, account) else {
                let outcome = state.serve(request, call, Behaviour::Normal);
                return (None, Some(outcome));
            };
            state.fired.push(|_| FiredFault {
                request,
                kind: kind.clone(),
            });
            let mut serve = || state.serve(request, call, kind.behaviour());
            let outcome = match kind.run() {
                Run::Now => Some(serve()),
                Run::Twice => {
                    serve();
                    Some(serve())
                }
                Run::Never | Run::AfterWaiting | Run::Late(_) => None,
            };
            (Some(kind), outcome)
        })
    }

    /// Runs the service for a call that a fault delays.
    pub(crate) fn serve(&self, request: u64, call: &Call) -> Outcome {
        self.log(|state| state.serve(request, call, Behaviour::Normal))
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
