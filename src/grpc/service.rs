//! The tonic service: parse the request, call the operation, convert the reply into a message.

use std::{borrow::Borrow, sync::Arc};

use tonic::{Request, Response, Status};

use super::{
    call::{CallBuilder, RequestMessage},
    convert,
    metadata::Defaults,
    pb, status,
};
use crate::{
    domain::Etag,
    operations::{
        AddRequest, Call, DeleteRequest, Error, Etags, GetRequest, Operations, ReplaceAllRequest,
        UpdateRequest,
    },
};

/// How large a message may be, whatever `calls.max_numbers` is.
const MIN_MESSAGE_BYTES: usize = 1024 * 1024;

/// How large a number is at most: all its texts of the greatest length, 1.9 KiB, and as much of
/// `unrecognized`, which clients send back as they read it.
const MAX_NUMBER_BYTES: usize = 4 * 1024;

/// `porta.followme.v1.FollowMeService`.
#[derive(Debug, Clone)]
pub struct Service {
    operations: Arc<Operations>,
    defaults: Arc<Defaults>,
}

impl Service {
    /// Makes the service over its operations.
    #[must_use]
    pub fn new(operations: Arc<Operations>, defaults: Defaults) -> Self {
        Self {
            operations,
            defaults: Arc::new(defaults),
        }
    }

    /// Returns the size of the largest message that is accepted: what `calls.max_numbers` allows
    /// always fits.
    pub(super) fn max_message_bytes(&self) -> usize {
        let numbers = self.operations.config().max_numbers * MAX_NUMBER_BYTES;
        MIN_MESSAGE_BYTES.max(numbers + MAX_NUMBER_BYTES)
    }

    fn begin<M: RequestMessage>(&self, request: Request<M>) -> Result<(CallBuilder, M), Status> {
        CallBuilder::new(request, &self.defaults)
    }
}

