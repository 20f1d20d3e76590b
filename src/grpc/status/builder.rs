//! Builds a status, and the messages of google.rpc in its details.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::pb as rpc;

use super::{DOMAIN, reasons};
use crate::domain::{NumberId, Reason};

/// A status that is being built.
pub(super) struct StatusBuilder {
    code: Code,
    message: Cow<'static, str>,
    info: rpc::ErrorInfo,
    details: Vec<Any>,
    /// What `grpc-retry-pushback-ms` says, which the retries of gRPC libraries heed (gRFC A6).
    pushback: Option<i64>,
}

impl StatusBuilder {
    pub(super) fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: reasons::row(reason).code,
            message: message.into(),
            info: rpc::ErrorInfo {
                reason: reason.to_string(),
                domain: DOMAIN.to_owned(),
                metadata: HashMap::new(),
            },
            details: Vec::new(),
            pushback: None,
        }
    }

    /// Sets another code than that of the reason.
    pub(super) fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// Adds metadata to the ErrorInfo.
    pub(super) fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.info.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    pub(super) fn with_some(self, key: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds the first twenty ids: enough for a person, and they fit.
    pub(super) fn with_ids(self, key: &str, ids: &[NumberId]) -> Self {
        let ids: Vec<String> = ids.iter().take(20).map(NumberId::to_string).collect();
        self.with_some(key, (!ids.is_empty()).then(|| ids.join(",")))
    }

    /// Says when the call may be repeated, to callers and to the retries of their libraries.
    pub(super) fn retry_after(mut self, delay: Option<Duration>) -> Self {
        let Some(delay) = delay else {
            return self;
        };
        // Rounded up: the delay is the shortest.
        let milliseconds = delay.as_nanos().div_ceil(1_000_000);
        self.pushback = Some(i64::try_from(milliseconds).unwrap_or(i64::MAX));
        self.detail(any(
            "google.rpc.RetryInfo",
            &rpc::RetryInfo {
                retry_delay: prost_types::Duration::try_from(delay).ok(),
            },
        ))
    }

    /// Tells the retries of gRPC libraries not to repeat the call.
    pub(super) fn never_retried_by_libraries(mut self) -> Self {
        self.pushback = Some(-1);
        self
    }

    pub(super) fn detail(mut self, detail: Any) -> Self {
        self.details.push(detail);
        self
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the only function that builds statuses"
    )]
    pub(super) fn build(self) -> Status {
        let mut details = vec![any("google.rpc.ErrorInfo", &self.info)];
        details.extend(self.details);
        let status = rpc::Status {
            code: self.code as i32,
            message: self.message.into_owned(),
            details,
        };
        let mut metadata = MetadataMap::new();
        if let Some(pushback) = self.pushback {
            metadata.insert("grpc-retry-pushback-ms", pushback.into());
        }
        Status::with_details_and_metadata(
            self.code,
            status.message.clone(),
            status.encode_to_vec().into(),
            metadata,
        )
    }
}

/// Packs a message into a detail.
pub(super) fn any(type_name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{type_name}"),
        value: message.encode_to_vec(),
    }
}

/// Makes the detail that names the fields to correct.
pub(super) fn bad_request<'a>(violations: impl IntoIterator<Item = (&'a str, &'a str)>) -> Any {
    let field_violations = violations
        .into_iter()
        .map(|(field, description)| rpc::bad_request::FieldViolation {
            field: field.to_owned(),
            description: description.to_owned(),
            ..Default::default()
        })
        .collect();
    any(
        "google.rpc.BadRequest",
        &rpc::BadRequest { field_violations },
    )
}

/// Makes the detail that names what was not found.
pub(super) fn resource(resource_type: &str, name: String) -> Any {
    any(
        "google.rpc.ResourceInfo",
        &rpc::ResourceInfo {
            resource_type: resource_type.to_owned(),
            resource_name: name,
            ..Default::default()
        },
    )
}

/// Makes the detail that names what has to change first.
pub(super) fn precondition(reason: Reason, subject: &str, description: &str) -> Any {
    let violation = rpc::precondition_failure::Violation {
        r#type: reason.to_string(),
        subject: subject.to_owned(),
        description: description.to_owned(),
    };
    any(
        "google.rpc.PreconditionFailure",
        &rpc::PreconditionFailure {
            violations: vec![violation],
        },
    )
}
