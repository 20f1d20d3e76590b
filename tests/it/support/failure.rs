//! Failed calls, taken apart.

use std::collections::HashMap;

use followme::grpc::pb;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::LICENSE;

/// A failed call: the status and what its details say.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) metadata: HashMap<String, String>,
    /// Field and description of each violation.
    pub(crate) violations: Vec<(String, String)>,
    pub(crate) status: Status,
}

impl Failure {
    /// Returns the fields of the violations.
    pub(crate) fn fields(&self) -> Vec<&str> {
        self.violations
            .iter()
            .map(|(field, _)| field.as_str())
            .collect()
    }

    pub(crate) fn violation(&self, field: &str) -> &str {
        self.violations
            .iter()
            .find(|(known, _)| known == field)
            .map(|(_, description)| description.as_str())
            .expect("the field is among the violations")
    }

    pub(crate) fn meta(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Returns how far a replace-all came.
    pub(crate) fn incomplete(&self) -> pb::ReplaceIncomplete {
        use prost::Message as _;
        let status = tonic_types::pb::Status::decode(self.status.details())
            .expect("the details are a google.rpc.Status");
        let detail = status
            .details
            .iter()
            .find(|detail| {
                detail
                    .type_url
                    .ends_with("porta.followme.v1.ReplaceIncomplete")
            })
            .expect("the status says how far it came");
        pb::ReplaceIncomplete::decode(detail.value.as_slice()).expect("the detail can be decoded")
    }
}

/// Takes a failed call apart, and checks what holds for every status: an ErrorInfo of our domain,
/// less than 4 KiB, and no License anywhere.
pub(crate) fn failure<T: std::fmt::Debug>(result: Result<T, Status>) -> Failure {
    let status = result.expect_err("the call fails");
    let details = status.get_error_details();
    let info = details
        .error_info()
        .unwrap_or_else(|| panic!("every status has an ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "followme.porta");
    assert!(
        info.reason
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_'),
        "{}",
        info.reason
    );
    assert!(status.details().len() < 4096, "{}", status.details().len());
    let everything = format!("{status:?} {details:?}");
    assert!(!everything.contains(LICENSE), "{everything}");
    let violations = details
        .bad_request()
        .map(|bad| bad.field_violations.as_slice())
        .unwrap_or_default();
    Failure {
        code: status.code(),
        reason: info.reason.clone(),
        metadata: info.metadata.clone(),
        violations: violations
            .iter()
            .map(|violation| (violation.field.clone(), violation.description.clone()))
            .collect(),
        status: status.clone(),
    }
}
