//! Verifies a write after it was sent: reads the list back until it shows the outcome.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    Error, Operations,
    expectation::{Evidence, Expectation, Verdict, WriteKind, check_all},
    task::WriteTask,
};
use crate::{
    domain::List,
    telemetry::{in_flight::Phase, metrics::WriteOutcome},
    upstream::{self, Backoff, Kind, Tenant, Written},
};

/// How long to wait before reading again: from the first to the last, doubling.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The visibility timeout: how long the list may lag behind a write whose success upstream
/// reported.
///
/// But what upstream says is weak (docs/upstream/domain.md 2), and a delete that needs
/// `isDeleteForward` (docs/upstream/domain.md 4) never shows, so the account does not wait longer.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(1);

/// What upstream answered to a write.
pub(super) type Sent = Result<Written, upstream::Error>;

/// What reading back showed.
#[derive(Debug)]
pub(super) struct Verified {
    /// The last list that was read.
    pub(super) list: Option<List>,
    /// One verdict per expectation.
    pub(super) verdicts: Vec<Verdict>,
}

impl Verified {
    /// Returns the verdict on a single write.
    pub(super) fn verdict(&self) -> Verdict {
        let first = self.verdicts.first();
        first.cloned().unwrap_or(Verdict::Inconclusive(Vec::new()))
    }

    /// Returns whether a list shows that nothing was applied.
    pub(super) fn shows_nothing(&self) -> bool {
        let mut verdicts = self.verdicts.iter();
        self.list.is_some() && verdicts.all(|verdict| *verdict == Verdict::NotApplied)
    }

    /// Returns the outcome of a single write, for the metrics.
    pub(super) fn outcome(&self, sent: &Sent) -> WriteOutcome {
        match self.verdict() {
            Verdict::Applied(_) | Verdict::AppliedDifferently(_) if sent.is_ok() => {
                WriteOutcome::Done
            }
            Verdict::Applied(_) | Verdict::AppliedDifferently(_) => WriteOutcome::Settled,
            Verdict::NotApplied => WriteOutcome::NotDone,
            Verdict::Inconclusive(_) => WriteOutcome::Unknown,
        }
    }
}

/// Returns whether upstream reported the success of a write.
pub(super) fn is_acknowledged(sent: &Sent) -> bool {
    sent.as_ref()
        .is_ok_and(|written| written.success != Some(false))
}

impl Operations {
    /// Verifies a write that was sent, within its limit.
    ///
    /// The list of the answer is taken where it shows the whole change of an update or delete, else
    /// the list is read, until it shows the change. That a write was not applied is concluded only
    /// after a final answer: without one the service may still run it. What upstream says it did
    /// may show late: an add that does not show then is unknown, since it would be sent twice; an
    /// update took nothing; a delete was not done, and can be repeated.
    ///
    /// `whole` is true for a list that was posted whole, whose host may drop records.
    #[tracing::instrument(name = "verify", skip_all)]
    pub(super) async fn verify(
        &self,
        task: &WriteTask,
        sent: &Sent,
        expectations: &[Expectation],
        whole: bool,
    ) -> Verified {
        task.call.progress.enter(Phase::Verifying);
        let acknowledged = is_acknowledged(sent);
        let mut evidence = Evidence {
            acknowledged,
            named: None,
        };
        let is_final = match sent {
            Ok(_) => !acknowledged,
            Err(error) => error.answered(),
        };
        if let (Ok(written), [expectation], true) = (sent, expectations, acknowledged)
            && let Some(list) = &written.list
        {
            evidence.named = expectation.named_by_answer(list);
            // The next step of a replace-all is planned from a list that is read after this one.
            if task.progress.is_none() && expectation.is_shown_by_answer(list) {
                return Verified {
                    verdicts: vec![expectation.check(list, evidence)],
                    list: Some(list.clone()),
                };
            }
        }
        let now = Instant::now();
        // A repair needs time, too.
        let patience = (task.deadline().saturating_duration_since(now) / 2).min(VISIBILITY_TIMEOUT);
        let mut verdicts = vec![Verdict::NotApplied; expectations.len()];
        let (list, ended) = self
            .read_until(task, |list| {
                verdicts = check_all(expectations, list, evidence);
                let over = is_final || acknowledged && now.elapsed() >= patience;
                over || !verdicts.contains(&Verdict::NotApplied)
            })
            .await;
        let verdicts = expectations
            .iter()
            .zip(verdicts)
            .map(|(expectation, verdict)| match (verdict, expectation.kind) {
                (verdict, _) if list.is_none() => match verdict {
                    Verdict::Inconclusive(ids) => Verdict::Inconclusive(ids),
                    _ => Verdict::Inconclusive(Vec::new()),
                },
                (Verdict::NotApplied, _) if !ended => Verdict::Inconclusive(Vec::new()),
                (Verdict::NotApplied, WriteKind::Add) if acknowledged && !whole => {
                    Verdict::Inconclusive(Vec::new())
                }
                // Upstream says that it failed, and yet a number like this one is new: without it the
                // next attempt would make a second one.
                (Verdict::NotApplied, WriteKind::Add) => {
                    match list.as_ref().map(|list| expectation.resembling(list)) {
                        Some(ids) if !ids.is_empty() => Verdict::Inconclusive(ids),
                        _ => Verdict::NotApplied,
                    }
                }
                (Verdict::NotApplied | Verdict::Inconclusive(_), WriteKind::Update)
                    if acknowledged && !whole && is_listed(expectation, list.as_ref()) =>
                {
                    applied_nothing(expectation)
                }
                (verdict, _) => verdict,
            })
            .collect();
        Verified { list, verdicts }
    }

    /// Reads the list, with growing pauses, until it is as wanted or the time is over. Returns the
    /// last list that was read, and whether it is as wanted.
    pub(super) async fn read_until(
        &self,
        task: &WriteTask,
        mut wanted: impl FnMut(&List) -> bool,
    ) -> (Option<List>, bool) {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        let mut last = None;
        loop {
            match self.read(task).await {
                Ok(list) if wanted(&list) => return (Some(list), true),
                Ok(list) => last = Some(list),
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "a read that verifies a write failed"
                    );
                }
            }
            let wait = backoff.next_delay();
            if Instant::now() + wait >= task.deadline() {
                return (last, false);
            }
            sleep(wait).await;
        }
    }

    /// Reads the list.
    pub(super) async fn read(&self, task: &WriteTask) -> Result<List, upstream::Error> {
        let call = &task.call;
        self.client
            .list(&call.tenant, call.account, &task.options)
            .await
    }
}

fn is_listed(expectation: &Expectation, list: Option<&List>) -> bool {
    let number = expectation.number.zip(list);
    number.is_some_and(|(id, list)| list.find(id).is_some())
}

fn applied_nothing(expectation: &Expectation) -> Verdict {
    match expectation.number {
        Some(id) => Verdict::Applied(id),
        None => Verdict::Inconclusive(Vec::new()),
    }
}

/// Makes an error of a write that was not applied, as reading back shows.
pub(super) fn not_applied(tenant: &Tenant, sent: Sent) -> Error {
    match sent {
        Ok(written) if written.success == Some(false) => Error::Refused { source: None },
        Ok(_) => Error::NotApplied { source: None },
        // Whose License it is decides what the caller can do about it, on a write as on a read.
        Err(error) if error.kind() == Kind::Denied => Error::from_upstream(tenant, error),
        Err(error) if matches!(error.kind(), Kind::Refused | Kind::NotFound) => Error::Refused {
            source: Some(error),
        },
        Err(error) => Error::NotApplied {
            source: Some(error),
        },
    }
}
