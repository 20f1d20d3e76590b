//! Get and List.

use super::{Error, Operations, missing, read_error};
use crate::{
    domain::{AccountId, Etag, List, Number, NumberId, Settings},
    telemetry::in_flight::Phase,
    upstream::Context,
};

/// A part of a list that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// How many numbers; `None` for all.
    pub size: Option<usize>,
    /// How many numbers come before it.
    pub start: usize,
    /// The etag of the list that the page before was cut from.
    pub etag: Option<String>,
}

/// A part of a list.
#[derive(Debug)]
pub struct ListPage {
    /// The numbers.
    pub numbers: Vec<Number>,
    /// The settings of the list.
    pub settings: Option<Settings>,
    /// The etag of the whole list.
    pub etag: Etag,
    /// Where the next page starts, if there is one.
    pub next: Option<usize>,
    /// How many numbers the whole list has.
    pub total: usize,
}

impl Operations {
    /// Reads the list of an account and cuts a page out of it. Upstream has no pages.
    ///
    /// # Errors
    /// [`Error::Upstream`], [`Error::AccountNotFound`]; [`Error::ListChanged`] where the list is
    /// not the one that the page before was cut from.
    pub async fn list(
        &self,
        context: &Context,
        account: AccountId,
        page: &Page,
    ) -> Result<ListPage, Error> {
        context.call.enter(Phase::Reading);
        let list = self.read_list(context, account).await?;
        let etag = Etag::of_list(&list);
        if page.etag.as_deref().is_some_and(|of| of != etag.as_str()) {
            return Err(Error::ListChanged { etag });
        }
        let total = list.numbers.len();
        let size = page.size.unwrap_or(total);
        let numbers: Vec<Number> = list
            .numbers
            .into_iter()
            .skip(page.start)
            .take(size)
            .collect();
        let next = page.start.saturating_add(numbers.len());
        Ok(ListPage {
            next: (next < total && !numbers.is_empty()).then_some(next),
            numbers,
            settings: list.settings,
            etag,
            total,
        })
    }

    /// Reads the whole list.
    pub(super) async fn read_list(
        &self,
        context: &Context,
        account: AccountId,
    ) -> Result<List, Error> {
        self.client
            .list(context, account)
            .await
            .map_err(|source| read_error(context, account, source))
    }

    /// Reads one number. The list that is returned holds it and no other.
    ///
    /// # Errors
    /// [`Error::NumberNotFound`] where the answer holds a list without it, or says 404;
    /// [`Error::IdsLost`] where it may be one whose id was lost; [`Error::Upstream`].
    pub async fn get(
        &self,
        context: &Context,
        account: AccountId,
        id: NumberId,
    ) -> Result<List, Error> {
        context.call.enter(Phase::Reading);
        let mut list = match self.client.get(context, account, id).await {
            Ok(list) => list,
            Err(source) => {
                return Err(match read_error(context, account, source) {
                    Error::AccountNotFound { .. } => Error::NumberNotFound {
                        account,
                        number: id,
                    },
                    error => error,
                });
            }
        };
        // A host that answers with the whole list is as good.
        list.numbers.retain(|number| number.id == id);
        if list.numbers.is_empty() {
            return Err(missing(&list, account, id));
        }
        Ok(list)
    }
}
