//! Requests of operators: to settle an open write, or to resume a replace-all.

use std::sync::Arc;

use super::{
    Error, Operations,
    single::{Ended, reply},
    task::WriteTask,
};
use crate::{
    domain::{AccountId, List, NumberId},
    journal::{Action, RecordId},
    telemetry::audit::Outcome,
    upstream::Route,
};

impl Operations {
    /// Carries out the requests of operators until the journal is closed.
    pub async fn serve_operators(self: Arc<Self>) {
        let Some(mut requests) = self.journal.operator_requests() else {
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
                .operator(request.operator(), name, &record.to_string());
            let answer = match audited {
                Ok(()) => self.carry_out(record, action).await,
                Err(error) => Err(error.to_string()),
            };
            request.answer(answer);
        }
    }

    async fn carry_out(&self, id: RecordId, action: Action) -> Result<String, String> {
        let failed = |error: &dyn std::error::Error| error.to_string();
        let record = self
            .journal
            .claim_open(id)
            .map_err(|error| failed(&error))?;
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
            Action::Applied(number) => self.settle_applied(&mut task, number).await,
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
        number: Option<NumberId>,
    ) -> Result<Ended, Error> {
        let open = task.open.take().filter(|_| task.progress.is_none());
        let expectation = open.and_then(|open| open.expectations.into_iter().next());
        let expectation = expectation.ok_or(Error::Forgotten)?;
        let number = number.or(expectation.number).ok_or(Error::Forgotten)?;
        let list = self.current_list(task).await?;
        let kind = expectation.kind;
        let applied = self
            .finish_resolved(task, expectation, list, number, false)
            .await?;
        Ok(Ended::Reply(Box::new(reply(kind, applied)?)))
    }

    async fn resume(&self, task: &mut WriteTask) -> Result<Ended, Error> {
        if task.progress.is_none() {
            return Err(Error::Forgotten);
        }
        let permit = self
            .client
            .acquire(&task.call.fairness_key, Route::List)
            .await
            .map_err(|error| Error::from_upstream(&task.call.tenant, error))?;
        task.options.permit = Some(Arc::new(permit));
        self.replace_from_progress(task).await
    }
}
