//! The way of every write: its request id, its turn at the account, a task of its own, the caller's
//! deadline.

use std::sync::Arc;

use tracing::Instrument as _;

use super::{
    AddReply, AddRequest, Applied, Call, DeleteReply, DeleteRequest, Error, Etags, NumberView,
    Operations, ReplaceAllReply, ReplaceAllRequest, Run, UpdateReply, UpdateRequest,
    effect::{Effect, Judgement},
    gate::Gate,
    request_ids::{Entered, Key, Memory},
    second_way::Goal,
    upstream_error,
};
use crate::{
    domain::{Etag, FieldSet, Fields, List, Method, NumberId},
    telemetry::metrics::{self, RequestIdHit},
    upstream::{self, Permit, RequestOptions, Route},
};

/// A write: what is asked of an operation that writes.
#[derive(Debug)]
pub(super) enum Command {
    Add(AddRequest),
    Update(UpdateRequest),
    Delete(DeleteRequest),
    ReplaceAll(ReplaceAllRequest),
}

/// The reply of a write, as it is remembered by request id.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Add(AddReply),
    Update(UpdateReply),
    Delete(DeleteReply),
    ReplaceAll(ReplaceAllReply),
}

impl Reply {
    /// Makes the reply of an add or an update.
    fn applied(method: Method, applied: Applied) -> Self {
        let list_etag = Some(Etag::of_list(&applied.list));
        let (number, unapplied) = (applied.number, applied.unapplied);
        match method {
            Method::Update => Self::Update(UpdateReply {
                number,
                unapplied,
                list_etag,
            }),
            _ => Self::Add(AddReply {
                number: NumberView::Stored(number),
                unapplied,
                list_etag,
            }),
        }
    }

    fn deleted(list: &List) -> Self {
        Self::Delete(DeleteReply {
            list_etag: Etag::of_list(list),
        })
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let view = |view: &NumberView| match view {
            NumberView::Stored(number) => number.fields.bytes(),
            NumberView::Planned(_, fields) => fields.bytes(),
        };
        match self {
            Self::Add(reply) => view(&reply.number),
            Self::Update(reply) => reply.number.fields.bytes(),
            Self::Delete(_) => 0,
            Self::ReplaceAll(reply) => reply.numbers.iter().map(view).sum(),
        }
    }
}

/// The error of a write that was answered with the reply of another RPC. The method is part of the
/// key that replies are remembered by, so this does not happen.
pub(super) fn other_reply() -> Arc<Error> {
    Arc::new(Error::Panicked { begun: true })
}

impl Operations {
    /// Does a write.
    ///
    /// Once the first byte may have gone upstream, the write is finished in a task of its own,
    /// whatever becomes of the caller; dropping the future before that stops it.
    ///
    /// # Errors
    /// Those of the operation; [`Error::NotSent`] and [`Error::InProgress`] where the caller has to
    /// be answered before it is over; [`Error::RequestIdConflict`], [`Error::TooManyRequestIds`].
    pub(super) async fn write(
        self: &Arc<Self>,
        call: &Arc<Call>,
        command: Command,
    ) -> Result<Arc<Reply>, Arc<Error>> {
        self.authorizer
            .authorize_write(&call.caller, call.account)
            .map_err(Error::from)?;
        let gate = Gate::default();
        let _gone = gate.close_on_drop();
        let work = self.enter(call, command, gate.clone());
        let Some(reply_by) = call.reply_by else {
            return work.await;
        };
        tokio::select! {
            biased;
            result = work => result,
            () = tokio::time::sleep_until(reply_by) => Err(Arc::new(if gate.close() {
                Error::InProgress {
                    request_id: call.request_id().cloned(),
                }
            } else {
                Error::NotSent
            })),
        }
    }

    /// Takes the request id, the turn and a permit, then does the write in a task.
    async fn enter(
        self: &Arc<Self>,
        call: &Arc<Call>,
        command: Command,
        gate: Gate,
    ) -> Result<Arc<Reply>, Arc<Error>> {
        let mut entered = None;
        if let Some(idempotency) = &call.idempotency {
            let key = Key {
                caller: call.caller.name.to_string(),
                license: call.tenant.license.clone(),
                method: call.method,
                id: idempotency.request_id.clone(),
            };
            loop {
                match self.request_ids.enter(&key, idempotency.fingerprint, &gate) {
                    Entered::Do(ticket, memory) => {
                        if memory.is_some() {
                            metrics::request_id_hit(RequestIdHit::Resumed);
                        }
                        gate.sent_earlier(memory.is_some());
                        entered = Some((ticket, memory));
                        break;
                    }
                    Entered::Answer(answer) => {
                        metrics::request_id_hit(RequestIdHit::Answered);
                        return answer;
                    }
                    Entered::Wait(mut running) => {
                        gate.sent_earlier(true);
                        metrics::request_id_hit(RequestIdHit::Waited);
                        // An error means that it is over.
                        let _ = running.changed().await;
                    }
                    Entered::Conflict => {
                        metrics::request_id_hit(RequestIdHit::Conflict);
                        return Err(Arc::new(Error::RequestIdConflict));
                    }
                    Entered::Full => return Err(Arc::new(Error::TooManyRequestIds)),
                }
            }
        }
        let (ticket, memory) = entered.unzip();
        let turn = self.turns.wait(&call.tenant.license, call.account).await;
        // Waited for here and not in the task, so that a caller who goes holds nobody up. And before
        // anything is read: so no waiting comes between the checks and the write, in which somebody
        // else could change what was checked.
        let permit = self.client.acquire(&call.fairness_key, Route::List).await;
        let operations = Arc::clone(self);
        let call = Arc::clone(call);
        let begun = gate.clone();
        let task = async move {
            let result = operations
                .perform(call, command, permit, memory.flatten(), gate)
                .await;
            let result = result.map(Arc::new).map_err(Arc::new);
            if let Some(ticket) = ticket {
                ticket.tell(&result);
            }
            drop(turn);
            result
        };
        match self.writes.spawn(task.in_current_span()).await {
            Ok(result) => result,
            Err(_) => Err(Arc::new(Error::Panicked {
                begun: begun.begun(),
            })),
        }
    }

