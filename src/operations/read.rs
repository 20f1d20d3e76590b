//! Get and List.

use super::{
    Call, Error, GetReply, GetRequest, ListReply, ListRequest, Operations, precondition::missing,
};
use crate::{
    domain::{Etag, List, Number},
    telemetry::in_flight::Phase,
    upstream::{self, Kind, RequestOptions},
};

impl Operations {
    /// Reads the list of an account and cuts a page out of it. Upstream has no pages.
    ///
    /// # Errors
    /// [`Error::Upstream`], [`Error::AccountNotFound`], [`Error::ReadDeadline`];
    /// [`Error::ListChanged`] where the list is not the one that the page before was cut from.
    pub async fn list(&self, call: &Call, request: ListRequest) -> Result<ListReply, Error> {
        call.progress.enter(Phase::Reading);
        let options = call.options();
        let list = call.read(self.read_list(call, &options)).await?;
        let etag = Etag::of_list(&list);
        if request.etag.is_some_and(|of| of != etag.as_str()) {
            return Err(Error::ListChanged { etag });
        }
        let total = list.numbers.len();
        let numbers: Vec<Number> = list
            .numbers
            .into_iter()
            .skip(request.start)
            .take(request.size.unwrap_or(total))
            .collect();
        let next = request.start.saturating_add(numbers.len());
        Ok(ListReply {
            next: (next < total && !numbers.is_empty()).then_some(next),
            numbers,
            settings: list.settings,
            etag,
            total,
            unidentified: list.unidentified,
        })
    }

    /// Reads one number.
    ///
    /// # Errors
    /// [`Error::NumberNotFound`] where the answer holds a list without it, or says 404;
    /// [`Error::UnidentifiedNumbers`] where it may be one whose id was lost; [`Error::Upstream`],
    /// [`Error::ReadDeadline`].
    pub async fn get(&self, call: &Call, request: GetRequest) -> Result<GetReply, Error> {
        call.progress.enter(Phase::Reading);
        call.read(self.read_number(call, request)).await
    }

    async fn read_number(
        &self,
        call: &Call,
        GetRequest { id }: GetRequest,
    ) -> Result<GetReply, Error> {
        let (tenant, account) = (&call.tenant, call.account);
        let mut list = match self.client.get(tenant, account, id, &call.options()).await {
            Ok(list) => list,
            Err(source) => {
                return Err(match read_error(call, source) {
                    Error::AccountNotFound { .. } => Error::NumberNotFound {
                        account,
                        number: id,
                    },
                    error => error,
                });
            }
        };
        // Some hosts answer with the whole list.
        match list.numbers.iter().position(|number| number.id == id) {
            Some(index) => Ok(GetReply {
                number: list.numbers.swap_remove(index),
                settings: list.settings,
            }),
            None => {
                list.numbers.clear();
                Err(missing(&list, account, id))
            }
        }
    }

    /// Reads the whole list.
    pub(super) async fn read_list(
        &self,
        call: &Call,
        options: &RequestOptions,
    ) -> Result<List, Error> {
        self.client
            .list(&call.tenant, call.account, options)
            .await
            .map_err(|source| read_error(call, source))
    }
}

/// Makes an error of a read that failed.
fn read_error(call: &Call, source: upstream::Error) -> Error {
    if source.kind() == Kind::NotFound {
        Error::AccountNotFound {
            account: call.account,
            source,
        }
    } else {
        Error::from_upstream(&call.tenant, source)
    }
}
