//! Resolves the outcome of a write that an earlier attempt sent, by reading.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Error, Operations,
    expectation::{Expectation, Verdict, WriteKind, check_all},
    task::{Open, WriteTask},
};
use crate::domain::{List, NumberId};

/// The outcome of one expectation of an earlier attempt.
#[derive(Debug)]
pub(super) enum Resolved {
    /// The write was applied to this number. It is left out of repairs where the host stores other
    /// values than it is sent.
    Applied {
        expectation: Expectation,
        number: NumberId,
        repairable: bool,
    },
    /// It was not applied, and may be sent again: it is idempotent, and the number reads as before.
    Again,
    /// It was not applied, and `upstream.write_horizon` has passed: it never will be.
    Never(Expectation),
    /// It may still be applied.
    Unknown {
        expectation: Expectation,
        candidates: Vec<NumberId>,
    },
}

impl Operations {
    /// Resolves, from a list that was just read, the outcome of what an earlier attempt sent. It
    /// sends nothing.
    pub(super) async fn resolve(
        &self,
        task: &WriteTask,
        open: &Open,
        list: &List,
    ) -> Vec<Resolved> {
        let evidence = open.evidence();
        let verdicts = check_all(&open.expectations, list, evidence);
        let given_up = self.is_beyond_horizon(task);
        let mut resolved = Vec::with_capacity(verdicts.len());
        for (expectation, verdict) in open.expectations.iter().zip(verdicts) {
            let expectation = expectation.clone();
            let unknown = |expectation, candidates| Resolved::Unknown {
                expectation,
                candidates,
            };
            resolved.push(match verdict {
                Verdict::Applied(number) | Verdict::AppliedDifferently(number) => {
                    let repairable = verdict == Verdict::Applied(number);
                    let is_own = match list.find(number) {
                        Some(found) if expectation.is_open_add() => {
                            self.made_by_this_add(task, found, false, !repairable).await
                        }
                        _ => true,
                    };
                    if is_own {
                        Resolved::Applied {
                            expectation,
                            number,
                            repairable,
                        }
                    } else {
                        unknown(expectation, vec![number])
                    }
                }
                Verdict::NotApplied if given_up => Resolved::Never(expectation),
                Verdict::NotApplied
                    if expectation.kind != WriteKind::Add && expectation.reads_as_before(list) =>
                {
                    Resolved::Again
                }
                Verdict::NotApplied => unknown(expectation, Vec::new()),
                Verdict::Inconclusive(candidates) => unknown(expectation, candidates),
            });
        }
        resolved
    }

    /// Returns whether `upstream.write_horizon` has passed since an earlier attempt sent its
    /// request.
    fn is_beyond_horizon(&self, task: &WriteTask) -> bool {
        let closed = self.closed.lock().get(&task.record.id()).copied();
        is_beyond(
            closed.unwrap_or_else(|| self.started()),
            self.config.write_horizon,
            Instant::now(),
        )
    }
}

fn is_beyond(closed: Instant, horizon: Option<Duration>, now: Instant) -> bool {
    horizon.is_some_and(|horizon| now.saturating_duration_since(closed) >= horizon)
}

/// Makes the error of an earlier attempt that may still be applied.
pub(super) fn outcome_unknown(expectation: Expectation, candidates: Vec<NumberId>) -> Error {
    Error::OutcomeUnknown {
        expectation: Box::new(expectation),
        candidates,
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_given_up_without_a_horizon_or_before_it() {
        let now = Instant::now() + Duration::from_secs(100);
        let closed = now - Duration::from_secs(60);
        assert!(!is_beyond(closed, None, now));
        assert!(!is_beyond(closed, Some(Duration::from_secs(61)), now));
        assert!(is_beyond(closed, Some(Duration::from_secs(60)), now));
    }
}
