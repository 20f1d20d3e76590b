//! The pipeline of every write around its steps: the journal, the account lock, a permit, a task of
//! its own, the caller's deadline.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::{
    AddRequest, Call, DeleteRequest, Error, Operations, ReplaceAllRequest, UpdateRequest,
    WriteReply,
    account_locks::AccountLockGuard,
    plan::Planner,
    record::{replayed, unknown_of},
    single::Ended,
    task::{CommitPoint, WriteTask},
};
use crate::{
    domain::List,
    journal::{Claimed, NewWrite, Record, RequestKey},
    security::Caller,
    telemetry::{
        call_trace::in_current_call,
        in_flight::Phase,
        metrics::{self, RequestIdHit},
    },
    upstream::{Permit, Route},
};

/// The request of a write.
#[derive(Debug)]
pub(super) enum Command {
    Add(AddRequest),
    Update(UpdateRequest),
    Delete(DeleteRequest),
    ReplaceAll(ReplaceAllRequest),
}

/// A write that is claimed in the journal.
struct Claim {
    record: Record,
    /// Whether an earlier attempt left it open.
    taken_up: bool,
}

impl Operations {
    /// Carries out a write.
    ///
    /// From its commit point on the write is finished in a task of its own, whatever its caller
    /// does; dropping the future before that cancels it.
    ///
    /// # Errors
    /// Those of the operation; [`Error::NotSent`] and [`Error::InProgress`] if the deadline passes
    /// before it is finished; [`Error::RequestIdConflict`], [`Error::TooManyRequestIds`],
    /// [`Error::JournalUnavailable`], [`Error::Denied`].
    pub(super) async fn write(
        self: &Arc<Self>,
        call: &Arc<Call>,
        command: Command,
    ) -> Result<WriteReply, Error> {
        let commit = CommitPoint::default();
        let _cancel = commit.cancel_on_drop();
        let work = self.claim_and_spawn(call, Arc::new(command), commit.clone());
        let Some(reply_by) = call.reply_by else {
            return work.await;
        };
        tokio::select! {
            biased;
            // The read before the write has the same deadline, and may end first.
            result = work => match result {
                Err(error) if error.timed_out()
                    && Instant::now() >= reply_by
                    && !commit.is_committed() => {}
                result => return result,
            },
            () = sleep_until(reply_by) => {}
        }
        Err(if commit.cancel() {
            Error::InProgress {
                request_id: call.request_id().cloned(),
            }
        } else {
            Error::NotSent
        })
    }

    /// Claims the write, acquires the account lock and a permit, then does the write in a task.
    /// They are always acquired in this order, so no two writes wait for each other.
    async fn claim_and_spawn(
        self: &Arc<Self>,
        call: &Arc<Call>,
        command: Arc<Command>,
        commit: CommitPoint,
    ) -> Result<WriteReply, Error> {
        loop {
            let claim = match self.claim(call, &commit).await? {
                Ok(claim) => claim,
                Err(answer) => return *answer,
            };
            if !claim.taken_up {
                self.authorizer
                    .authorize_write(&call.caller, call.account)?;
                self.recovered(call.account).await;
            }
            let lock = self.locks.lock_for(call.account, &call.fairness_key).await;
            let lock = match lock {
                Ok(lock) => lock,
                Err(_) if claim.taken_up => {
                    return Err(self.unknown_still(call, claim, Error::TooManyWaiting).await);
                }
                Err(_) => return Err(Error::TooManyWaiting),
            };
            // Acquired here and not in the task, so that a cancelled call leaves the queue. And
            // before anything is read, so that nothing waits between the checks and the write.
            let permit = self.client.acquire(&call.fairness_key, Route::List).await;
            let permit = permit.map_err(|error| Error::from_upstream(&call.tenant, error));
            let permit = match permit {
                Ok(permit) => permit,
                Err(error) if claim.taken_up => {
                    return Err(self.unknown_still(call, claim, error).await);
                }
                Err(error) => return Err(error),
            };
            let taken_up = claim.taken_up;
            let (operations, call, command) =
                (Arc::clone(self), Arc::clone(call), Arc::clone(&command));
            let task = operations.perform(call, command, commit.clone(), claim, lock, permit);
            match self.writes.spawn(in_current_call(task)).await {
                Ok(Ok(Ended::Reply(reply))) => return Ok(*reply),
                Ok(Ok(Ended::Anew)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    return Err(Error::Panicked {
                        begun: taken_up || commit.is_committed(),
                    });
                }
            }
        }
    }

