//! The requests and replies of operations.

use super::Error;
use crate::domain::{
    AccountId, Desired, Draft, Etag, FieldSet, Fields, Number, NumberId, Settings, Step,
};

/// Asks for a number to be added.
#[derive(Debug, Clone)]
pub struct AddRequest {
    /// The number. It has passed its checks.
    pub draft: Draft,
    /// Whether the number is only planned, not added.
    pub validate_only: bool,
}

/// Asks for fields of a number to be changed.
#[derive(Debug, Clone)]
pub struct UpdateRequest {
    /// The number.
    pub id: NumberId,
    /// The new values. They have passed their checks.
    pub draft: Draft,
    /// The fields that change: those named by the mask.
    pub mask: FieldSet,
    /// The etag that the number must have.
    pub etag: Option<String>,
    /// Whether the change is only planned, not written.
    pub validate_only: bool,
}

/// Asks for a number to be deleted.
#[derive(Debug, Clone)]
pub struct DeleteRequest {
    /// The number.
    pub id: NumberId,
    /// The etag that the number must have.
    pub etag: Option<String>,
    /// Whether to send `isDeleteForward`.
    pub delete_forward: bool,
    /// Whether a number that is not there counts as deleted.
    pub allow_missing: bool,
}

/// Asks for the list of the account to become the desired one.
#[derive(Debug, Clone)]
pub struct ReplaceAllRequest {
    /// The numbers that the account is to have. They are checked with the plan, since what upstream
    /// holds already is exempt from the checks.
    pub desired: Vec<Desired>,
    /// The etags that must hold.
    pub etags: Etags,
    /// Whether the steps are only planned, not carried out.
    pub validate_only: bool,
}

/// The etags that must hold before a replace-all.
#[derive(Debug, Clone, Default)]
pub struct Etags {
    /// Of the whole list.
    pub list: Option<String>,
    /// Of numbers.
    pub numbers: Vec<(NumberId, String)>,
}

/// What a write made of the list, or would make of it.
#[derive(Debug, Clone, Default)]
pub struct WriteReply {
    /// The number that was added or changed; of a replace-all the whole list; of a delete none. As
    /// read back, or as planned.
    pub numbers: Vec<NumberView>,
    /// The settings of the list, after a replace-all.
    pub settings: Option<Settings>,
    /// The fields of the number that upstream did not apply.
    pub unapplied: FieldSet,
    /// The etag of the list that was read back; `None` for a plan.
    pub list_etag: Option<Etag>,
    /// The steps of a replace-all, in order.
    pub steps: Vec<StepReport>,
}

impl WriteReply {
    /// Makes the reply of a plan of one number.
    pub(super) fn planned(number: NumberView) -> Self {
        Self {
            numbers: vec![number],
            ..Self::default()
        }
    }
}

/// Asks for a page of the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// The size of the page; `None` for the whole list.
    pub size: Option<usize>,
    /// How many numbers come before the page.
    pub start: usize,
    /// The etag of the list that the page before was cut from.
    pub etag: Option<String>,
}

/// A page of the list.
#[derive(Debug, Clone)]
pub struct ListReply {
    /// The numbers.
    pub numbers: Vec<Number>,
    /// The settings of the list.
    pub settings: Option<Settings>,
    /// The etag of the whole list.
    pub etag: Etag,
    /// The position at which the next page starts, if there is one.
    pub next: Option<usize>,
    /// How many numbers the whole list has.
    pub total: usize,
    /// How many elements of the list are not numbers: they have no id.
    pub unidentified: usize,
}

/// Asks for one number.
#[derive(Debug, Clone, Copy)]
pub struct GetRequest {
    /// The number.
    pub id: NumberId,
}

/// One number.
#[derive(Debug, Clone)]
pub struct GetReply {
    /// The number.
    pub number: Number,
    /// The settings of the list.
    pub settings: Option<Settings>,
}

/// A number of the list, or one that is only planned and so has no id yet.
#[derive(Debug, Clone)]
pub enum NumberView {
    /// A number of the list.
    Stored(Number),
    /// What would be sent to add one.
    Planned(AccountId, Fields),
}

/// The outcome of a step of a replace-all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// It was applied: reading back shows it.
    Done,
    /// It was not applied.
    Failed,
    /// It was begun, and whether it was applied is unknown.
    Unknown,
    /// It was not begun.
    NotStarted,
}

/// A step of a replace-all, and its outcome.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// What the step does.
    pub step: Step,
    /// The number; `None` for an add that is not done.
    pub id: Option<NumberId>,
    /// Its outcome.
    pub outcome: StepOutcome,
    /// Why it was not applied: a reason of ErrorInfo, or empty.
    pub reason: &'static str,
    /// The fields that upstream did not apply.
    pub unapplied: FieldSet,
}

impl StepReport {
    pub(super) fn new(step: Step, outcome: StepOutcome) -> Self {
        let id = match &step {
            Step::Keep { id, .. } | Step::Update { id, .. } | Step::Delete { id } => Some(*id),
            Step::Add { .. } => None,
        };
        Self {
            step,
            id,
            outcome,
            reason: "",
            unapplied: FieldSet::empty(),
        }
    }

    /// Returns the position in the request; `None` for a delete.
    pub(super) fn index(&self) -> Option<usize> {
        match &self.step {
            Step::Keep { index, .. } | Step::Update { index, .. } | Step::Add { index, .. } => {
                Some(*index)
            }
            Step::Delete { .. } => None,
        }
    }

    /// Records why a step is not done.
    pub(super) fn fail(&mut self, error: &Error) {
        self.reason = error.reason();
        self.outcome = match error {
            Error::OutcomeUnknown { .. } => StepOutcome::Unknown,
            Error::FieldsUnverified { fields, .. } => {
                self.unapplied = *fields;
                StepOutcome::Unknown
            }
            Error::NotSent
            | Error::AuditUnavailable(_)
            | Error::JournalUnavailable(_)
            | Error::Denied(_) => StepOutcome::NotStarted,
            Error::FieldsNotApplied { number, fields } => {
                self.id = Some(*number);
                self.unapplied = *fields;
                StepOutcome::Failed
            }
            _ => StepOutcome::Failed,
        };
    }
}
