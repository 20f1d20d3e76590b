//! Converts between the progress of a write and the body of its record in the journal.

mod number;

use super::{
    Error, Etags, StepOutcome, StepReport, WriteReply,
    collateral::Posted,
    expectation::{Baseline, Expectation, WriteKind},
    task::{Open, Progress, WriteTask},
};
use crate::{
    domain::{
        AccountId, Desired, Draft, Etag, FieldSet, Fields, List, Method, Number, NumberId, Rules,
        Step,
    },
    journal::body::{self, Body},
};
use number::{
    bits, fields_from_body, fields_to_body, ids, number_from_body, number_to_body, set,
    settings_from_body, settings_to_body, values, view_from_body, view_to_body,
};

impl WriteTask {
    /// Makes the body of the record from the progress of the write.
    pub(super) fn body(&self, rules: &Rules) -> Body {
        let call = &self.call;
        Body {
            version: body::VERSION,
            origin: Some(body::Origin {
                caller: call.caller.name.to_string(),
                method: call.method.name().to_owned(),
                account: call.account.value(),
                request_id: call
                    .request_id()
                    .map_or_else(String::new, |id| id.as_str().to_owned()),
                tenant: call.tenant.name(),
                content_id: call.tenant.content_id,
                feature_name: call.tenant.feature_name.clone(),
            }),
            open: self.open.as_ref().map(open_to_body),
            replace: self
                .progress
                .as_ref()
                .map(|progress| progress_to_body(progress, rules)),
            answer: None,
        }
    }

    /// Makes the body of a final answer.
    pub(super) fn answer_body(&self, rules: &Rules, result: &Result<WriteReply, Error>) -> Body {
        Body {
            open: None,
            replace: None,
            answer: Some(answer_to_body(result)),
            ..self.body(rules)
        }
    }

    /// Restores the progress of an earlier attempt.
    pub(super) fn restore(&mut self, body: Body) {
        let account = self.call.account;
        self.open = body.open.map(|open| open_from_body(open, account));
        self.progress = body.replace.map(progress_from_body);
    }
}

fn answer_to_body(result: &Result<WriteReply, Error>) -> body::Answer {
    match result {
        Ok(reply) => body::Answer {
            list_etag: reply
                .list_etag
                .as_ref()
                .map_or_else(String::new, |etag| etag.as_str().to_owned()),
            numbers: reply.numbers.iter().map(view_to_body).collect(),
            unapplied: bits(reply.unapplied),
            settings: reply.settings.as_ref().map(settings_to_body),
            steps: reply.steps.iter().map(report_to_body).collect(),
            ..Default::default()
        },
        Err(error) => {
            let mut answer = body::Answer {
                reason: error.reason().to_owned(),
                ..Default::default()
            };
            match error {
                Error::FieldsNotApplied { number, fields } => {
                    answer.number = number.value();
                    answer.unapplied = bits(*fields);
                }
                Error::CollateralChange {
                    affected,
                    not_restored,
                } => {
                    answer.affected = values(affected);
                    answer.not_restored = values(not_restored);
                }
                Error::Vanished { number } => answer.number = number.value(),
                _ => {}
            }
            answer
        }
    }
}

/// Returns the answer of a settled write of a method once more.
pub(super) fn replayed(
    body: Body,
    method: Method,
    account: AccountId,
) -> Result<WriteReply, Error> {
    // A body of this release without an answer is not settled.
    let answer = body.answer.unwrap_or_default();
    if !answer.reason.is_empty() {
        return Err(replayed_error(answer));
    }
    if matches!(method, Method::Add | Method::Update) && answer.numbers.is_empty() {
        return Err(Error::Panicked { begun: true });
    }
    let numbers = answer.numbers.into_iter();
    Ok(WriteReply {
        numbers: numbers
            .map(|number| view_from_body(number, account))
            .collect(),
        settings: answer.settings.map(settings_from_body),
        unapplied: set(answer.unapplied),
        list_etag: (!answer.list_etag.is_empty()).then(|| Etag::from_stored(&answer.list_etag)),
        steps: answer.steps.iter().filter_map(report_from_body).collect(),
    })
}

fn replayed_error(answer: body::Answer) -> Error {
    let number = NumberId::new(answer.number);
    match (answer.reason.as_str(), number) {
        ("FIELDS_NOT_APPLIED", Some(number)) => Error::FieldsNotApplied {
            number,
            fields: set(answer.unapplied),
        },
        ("NUMBER_VANISHED", Some(number)) => Error::Vanished { number },
        ("UPSTREAM_WROTE_TOO_MUCH", _) => Error::CollateralChange {
            affected: ids(&answer.affected),
            not_restored: ids(&answer.not_restored),
        },
        _ => Error::Panicked { begun: true },
    }
}

fn open_to_body(open: &Open) -> body::Open {
    body::Open {
        expectations: open.expectations.iter().map(expectation_to_body).collect(),
        posted: open.posted.as_ref().map(|posted| body::Posted {
            number: posted.number.value(),
            fields: Some(fields_to_body(&posted.fields)),
            before: posted.before.numbers.iter().map(number_to_body).collect(),
            unidentified: count(posted.before.unidentified),
            restored: values(&posted.restored),
        }),
        acknowledged: open.acknowledged,
    }
}

pub(super) fn open_from_body(open: body::Open, account: AccountId) -> Open {
    let expectations = open.expectations.into_iter();
    Open {
        expectations: expectations.filter_map(expectation_from_body).collect(),
        posted: open.posted.and_then(|posted| {
            let numbers = posted.before.into_iter();
            Some(Posted {
                number: NumberId::new(posted.number)?,
                fields: fields_from_body(posted.fields),
                before: List::new(
                    numbers
                        .filter_map(|number| number_from_body(number, account))
                        .collect(),
                    None,
                    posted.unidentified as usize,
                ),
                restored: ids(&posted.restored),
            })
        }),
        acknowledged: open.acknowledged,
    }
}

