//! What each RPC does, in terms of the upstream client.
//!
//! Every write goes the same way: read the list, plan, send, settle what became of it by reading
//! back ([`settle`]), compare every field, try what did not take a second way ([`second_way`]).

mod add;
mod delete;
mod error;
mod read;
mod replace_all;
mod second_way;
mod settle;
mod update;

use std::time::Duration;

pub use error::Error;
pub use read::{ListPage, Page};
pub use replace_all::{Incomplete, Replaced, StepOutcome, StepReport};

use crate::{
    domain::{AccountId, FieldSet, List, Number, Rules},
    upstream::{self, Client, Context},
};

/// What the operations depend on besides upstream.
#[derive(Debug, Clone)]
pub struct Config {
    /// Checks and defaults of fields.
    pub rules: Rules,
    /// How long a single write may take, settling included.
    pub write_limit: Duration,
    /// How many numbers a replace-all may hold.
    pub max_numbers: usize,
}

/// The operations.
#[derive(Debug)]
pub struct Operations {
    client: Client,
    config: Config,
}

/// A number that was written, and the list as it was read back.
#[derive(Debug)]
pub struct Applied {
    /// The number as it was read back; of a plan that is only checked, as it would be.
    pub number: NumberView,
    /// The fields that did not take.
    pub unapplied: FieldSet,
    /// The list; `None` where nothing was to be written.
    pub list: Option<List>,
}

/// A number of the list, or one that has no id yet.
#[derive(Debug)]
pub enum NumberView {
    /// A number of the list.
    Stored(Number),
    /// What would be sent to add one.
    Planned(AccountId, crate::domain::Fields),
}

impl Operations {
    /// Makes the operations over a client.
    #[must_use]
    pub fn new(client: Client, config: Config) -> Self {
        Self { client, config }
    }

    /// Returns what the operations were made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Reads the list, as the first step of an operation.
    async fn current(&self, context: &Context, account: AccountId) -> Result<List, Error> {
        self.client
            .list(context, account)
            .await
            .map_err(|source| read_error(context, account, source))
    }
}

/// Makes an error of a read that failed.
fn read_error(context: &Context, account: AccountId, source: upstream::Error) -> Error {
    if source.kind() == upstream::Kind::NotFound {
        Error::AccountNotFound { account, source }
    } else {
        upstream_error(context, source)
    }
}

/// Makes an error of a request that had no effect.
fn upstream_error(context: &Context, source: upstream::Error) -> Error {
    Error::Upstream {
        license_is_callers: context.license_is_callers,
        source,
    }
}

/// Makes an error of a write that had no effect, as reading back shows.
fn not_done(sent: Result<upstream::Written, upstream::Error>) -> Error {
    match sent {
        Ok(written) if written.success == Some(false) => Error::Refused { source: None },
        Ok(_) => Error::NotDone { source: None },
        Err(error)
            if matches!(
                error.kind(),
                upstream::Kind::Refused | upstream::Kind::NotFound | upstream::Kind::Denied
            ) =>
        {
            Error::Refused {
                source: Some(error),
            }
        }
        Err(error) => Error::NotDone {
            source: Some(error),
        },
    }
}
