//! Delete.

use tokio::time::Instant;

use super::{
    Error, Operations, not_done,
    settle::{Judgement, Outcome},
    upstream_error,
};
use crate::{
    domain::{AccountId, List, NumberId},
    upstream::Context,
};

impl Operations {
    /// Deletes a number, after checking that it is the account's: upstream does not (DOMAIN.md 4).
    /// Returns the list without it.
    ///
    /// # Errors
    /// [`Error::NumberNotFound`], unless `allow_missing`; [`Error::Upstream`] where nothing was
    /// written; [`Error::Refused`], [`Error::NotDone`], [`Error::OutcomeUnknown`].
    pub async fn delete(
        &self,
        context: &Context,
        account: AccountId,
        id: NumberId,
        delete_forward: bool,
        allow_missing: bool,
    ) -> Result<List, Error> {
        let before = self.current(context, account).await?;
        if before.find(id).is_none() {
            return if allow_missing {
                Ok(before)
            } else {
                Err(Error::NumberNotFound {
                    account,
                    number: id,
                })
            };
        }
        self.delete_one(context, account, &before, id, delete_forward)
            .await
    }

    /// Sends one delete and settles it. Returns the list without the number.
    pub(super) async fn delete_one(
        &self,
        context: &Context,
        account: AccountId,
        before: &List,
        id: NumberId,
        delete_forward: bool,
    ) -> Result<List, Error> {
        let until = Instant::now() + self.config.write_limit;
        let sent = self
            .client
            .delete(context, account, id, delete_forward)
            .await;
        let sent = match sent {
            Err(error) if error.nothing_ran() => return Err(upstream_error(context, error)),
            sent => sent,
        };
        // An empty list in the answer to a delete may mean that it has nothing to show.
        let whole = |list: &List| {
            !list.numbers.is_empty()
                && before
                    .numbers
                    .iter()
                    .all(|number| number.id == id || list.find(number.id).is_some())
        };
        let judge = |list: &List| match list.find(id) {
            None => Judgement::Done(id),
            Some(_) => Judgement::NotDone,
        };
        match self
            .settle(context, account, &sent, until, whole, judge)
            .await
        {
            Outcome::Done(list, _) => Ok(list),
            Outcome::NotDone(_) => Err(not_done(sent)),
            Outcome::Unknown(_) => Err(Error::OutcomeUnknown {
                looked_for: format!("the absence of number {id}"),
                candidates: vec![id],
                source: sent.err(),
            }),
        }
    }
}
