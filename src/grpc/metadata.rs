//! The call metadata that names the tenant: `x-porta-license`, `x-porta-content-id`,
//! `x-porta-feature-name`.

use tonic::metadata::MetadataMap;

use super::status::MUST_BE_THERE_ONCE;
use crate::{
    domain::{License, Violations},
    security::Caller,
    upstream::Tenant,
};

/// The values of calls that send no metadata of their own.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// The ContentId.
    pub content_id: Option<i32>,
    /// The FeatureName.
    pub feature_name: Option<String>,
}

/// The longest FeatureName, in bytes: it must fit the query beside other values.
pub const MAX_FEATURE_NAME_BYTES: usize = 128;

/// What names the tenant: each may be there once, since nothing says which of several counts.
const TEXT_KEYS: [&str; 3] = [
    "x-porta-license",
    "x-porta-content-id",
    "x-porta-feature-name",
];
const FEATURE_NAME_BIN: &str = "x-porta-feature-name-bin";

impl Defaults {
    /// Returns the tenant of a call; `None`, and a violation, where it has no License.
    pub(super) fn tenant(
        &self,
        metadata: &MetadataMap,
        caller: &Caller,
        violations: &mut Violations,
    ) -> Option<Tenant> {
        for key in TEXT_KEYS {
            if metadata.get_all(key).iter().count() > 1 {
                violations.push(format!("metadata.{key}"), MUST_BE_THERE_ONCE);
            }
        }
        if metadata.get_all_bin(FEATURE_NAME_BIN).iter().count() > 1 {
            violations.push(format!("metadata.{FEATURE_NAME_BIN}"), MUST_BE_THERE_ONCE);
        }
        let content_id = match metadata.get("x-porta-content-id") {
            None => self.content_id,
            Some(value) => {
                let id = value.to_str().ok().and_then(|text| text.parse().ok());
                if id.is_none() {
                    violations.push("metadata.x-porta-content-id", "must be a 32-bit integer");
                }
                id
            }
        };
        let feature_name = feature_name(metadata, violations).or_else(|| self.feature_name.clone());
        let brought = metadata.get("x-porta-license");
        let license = match brought {
            Some(_) if !caller.brings_license => {
                violations.push(
                    "metadata.x-porta-license",
                    "must be absent: the configuration (upstream.caller_license, or that of the \
                     caller) does not let this caller send a License",
                );
                None
            }
            Some(value) => match value.to_str().map(License::new) {
                Ok(Ok(license)) => Some(license),
                Ok(Err(rule)) => {
                    violations.push("metadata.x-porta-license", rule);
                    None
                }
                Err(_) => {
                    violations.push("metadata.x-porta-license", "must be visible ASCII");
                    None
                }
            },
            None => {
                if caller.license.is_none() {
                    violations.push(
                        "metadata.x-porta-license",
                        "is required, since no License is configured: send one",
                    );
                }
                caller.license.clone()
            }
        };
        Some(Tenant {
            license: license?,
            license_is_callers: brought.is_some(),
            content_id,
            feature_name,
        })
    }
}

fn feature_name(metadata: &MetadataMap, violations: &mut Violations) -> Option<String> {
    let (key, text) = if let Some(value) = metadata.get_bin(FEATURE_NAME_BIN) {
        let text = value
            .to_bytes()
            .ok()
            .and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
        ("metadata.x-porta-feature-name-bin", text)
    } else {
        let value = metadata.get("x-porta-feature-name")?;
        let text = value.to_str().ok().map(str::to_owned);
        ("metadata.x-porta-feature-name", text)
    };
    let text = text
        .filter(|text| text.len() <= MAX_FEATURE_NAME_BYTES && !text.chars().any(char::is_control));
    if text.is_none() {
        violations.push(
            key,
            "must be at most 128 bytes of text without control characters: visible ASCII, or any \
             UTF-8 in x-porta-feature-name-bin",
        );
    }
    text
}
