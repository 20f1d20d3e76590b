//! An RPC that is being served.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::{Error, RequestId};
use crate::{
    domain::{AccountId, DestinationPolicy, Method},
    security::Caller,
    telemetry::{
        audit::{self, Audit},
        in_flight,
    },
    upstream::{ReadPurpose, RequestOptions, Tenant},
};

/// An RPC that is being served: the parameters that hold from the first check to the reply.
///
/// It is built once, from the metadata and the message, and never changes.
#[derive(Debug)]
pub struct Call {
    /// The RPC.
    pub method: Method,
    /// Who calls, and what the caller may do.
    pub caller: Arc<Caller>,
    /// The account that the call is about.
    pub account: AccountId,
    /// The tenant that upstream requests are made for.
    pub tenant: Tenant,
    /// What makes a write repeatable: its request id and fingerprint, where it has an id.
    pub idempotency: Option<Idempotency>,
    /// When the caller gets a reply at the latest, even if the work is not finished.
    pub reply_by: Option<Instant>,
    /// The key of fair queueing in the concurrency limiter: the caller, or the connection of an
    /// anonymous one.
    pub fairness_key: Arc<str>,
    /// The call in the table of calls in flight.
    pub progress: in_flight::Progress,
}

/// What makes a write repeatable (AIP-155).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The id that the caller chose.
    pub request_id: RequestId,
    /// The hash of the request, without what is ignored on input.
    pub fingerprint: Fingerprint,
}

/// A hash of what a request asks for.
pub type Fingerprint = [u8; 32];

impl Call {
    /// Returns the request id, where the call has one.
    #[must_use]
    pub fn request_id(&self) -> Option<&RequestId> {
        self.idempotency.as_ref().map(|it| &it.request_id)
    }

    /// Returns the destinations that the caller may forward to.
    #[must_use]
    pub fn destinations(&self) -> &DestinationPolicy {
        &self.caller.destinations
    }

    /// Returns the actor of the audit log.
    #[must_use]
    pub fn actor(&self, audit: &Audit) -> audit::Actor {
        audit::Actor {
            caller: self.caller.name.to_string(),
            tenant: self.tenant.hash(|license| audit.hash(license)),
            method: self.method.name(),
            account: self.account,
            request_id: self.request_id().map(|id| id.as_str().to_owned()),
        }
    }

    /// Returns the options of upstream requests that serve the call before it has written anything.
    pub(super) fn options(&self) -> RequestOptions {
        RequestOptions {
            deadline: self.reply_by,
            fairness_key: Arc::clone(&self.fairness_key),
            permit: None,
            purpose: ReadPurpose::Serve,
            progress: self.progress.clone(),
        }
    }

    /// Waits for a read until `reply_by`.
    ///
    /// # Errors
    /// [`Error::ReadDeadline`] at `reply_by`.
    pub(super) async fn read<T>(
        &self,
        read: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let Some(reply_by) = self.reply_by else {
            return read.await;
        };
        match timeout_at(reply_by, read).await {
            // The last request had the same deadline, and may have ended first.
            Ok(Err(error)) if error.timed_out() && Instant::now() >= reply_by => {
                Err(Error::ReadDeadline)
            }
            Ok(result) => result,
            Err(_) => Err(Error::ReadDeadline),
        }
    }
}
