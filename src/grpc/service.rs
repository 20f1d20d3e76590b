//! The tonic service: parse the request, call the operation, turn the answer into a message.

use std::{collections::HashSet, sync::Arc};

use prost::Message;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tonic::{Extensions, Request, Response, Status};

use super::{accept::Peer, convert, layers::AnswerBy, metadata::Defaults, pb, status};
use crate::{
    domain::{AccountId, Desired, Etag, List, NumberId, Violations},
    operations::{
        Applied, Command, Content, Error, Etags, NumberView, Operations, Replaced, Reply,
        RequestId, Write,
    },
    security::{Authorizer, Caller, Denied, Unauthenticated},
    telemetry::in_flight::Progress,
    upstream::{Context, Kind},
};

/// `porta.followme.v1.FollowMeService`.
#[derive(Debug, Clone)]
pub struct Service {
    operations: Arc<Operations>,
    authorizer: Arc<Authorizer>,
    defaults: Arc<Defaults>,
}

/// A call that is being parsed: what every call says, and what is wrong so far.
struct Begun {
    method: &'static str,
    caller: Arc<Caller>,
    context: Option<Context>,
    account: Option<AccountId>,
    answer_by: Option<Instant>,
    /// The request id of a write, and what the request asks for.
    request: Option<(RequestId, Content)>,
    violations: Violations,
}

/// A call that can be done: by whom, on whose behalf, about which account, and until when.
struct Asked {
    method: &'static str,
    caller: Arc<Caller>,
    context: Context,
    account: AccountId,
    answer_by: Option<Instant>,
    request: Option<(RequestId, Content)>,
}

impl Begun {
    /// Takes the request id of a write, and what the request asks for: its bytes, without what is
    /// ignored on input. A map has no order, so it could not stand in a hash.
    fn take_request_id<M: Message>(&mut self, id: &str, request: &M) {
        if id.is_empty() {
            return;
        }
        match RequestId::new(id) {
            Ok(id) => self.request = Some((id, Sha256::digest(request.encode_to_vec()).into())),
            Err(rule) => self.violations.push("request_id", rule),
        }
    }

    /// Ends the parsing: everything is there, or all that is wrong is said at once.
    fn parsed<T>(self, parts: Option<T>) -> Result<(Asked, T), Status> {
        match (self.context, self.account, parts) {
            (Some(context), Some(account), Some(parts)) if self.violations.is_empty() => {
                let asked = Asked {
                    method: self.method,
                    caller: self.caller,
                    context,
                    account,
                    answer_by: self.answer_by,
                    request: self.request,
                };
                Ok((asked, parts))
            }
            _ => Err(status::invalid(&self.violations, id_of(&self.request))),
        }
    }
}

impl Asked {
    /// Waits for a read, until the caller has to be answered.
    async fn read<T>(&self, read: impl Future<Output = Result<T, Error>>) -> Result<T, Status> {
        let result = match self.answer_by {
            None => read.await,
            Some(answer_by) => match tokio::time::timeout_at(answer_by, read).await {
                // Its last request had until then, too.
                Ok(Err(error)) if timed_out(&error) && Instant::now() >= answer_by => {
                    Err(Error::ReadDeadline)
                }
                Ok(result) => result,
                Err(_) => Err(Error::ReadDeadline),
            },
        };
        result.map_err(|error| failed(self.method, &error, id_of(&self.request)))
    }
}

impl Service {
    /// Makes the service over its operations; the authorizer says who may write.
    #[must_use]
    pub fn new(
        operations: Arc<Operations>,
        authorizer: Arc<Authorizer>,
        defaults: Defaults,
    ) -> Self {
        Self {
            operations,
            authorizer,
            defaults: Arc::new(defaults),
        }
    }

