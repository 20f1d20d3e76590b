//! The request object `PortaFollowMe`: its properties, and what their values are taken from.

use std::fmt;

use serde::{Serialize, Serializer};

use super::{Route, Tenant, target::Target};
use crate::domain::{AccountId, Fields};

/// A request that is ready to be sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) route: Route,
    pub(super) target: Target,
    pub(super) body: Option<Body>,
    /// The personal texts of the request: an error of upstream can echo them, and they are
    /// redacted from logs.
    pub(super) personal_data: Vec<String>,
}

/// A body with its Content-Type.
pub(super) struct Body {
    pub(super) content_type: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// Leaves out the content, which holds the License.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({}, {} bytes)", self.content_type, self.bytes.len())
    }
}

/// What the values of one request are taken from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) license: &'a str,
    pub(super) content_id: Option<i32>,
    pub(super) feature_name: &'a str,
    pub(super) account: Option<AccountId>,
    /// 0 for a new number of a posted list.
    pub(super) number: Option<i32>,
    pub(super) fields: Option<&'a Fields>,
    pub(super) delete_forward: Option<bool>,
}

impl<'a> Source<'a> {
    pub(super) fn new(tenant: &'a Tenant) -> Self {
        Self {
            license: tenant.license.expose(),
            content_id: tenant.content_id,
            feature_name: tenant.feature_name.as_deref().unwrap_or_default(),
            account: None,
            number: None,
            fields: None,
            delete_forward: None,
        }
    }

    fn text(&self, get: fn(&Fields) -> &String) -> Value<'a> {
        self.fields
            .map_or(Value::Absent, |fields| Value::Text(get(fields)))
    }

    fn int(&self, get: fn(&Fields) -> Option<i32>) -> Value<'a> {
        self.fields.and_then(get).into()
    }
}

/// The value of a property. An absent one is never sent as a default: upstream would store that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Absent,
    Int(i32),
    Bool(bool),
    Text(&'a str),
}

impl From<Option<i32>> for Value<'_> {
    fn from(value: Option<i32>) -> Self {
        value.map_or(Self::Absent, Self::Int)
    }
}

impl From<Option<bool>> for Value<'_> {
    fn from(value: Option<bool>) -> Self {
        value.map_or(Self::Absent, Self::Bool)
    }
}

impl Value<'_> {
    /// Returns the text of a path segment or query value; an absent value is empty.
    pub(super) fn in_target(self) -> String {
        match self {
            Self::Absent => String::new(),
            Self::Int(value) => value.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::Text(text) => text.to_owned(),
        }
    }

    /// Returns the text of a field of a CSV or form body, as .NET writes it.
    pub(super) fn in_body(self) -> String {
        match self {
            Self::Bool(true) => "True".to_owned(),
            Self::Bool(false) => "False".to_owned(),
            value => value.in_target(),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent => serializer.serialize_unit(),
            Self::Int(value) => serializer.serialize_i32(*value),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

/// A property of the request object `PortaFollowMe`.
pub(super) struct Property {
    /// The exact name on the page: with another case, a query value does not erase a path value
    /// (docs/upstream/wire.md 6).
    pub(super) name: &'static str,
    /// Where the value comes from, for the documentation.
    pub(super) from: &'static str,
    pub(super) value: for<'a> fn(&Source<'a>) -> Value<'a>,
}

/// All properties, in the order of the metadata page.
#[rustfmt::skip]
pub(super) static PROPERTIES: [Property; 17] = [
    Property { name: "IAccount", from: "`account_id`", value: |s| s.account.map(AccountId::value).into() },
    Property { name: "IFollowMeNumber", from: "`number_id`", value: |s| s.number.into() },
    Property { name: "TimeOut", from: "`FollowMeNumber.ring_timeout`", value: |s| s.int(|f| f.ring_timeout) },
    Property { name: "Domain", from: "`FollowMeNumber.domain`", value: |s| s.text(|f| &f.domain) },
    Property { name: "Name", from: "`FollowMeNumber.name`", value: |s| s.text(|f| &f.name) },
    Property { name: "FollowMeOrder", from: "`FollowMeNumber.order`", value: |s| s.int(|f| f.order) },
    Property { name: "RedirectNumber", from: "`FollowMeNumber.redirect_number`", value: |s| s.text(|f| &f.redirect_number) },
    Property { name: "KeepOriginalCld", from: "`FollowMeNumber.keep_original_cld`", value: |s| s.text(|f| &f.keep_original_cld) },
    Property { name: "KeepOriginalCLI", from: "`FollowMeNumber.caller_id_mode`", value: |s| s.text(|f| &f.keep_original_cli) },
    Property { name: "Active", from: "`FollowMeNumber.active`", value: |s| s.text(|f| &f.active) },
    Property { name: "Period", from: "`FollowMeNumber.period`", value: |s| s.text(|f| &f.period) },
    Property { name: "Period_desc", from: "`FollowMeNumber.period_description`", value: |s| s.text(|f| &f.period_description) },
    Property { name: "Status", from: "`FollowMeNumber.status`", value: |s| s.fields.and_then(|f| f.status).into() },
    Property { name: "isDeleteForward", from: "`DeleteRequest.delete_forward`", value: |s| s.delete_forward.into() },
    Property { name: "License", from: "configuration, or metadata `x-porta-license`", value: |s| Value::Text(s.license) },
    Property { name: "ContentId", from: "`upstream.content_id`, or metadata `x-porta-content-id`", value: |s| s.content_id.into() },
    Property { name: "FeatureName", from: "`upstream.feature_name`, or metadata `x-porta-feature-name`", value: |s| Value::Text(s.feature_name) },
];

/// Returns the personal texts of a number.
pub(super) fn personal_data(fields: &Fields) -> Vec<String> {
    [
        &fields.redirect_number,
        &fields.name,
        &fields.period_description,
    ]
    .into_iter()
    .filter(|text| !text.is_empty())
    .cloned()
    .collect()
}
