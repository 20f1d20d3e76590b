//! The way of every write: its request id, its turn at the account, a task of its own, the caller's
//! deadline.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::Instrument as _;

use super::{
    Applied, Error, Etags, Operations, Replaced, Run,
    effect::{Effect, Judgement},
    gate::Gate,
    request_ids::{Content, Entered, Key, Memory, RequestId, Rpc},
    second_way::Goal,
    upstream_error,
};
use crate::{
    domain::{AccountId, Desired, Draft, FieldSet, Fields, List, NumberId},
    telemetry::{
        audit,
        metrics::{self, RequestIdHit},
    },
    upstream::{self, Context, Permit, Route},
};

/// A write that is asked for.
#[derive(Debug)]
pub struct Write {
    /// On whose behalf.
    pub context: Context,
    /// Who asks; the scope of request ids. Empty for anonymous.
    pub caller: String,
    /// The account whose list is written.
    pub account: AccountId,
    /// What is to be done.
    pub command: Command,
    /// The id that the caller gave it, and what the request asks for.
    pub request: Option<(RequestId, Content)>,
    /// When the caller has to be answered, whatever the write does.
    pub answer_by: Option<Instant>,
}

/// What is to be done. Drafts must have passed their checks, but for those of a replace-all.
#[derive(Debug)]
pub enum Command {
    /// Add a number.
    Add {
        /// What it shall be.
        draft: Draft,
    },
    /// Change the named fields of a number.
    Update {
        /// The number.
        id: NumberId,
        /// The new values.
        draft: Draft,
        /// Which of them.
        named: FieldSet,
        /// The etag that the number must have.
        etag: Option<String>,
    },
    /// Delete a number.
    Delete {
        /// The number.
        id: NumberId,
        /// The etag that the number must have.
        etag: Option<String>,
        /// Whether to send `isDeleteForward`.
        delete_forward: bool,
        /// Whether it is well if the number is not there.
        allow_missing: bool,
    },
    /// Make the list the desired one.
    ReplaceAll {
        /// The numbers that the account shall have.
        desired: Vec<Desired>,
        /// The etags that must hold.
        etags: Etags,
    },
}

/// What a write that was done is answered with.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Of an add or an update.
    Applied(Applied),
    /// Of a delete: the list without the number.
    Deleted(List),
    /// Of a replace-all.
    Replaced(Replaced),
}

impl Reply {
    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let list = |list: &List| -> usize {
            list.numbers
                .iter()
                .map(|number| number.fields.bytes())
                .sum()
        };
        match self {
            Self::Applied(applied) => applied.list.as_ref().map_or(0, list),
            Self::Deleted(deleted) => list(deleted),
            // The numbers are those of the list.
            Self::Replaced(replaced) => 2 * replaced.list.as_ref().map_or(0, list),
        }
    }
}

impl Command {
    fn rpc(&self) -> Rpc {
        match self {
            Self::Add { .. } => Rpc::Add,
            Self::Update { .. } => Rpc::Update,
            Self::Delete { .. } => Rpc::Delete,
            Self::ReplaceAll { .. } => Rpc::ReplaceAll,
        }
    }
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
    pub async fn write(self: &Arc<Self>, write: Write) -> Result<Arc<Reply>, Arc<Error>> {
        let gate = Gate::default();
        let _gone = gate.close_on_drop();
        let answer_by = write.answer_by;
        let id = write.request.as_ref().map(|(id, _)| id.clone());
        let work = self.enter(write, gate.clone());
        let Some(answer_by) = answer_by else {
            return work.await;
        };
        tokio::select! {
            biased;
            result = work => result,
            () = tokio::time::sleep_until(answer_by) => Err(Arc::new(if gate.close() {
                Error::InProgress { request_id: id }
            } else {
                Error::NotSent
            })),
        }
    }

    /// Takes the request id, the turn and a place, then does the write in a task.
    async fn enter(self: &Arc<Self>, write: Write, gate: Gate) -> Result<Arc<Reply>, Arc<Error>> {
        let mut entered = None;
        if let Some((id, content)) = &write.request {
            let key = Key {
                caller: write.caller.clone(),
                license: write.context.license.clone(),
                rpc: write.command.rpc(),
                id: id.clone(),
            };
            loop {
                match self.request_ids.enter(&key, *content, &gate) {
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
        let turn = self.turns.wait(&write.context.license, write.account).await;
        // Waited for here and not in the task, so that a caller who goes holds nobody up. And before
        // anything is read: so no waiting comes between the checks and the write, in which somebody
        // else could change what was checked.
        let permit = self.client.acquire(&write.context, Route::List).await;
        let operations = Arc::clone(self);
        let begun = gate.clone();
        let task = async move {
            let result = operations
                .perform(write, permit, memory.flatten(), gate)
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
        write: Write,
        permit: Result<Permit, upstream::Error>,
        memory: Option<Memory>,
        gate: Gate,
    ) -> Result<Reply, Error> {
        let result = self
            .settle_and_perform(write, permit, memory.clone(), gate)
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
        write: Write,
        permit: Result<Permit, upstream::Error>,
        memory: Option<Memory>,
        gate: Gate,
    ) -> Result<Reply, Error> {
        let actor = Arc::new(audit::Actor {
            caller: write.caller,
            method: write.command.rpc().name(),
            account: write.account,
            request_id: write.request.map(|(id, _)| id.as_str().to_owned()),
        });
        let permit = permit.map_err(|source| upstream_error(&write.context, source))?;
        let run = Run {
            context: Context {
                deadline: write.answer_by,
                place: Some(Arc::new(permit)),
                ..write.context
            },
            account: write.account,
            gate,
            actor,
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
            return self
                .settled_reply(run, &write.command, effect, list, id)
                .await;
        }
        match write.command {
            Command::Add { draft } => self.add(run, &draft).await.map(Reply::Applied),
            Command::Update {
                id,
                draft,
                named,
                etag,
            } => self
                .update(run, id, &draft, named, etag.as_deref())
                .await
                .map(Reply::Applied),
            Command::Delete {
                id,
                etag,
                delete_forward,
                allow_missing,
            } => self
                .delete(run, id, etag.as_deref(), delete_forward, allow_missing)
                .await
                .map(Reply::Deleted),
            Command::ReplaceAll { desired, etags } => {
                // One that goes on has changed what its etags were of.
                let etags = if resumed { Etags::default() } else { etags };
                self.replace_all(run, &desired, &etags, pending)
                    .await
                    .map(Reply::Replaced)
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
            (Effect::Add { target, .. }, Command::Add { draft }) => Some(Goal {
                id,
                old: &Fields::default(),
                target,
                asked: super::add::asked(draft, target),
            }),
            (effect, _) => effect.goal(),
        };
        let Some(goal) = goal else {
            return Ok(Reply::Deleted(list));
        };
        self.finish_later(run, goal, list).await.map(Reply::Applied)
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
        self.finish_later(run, goal, list).await.map(Reply::Applied)
    }
}

fn rest_unknown(effect: Effect, fields: FieldSet, source: Option<upstream::Error>) -> Error {
    Error::RestUnknown {
        fields,
        effect: Box::new(effect),
        source,
    }
}