    /// Claims the write in the journal; returns the answer where that needs no write.
    async fn claim(
        &self,
        call: &Call,
        commit: &CommitPoint,
    ) -> Result<Result<Claim, Box<Result<WriteReply, Error>>>, Error> {
        let request = call.idempotency.as_ref().map(|idempotency| RequestKey {
            tenant: call.tenant.name(),
            method: call.method.name(),
            request_id: idempotency.request_id.as_str().to_owned(),
            fingerprint: idempotency.fingerprint,
        });
        let write = NewWrite {
            request,
            caller: call.caller.name.to_string(),
            account: call.account,
        };
        // Until the journal says otherwise: the write of this request id can be done already.
        commit.may_have_run_before(call.idempotency.is_some());
        let journal = match self.open_journal() {
            // Only the journal can tell whether an earlier process did the write of this request
            // id.
            Err(_) if call.idempotency.is_some() => self.journal.wait().await,
            journal => journal?,
        };
        loop {
            return match journal.claim(&write).await? {
                Claimed::New(record) => {
                    commit.may_have_run_before(false);
                    Ok(Ok(Claim {
                        record,
                        taken_up: false,
                    }))
                }
                Claimed::TakenUp(record) => {
                    metrics::request_id_hit(RequestIdHit::Resumed);
                    Ok(Ok(Claim {
                        record,
                        taken_up: true,
                    }))
                }
                Claimed::Replay(body) => {
                    metrics::request_id_hit(RequestIdHit::Answered);
                    let answer = replayed(body, call.method, call.account);
                    Ok(Err(Box::new(answer)))
                }
                Claimed::InFlight(in_flight) => {
                    metrics::request_id_hit(RequestIdHit::Waited);
                    in_flight.ended().await;
                    continue;
                }
                Claimed::Conflict => {
                    metrics::request_id_hit(RequestIdHit::Conflict);
                    Err(Error::RequestIdConflict)
                }
                Claimed::Full if call.idempotency.is_some() => Err(Error::TooManyRequestIds),
                Claimed::Full => Err(Error::JournalUnavailable(
                    crate::journal::Error::Unavailable("it is full".into()),
                )),
                Claimed::Tombstone(_) => Err(Error::Forgotten),
                Claimed::Unreachable(error) => Err(Error::OutcomeUnrecorded(error)),
            };
        }
    }

    /// Makes the error of a write that an earlier attempt left open, and that this one cannot take
    /// up.
    async fn unknown_still(&self, call: &Call, mut claim: Claim, error: Error) -> Error {
        match claim.record.stored().await {
            Ok((_, body)) => match body.and_then(|body| unknown_of(body, call.account)) {
                Some(expectation) => Error::OutcomeUnknown {
                    expectation: Box::new(expectation),
                    candidates: Vec::new(),
                    source: error.into_upstream(),
                },
                None => error,
            },
            Err(unreadable) => Error::OutcomeUnrecorded(unreadable),
        }
    }

    /// Carries out the write, and records its outcome in the journal before any reply.
    async fn perform(
        self: Arc<Self>,
        call: Arc<Call>,
        command: Arc<Command>,
        commit: CommitPoint,
        claim: Claim,
        lock: AccountLockGuard,
        permit: Permit,
    ) -> Result<Ended, Error> {
        let mut options = call.options();
        options.permit = Some(Arc::new(permit));
        let mut task = WriteTask {
            actor: Arc::new(call.actor(&self.audit)),
            caller: Arc::clone(&call.caller),
            options,
            call,
            commit,
            record: claim.record,
            begun: false,
            taken_up: claim.taken_up,
            open: None,
            progress: None,
            ends: None,
        };
        let result = self.do_write(&mut task, &command).await;
        let result = self.finish(task, result).await;
        drop(lock);
        // A call is answered when the audit log has its lines.
        self.audit.flush().await;
        result
    }

