//! Update.

use std::sync::Arc;

use super::{
    Applied, Call, Error, Operations, Run, UpdateReply, UpdateRequest,
    add::misfits,
    audited::to_its_end,
    check_destination, check_etag,
    effect::Effect,
    missing,
    second_way::Goal,
    upstream_error,
    write::{Command, Reply, other_reply},
};
use crate::{
    domain::{AccountId, Etag, Field, FieldSet, Fields, List, Number},
    telemetry::{audit::Change, in_flight::Phase},
    upstream::{Kind, UpdateAll},
};

/// Which way a whole number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// `GET updatefollowme`, what its path does not carry as query values.
    Get,
    /// `POST UpdateFollowmeAll`.
    Post,
}

impl Operations {
    /// Changes the fields of a number that the mask names.
    ///
    /// # Errors
    /// [`Error::NumberNotFound`], [`Error::IdsLost`], [`Error::EtagMismatch`],
    /// [`Error::Unreadable`], [`Error::DestinationDenied`]; [`Error::Invalid`] where the values fit no
    /// request; [`Error::Upstream`] where nothing was written; [`Error::Refused`],
    /// [`Error::NotDone`], [`Error::OutcomeUnknown`], [`Error::NotSent`], [`Error::InProgress`];
    /// [`Error::FieldsNotApplied`], [`Error::RestUnknown`], [`Error::WroteTooMuch`],
    /// [`Error::Vanished`] where the number was changed, but not as asked.
    pub async fn update(
        self: &Arc<Self>,
        call: &Arc<Call>,
        request: UpdateRequest,
    ) -> Result<UpdateReply, Arc<Error>> {
        if request.validate_only {
            return Ok(UpdateReply {
                number: call.read(self.plan_update(call, &request)).await?,
                unapplied: FieldSet::empty(),
                list_etag: None,
            });
        }
        match &*self.write(call, Command::Update(request)).await? {
            Reply::Update(reply) => Ok(reply.clone()),
            _ => Err(other_reply()),
        }
    }

    /// Reads the list and returns what a number would become.
    #[tracing::instrument(name = "plan", skip_all)]
    async fn plan_update(&self, call: &Call, request: &UpdateRequest) -> Result<Number, Error> {
        call.progress.enter(Phase::Planning);
        let before = self.read_list(call, &call.options()).await?;
        let (number, target) = self.updated(&before, call.account, request)?;
        check_change(call, number, &target)?;
        let mut number = number.clone();
        number.fields = target;
        Ok(number)
    }

    /// Changes the named fields of a number, as the task of a write. A number that is as asked is not
    /// written.
    ///
    /// The draft must have passed its checks.
    ///
    /// # Errors
    /// [`Error::NumberNotFound`], [`Error::IdsLost`], [`Error::EtagMismatch`],
    /// [`Error::Unreadable`], [`Error::DestinationDenied`]; [`Error::Invalid`] where the values fit no
    /// request; [`Error::Upstream`] where nothing was written; [`Error::Refused`],
    /// [`Error::NotDone`], [`Error::OutcomeUnknown`], [`Error::NotSent`]; those of
    /// [`finish`](Self::finish).
    pub(super) async fn update_number(
        &self,
        run: &Run,
        request: &UpdateRequest,
    ) -> Result<Applied, Error> {
        let before = self.current(run).await?;
        let (number, target) = self.updated(&before, run.call.account, request)?;
        check_change(&run.call, number, &target)?;
        let changed = target.differences(&number.fields);
        if changed.is_empty() {
            return Ok(Applied {
                number: number.clone(),
                unapplied: FieldSet::empty(),
                list: before,
            });
        }
        let (run, entry) = self.begin(run, Change::update(number, &target))?;
        let run = &run;
        to_its_end(entry, async {
            let (list, way) = self
                .update_one(run, &before, number, &target, Way::Get, "number")
                .await?;
            let goal = Goal {
                id: number.id,
                old: &number.fields,
                target: &target,
                asked: changed,
            };
            self.finish(run, goal, way == Way::Post, list).await
        })
        .await
    }

    /// Finds the number and merges what is asked for into it.
    fn updated<'a>(
        &self,
        before: &'a List,
        account: AccountId,
        request: &UpdateRequest,
    ) -> Result<(&'a Number, Fields), Error> {
        let number = before
            .find(request.id)
            .ok_or_else(|| missing(before, account, request.id))?;
        check_etag(
            request.etag.as_deref(),
            Etag::of_number(number),
            Some(number),
        )?;
        sendable(number, request.mask)?;
        let target = request
            .draft
            .merge_into(&number.fields, request.mask, &self.config.rules);
        Ok((number, target))
    }

    /// Writes one whole number and settles it. Starts with the way given, and goes the other only
    /// after the proof that nothing ran. Returns the list that shows a change, and the way.
    pub(super) async fn update_one(
        &self,
        run: &Run,
        before: &List,
        old: &Number,
        target: &Fields,
        first: Way,
        path: &str,
    ) -> Result<(List, Way), Error> {
        let id = old.id;
        let ways: &[Way] = match (first, self.client.update_all_mode()) {
            (_, UpdateAll::Off) => &[Way::Get],
            (Way::Get, _) => &[Way::Get, Way::Post],
            (Way::Post, _) => &[Way::Post, Way::Get],
        };
        let mut refused = None;
        for way in ways {
            let sent = match way {
                Way::Get => {
                    self.client
                        .update(&run.call.tenant, run.call.account, id, target, &run.options)
                        .await
                }
                Way::Post => self.post(run, before, id, target).await,
            };
            let sent = match sent {
                Err(error) if error.nothing_ran() && error.kind() != Kind::Connect => {
                    // What the first way says of the values is what the caller can act on.
                    refused.get_or_insert(error);
                    continue;
                }
                Err(error) if error.nothing_ran() => {
                    return Err(upstream_error(&run.call, error));
                }
                sent => sent,
            };
            let effect = Effect::update(before, old, target);
            let (list, _) = self.settled(run, sent, effect).await?;
            if list.find(id).is_none() {
                return Err(Error::Vanished { number: id });
            }
            if *way == Way::Post {
                self.guard(run, before, id, target, &list).await?;
            }
            return Ok((list, *way));
        }
        Err(match refused {
            Some(error) => match misfits(error.kind(), target, path) {
                Some(violations) => Error::Invalid(violations),
                None => upstream_error(&run.call, error),
            },
            None => Error::NotDone { source: None },
        })
    }
}

/// Checks that the caller may make the number forward where it shall, if that is elsewhere.
fn check_change(call: &Call, number: &Number, target: &Fields) -> Result<(), Error> {
    if target.same_destination(&number.fields) {
        Ok(())
    } else {
        check_destination(call, "number", &target.redirect_number)
    }
}

/// Checks that what is not changed can be sent back: a position or ring time that is no 32-bit
/// integer cannot stand in any request.
pub(super) fn sendable(number: &Number, named: FieldSet) -> Result<(), Error> {
    let unreadable = [
        ("i_follow_order", Field::Order),
        ("timeout", Field::RingTimeout),
    ]
    .into_iter()
    .find(|(name, field)| number.unreadable.contains_key(name) && !named.contains(*field));
    match unreadable {
        Some((_, field)) => Err(Error::Unreadable { field }),
        None => Ok(()),
    }
}