    /// Does a write. An earlier try whose outcome is unknown may have been done, or may still be,
    /// whatever becomes of this one: until one of them is proved done, that is the answer.
    async fn perform(
        &self,
        call: Arc<Call>,
        command: Command,
        permit: Result<Permit, upstream::Error>,
        memory: Option<Memory>,
        gate: Gate,
    ) -> Result<Reply, Error> {
        let result = self
            .settle_and_perform(call, command, permit, memory.clone(), gate)
            .await;
        match (result, memory) {
            (Err(error), Some(Memory::Unknown(Some(effect)))) if error.says_not_done() => {
                Err(Error::OutcomeUnknown {
                    effect: Box::new(effect),
                    candidates: Vec::new(),
                    source: error.into_upstream(),
                })
            }
            (Err(error), Some(Memory::Rest(effect, fields))) if error.says_not_done() => {
                Err(rest_unknown(effect, fields, error.into_upstream()))
            }
            (result, _) => result,
        }
    }

    /// Settles what is left unsettled from before, then does what is left to do.
    async fn settle_and_perform(
        &self,
        call: Arc<Call>,
        command: Command,
        permit: Result<Permit, upstream::Error>,
        memory: Option<Memory>,
        gate: Gate,
    ) -> Result<Reply, Error> {
        let permit = permit.map_err(|source| upstream_error(&call, source))?;
        let run = Run {
            options: RequestOptions {
                permit: Some(Arc::new(permit)),
                ..call.options()
            },
            actor: Arc::new(call.actor()),
            call,
            gate,
        };
        let run = &run;
        let resumed = matches!(memory, Some(Memory::Incomplete(_)));
        let pending = match memory {
            Some(Memory::Unknown(None)) => return Err(Error::Panicked { begun: true }),
            Some(Memory::Unknown(effect) | Memory::Incomplete(effect)) => effect,
            Some(Memory::Rest(effect, fields)) => {
                return self.finish_rest(run, effect, fields).await;
            }
            Some(Memory::Final(_)) | None => None,
        };
        if let Some(effect) = &pending
            && !resumed
            && let Some((list, id)) = self.settle_later(run, effect).await?
        {
            return self.settled_reply(run, &command, effect, list, id).await;
        }
        let applied = |applied| Reply::applied(run.call.method, applied);
        match command {
            Command::Add(add) => self.add_number(run, &add.draft).await.map(applied),
            Command::Update(update) => self.update_number(run, &update).await.map(applied),
            Command::Delete(delete) => self
                .delete_number(run, &delete)
                .await
                .map(|list| Reply::deleted(&list)),
            Command::ReplaceAll(replace) => {
                // One that goes on has changed what its etags were of.
                let etags = if resumed {
                    Etags::default()
                } else {
                    replace.etags
                };
                self.replace_list(run, &replace.desired, &etags, pending)
                    .await
                    .map(Reply::ReplaceAll)
            }
        }
    }

    /// Answers a write whose effect was found later.
    async fn settled_reply(
        &self,
        run: &Run,
        command: &Command,
        effect: &Effect,
        list: List,
        id: NumberId,
    ) -> Result<Reply, Error> {
        let run = &run.with_limit(self.config.write_limit);
        let goal = match (effect, command) {
            (Effect::Add { target, .. }, Command::Add(AddRequest { draft, .. })) => Some(Goal {
                id,
                old: &Fields::default(),
                target,
                asked: super::add::asked(draft, target),
            }),
            (effect, _) => effect.goal(),
        };
        let Some(goal) = goal else {
            return Ok(Reply::deleted(&list));
        };
        let applied = self.finish_later(run, goal, list).await?;
        Ok(Reply::applied(run.call.method, applied))
    }

    /// Answers a write that was done, but for fields of which nobody knew whether they took.
    async fn finish_rest(
        &self,
        run: &Run,
        effect: Effect,
        fields: FieldSet,
    ) -> Result<Reply, Error> {
        let list = self.current(run).await?;
        let goal = match (effect.judge(&list, None, true), effect.goal()) {
            (Judgement::Done(_), Some(goal)) => goal,
            // The list lost ids: the number may be among them.
            _ => return Err(rest_unknown(effect, fields, None)),
        };
        let run = &run.with_limit(self.config.write_limit);
        // What is sent again has an entry of its own in the audit log.
        if let Some(now) = list.find(goal.id)
            && !self.sends_again(goal, now)
        {
            let unapplied = goal.unapplied(&now.fields);
            self.note_resolved_later(run, &effect, &list, goal.id, unapplied);
        }
        let applied = self.finish_later(run, goal, list).await?;
        Ok(Reply::applied(run.call.method, applied))
    }
}

fn rest_unknown(effect: Effect, fields: FieldSet, source: Option<upstream::Error>) -> Error {
    Error::RestUnknown {
        fields,
        effect: Box::new(effect),
        source,
    }
}
