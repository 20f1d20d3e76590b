//! Delete.

use super::{
    Error, Operations, Run, audited::to_its_end, check_etag, effect::Effect, missing,
    upstream_error,
};
use crate::{
    domain::{Etag, List, NumberId},
    telemetry::audit::Change,
};

impl Operations {
    /// Deletes a number, after checking that it is the account's: upstream does not
    /// (docs/upstream/domain.md 4). Returns the list without it.
    ///
    /// # Errors
    /// [`Error::NumberNotFound`], unless `allow_missing`; [`Error::IdsLost`] where it may be there all
    /// the same; [`Error::EtagMismatch`];
    /// [`Error::Upstream`] where nothing was written; [`Error::Refused`], [`Error::NotDone`],
    /// [`Error::OutcomeUnknown`], [`Error::NotSent`].
    pub(super) async fn delete(
        &self,
        run: &Run,
        id: NumberId,
        etag: Option<&str>,
        delete_forward: bool,
        allow_missing: bool,
    ) -> Result<List, Error> {
        let before = self.current(run).await?;
        let Some(number) = before.find(id) else {
            return match missing(&before, run.account, id) {
                Error::NumberNotFound { .. } if allow_missing => Ok(before),
                error => Err(error),
            };
        };
        check_etag(etag, Etag::of_number(number), Some(number))?;
        let (run, entry) = self.begin(run, Change::delete(number))?;
        to_its_end(entry, self.delete_one(&run, &before, id, delete_forward)).await
    }

    /// Sends one delete and settles it. Returns the list without the number.
    pub(super) async fn delete_one(
        &self,
        run: &Run,
        before: &List,
        id: NumberId,
        delete_forward: bool,
    ) -> Result<List, Error> {
        let sent = self
            .client
            .delete(&run.context, run.account, id, delete_forward)
            .await;
        match sent {
            Err(error) if error.nothing_ran() => Err(upstream_error(&run.context, error)),
            sent => {
                let effect = Effect::delete(before, id);
                let (list, _) = self.settled(run, sent, effect).await?;
                Ok(list)
            }
        }
    }
}
