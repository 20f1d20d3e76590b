//! Update.

use tokio::time::Instant;

use super::{
    Applied, Error, NumberView, Operations,
    add::misfits,
    not_done,
    settle::{Judgement, Outcome},
    upstream_error,
};
use crate::{
    domain::{AccountId, Draft, Field, FieldSet, Fields, List, Number, NumberId},
    upstream::{Context, Kind, UpdateAll},
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
    /// Changes the named fields of a number. A number that is as asked is not written.
    ///
    /// The draft must have passed its checks. With `validate_only` nothing is written.
    ///
    /// # Errors
    /// [`Error::NumberNotFound`], [`Error::Unreadable`]; [`Error::Invalid`] where the values fit no
    /// request; [`Error::Upstream`] where nothing was written; [`Error::Refused`],
    /// [`Error::NotDone`], [`Error::OutcomeUnknown`], [`Error::Vanished`];
    /// [`Error::WroteTooMuch`].
    pub async fn update(
        &self,
        context: &Context,
        account: AccountId,
        id: NumberId,
        draft: &Draft,
        named: FieldSet,
        validate_only: bool,
    ) -> Result<Applied, Error> {
        let before = self.current(context, account).await?;
        let number = before.find(id).ok_or(Error::NumberNotFound {
            account,
            number: id,
        })?;
        let target = draft.over(&number.fields, named, &self.config.rules);
        sendable(number, named)?;
        let changed = target.differences(&number.fields);
        if validate_only || changed.is_empty() {
            let mut number = number.clone();
            number.fields = target;
            return Ok(Applied {
                number: NumberView::Stored(number),
                unapplied: FieldSet::EMPTY,
                list: (!validate_only).then_some(before),
            });
        }
        let (list, way) = self
            .update_one(context, account, &before, id, &target, Way::Get, "number")
            .await?;
        self.finish(
            context,
            account,
            id,
            &target,
            changed,
            way == Way::Post,
            list,
        )
        .await
    }

    /// Writes one whole number and settles it. Starts with the way given, and goes the other only
    /// after the proof that nothing ran. Returns the list that shows a change, and the way.
    #[expect(clippy::too_many_arguments, reason = "each names another thing")]
    pub(super) async fn update_one(
        &self,
        context: &Context,
        account: AccountId,
        before: &List,
        id: NumberId,
        target: &Fields,
        first: Way,
        path: &str,
    ) -> Result<(List, Way), Error> {
        let ways: &[Way] = match (first, self.client.update_all_mode()) {
            (_, UpdateAll::Off) => &[Way::Get],
            (Way::Get, _) => &[Way::Get, Way::Post],
            (Way::Post, _) => &[Way::Post, Way::Get],
        };
        let mut refused = None;
        for way in ways {
            let until = Instant::now() + self.config.write_limit;
            let sent = match way {
                Way::Get => self.client.update(context, account, id, target).await,
                Way::Post => self.post(context, account, before, id, target).await,
            };
            let sent = match sent {
                Err(error) if error.nothing_ran() && !matches!(error.kind(), Kind::Connect) => {
                    // What the first way says of the values is what the caller can act on.
                    refused.get_or_insert(error);
                    continue;
                }
                Err(error) if error.nothing_ran() => return Err(upstream_error(context, error)),
                sent => sent,
            };
            let list = self
                .settle_update(context, account, before, id, target, until, sent)
                .await?;
            if *way == Way::Post {
                self.guard(context, account, before, id, target, &list)
                    .await?;
            }
            return Ok((list, *way));
        }
        Err(match refused {
            Some(error) => match misfits(error.kind(), target, path) {
                Some(violations) => Error::Invalid(violations),
                None => upstream_error(context, error),
            },
            None => Error::NotDone { source: None },
        })
    }

    #[expect(clippy::too_many_arguments, reason = "each names another thing")]
    async fn settle_update(
        &self,
        context: &Context,
        account: AccountId,
        before: &List,
        id: NumberId,
        target: &Fields,
        until: Instant,
        sent: Result<crate::upstream::Written, crate::upstream::Error>,
    ) -> Result<List, Error> {
        let Some(old) = before.find(id) else {
            return Err(Error::Vanished { number: id });
        };
        let changed = target.differences(&old.fields);
        let missing = |list: &List| {
            list.find(id)
                .map(|now| target.differences(&now.fields).intersection(changed))
        };
        let said_done = matches!(&sent, Ok(written) if written.success != Some(false));
        let judge = |list: &List| match missing(list) {
            // Where upstream did not say that it did it, a part of the change must show: then it
            // was made, and the rest did not take.
            Some(missing) if missing == changed && !said_done => Judgement::NotDone,
            Some(_) | None => Judgement::Done(id),
        };
        let whole = |list: &List| {
            missing(list) == Some(FieldSet::EMPTY)
                && before
                    .numbers
                    .iter()
                    .all(|number| list.find(number.id).is_some())
        };
        match self
            .settle(context, account, &sent, until, whole, judge)
            .await
        {
            Outcome::Done(list, _) if list.find(id).is_none() => {
                Err(Error::Vanished { number: id })
            }
            Outcome::Done(list, _) => Ok(list),
            Outcome::NotDone(_) => Err(not_done(sent)),
            Outcome::Unknown(_) => Err(Error::OutcomeUnknown {
                looked_for: format!("the new values of number {id}"),
                candidates: vec![id],
                source: sent.err(),
            }),
        }
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
