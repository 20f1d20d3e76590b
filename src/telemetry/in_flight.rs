//! The calls in flight: what each is at, who calls, and how often upstream was asked for it.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::metrics;

/// What a call is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Its request is being read and checked.
    Receiving,
    /// Upstream is being read.
    Reading,
    /// A write is prepared: the list is read and the write planned.
    Planning,
    /// A write is being sent.
    Writing,
    /// What became of a write is being found out.
    Verifying,
}

impl Phase {
    /// Returns the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Reading => "reading",
            Self::Planning => "planning",
            Self::Writing => "writing",
            Self::Verifying => "verifying",
        }
    }

    fn from_number(number: u8) -> Self {
        [
            Self::Reading,
            Self::Planning,
            Self::Writing,
            Self::Verifying,
        ]
        .into_iter()
        .find(|phase| *phase as u8 == number)
        .unwrap_or(Self::Receiving)
    }
}

/// A call, as long as anything is done for it: a write goes on after its caller has gone. A default
/// one belongs to no call.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<State>>);

struct State {
    calls: Calls,
    id: u64,
    method: &'static str,
    begun: Instant,
    phase: AtomicU8,
    upstream_requests: AtomicU32,
    caller: OnceLock<Arc<str>>,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.0.as_ref().map_or("none", |state| state.method);
        f.debug_tuple("Progress").field(&method).finish()
    }
}

impl Progress {
    /// Notes what the call is at.
    pub(crate) fn enter(&self, phase: Phase) {
        if let Some(state) = &self.0 {
            state.phase.store(phase as u8, Ordering::Relaxed);
        }
    }

    /// Counts a request to upstream.
    pub(crate) fn count_upstream_request(&self) {
        if let Some(state) = &self.0 {
            state.upstream_requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns how often upstream was asked for it.
    pub(crate) fn upstream_requests(&self) -> u32 {
        self.0
            .as_ref()
            .map_or(0, |state| state.upstream_requests.load(Ordering::Relaxed))
    }

    /// Returns who calls; `anonymous` where nobody said.
    pub(crate) fn caller(&self) -> &str {
        self.0
            .as_ref()
            .and_then(|state| state.caller.get())
            .map_or("anonymous", |caller| caller)
    }

    /// Returns its name.
    pub(crate) fn method(&self) -> &'static str {
        self.0
            .as_ref()
            .map_or(super::names::OTHER, |state| state.method)
    }

    /// Notes who calls, once that is known; for the access line. An empty name is that of nobody in
    /// particular.
    pub fn set_caller(&self, caller: &str) {
        if let Some(state) = &self.0
            && !caller.is_empty()
        {
            // The first one counts.
            let _ = state.caller.set(caller.into());
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.calls.map().remove(&self.id);
        metrics::in_flight(self.method, -1);
    }
}

/// The calls in flight.
#[derive(Clone, Default)]
pub struct Calls(Arc<Mutex<HashMap<u64, Weak<State>>>>);

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Calls").field(&self.map().len()).finish()
    }
}

/// A call in flight, as it is shown: nothing of it is personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// `{service}/{method}`.
    pub method: &'static str,
    /// How long ago it began.
    pub age: Duration,
    /// What it is at.
    pub phase: Phase,
}

impl Calls {
    /// Takes up a call, by its name of a bounded set.
    pub(crate) fn begin(&self, method: &'static str) -> Progress {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let state = Arc::new(State {
            calls: self.clone(),
            id: IDS.fetch_add(1, Ordering::Relaxed),
            method,
            begun: Instant::now(),
            phase: AtomicU8::new(Phase::Receiving as u8),
            upstream_requests: AtomicU32::new(0),
            caller: OnceLock::new(),
        });
        self.map().insert(state.id, Arc::downgrade(&state));
        metrics::in_flight(method, 1);
        Progress(Some(state))
    }

    /// Returns the calls in flight, the oldest first.
    #[must_use]
    pub fn in_flight(&self) -> Vec<InFlight> {
        // A state that is dropped takes the lock: none may be held in here.
        let states: Vec<Weak<State>> = self.map().values().cloned().collect();
        let mut calls: Vec<InFlight> = states
            .iter()
            .filter_map(Weak::upgrade)
            .map(|state| InFlight {
                method: state.method,
                age: state.begun.elapsed(),
                phase: Phase::from_number(state.phase.load(Ordering::Relaxed)),
            })
            .collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.age));
        calls
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Weak<State>>> {
        // No code that can panic runs while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_in_flight_as_long_as_anything_holds_it() {
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
