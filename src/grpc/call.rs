//! Builds the [`Call`] of a request.

use std::sync::Arc;

use prost::Message;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tonic::{Extensions, Request, Status};

use super::{convert, deadline::ReplyDeadline, incoming::Peer, metadata::Defaults, pb, status};
use crate::{
    domain::{AccountId, Method, Violations},
    operations::{Call, Idempotency, RequestId},
    security::{Caller, Unauthenticated},
    telemetry::in_flight,
    upstream::Tenant,
};

/// A request message of the contract, with the parts that all of them have.
pub(super) trait RequestMessage: Message {
    /// The RPC.
    const METHOD: Method;
    /// The path of the field that holds the account.
    const ACCOUNT_PATH: &'static str = "account_id";

    fn account_id(&self) -> i32;

    /// Returns the request id; empty for none, as for all reads.
    fn request_id(&self) -> &str {
        ""
    }

    /// Clears the fields that are ignored on input.
    fn clear_output_only(&mut self) {}
}

/// A call whose request is being checked: the parts of the [`Call`], and all violations found so
/// far.
pub(super) struct CallBuilder {
    method: Method,
    caller: Arc<Caller>,
    tenant: Option<Tenant>,
    account: Option<AccountId>,
    idempotency: Option<Idempotency>,
    reply_by: Option<Instant>,
    fairness_key: Arc<str>,
    progress: in_flight::Progress,
    pub(super) violations: Violations,
}

impl CallBuilder {
    /// Takes the parts that every request has: caller, metadata, deadline, account, request id.
    /// Returns the message, in which output-only fields are cleared.
    ///
    /// # Errors
    /// The status of a caller who may not access the account.
    pub(super) fn new<M: RequestMessage>(
        request: Request<M>,
        defaults: &Defaults,
    ) -> Result<(Self, M), Status> {
        let (metadata, extensions, mut message) = request.into_parts();
        let reply_by = extensions.get::<ReplyDeadline>().map(ReplyDeadline::claim);
        let mut violations = Violations::default();
        // `authenticate` has put it there.
        let caller = extensions
            .get::<Arc<Caller>>()
            .ok_or_else(|| status::denied(M::METHOD, "", &Unauthenticated::Missing.into(), None))?;
        let tenant = defaults.tenant(&metadata, caller, &mut violations);
        let progress = extensions
            .get::<in_flight::Progress>()
            .cloned()
            .unwrap_or_default();
        let account = convert::account(message.account_id(), M::ACCOUNT_PATH, &mut violations);
        if let Some(account) = account {
            progress.set_account(account);
            caller
                .authorize_account(account)
                .map_err(|error| status::denied(M::METHOD, &caller.name, &error, None))?;
        }
        message.clear_output_only();
        let builder = Self {
            method: M::METHOD,
            caller: Arc::clone(caller),
            tenant,
            account,
            idempotency: idempotency(&message, &mut violations),
            reply_by,
            fairness_key: fairness_key(caller, &extensions),
            progress,
            violations,
        };
        Ok((builder, message))
    }

    /// Returns the call, and what was parsed of its message, where the whole request is valid.
    ///
    /// # Errors
    /// The status that names all violations.
    pub(super) fn build<T>(self, parsed: Option<T>) -> Result<(Arc<Call>, T), Status> {
        match (self.tenant, self.account, parsed) {
            (Some(tenant), Some(account), Some(parsed)) if self.violations.is_empty() => {
                let call = Call {
                    method: self.method,
                    caller: self.caller,
                    account,
                    tenant,
                    idempotency: self.idempotency,
                    reply_by: self.reply_by,
                    fairness_key: self.fairness_key,
                    progress: self.progress,
                };
                Ok((Arc::new(call), parsed))
            }
            _ => {
                let id = self.idempotency.as_ref().map(|it| &it.request_id);
                Err(status::invalid(&self.violations, id))
            }
        }
    }
}

/// Returns the request id of a message and the fingerprint of its bytes. The message must hold no
/// map: a map has no order.
fn idempotency<M: RequestMessage>(message: &M, violations: &mut Violations) -> Option<Idempotency> {
    let id = message.request_id();
    if id.is_empty() {
        return None;
    }
    match RequestId::new(id) {
        Ok(request_id) => Some(Idempotency {
            request_id,
            fingerprint: Sha256::digest(message.encode_to_vec()).into(),
        }),
        Err(rule) => {
            violations.push("request_id", rule);
            None
        }
    }
}

fn fairness_key(caller: &Caller, extensions: &Extensions) -> Arc<str> {
    if !caller.name.is_empty() {
        return Arc::clone(&caller.name);
    }
    extensions
        .get::<Peer>()
        .map_or_else(String::new, |peer| {
            format!("connection {}", peer.connection)
        })
        .into()
}

impl RequestMessage for pb::AddRequest {
    const METHOD: Method = Method::Add;

    fn account_id(&self) -> i32 {
        self.account_id
    }

    fn request_id(&self) -> &str {
        &self.request_id
    }

    fn clear_output_only(&mut self) {
        if let Some(number) = &mut self.number {
            clear_output_only(number);
            number.etag.clear();
        }
    }
}

impl RequestMessage for pb::UpdateRequest {
    const METHOD: Method = Method::Update;
    const ACCOUNT_PATH: &'static str = "number.account_id";

    fn account_id(&self) -> i32 {
        self.number.as_ref().map_or(0, |number| number.account_id)
    }

    fn request_id(&self) -> &str {
        &self.request_id
    }

    fn clear_output_only(&mut self) {
        self.number.iter_mut().for_each(clear_output_only);
    }
}

impl RequestMessage for pb::DeleteRequest {
    const METHOD: Method = Method::Delete;

    fn account_id(&self) -> i32 {
        self.account_id
    }

    fn request_id(&self) -> &str {
        &self.request_id
    }
}

impl RequestMessage for pb::ReplaceAllRequest {
    const METHOD: Method = Method::ReplaceAll;

    fn account_id(&self) -> i32 {
        self.account_id
    }

    fn request_id(&self) -> &str {
        &self.request_id
    }

    fn clear_output_only(&mut self) {
        self.numbers.iter_mut().for_each(clear_output_only);
    }
}

impl RequestMessage for pb::GetRequest {
    const METHOD: Method = Method::Get;

    fn account_id(&self) -> i32 {
        self.account_id
    }
}

impl RequestMessage for pb::ListRequest {
    const METHOD: Method = Method::List;

    fn account_id(&self) -> i32 {
        self.account_id
    }
}

fn clear_output_only(number: &mut pb::FollowMeNumber) {
    number.unrecognized.clear();
    number.follow_me_id = None;
}
