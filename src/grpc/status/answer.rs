//! A status in the making, and the messages of google.rpc that go into its details.

use std::{collections::HashMap, time::Duration};

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb as rpc;

use super::DOMAIN;
use crate::domain::{NumberId, Violation};

/// A status in the making.
pub(super) struct Answer {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: Vec<(&'static str, String)>,
    details: Vec<Any>,
}

impl Answer {
    pub(super) fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            metadata: Vec::new(),
            details: Vec::new(),
        }
    }

    pub(super) fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    pub(super) fn with_ids(self, key: &'static str, ids: &[NumberId]) -> Self {
        // Twenty ids are enough for a person, and fit.
        let ids: Vec<String> = ids.iter().take(20).map(NumberId::to_string).collect();
        if ids.is_empty() {
            self
        } else {
            self.with(key, ids.join(","))
        }
    }

    pub(super) fn with_retry_after(self, span: Duration) -> Self {
        let info = rpc::RetryInfo {
            retry_delay: prost_types::Duration::try_from(span).ok(),
        };
        self.detail("google.rpc.RetryInfo", &info)
    }

    pub(super) fn detail(mut self, type_name: &str, message: &impl Message) -> Self {
        self.details.push(any(type_name, message));
        self
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where statuses are built"
    )]
    pub(super) fn into_status(self) -> Status {
        let info = rpc::ErrorInfo {
            reason: self.reason.to_owned(),
            domain: DOMAIN.to_owned(),
            metadata: self
                .metadata
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<HashMap<_, _>>(),
        };
        let mut details = vec![any("google.rpc.ErrorInfo", &info)];
        details.extend(self.details);
        let status = rpc::Status {
            code: self.code as i32,
            message: self.message,
            details,
        };
        Status::with_details(
            self.code,
            status.message.clone(),
            status.encode_to_vec().into(),
        )
    }
}

fn any(type_name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{type_name}"),
        value: message.encode_to_vec(),
    }
}

pub(super) fn violated<'a>(violations: impl Iterator<Item = &'a Violation>) -> rpc::BadRequest {
    rpc::BadRequest {
        field_violations: violations
            .map(|violation| rpc::bad_request::FieldViolation {
                field: violation.field.clone(),
                description: violation.description.clone(),
                ..Default::default()
            })
            .collect(),
    }
}

pub(super) fn bad_request(field: &str, description: &str) -> rpc::BadRequest {
    rpc::BadRequest {
        field_violations: vec![rpc::bad_request::FieldViolation {
            field: field.to_owned(),
            description: description.to_owned(),
            ..Default::default()
        }],
    }
}

pub(super) fn resource(resource_type: &str, name: String) -> rpc::ResourceInfo {
    rpc::ResourceInfo {
        resource_type: resource_type.to_owned(),
        resource_name: name,
        ..Default::default()
    }
}

pub(super) fn precondition(
    kind: &str,
    subject: &str,
    description: &str,
) -> rpc::PreconditionFailure {
    rpc::PreconditionFailure {
        violations: vec![rpc::precondition_failure::Violation {
            r#type: kind.to_owned(),
            subject: subject.to_owned(),
            description: description.to_owned(),
        }],
    }
}
