//! What the audit log and the metrics are told of the end of a write.

use super::{Applied, Error, Operations, effect::Effect};
use crate::{
    domain::{FieldSet, List, NumberId},
    telemetry::{
        audit::{End, Entry, Outcome},
        metrics,
    },
};

/// What a step of a write ends with.
pub(super) trait Ending {
    /// Says what is known of the number.
    fn outcome(&self) -> End<'_>;
}

impl Ending for Applied {
    fn outcome(&self) -> End<'_> {
        End {
            number: Some(self.number.id),
            after: Some(&self.number.fields),
            unapplied: self.unapplied,
            ..End::default()
        }
    }
}

/// The list without a number that was deleted.
impl Ending for List {
    fn outcome(&self) -> End<'_> {
        End::default()
    }
}

/// Does what follows the begin of a write, and writes its end.
pub(super) async fn to_its_end<T: Ending>(
    entry: Entry,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let result = work.await;
    end(entry, &result);
    result
}

/// Writes the end of a write.
pub(super) fn end<T: Ending>(entry: Entry, result: &Result<T, Error>) {
    entry.end(match result {
        Ok(ending) => End {
            outcome: Outcome::Done,
            ..ending.outcome()
        },
        Err(error) => failed(error),
    });
}

/// Writes the end of a write that its caller stopped before it was sent.
pub(super) fn end_unsent(entry: Entry, error: Error) -> Error {
    entry.end(failed(&error));
    error
}

/// Writes the end of a step that was posted with others.
pub(super) fn end_step(entry: Entry, outcome: Outcome, number: Option<NumberId>) {
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
        Error::RestUnknown { fields, effect, .. } => (Outcome::Unknown, effect.number(), *fields),
        // What was asked for was written; what else happened is the reason.
        Error::FieldsNotApplied { number, fields } => (Outcome::Done, Some(*number), *fields),
        Error::WroteTooMuch { .. } | Error::Vanished { .. } => {
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
    /// Tells that a write whose outcome was unknown is found to be done.
    pub(super) fn tell_resolved_later(
        &self,
        run: &super::Run,
        effect: &Effect,
        list: &List,
        id: NumberId,
    ) {
        metrics::write(effect.name(), metrics::WriteOutcome::Settled);
        self.note_resolved_later(run, effect, list, id, FieldSet::empty());
    }

    /// Notes that what was unknown of a write is found, and the fields that did not take.
    pub(super) fn note_resolved_later(
        &self,
        run: &super::Run,
        effect: &Effect,
        list: &List,
        id: NumberId,
        unapplied: FieldSet,
    ) {
        self.audit.resolved_later(
            &run.actor,
            effect.kind(),
            End {
                outcome: Outcome::Done,
                number: Some(id),
                after: list.find(id).map(|number| &number.fields),
                unapplied,
                ..End::default()
            },
        );
    }
}