    /// Takes what every call says: who calls, the metadata, the deadline, and the account, which
    /// stands at a path of the message.
    ///
    /// # Errors
    /// The status of a caller who may not name the account.
    fn begin<M>(
        &self,
        method: &'static str,
        request: Request<M>,
        account: impl FnOnce(&M) -> i32,
        path: &str,
    ) -> Result<(Begun, M), Status> {
        let (metadata, extensions, message) = request.into_parts();
        let answer_by = extensions.get::<AnswerBy>().map(AnswerBy::take);
        let mut violations = Violations::default();
        // Every call has passed the layer that says who calls.
        let caller = extensions
            .get::<Arc<Caller>>()
            .ok_or_else(|| denied(method, "", &Unauthenticated::Missing.into(), None))?;
        let place = place_of(caller, &extensions);
        let defaults = &self.defaults;
        let mut context = defaults.context(&metadata, caller, place, &mut violations);
        if let Some(context) = &mut context {
            context.deadline = answer_by;
            context.call = extensions.get::<Progress>().cloned().unwrap_or_default();
        }
        let account = convert::account(account(&message), path, &mut violations);
        if let Some(account) = account {
            caller
                .authorize_account(account)
                .map_err(|error| denied(method, &caller.name, &error, None))?;
        }
        let begun = Begun {
            method,
            caller: Arc::clone(caller),
            context,
            account,
            answer_by,
            request: None,
            violations,
        };
        Ok((begun, message))
    }

    async fn write(&self, asked: Asked, command: Command) -> Result<Arc<Reply>, Status> {
        let Asked {
            method,
            caller,
            context,
            account,
            answer_by,
            request,
        } = asked;
        let id = id_of(&request).cloned();
        self.authorizer
            .authorize_write(&caller, account)
            .map_err(|error| denied(method, &caller.name, &error, id.as_ref()))?;
        let write = Write {
            context,
            caller: caller.name.to_string(),
            account,
            command,
            request,
            answer_by,
        };
        self.operations
            .write(write)
            .await
            .map_err(|error| failed(method, &error, id.as_ref()))
    }
}

/// Tells whether upstream did not answer in time.
fn timed_out(error: &Error) -> bool {
    error
        .upstream()
        .is_some_and(|error| error.kind() == Kind::Timeout)
}

/// Writes a failure to the log, once, and makes its status.
fn failed(method: &'static str, error: &Error, request_id: Option<&RequestId>) -> Status {
    let status = status::from_error(error, request_id);
    tracing::info!(
        method,
        code = ?status.code(),
        reason = error.reason(),
        error = error as &dyn std::error::Error,
        upstream = error.upstream().and_then(|error| error.detail()),
        "call failed"
    );
    status
}

/// Writes a refusal to the log, once, and makes its status.
fn denied(
    method: &'static str,
    caller: &str,
    error: &Denied,
    request_id: Option<&RequestId>,
) -> Status {
    tracing::info!(
        method,
        caller,
        reason = error.reason(),
        error = error as &dyn std::error::Error,
        "call denied"
    );
    status::denied(error, request_id)
}

fn list_etag(list: &List) -> String {
    Etag::of_list(list).into()
}

fn id_of(request: &Option<(RequestId, Content)>) -> Option<&RequestId> {
    request.as_ref().map(|(id, _)| id)
}

/// Leaves out of a number what is ignored on input.
fn without_output(number: &mut pb::FollowMeNumber) {
    number.unrecognized.clear();
    number.follow_me_id = None;
}

