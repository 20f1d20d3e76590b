//! Requests of operators: to settle an open write, or to resume a replace-all.

use std::sync::Arc;

use super::{
    Error, Operations,
    expectation::{Expectation, WriteKind},
    single::{Ended, reply},
    task::WriteTask,
};
use crate::{
    domain::{AccountId, List, NumberId},
    journal::{Action, Journal, RecordId},
    telemetry::audit::Outcome,
};

/// Returns what an operator settles as applied, and to which number.
///
/// # Errors
/// The reason for the operator where the number cannot be the one that the write was applied to.
/// The record stays open.
fn applied_to(
    task: &WriteTask,
    number: Option<NumberId>,
    list: &List,
) -> Result<(Expectation, NumberId), String> {
    if task.progress.is_some() {
        return Err("is a ReplaceAll: resume it, or settle its step as not applied".to_owned());
    }
    let open = task.open.as_ref();
    let expectation = open.and_then(|open| open.expectations.first());
    let expectation = expectation.ok_or("holds nothing that could be settled")?;
    let known = expectation.number;
    let number = number.or(known).ok_or(
        "is an add: name the number that it made, as in `--applied NUMBER_ID` (List shows the ids)",
    )?;
    if known.is_some_and(|known| known != number) {
        return Err(format!("is about another number than {number}"));
    }
    if known.is_none() && expectation.baseline.ids.contains(&number) {
        return Err(format!(
            "did not make number {number}: that was there before"
        ));
    }
    let listed = list.find(number).is_some();
    match expectation.kind {
        WriteKind::Delete if listed => Err(format!("is a delete, and number {number} is there")),
        WriteKind::Add | WriteKind::Update if !listed => Err(format!(
            "is about account {}, which has no number {number}",
            task.call.account
        )),
        _ => Ok((expectation.clone(), number)),
    }
}

impl Operations {
    /// Carries out the requests of operators until the journal is closed.
    pub async fn serve_operators(self: Arc<Self>) {
        let requests = self
            .open_journal()
            .ok()
            .and_then(Journal::operator_requests);
        let Some(mut requests) = requests else {
            return;
        };
        while let Some(request) = requests.next().await {
            let (record, action) = (request.record(), request.action());
            let name: &'static str = match action {
                Action::Applied(_) => "applied",
                Action::NotApplied => "not_applied",
                Action::Resume => "resume",
            };
            let audited = self
                .audit
                .operator(request.operator(), name, &record.to_string())
                .await;
            let answer = match audited {
                Ok(()) => self.carry_out(record, action).await,
                Err(error) => Err(error.to_string()),
            };
            self.audit.flush().await;
            request.answer(answer);
        }
    }

    async fn carry_out(&self, id: RecordId, action: Action) -> Result<String, String> {
        let failed = |error: &dyn std::error::Error| error.to_string();
        let journal = self.open_journal().map_err(|error| failed(&error))?;
        let record = journal.claim_open(id).map_err(|error| failed(&error))?;
        let mut record = record.ok_or("is not open, or a call carries it out now")?;
        let (_, body) = record.stored().await.map_err(|error| failed(&error))?;
        let account = body
            .and_then(|body| AccountId::new(body.origin?.account))
            .ok_or("does not hold any more what it is about")?;
        let _lock = self.locks.lock(account).await;
        // Until then another write of the account could amend it.
        let (_, body) = record.stored().await.map_err(|error| failed(&error))?;
        let body = body.ok_or("does not hold any more what it is about")?;
        let mut task = self
            .task_of(record, body)
            .ok_or("its caller or License is not configured here")?;
        let ended = match action {
            Action::NotApplied => return self.settle_not_applied(task).await,
            Action::Applied(number) => {
                let list = self.current_list(&task).await;
                let list = list.map_err(|error| failed(&error))?;
                let (expectation, number) = applied_to(&task, number, &list)?;
                self.settle_applied(&mut task, expectation, number, list)
                    .await
            }
            Action::Resume if task.progress.is_none() => {
                return Err("is no ReplaceAll: repeat its request id, or resolve it".to_owned());
            }
            Action::Resume => self.resume(&mut task).await,
        };
        match self.finish(task, ended).await {
            Ok(_) => Ok("done".to_owned()),
            Err(error) => Err(format!("{}: {error}", error.reason())),
        }
    }

    async fn settle_not_applied(&self, mut task: WriteTask) -> Result<String, String> {
        for expectation in task.open.take().iter().flat_map(|open| &open.expectations) {
            let list = List::default();
            self.audit_resolved(&task, expectation, Outcome::NotDone, &list, None);
        }
        let kept = if task.progress.is_some() {
            let body = task.body(&self.config.rules);
            task.record.leave_incomplete(&body).await
        } else {
            task.record.forget().await
        };
        match kept {
            Ok(()) => Ok("settled as not applied".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn settle_applied(
        &self,
        task: &mut WriteTask,
        expectation: Expectation,
        number: NumberId,
        list: List,
    ) -> Result<Ended, Error> {
        task.open = None;
        let kind = expectation.kind;
        let applied = self
            .finish_resolved(task, expectation, list, number, false)
            .await?;
        Ok(Ended::Reply(Box::new(reply(kind, applied)?)))
    }

    async fn resume(&self, task: &mut WriteTask) -> Result<Ended, Error> {
        self.acquire_permit(task).await?;
        self.replace_from_progress(task).await
    }
}
