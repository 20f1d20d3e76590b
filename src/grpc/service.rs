//! The tonic service: parse the request, call the operation, turn the answer into a message.

use std::{collections::HashSet, sync::Arc};

use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::{convert, metadata::Defaults, pb, status};
use crate::{
    domain::{AccountId, Desired, Etag, List, Violations},
    operations::{Applied, Error, Operations, Page},
    upstream::Context,
};

/// `porta.followme.v1.FollowMeService`.
#[derive(Debug, Clone)]
pub struct Service {
    operations: Arc<Operations>,
    defaults: Arc<Defaults>,
}

impl Service {
    /// Makes the service over its operations.
    #[must_use]
    pub fn new(operations: Operations, defaults: Defaults) -> Self {
        Self {
            operations: Arc::new(operations),
            defaults: Arc::new(defaults),
        }
    }

    /// Takes what every call says: the metadata and the account.
    fn start(
        &self,
        metadata: &MetadataMap,
        account: i32,
        path: &str,
        violations: &mut Violations,
    ) -> (Option<Context>, Option<AccountId>) {
        (
            self.defaults.context(metadata, violations),
            convert::account(account, path, violations),
        )
    }
}

/// Ends the parsing of a request: everything is there, or all that is wrong is said at once.
fn parsed<T>(parts: Option<T>, violations: Violations) -> Result<T, Status> {
    match parts {
        Some(parts) if violations.is_empty() => Ok(parts),
        _ => Err(status::invalid(&violations)),
    }
}

