//! The end of a step in the audit log.

use super::{Error, Operations, execute::Applied, expectation::Expectation, task::WriteTask};
use crate::{
    domain::{FieldSet, List, NumberId},
    telemetry::{
        audit::{End, Entry, Outcome},
        metrics,
    },
};

/// Writes the end of a step.
pub(super) fn end(entry: Entry, result: Result<&Applied, &Error>) {
    entry.end(match result {
        Ok(applied) => {
            let found = applied.list.find(applied.number);
            End {
                outcome: Outcome::Done,
                number: Some(applied.number),
                after: found.map(|number| &number.fields),
                unapplied: applied.unapplied,
                ..End::default()
            }
        }
        Err(error) => failed(error),
    });
}

/// Writes the end of a step that was not sent, since it has to be planned again.
pub(super) fn end_stale(entry: Entry) {
    end_posted(entry, Outcome::NotDone, None);
}

/// Writes the end of a step that was posted with others.
pub(super) fn end_posted(entry: Entry, outcome: Outcome, number: Option<NumberId>) {
    entry.end(End {
        outcome,
        number,
        ..End::default()
    });
}

fn failed(error: &Error) -> End<'static> {
    let (outcome, number, unapplied) = match error {
        Error::OutcomeUnknown { .. } | Error::Panicked { begun: true } => {
            (Outcome::Unknown, None, FieldSet::empty())
        }
        Error::FieldsUnverified {
            fields,
            expectation,
            ..
        } => (Outcome::Unknown, expectation.number, *fields),
        // The write was applied; the reason is what happened besides.
        Error::FieldsNotApplied { number, fields } => (Outcome::Done, Some(*number), *fields),
        Error::CollateralChange { .. } | Error::Vanished { .. } => {
            (Outcome::Done, None, FieldSet::empty())
        }
        _ => (Outcome::NotDone, None, FieldSet::empty()),
    };
    End {
        outcome,
        reason: error.reason(),
        number,
        unapplied,
        ..End::default()
    }
}

impl Operations {
    /// Records in the audit log and the metrics the outcome of a write that was unknown.
    pub(super) fn audit_resolved(
        &self,
        task: &WriteTask,
        expectation: &Expectation,
        outcome: Outcome,
        list: &List,
        number: Option<NumberId>,
    ) {
        let now = number.and_then(|id| list.find(id));
        if expectation.applied {
            // The write itself was counted already.
        } else if outcome == Outcome::Done {
            metrics::write(expectation.kind.name(), metrics::WriteOutcome::Settled);
        } else {
            metrics::write(expectation.kind.name(), metrics::WriteOutcome::NotDone);
        }
        self.audit.resolved_later(
            &task.actor,
            expectation.kind.into(),
            &expectation.entry,
            End {
                outcome,
                number,
                after: now.map(|number| &number.fields),
                unapplied: match now {
                    Some(now) if expectation.applied => expectation.unapplied(&now.fields),
                    _ => FieldSet::empty(),
                },
                ..End::default()
            },
        );
    }
}