/// Returns the conversion of an operation's error into the status of its call.
fn failed<E: Borrow<Error>>(call: &Call) -> impl Fn(E) -> Status {
    |error| status::failed(call, error.borrow())
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn etag(etag: Option<Etag>) -> String {
    etag.map(String::from).unwrap_or_default()
}

#[tonic::async_trait]
impl pb::follow_me_service_server::FollowMeService for Service {
    async fn add(
        &self,
        request: Request<pb::AddRequest>,
    ) -> Result<Response<pb::AddResponse>, Status> {
        let (mut call, request) = self.begin(request)?;
        let violations = &mut call.violations;
        let draft = request.number.map(|number| {
            convert::same_account(&number, request.account_id, "number", violations);
            if number.number_id != 0 {
                violations.push(
                    "number.number_id",
                    "must be 0: upstream gives a new number its id",
                );
            }
            let draft = convert::draft(&number);
            let rules = &self.operations.config().rules;
            draft.check(draft.present(), "number", rules, violations);
            draft
        });
        if draft.is_none() {
            violations.push("number", "is required");
        }
        let (call, draft) = call.build(draft)?;
        let add = AddRequest {
            draft,
            validate_only: request.validate_only,
        };
        let reply = self.operations.add(&call, add).await;
        let reply = reply.map_err(failed(&call))?;
        Ok(Response::new(pb::AddResponse {
            number: reply.numbers.first().map(convert::number),
            unapplied_fields: convert::names(reply.unapplied),
            list_etag: etag(reply.list_etag),
        }))
    }

    async fn update(
        &self,
        request: Request<pb::UpdateRequest>,
    ) -> Result<Response<pb::UpdateResponse>, Status> {
        let (mut call, mut request) = self.begin(request)?;
        let violations = &mut call.violations;
        let number = request.number.take().unwrap_or_default();
        let id = convert::number_id(number.number_id, "number.number_id", violations);
        let draft = convert::draft(&number);
        let mask = convert::mask(request.update_mask.as_ref(), &draft, violations);
        convert::one_etag(&request, &number.etag, violations);
        convert::etag_length("etag", &request.etag, violations);
        convert::etag_length("number.etag", &number.etag, violations);
        let rules = &self.operations.config().rules;
        draft.check(mask, "number", rules, violations);
        let (call, id) = call.build(id)?;
        let update = UpdateRequest {
            id,
            draft,
            mask,
            etag: non_empty(request.etag).or_else(|| non_empty(number.etag)),
            validate_only: request.validate_only,
        };
        let reply = self.operations.update(&call, update).await;
        let reply = reply.map_err(failed(&call))?;
        Ok(Response::new(pb::UpdateResponse {
            number: reply.numbers.first().map(convert::number),
            unapplied_fields: convert::names(reply.unapplied),
            list_etag: etag(reply.list_etag),
        }))
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        let (mut call, request) = self.begin(request)?;
        let id = convert::number_id(request.number_id, "number_id", &mut call.violations);
        convert::etag_length("etag", &request.etag, &mut call.violations);
        let (call, id) = call.build(id)?;
        let delete = DeleteRequest {
            id,
            etag: non_empty(request.etag),
            delete_forward: request.delete_forward,
            allow_missing: request.allow_missing,
        };
        let reply = self.operations.delete(&call, delete).await;
        let reply = reply.map_err(failed(&call))?;
        Ok(Response::new(pb::DeleteResponse {
            list_etag: etag(reply.list_etag),
        }))
    }

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let (mut call, request) = self.begin(request)?;
        let id = convert::number_id(request.number_id, "number_id", &mut call.violations);
        let (call, id) = call.build(id)?;
        let reply = self.operations.get(&call, GetRequest { id }).await;
        let reply = reply.map_err(failed(&call))?;
        Ok(Response::new(pb::GetResponse {
            number: Some(convert::stored(reply.number)),
            settings: reply.settings.as_ref().map(convert::settings),
        }))
    }

    async fn list(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListResponse>, Status> {
        let (mut call, request) = self.begin(request)?;
        let page = convert::page(&request, &mut call.violations);
        let (call, page) = call.build(Some(page))?;
        let reply = self.operations.list(&call, page).await;
        let reply = reply.map_err(failed(&call))?;
        let next_page_token = reply
            .next
            .map(|next| format!("{next}-{}", reply.etag.as_str()))
            .unwrap_or_default();
        Ok(Response::new(pb::ListResponse {
            numbers: reply.numbers.into_iter().map(convert::stored).collect(),
            settings: reply.settings.as_ref().map(convert::settings),
            list_etag: reply.etag.into(),
            next_page_token,
            total_size: i32::try_from(reply.total).unwrap_or(i32::MAX),
            unidentified_count: i32::try_from(reply.unidentified).unwrap_or(i32::MAX),
        }))
    }

    async fn replace_all(
        &self,
        request: Request<pb::ReplaceAllRequest>,
    ) -> Result<Response<pb::ReplaceAllResponse>, Status> {
        let (mut call, request) = self.begin(request)?;
        let max = self.operations.config().max_numbers;
        let desired = convert::desired_list(&request, max, &mut call.violations);
        convert::etag_length("list_etag", &request.list_etag, &mut call.violations);
        let (call, desired) = call.build(Some(desired))?;
        let numbers = request.numbers.into_iter();
        let replace = ReplaceAllRequest {
            desired,
            etags: Etags {
                list: non_empty(request.list_etag),
                numbers: numbers.filter_map(convert::number_etag).collect(),
            },
            validate_only: request.validate_only,
        };
        let reply = self.operations.replace_all(&call, replace).await;
        let reply = reply.map_err(failed(&call))?;
        Ok(Response::new(pb::ReplaceAllResponse {
            numbers: reply.numbers.iter().map(convert::number).collect(),
            settings: reply.settings.as_ref().map(convert::settings),
            list_etag: etag(reply.list_etag),
            steps: reply.steps.iter().map(convert::step).collect(),
        }))
    }
}
