//! The calls in flight: the phase of each, its caller, and how many upstream requests it made.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::metrics;
use crate::domain::AccountId;

/// The phase of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::FromRepr, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[repr(u8)]
pub enum Phase {
    /// Its request is received and checked.
    Receiving,
    /// A read is sent to the upstream.
    Reading,
    /// The list is read and a write planned.
    Planning,
    /// A write is sent.
    Writing,
    /// The outcome of a write is verified by reading back.
    Verifying,
}

impl Phase {
    /// Returns its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The progress of a call, shared by all its tasks: a write continues after its caller is gone.
/// The default one belongs to no call.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<State>>);

struct State {
    calls: Calls,
    id: u64,
    method: &'static str,
    started: Instant,
    phase: AtomicU8,
    upstream_requests: AtomicU32,
    caller: OnceLock<Arc<str>>,
    account: OnceLock<AccountId>,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.0.as_ref().map_or("none", |state| state.method);
        f.debug_tuple("Progress").field(&method).finish()
    }
}

impl Progress {
    /// Sets the phase.
    pub(crate) fn enter(&self, phase: Phase) {
        if let Some(state) = &self.0 {
            state.phase.store(phase as u8, Ordering::Relaxed);
        }
    }

    /// Counts a request to the upstream.
    pub(crate) fn count_upstream_request(&self) {
        if let Some(state) = &self.0 {
            state.upstream_requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns how many requests were sent to the upstream.
    pub(crate) fn upstream_requests(&self) -> u32 {
        self.0
            .as_ref()
            .map_or(0, |state| state.upstream_requests.load(Ordering::Relaxed))
    }

    /// Returns the name of the caller; `anonymous` where it has none.
    pub(crate) fn caller(&self) -> &str {
        self.0
            .as_ref()
            .and_then(|state| state.caller.get())
            .map_or("anonymous", |caller| caller)
    }

    /// Returns the account; `None` as long as it is not known, or if the call has none.
    pub(crate) fn account(&self) -> Option<AccountId> {
        self.0.as_ref()?.account.get().copied()
    }

    /// Sets the account of the request.
    pub(crate) fn set_account(&self, account: AccountId) {
        if let Some(state) = &self.0 {
            // A call has one request.
            let _ = state.account.set(account);
        }
    }

    /// Returns the method, `{service}/{method}`, of a bounded set.
    pub(crate) fn method(&self) -> &'static str {
        self.0
            .as_ref()
            .map_or(super::names::OTHER, |state| state.method)
    }

    /// Sets the name of the caller, once it is authenticated. An empty name is that of an anonymous
    /// caller, and sets nothing.
    pub fn set_caller(&self, caller: &str) {
        if let Some(state) = &self.0
            && !caller.is_empty()
        {
            // A call is authenticated once.
            let _ = state.caller.set(caller.into());
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.calls.0.lock().remove(&self.id);
        metrics::in_flight(self.method, -1);
    }
}

/// The calls in flight.
#[derive(Clone, Default)]
pub struct Calls(Arc<Mutex<HashMap<u64, Weak<State>>>>);

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Calls").field(&self.0.lock().len()).finish()
    }
}

/// A call in flight, without anything personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// `{service}/{method}`.
    pub method: &'static str,
    /// The time since it started.
    pub age: Duration,
    /// Its phase.
    pub phase: Phase,
}

impl Calls {
    /// Adds a call, by its method of a bounded set, until all its progress is dropped.
    pub(crate) fn begin(&self, method: &'static str) -> Progress {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let state = Arc::new(State {
            calls: self.clone(),
            id: IDS.fetch_add(1, Ordering::Relaxed),
            method,
            started: Instant::now(),
            phase: AtomicU8::new(Phase::Receiving as u8),
            upstream_requests: AtomicU32::new(0),
            caller: OnceLock::new(),
            account: OnceLock::new(),
        });
        self.0.lock().insert(state.id, Arc::downgrade(&state));
        metrics::in_flight(method, 1);
        Progress(Some(state))
    }

    /// Returns the calls in flight, the oldest first.
    #[must_use]
    pub fn in_flight(&self) -> Vec<InFlight> {
        // A state that is dropped takes the lock, so none may be dropped while it is held.
        let states: Vec<Weak<State>> = self.0.lock().values().cloned().collect();
        let mut calls: Vec<InFlight> = states
            .iter()
            .filter_map(Weak::upgrade)
            .map(|state| InFlight {
                method: state.method,
                age: state.started.elapsed(),
                phase: Phase::from_repr(state.phase.load(Ordering::Relaxed))
                    .unwrap_or(Phase::Receiving),
            })
            .collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.age));
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_in_flight_until_all_its_progress_is_dropped() {
        let calls = Calls::default();
        let call = calls.begin("_OTHER");
        let task = call.clone();
        task.enter(Phase::Verifying);
        drop(call);
        let shown = calls.in_flight();
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[0].phase, Phase::Verifying);
        drop(task);
        assert!(calls.in_flight().is_empty());
    }
}
