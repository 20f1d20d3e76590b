//! Whether a write may still begin, and whether it has.

use std::sync::{Arc, Mutex, PoisonError};

/// Stands between a caller who may go away and a write that must not be half done: before the
/// write has begun, the caller's going stops it; after that it is finished whatever happens.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    begun: bool,
    closed: bool,
    sent_earlier: bool,
}

/// The gate was closed before the write began.
#[derive(Debug)]
pub(super) struct Closed;

impl From<Closed> for super::Error {
    fn from(_: Closed) -> Self {
        Self::NotSent
    }
}

impl Gate {
    /// Asks to begin a write, or a further step of one.
    ///
    /// # Errors
    /// [`Closed`] after the caller has gone.
    pub(super) fn begin(&self) -> Result<(), Closed> {
        let mut state = self.state();
        if state.closed {
            return Err(Closed);
        }
        state.begun = true;
        Ok(())
    }

    /// Asks to go on with a write: what has begun is finished.
    ///
    /// # Errors
    /// [`Closed`] after the caller has gone before anything began.
    pub(super) fn go_on(&self) -> Result<(), Closed> {
        let mut state = self.state();
        if state.closed && !state.begun {
            return Err(Closed);
        }
        state.begun = true;
        Ok(())
    }

    /// Notes whether another call with the same request id may have sent the write.
    pub(super) fn sent_earlier(&self, may_be: bool) {
        self.state().sent_earlier = may_be;
    }

    /// Lets nothing begin from now on. Returns whether the write may have been sent, by this call
    /// or by another one with the same request id.
    pub(super) fn close(&self) -> bool {
        let mut state = self.state();
        state.closed = true;
        state.begun || state.sent_earlier
    }

    /// Tells whether something has begun.
    pub(super) fn begun(&self) -> bool {
        self.state().begun
    }

    /// Closes the gate when the value is dropped, that is, when the caller has gone.
    pub(super) fn close_on_drop(&self) -> CloseOnDrop {
        CloseOnDrop(self.clone())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Booleans cannot be left half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct CloseOnDrop(Gate);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
