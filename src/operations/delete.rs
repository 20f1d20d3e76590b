//! Delete.

use std::sync::Arc;

use super::{
    Call, DeleteReply, DeleteRequest, Error, Operations, Run,
    audited::to_its_end,
    check_etag,
    effect::Effect,
    missing, upstream_error,
    write::{Command, Reply, other_reply},
};
use crate::{
    domain::{Etag, List, NumberId},
    telemetry::audit::Change,
};

impl Operations {
    /// Deletes a number.
    ///
    /// # Errors
    /// [`Error::NumberNotFound`], unless `allow_missing`; [`Error::IdsLost`] where it may be there
    /// all the same; [`Error::EtagMismatch`]; [`Error::Upstream`] where nothing was written;
    /// [`Error::Refused`], [`Error::NotDone`], [`Error::OutcomeUnknown`], [`Error::NotSent`],
    /// [`Error::InProgress`].
    pub async fn delete(
        self: &Arc<Self>,
        call: &Arc<Call>,
        request: DeleteRequest,
    ) -> Result<DeleteReply, Arc<Error>> {
        match &*self.write(call, Command::Delete(request)).await? {
            Reply::Delete(reply) => Ok(reply.clone()),
            _ => Err(other_reply()),
        }
    }

    /// Deletes a number, as the task of a write, after checking that it is the account's: upstream does
    /// not (docs/upstream/domain.md 4). Returns the list without it.
    ///
    /// # Errors
    /// [`Error::NumberNotFound`], unless `allow_missing`; [`Error::IdsLost`] where it may be there all
    /// the same; [`Error::EtagMismatch`];
    /// [`Error::Upstream`] where nothing was written; [`Error::Refused`], [`Error::NotDone`],
    /// [`Error::OutcomeUnknown`], [`Error::NotSent`].
    pub(super) async fn delete_number(
        &self,
        run: &Run,
        request: &DeleteRequest,
    ) -> Result<List, Error> {
        let id = request.id;
        let before = self.current(run).await?;
        let Some(number) = before.find(id) else {
            return match missing(&before, run.call.account, id) {
                Error::NumberNotFound { .. } if request.allow_missing => Ok(before),
                error => Err(error),
            };
        };
        check_etag(
            request.etag.as_deref(),
            Etag::of_number(number),
            Some(number),
        )?;
        let (run, entry) = self.begin(run, Change::delete(number))?;
        to_its_end(
            entry,
            self.delete_one(&run, &before, id, request.delete_forward),
        )
        .await
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
            .delete(
                &run.call.tenant,
                run.call.account,
                id,
                delete_forward,
                &run.options,
            )
            .await;
        match sent {
            Err(error) if error.nothing_ran() => Err(upstream_error(&run.call, error)),
            sent => {
                let effect = Effect::delete(before, id);
                let (list, _) = self.settled(run, sent, effect).await?;
                Ok(list)
            }
        }
    }
}
