//! The task of a write, and its commit point.

use std::{collections::HashSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    Call, Error, StepReport,
    collateral::Posted,
    expectation::{Evidence, Expectation},
};
use crate::{
    domain::{Desired, NumberId},
    journal,
    security::Caller,
    telemetry::audit::Actor,
    upstream::{ReadPurpose, RequestOptions},
};

/// A write that is being carried out.
pub(super) struct WriteTask {
    /// The call that asked for it.
    pub(super) call: Arc<Call>,
    /// What the caller may do at the moment.
    pub(super) caller: Arc<Caller>,
    /// Their deadline is the caller's before the write is committed, and the write's own after
    /// that.
    pub(super) options: RequestOptions,
    pub(super) commit: CommitPoint,
    /// The actor in the audit log.
    pub(super) actor: Arc<Actor>,
    pub(super) record: journal::Record,
    /// Whether the record was begun by this attempt.
    pub(super) begun: bool,
    /// Whether an earlier attempt sent something.
    pub(super) taken_up: bool,
    /// What was sent and is not verified yet.
    pub(super) open: Option<Open>,
    /// How far a replace-all came.
    pub(super) progress: Option<Progress>,
    /// When a replace-all that was committed ends at the latest.
    pub(super) ends: Option<Instant>,
}

/// What was sent and is not verified yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Open {
    /// What the list must show: one expectation, or one per step of a list that is posted whole.
    pub(super) expectations: Vec<Expectation>,
    /// The list before a request to `UpdateFollowmeAll`.
    pub(super) posted: Option<Posted>,
    /// Whether upstream said that it did the write.
    pub(super) acknowledged: bool,
}

/// How far a replace-all came.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// The numbers that the account is to have.
    pub(super) desired: Vec<Desired>,
    /// The etags that must hold.
    pub(super) etags: super::Etags,
    /// The steps that are done and wrote something.
    pub(super) done: Vec<StepReport>,
    /// The numbers that steps wrote which are not done.
    pub(super) written: Vec<NumberId>,
    /// Whether it changed something, or may have: then the list is not that of its etag.
    pub(super) wrote: bool,
}

impl Progress {
    /// Returns the numbers that were made of the desired ones.
    pub(super) fn made(&self) -> Vec<(usize, NumberId)> {
        let done = self.done.iter();
        done.filter_map(|report| Some((report.index()?, report.id?)))
            .collect()
    }

    /// Returns the etags that must hold from now on: what this write changed is not what its etag
    /// is of any more.
    pub(super) fn etags(&self) -> super::Etags {
        if !self.wrote {
            return self.etags.clone();
        }
        let done = self.done.iter().filter_map(|report| report.id);
        let written: HashSet<NumberId> = done.chain(self.written.iter().copied()).collect();
        let numbers = self.etags.numbers.iter();
        super::Etags {
            list: None,
            numbers: numbers
                .filter(|(id, _)| !written.contains(id))
                .cloned()
                .collect(),
        }
    }
}

impl Open {
    pub(super) fn one(expectation: Expectation) -> Self {
        Self {
            expectations: vec![expectation],
            ..Self::default()
        }
    }

    /// Returns what is known of upstream's answer later.
    pub(super) fn evidence(&self) -> Evidence {
        Evidence {
            acknowledged: self.acknowledged,
            named: None,
        }
    }
}

impl WriteTask {
    /// Passes the commit point, and gives what follows a limit of its own.
    ///
    /// # Errors
    /// [`Error::NotSent`] after the caller has gone before anything was sent.
    pub(super) fn commit(&mut self, limit: Duration, whole: Duration) -> Result<(), Error> {
        self.commit.commit()?;
        let now = Instant::now();
        self.ends.get_or_insert(now + whole);
        self.limit(limit);
        Ok(())
    }

    /// Gives what follows a limit of its own; its reads verify.
    pub(super) fn limit(&mut self, limit: Duration) {
        self.options.deadline = Some(Instant::now() + limit);
        self.options.purpose = ReadPurpose::Verify;
    }

    /// Returns when verification ends at the latest.
    pub(super) fn deadline(&self) -> Instant {
        self.options.deadline.unwrap_or_else(Instant::now)
    }
}

/// The commit point of a write. Before it, a caller who goes away cancels the write; after it, the
/// write is finished whatever its caller does.
#[derive(Debug, Clone, Default)]
pub(super) struct CommitPoint(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    committed: bool,
    cancelled: bool,
    may_have_run_before: bool,
}

impl CommitPoint {
    /// Passes the point.
    ///
    /// # Errors
    /// [`Error::NotSent`] if the write was cancelled before.
    pub(super) fn commit(&self) -> Result<(), Error> {
        let mut state = self.0.lock();
        if state.cancelled && !state.committed {
            return Err(Error::NotSent);
        }
        state.committed = true;
        Ok(())
    }

    /// Records whether an earlier call with the same request id may have sent the write.
    pub(super) fn may_have_run_before(&self, may: bool) {
        self.0.lock().may_have_run_before = may;
    }

    /// Cancels the write, unless it is committed. Returns whether it may have been sent, by this
    /// call or by another one with the same request id.
    pub(super) fn cancel(&self) -> bool {
        let mut state = self.0.lock();
        state.cancelled = true;
        state.committed || state.may_have_run_before
    }

    pub(super) fn is_committed(&self) -> bool {
        self.0.lock().committed
    }

    /// Cancels when the value is dropped, that is, when the caller has gone.
    pub(super) fn cancel_on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }
}

pub(super) struct CancelOnDrop(CommitPoint);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_is_cancelled_before_the_commit_point_is_not_sent() {
        let point = CommitPoint::default();
        drop(point.cancel_on_drop());
        assert!(matches!(point.commit(), Err(Error::NotSent)));
        assert!(!point.is_committed());
    }

    #[test]
    fn a_committed_write_continues_after_its_caller() {
        let point = CommitPoint::default();
        point.commit().unwrap();
        assert!(point.cancel());
        point.commit().unwrap();
    }
}