/// Writes a failure to the log, once, and makes its status.
fn failed(method: &'static str, error: &Error) -> Status {
    let status = status::from_error(error);
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

fn list_etag(list: &List) -> String {
    Etag::of_list(list).into()
}

/// The etag of what a write left, and of nothing where nothing was to be written.
fn applied_etag(applied: &Applied) -> String {
    applied.list.as_ref().map(list_etag).unwrap_or_default()
}

/// Refuses what this version does not do yet, rather than ignoring it.
fn not_yet(fields: &[(&str, &str)]) -> Result<(), Status> {
    match fields.iter().find(|(_, value)| !value.is_empty()) {
        Some((name, _)) => Err(status::unimplemented(name)),
        None => Ok(()),
    }
}

#[tonic::async_trait]
impl pb::follow_me_service_server::FollowMeService for Service {
    async fn add(
        &self,
        request: Request<pb::AddRequest>,
    ) -> Result<Response<pb::AddResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        not_yet(&[("request_id", &request.request_id)])?;
        let mut violations = Violations::default();
        let (context, account) =
            self.start(&metadata, request.account_id, "account_id", &mut violations);
        let draft = request.number.as_ref().map(|number| {
            convert::same_account(number, request.account_id, "number", &mut violations);
            if number.number_id != 0 {
                violations.push(
                    "number.number_id",
                    "must be 0: upstream gives a new number its id",
                );
            }
            let draft = convert::draft(number);
            let rules = &self.operations.config().rules;
            draft.check(draft.said(), "number", rules, &mut violations);
            draft
        });
        if draft.is_none() {
            violations.push("number", "is required");
        }
        let parts = context.zip(account).zip(draft);
        let ((context, account), draft) = parsed(parts, violations)?;
        let applied = self
            .operations
            .add(&context, account, &draft, request.validate_only)
            .await
            .map_err(|error| failed("Add", &error))?;
        Ok(Response::new(pb::AddResponse {
            number: Some(convert::number(&applied.number)),
            unapplied_fields: convert::names(applied.unapplied),
            list_etag: applied_etag(&applied),
        }))
    }

    async fn update(
        &self,
        request: Request<pb::UpdateRequest>,
    ) -> Result<Response<pb::UpdateResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        not_yet(&[("request_id", &request.request_id), ("etag", &request.etag)])?;
        let number = request.number.unwrap_or_default();
        let mut violations = Violations::default();
        let (context, account) = self.start(
            &metadata,
            number.account_id,
            "number.account_id",
            &mut violations,
        );
        let id = convert::number_id(number.number_id, "number.number_id", &mut violations);
        let draft = convert::draft(&number);
        let named = convert::mask(request.update_mask.as_ref(), &draft, &mut violations);
        let rules = &self.operations.config().rules;
        draft.check(named, "number", rules, &mut violations);
        let parts = context.zip(account).zip(id);
        let ((context, account), id) = parsed(parts, violations)?;
        let applied = self
            .operations
            .update(&context, account, id, &draft, named, request.validate_only)
            .await
            .map_err(|error| failed("Update", &error))?;
        Ok(Response::new(pb::UpdateResponse {
            number: Some(convert::number(&applied.number)),
            unapplied_fields: convert::names(applied.unapplied),
            list_etag: applied_etag(&applied),
        }))
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        not_yet(&[("request_id", &request.request_id), ("etag", &request.etag)])?;
        let mut violations = Violations::default();
        let (context, account) =
            self.start(&metadata, request.account_id, "account_id", &mut violations);
        let id = convert::number_id(request.number_id, "number_id", &mut violations);
        let ((context, account), id) = parsed(context.zip(account).zip(id), violations)?;
        let list = self
            .operations
            .delete(
                &context,
                account,
                id,
                request.delete_forward,
                request.allow_missing,
            )
            .await
            .map_err(|error| failed("Delete", &error))?;
        Ok(Response::new(pb::DeleteResponse {
            list_etag: list_etag(&list),
        }))
    }

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let mut violations = Violations::default();
        let (context, account) =
            self.start(&metadata, request.account_id, "account_id", &mut violations);
        let id = convert::number_id(request.number_id, "number_id", &mut violations);
        let ((context, account), id) = parsed(context.zip(account).zip(id), violations)?;
        let list = self
            .operations
            .get(&context, account, id)
            .await
            .map_err(|error| failed("Get", &error))?;
        Ok(Response::new(pb::GetResponse {
            number: list.numbers.first().map(convert::stored),
            settings: list.settings.as_ref().map(convert::settings),
        }))
    }

    async fn list(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let mut violations = Violations::default();
        let (context, account) =
            self.start(&metadata, request.account_id, "account_id", &mut violations);
        let page = page(&request, &mut violations);
        let (context, account) = parsed(context.zip(account), violations)?;
        let list = self
            .operations
            .list(&context, account, &page)
            .await
            .map_err(|error| failed("List", &error))?;
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
        let (metadata, _, request) = request.into_parts();
        not_yet(&[
            ("request_id", &request.request_id),
            ("list_etag", &request.list_etag),
        ])?;
        let mut violations = Violations::default();
        let (context, account) =
            self.start(&metadata, request.account_id, "account_id", &mut violations);
        let desired = self.desired(&request, &mut violations);
        let (context, account) = parsed(context.zip(account), violations)?;
        let replaced = self
            .operations
            .replace_all(&context, account, &desired, request.validate_only)
            .await
            .map_err(|error| failed("ReplaceAll", &error))?;
        Ok(Response::new(pb::ReplaceAllResponse {
            numbers: replaced.numbers.iter().map(convert::number).collect(),
            settings: replaced.settings.as_ref().map(convert::settings),
            list_etag: replaced.list.as_ref().map(list_etag).unwrap_or_default(),
            steps: replaced.reports.iter().map(convert::step).collect(),
        }))
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

/// Takes which page of a list is asked for. A token is the position and the etag of the list that
/// the page before was cut from.
fn page(request: &pb::ListRequest, violations: &mut Violations) -> Page {
    let size = match usize::try_from(request.page_size) {
        Ok(0) => None,
        Ok(size) => Some(size),
        Err(_) => {
            violations.push("page_size", "must be 0 for all, or greater");
            None
        }
    };
    if request.page_token.is_empty() {
        return Page {
            size,
            ..Page::default()
        };
    }
    let token = request
        .page_token
        .split_once('-')
        .and_then(|(start, etag)| {
            let start = start.parse().ok()?;
            let whole = etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
            whole.then(|| (start, etag.to_owned()))
        });
    if token.is_none() {
        violations.push(
            "page_token",
            "is not a next_page_token of an earlier answer",
        );
    }
    let (start, etag) = token.unzip();
    Page {
        size,
        start: start.unwrap_or(0),
        etag,
    }
}