/// Names who shares the places for upstream requests with others: the caller, or the connection of
/// one whom nobody knows.
fn place_of(caller: &Caller, extensions: &Extensions) -> Arc<str> {
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

/// Returns the text, unless it is empty.
fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn applied(reply: &Reply) -> Result<(Option<pb::FollowMeNumber>, Vec<String>, String), Status> {
    match reply {
        Reply::Applied(Applied {
            number,
            unapplied,
            list,
        }) => Ok((
            Some(convert::number(number)),
            convert::names(*unapplied),
            list.as_ref().map(list_etag).unwrap_or_default(),
        )),
        Reply::Deleted(_) | Reply::Replaced(_) => Err(another_kind()),
    }
}

/// The status of a write that was answered with the reply of another RPC, which the operations
/// never do.
fn another_kind() -> Status {
    status::from_error(&Error::Panicked { begun: true }, None)
}

fn replaced(replaced: &Replaced) -> pb::ReplaceAllResponse {
    pb::ReplaceAllResponse {
        numbers: replaced.numbers.iter().map(convert::number).collect(),
        settings: replaced.settings.as_ref().map(convert::settings),
        list_etag: replaced.list.as_ref().map(list_etag).unwrap_or_default(),
        steps: replaced.reports.iter().map(convert::step).collect(),
    }
}

#[tonic::async_trait]
impl pb::follow_me_service_server::FollowMeService for Service {
    async fn add(
        &self,
        request: Request<pb::AddRequest>,
    ) -> Result<Response<pb::AddResponse>, Status> {
        let (mut call, mut request) =
            self.begin("Add", request, |request| request.account_id, "account_id")?;
        let violations = &mut call.violations;
        let draft = request.number.as_mut().map(|number| {
            without_output(number);
            number.etag.clear();
            convert::same_account(number, request.account_id, "number", violations);
            if number.number_id != 0 {
                violations.push(
                    "number.number_id",
                    "must be 0: upstream gives a new number its id",
                );
            }
            let draft = convert::draft(number);
            let rules = &self.operations.config().rules;
            draft.check(draft.present(), "number", rules, violations);
            draft
        });
        if draft.is_none() {
            violations.push("number", "is required");
        }
        call.take_request_id(&request.request_id, &request);
        let (call, draft) = call.parsed(draft)?;
        if request.validate_only {
            let plan = self
                .operations
                .plan_add(&call.context, call.account, &draft);
            let fields = call.read(plan).await?;
            return Ok(Response::new(pb::AddResponse {
                number: Some(convert::number(&NumberView::Planned(call.account, fields))),
                ..Default::default()
            }));
        }
        let reply = self.write(call, Command::Add { draft }).await?;
        let (number, unapplied_fields, list_etag) = applied(&reply)?;
        Ok(Response::new(pb::AddResponse {
            number,
            unapplied_fields,
            list_etag,
        }))
    }

    async fn update(
        &self,
        request: Request<pb::UpdateRequest>,
    ) -> Result<Response<pb::UpdateResponse>, Status> {
        let account = |request: &pb::UpdateRequest| {
            let number = request.number.as_ref();
            number.map_or(0, |number| number.account_id)
        };
        let (mut call, mut request) =
            self.begin("Update", request, account, "number.account_id")?;
        let violations = &mut call.violations;
        let number = request.number.get_or_insert_default();
        without_output(number);
        let id = convert::number_id(number.number_id, "number.number_id", violations);
        let etag = given(&request.etag).or_else(|| given(&number.etag));
        let draft = convert::draft(number);
        let named = convert::mask(request.update_mask.as_ref(), &draft, violations);
        let rules = &self.operations.config().rules;
        draft.check(named, "number", rules, violations);
        call.take_request_id(&request.request_id, &request);
        let (call, id) = call.parsed(id)?;
        if request.validate_only {
            let plan = self.operations.plan_update(
                &call.context,
                call.account,
                id,
                &draft,
                named,
                etag.as_deref(),
            );
            let number = call.read(plan).await?;
            return Ok(Response::new(pb::UpdateResponse {
                number: Some(convert::stored(&number)),
                ..Default::default()
            }));
        }
        let command = Command::Update {
            id,
            draft,
            named,
            etag,
        };
        let reply = self.write(call, command).await?;
        let (number, unapplied_fields, list_etag) = applied(&reply)?;
        Ok(Response::new(pb::UpdateResponse {
            number,
            unapplied_fields,
            list_etag,
        }))
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        let (mut call, request) = self.begin(
            "Delete",
            request,
            |request| request.account_id,
            "account_id",
        )?;
        let violations = &mut call.violations;
        let id = convert::number_id(request.number_id, "number_id", violations);
        call.take_request_id(&request.request_id, &request);
        let (call, id) = call.parsed(id)?;
        let command = Command::Delete {
            id,
            etag: given(&request.etag),
            delete_forward: request.delete_forward,
            allow_missing: request.allow_missing,
        };
        let list_etag = match &*self.write(call, command).await? {
            Reply::Deleted(list) => list_etag(list),
            Reply::Applied(_) | Reply::Replaced(_) => return Err(another_kind()),
        };
        Ok(Response::new(pb::DeleteResponse { list_etag }))
    }

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let (mut call, request) =
            self.begin("Get", request, |request| request.account_id, "account_id")?;
        let id = convert::number_id(request.number_id, "number_id", &mut call.violations);
        let (call, id) = call.parsed(id)?;
        let read = self.operations.get(&call.context, call.account, id);
        let list = call.read(read).await?;
        Ok(Response::new(pb::GetResponse {
            number: list.numbers.first().map(convert::stored),
            settings: list.settings.as_ref().map(convert::settings),
        }))
    }

    async fn list(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListResponse>, Status> {
        let (mut call, request) =
            self.begin("List", request, |request| request.account_id, "account_id")?;
        let page = convert::page(&request, &mut call.violations);
        let (call, page) = call.parsed(Some(page))?;
        let read = self.operations.list(&call.context, call.account, &page);
        let list = call.read(read).await?;
        let next_page_token = list
            .next
            .map(|next| format!("{next}-{}", list.etag.as_str()))
            .unwrap_or_default();
        Ok(Response::new(pb::ListResponse {
            numbers: list.numbers.iter().map(convert::stored).collect(),
            settings: list.settings.as_ref().map(convert::settings),
            list_etag: list.etag.into(),
            next_page_token,
            total_size: i32::try_from(list.total).unwrap_or(i32::MAX),
        }))
    }

    async fn replace_all(
        &self,
        request: Request<pb::ReplaceAllRequest>,
    ) -> Result<Response<pb::ReplaceAllResponse>, Status> {
        let (mut call, mut request) = self.begin(
            "ReplaceAll",
            request,
            |request| request.account_id,
            "account_id",
        )?;
        request.numbers.iter_mut().for_each(without_output);
        let desired = self.desired(&request, &mut call.violations);
        call.take_request_id(&request.request_id, &request);
        let (call, desired) = call.parsed(Some(desired))?;
        let etags = Etags {
            list: given(&request.list_etag),
            numbers: request
                .numbers
                .iter()
                .filter_map(|number| {
                    let id = NumberId::new(number.number_id)?;
                    given(&number.etag).map(|etag| (id, etag))
                })
                .collect(),
        };
        if request.validate_only {
            let plan =
                self.operations
                    .plan_replace_all(&call.context, call.account, &desired, &etags);
            let plan = call.read(plan).await?;
            return Ok(Response::new(replaced(&plan)));
        }
        let command = Command::ReplaceAll { desired, etags };
        match &*self.write(call, command).await? {
            Reply::Replaced(reply) => Ok(Response::new(replaced(reply))),
            Reply::Applied(_) | Reply::Deleted(_) => Err(another_kind()),
        }
    }
}

impl Service {
    /// Takes the list that an account shall have. Its fields are checked with the plan, since what
    /// upstream holds already goes through.
    fn desired(
        &self,
        request: &pb::ReplaceAllRequest,
        violations: &mut Violations,
    ) -> Vec<Desired> {
        let max = self.operations.config().max_numbers;
        if request.numbers.len() > max {
            violations.push(
                "numbers",
                format!(
                    "holds {} numbers; at most {max} are taken",
                    request.numbers.len()
                ),
            );
            return Vec::new();
        }
        if request.numbers.is_empty() && !request.allow_empty {
            violations.push(
                "numbers",
                "is empty, which deletes every number of the account: set allow_empty if that is \
                 meant",
            );
        }
        let mut ids = HashSet::new();
        request
            .numbers
            .iter()
            .enumerate()
            .map(|(index, number)| {
                let path = format!("numbers[{index}]");
                if number.number_id > 0 && !ids.insert(number.number_id) {
                    violations.push(
                        format!("{path}.number_id"),
                        format!("stands twice in the list: {}", number.number_id),
                    );
                }
                convert::desired(number, request.account_id, &path, violations)
            })
            .collect()
    }
}