fn expectation_to_body(expectation: &Expectation) -> body::Expectation {
    body::Expectation {
        kind: expectation.kind.name().to_owned(),
        number: expectation.number.map_or(0, NumberId::value),
        index: expectation
            .index
            .and_then(|index| i32::try_from(index).ok())
            .unwrap_or(-1),
        known: values(&expectation.baseline.ids),
        unidentified: count(expectation.baseline.unidentified),
        old: Some(fields_to_body(&expectation.old)),
        target: Some(fields_to_body(&expectation.target)),
        asked: bits(expectation.asked),
        applied: expectation.applied,
        entry: expectation.entry.clone(),
        unverified: bits(expectation.unverified),
    }
}

fn expectation_from_body(expectation: body::Expectation) -> Option<Expectation> {
    Some(Expectation {
        kind: expectation.kind.parse::<WriteKind>().ok()?,
        number: NumberId::new(expectation.number),
        baseline: Baseline {
            ids: ids(&expectation.known),
            unidentified: expectation.unidentified as usize,
        },
        old: fields_from_body(expectation.old),
        target: fields_from_body(expectation.target),
        asked: set(expectation.asked),
        applied: expectation.applied,
        index: usize::try_from(expectation.index).ok(),
        entry: expectation.entry,
        unverified: set(expectation.unverified),
    })
}

/// Records in the body of another write that its adds did not make a number. Returns false if that
/// was recorded before, or if none of them could have made it.
pub(super) fn exclude_from(body: &mut Body, found: &Number) -> bool {
    let Some(open) = &mut body.open else {
        return false;
    };
    let mut changed = false;
    for stored in &mut open.expectations {
        let Some(expectation) = expectation_from_body(stored.clone()) else {
            continue;
        };
        if expectation.could_match(found, true) {
            stored.known.push(found.id.value());
            changed = true;
        }
    }
    changed
}

/// Returns whether a number can be one that an open add of another write made.
pub(super) fn could_have_made(body: &Body, found: &Number, differently: bool) -> bool {
    let open = body.open.iter();
    open.flat_map(|open| &open.expectations)
        .filter_map(|expectation| expectation_from_body(expectation.clone()))
        .any(|expectation| expectation.could_match(found, differently))
}

/// Returns what an earlier attempt left open of a write of one step.
pub(super) fn unknown_of(body: Body, account: AccountId) -> Option<Expectation> {
    if body.replace.is_some() {
        return None;
    }
    let open = open_from_body(body.open?, account);
    open.expectations.into_iter().next()
}

fn progress_to_body(progress: &Progress, rules: &Rules) -> body::Replace {
    let etags = &progress.etags;
    body::Replace {
        desired: progress
            .desired
            .iter()
            .map(|desired| body::Desired {
                id: desired.id.map_or(0, NumberId::value),
                fields: Some(fields_to_body(&desired.draft.to_fields(rules))),
            })
            .collect(),
        list_etag: etags.list.clone().unwrap_or_default(),
        number_etags: etags
            .numbers
            .iter()
            .map(|(number, etag)| body::NumberEtag {
                number: number.value(),
                etag: etag.clone(),
            })
            .collect(),
        done: progress.done.iter().map(report_to_body).collect(),
        wrote: progress.wrote,
        written: values(&progress.written),
    }
}

fn progress_from_body(replace: body::Replace) -> Progress {
    Progress {
        desired: replace
            .desired
            .into_iter()
            .map(|desired| Desired {
                id: NumberId::new(desired.id),
                draft: Draft {
                    fields: fields_from_body(desired.fields),
                    unrepresentable: Vec::new(),
                },
            })
            .collect(),
        etags: Etags {
            list: (!replace.list_etag.is_empty()).then_some(replace.list_etag),
            numbers: replace
                .number_etags
                .into_iter()
                .filter_map(|etag| Some((NumberId::new(etag.number)?, etag.etag)))
                .collect(),
        },
        done: replace.done.iter().filter_map(report_from_body).collect(),
        wrote: replace.wrote,
        written: ids(&replace.written),
    }
}

fn report_to_body(report: &StepReport) -> body::Report {
    let kind = match &report.step {
        Step::Keep { .. } => "keep",
        Step::Update { .. } => "update",
        Step::Add { .. } => "add",
        Step::Delete { .. } => "delete",
    };
    body::Report {
        kind: kind.to_owned(),
        index: report
            .index()
            .and_then(|index| i32::try_from(index).ok())
            .unwrap_or(-1),
        number: report.id.map_or(0, NumberId::value),
        unapplied: bits(report.unapplied),
    }
}

/// Only steps that are done are kept.
fn report_from_body(report: &body::Report) -> Option<StepReport> {
    let id = NumberId::new(report.number)?;
    let index = usize::try_from(report.index).unwrap_or_default();
    let step = match report.kind.as_str() {
        "keep" => Step::Keep { index, id },
        "update" => Step::Update {
            index,
            id,
            target: Fields::default(),
            changed: FieldSet::empty(),
        },
        "add" => Step::Add {
            index,
            target: Fields::default(),
        },
        "delete" => Step::Delete { id },
        _ => return None,
    };
    Some(StepReport {
        step,
        id: Some(id),
        outcome: StepOutcome::Done,
        reason: "",
        unapplied: set(report.unapplied),
    })
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
