//! The inside of a running simulator, for tests and the control pages: faults, knobs, logs, store.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use serde::{Serialize, Serializer};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    faults::{ArmedFaults, Fault, FaultKind, FiredFault, Run},
    framework::Disposition,
    host::{Host, RawRequest},
    knobs::Knobs,
    lag::Lag,
    options::Options,
    routing::Route,
    service::{self, Behaviour, Call, Conditions, EffectKind, Outcome},
    store::{Account, Settings, Store, StoredNumber},
    writer::Style,
};

/// How many entries each log keeps; older ones are forgotten.
const LOG_ENTRIES: usize = 10_000;
/// How much of a request's body the log keeps.
const LOGGED_BODY: usize = 64 * 1024;

/// One request as it came and what the framework made of it.
#[derive(Clone, Debug, Serialize)]
pub struct Received {
    /// Counts requests from 1.
    pub sequence: u64,
    /// Counts connections from 1.
    pub connection: u64,
    /// The method as sent.
    pub method: String,
    /// The raw target.
    pub target: String,
    /// The header fields in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, at most its first 64 KiB.
    #[serde(serialize_with = "lossy_text")]
    pub body: Vec<u8>,
    /// The operation, when the service was called.
    pub route: Option<Route>,
    /// The request object as bound, when the service was called.
    pub bound: Option<Value>,
    /// Whether the host never answers it, as a self-host does over a malformed `%`.
    pub unanswered: bool,
}

impl Received {
    /// Returns a header field's value by its name, without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

fn lossy_text<S: Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(body))
}

/// One change of the store: the truth that tests compare answers with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effect {
    /// Counts effects from 1.
    pub sequence: u64,
    /// The sequence number of the request that caused it.
    pub request: u64,
    /// The License.
    pub license: String,
    /// The account.
    pub account: i32,
    /// What was done.
    pub kind: EffectKind,
    /// The number's id; the list's when forwarding was turned off.
    pub id: i32,
    /// The number before.
    pub before: Option<StoredNumber>,
    /// The number after.
    pub after: Option<StoredNumber>,
}

#[derive(Debug)]
struct Log<T>(VecDeque<T>);

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Clone> Log<T> {
    fn push(&mut self, entry: T) {
        if self.0.len() == LOG_ENTRIES {
            self.0.pop_front();
        }
        self.0.push_back(entry);
    }

    fn all(&self) -> Vec<T> {
        self.0.iter().cloned().collect()
    }
}

#[derive(Debug, Default)]
struct State {
    store: Store,
    knobs: Knobs,
    armed: ArmedFaults,
    /// By License and account.
    lags: BTreeMap<(String, i32), Lag>,
    fired: Log<FiredFault>,
    requests: Log<Received>,
    effects: Log<Effect>,
    request_count: u64,
    effect_count: u64,
}

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

/// What the service did for one call.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) outcome: Outcome,
    /// The account's list before, for the stale answer.
    pub(crate) before: Option<Vec<StoredNumber>>,
}

/// Controls a running simulator; clones control the same one.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

impl Handle {
    pub(crate) fn new(options: Options, local_addr: SocketAddr) -> Self {
        let mut state = State {
            knobs: options.knobs.clone(),
            ..State::default()
        };
        if options.seed_demo {
            state.store.seed_demo();
        }
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
            .0
            .iter()
            .filter(|fired| fired.kind.name() == name)
            .count()
    }

    /// Lets every call go on that a [`FaultKind::Hold`] holds now.
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

    /// Creates or replaces an account; ids of 0 are assigned.
    pub fn seed(
        &self,
        license: &str,
        account: i32,
        numbers: Vec<StoredNumber>,
        settings: Settings,
    ) {
        let mut state = self.state();
        state.lags.remove(&(license.to_owned(), account));
        state.store.seed(license, account, numbers, settings);
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
        let mut state = self.state();
        state.store.clear();
        state.lags.clear();
        state.armed.disarm_all();
    }

    /// Waits until `count` requests have come since the start.
    pub async fn wait_for_requests(&self, count: u64) {
        self.wait_until(|handle| handle.state().request_count >= count)
            .await;
    }

    /// Waits until `count` effects have happened since the start.
    pub async fn wait_for_effects(&self, count: u64) {
        self.wait_until(|handle| handle.state().effect_count >= count)
            .await;
    }

    /// Waits until a kind of fault has fired `count` times; `name` is [`FaultKind::name`].
    pub async fn wait_for_fired(&self, name: &str, count: usize) {
        self.wait_until(|handle| handle.fired_count(name) >= count)
            .await;
    }

    /// Waits until `reached` holds, asking again after every entry in a log.
    pub async fn wait_until(&self, mut reached: impl FnMut(&Self) -> bool) {
        let mut progress = self.0.progress.subscribe();
        // The sender lives as long as the handle, so a failure to wait cannot come.
        while !reached(self) && progress.changed().await.is_ok() {}
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
            reads_csv: self.state().knobs.reads_csv(options.dialect),
            names,
        }
    }

    /// Logs a request and returns its sequence number.
    pub(crate) fn record(
        &self,
        connection: u64,
        mut raw: RawRequest,
        disposition: &Disposition,
    ) -> u64 {
        let (route, bound) = match disposition {
            Disposition::Serve(service_call) => (
                Some(service_call.call.route),
                serde_json::to_value(&service_call.call.bound).ok(),
            ),
            _ => (None, None),
        };
        raw.body.truncate(LOGGED_BODY);
        let sequence = {
            let mut state = self.state();
            state.request_count += 1;
            let sequence = state.request_count;
            state.requests.push(Received {
                sequence,
                connection,
                method: raw.method,
                target: raw.target,
                headers: raw.headers,
                body: raw.body,
                route,
                bound,
                unanswered: matches!(disposition, Disposition::NeverAnswer | Disposition::Close),
            });
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

impl State {
    fn serve(
        &mut self,
        request: u64,
        call: &Call,
        any_license: bool,
        behaviour: Behaviour,
    ) -> Served {
        let license = call.bound.license().to_owned();
        let account = call.account(&self.store);
        let before = self
            .store
            .account(&license, account)
            .map(|account| account.numbers.clone());
        let lag = self.lags.entry((license.clone(), account)).or_default();
        let conditions = Conditions {
            knobs: &self.knobs,
            any_license,
            behaviour,
            lagging: call
                .route
                .is_read()
                .then(|| lag.read(&self.knobs))
                .flatten(),
        };
        let outcome = service::run(&mut self.store, call, conditions);
        if !outcome.changes.is_empty() && (self.knobs.lag_reads, self.knobs.lag_ms) != (0, 0) {
            lag.replace(before.clone().unwrap_or_default());
        }
        for change in &outcome.changes {
            self.effect_count += 1;
            self.effects.push(Effect {
                sequence: self.effect_count,
                request,
                license: license.clone(),
                account: outcome.account,
                kind: change.kind,
                id: change.id,
                before: change.before.clone(),
                after: change.after.clone(),
            });
        }
        Served { outcome, before }
    }
}