    async fn do_write(&self, task: &mut WriteTask, command: &Command) -> Result<Ended, Error> {
        if task.taken_up {
            let stored = task.record.stored().await;
            let (_, body) = stored.map_err(Error::OutcomeUnrecorded)?;
            task.restore(body.ok_or(Error::Forgotten)?);
        }
        match command {
            Command::ReplaceAll(request) => self.replace_list(task, request).await,
            single => self.write_one(task, single).await,
        }
    }

    /// Records the outcome of a write in the journal. A final answer is sent only after that.
    pub(super) async fn finish(
        &self,
        mut task: WriteTask,
        result: Result<Ended, Error>,
    ) -> Result<Ended, Error> {
        task.options.permit = None;
        let rules = &self.config.rules;
        let id = task.record.id();
        let result = match result {
            Ok(Ended::Anew) => {
                self.closed.lock().remove(&id);
                let _ = task.record.forget().await;
                return Ok(Ended::Anew);
            }
            Ok(Ended::Reply(reply)) => Ok(*reply),
            Err(error) => Err(error),
        };
        let committed = task.commit.is_committed();
        let kept = match &result {
            Err(Error::OutcomeUnknown { .. } | Error::FieldsUnverified { .. }) => {
                if committed {
                    self.closed.lock().insert(id, Instant::now());
                }
                let body = task.body(rules);
                task.record.leave_unknown(&body).await
            }
            Err(Error::ReplaceIncomplete(incomplete)) if incomplete.wrote || task.taken_up => {
                if incomplete.unknown && committed {
                    self.closed.lock().insert(id, Instant::now());
                }
                let body = task.body(rules);
                task.record.leave_incomplete(&body).await
            }
            // Its first steps are done, and it can continue.
            Err(Error::CollateralChange { .. }) if task.progress.is_some() => {
                task.open = None;
                let body = task.body(rules);
                task.record.leave_incomplete(&body).await
            }
            Err(error) if !error.was_applied() => {
                // Of this attempt nothing is left. What an earlier one left stays, unless this one
                // wrote after resolving it.
                if committed {
                    task.record.forget().await
                } else {
                    task.record.release().await
                }
            }
            result => {
                let body = task.answer_body(rules, result);
                self.closed.lock().remove(&id);
                task.record.settle(&body).await
            }
        };
        match (kept, result) {
            (Ok(()), result) => result.map(Box::new).map(Ended::Reply),
            // What was not kept would be answered otherwise the next time.
            (Err(lost), Ok(_)) => Err(Error::OutcomeUnrecorded(lost)),
            (Err(lost), Err(error)) if error.was_applied() => Err(Error::OutcomeUnrecorded(lost)),
            (Err(_), Err(error)) => Err(error),
        }
    }

    /// Reads the list, as the first step of a plan.
    ///
    /// # Errors
    /// [`Error::AccountNotFound`], [`Error::Upstream`].
    #[tracing::instrument(name = "plan", skip_all)]
    pub(super) async fn current_list(&self, task: &WriteTask) -> Result<List, Error> {
        task.call.progress.enter(Phase::Planning);
        self.read_list(&task.call, &task.options).await
    }

    pub(super) fn planner<'a>(&'a self, call: &'a Call, caller: &'a Caller) -> Planner<'a> {
        Planner {
            client: &self.client,
            tenant: &call.tenant,
            account: call.account,
            rules: &self.config.rules,
            destinations: &caller.destinations,
        }
    }

    /// Authorizes the write again, by the policy in force.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub(super) fn authorize(&self, task: &mut WriteTask) -> Result<(), Error> {
        let call = &task.call;
        task.caller = self
            .authorizer
            .reauthorize(&call.caller, call.method, call.account)?;
        Ok(())
    }
}
