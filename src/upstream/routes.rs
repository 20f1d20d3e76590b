//! The ten routes of the metadata page, as far as an honest client uses them, and their requests.

use serde::Serialize;

use super::{
    Error, Tenant, UnsafeValues,
    target::{Builder, Target},
};
use crate::{
    domain::{AccountId, Fields, NumberId},
    format::csv::{self, Field, Newline},
};

/// A route of the metadata page. The 8-value add is not among them: it always answers 400
/// (docs/upstream/wire.md 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the template says it")]
pub enum Route {
    List,
    Get,
    Add7,
    Add9,
    Update8,
    Update9,
    UpdateAll,
    Delete2,
    Delete4,
}

impl Route {
    /// Returns the route as the metadata page writes it: the `url.template` of telemetry.
    #[must_use]
    pub fn template(self) -> &'static str {
        match self {
            Self::List => "/getfollowmes/{License}/{IAccount}",
            Self::Get => "/getafollowme/{License}/{IAccount}/{IFollowMeNumber}",
            Self::Add7 => {
                "/addfollowme/{License}/{IAccount}/{TimeOut}/{Name}/{FollowMeOrder}/{RedirectNumber}/{Active}"
            }
            Self::Add9 => {
                "/addfollowme/{License}/{IAccount}/{TimeOut}/{Domain}/{Name}/{FollowMeOrder}/{RedirectNumber}/{Active}/{KeepOriginalCld}"
            }
            Self::Update8 => {
                "/updatefollowme/{License}/{IAccount}/{IFollowMeNumber}/{TimeOut}/{Name}/{FollowMeOrder}/{RedirectNumber}/{Active}"
            }
            Self::Update9 => {
                "/updatefollowme/{License}/{IAccount}/{IFollowMeNumber}/{TimeOut}/{Domain}/{Name}/{FollowMeOrder}/{RedirectNumber}/{Active}"
            }
            Self::UpdateAll => "/UpdateFollowmeAll",
            Self::Delete2 => "/deletefollowme/{License}/{IFollowMeNumber}",
            Self::Delete4 => {
                "/deletefollowme/{License}/{IFollowMeNumber}/{IAccount}/{isDeleteForward}"
            }
        }
    }

    /// Tells whether the route changes something.
    #[must_use]
    pub fn writes(self) -> bool {
        !matches!(self, Self::List | Self::Get)
    }
}

/// A request that is ready to go.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) route: Route,
    pub(super) target: Target,
    pub(super) body: Option<Body>,
    /// The personal texts that it holds: an error of upstream can echo them, and no log may.
    pub(super) personal_data: Vec<String>,
}

/// A body with its Content-Type.
pub(super) struct Body {
    pub(super) content_type: &'static str,
    pub(super) bytes: Vec<u8>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It holds the License.
        write!(f, "Body({}, {} bytes)", self.content_type, self.bytes.len())
    }
}

/// Starts a GET: the literal and the License.
fn get(
    route: Route,
    literal: &'static str,
    unsafe_values: UnsafeValues,
    tenant: &Tenant,
) -> Builder {
    Builder::new(route, literal, unsafe_values).segment("License", tenant.license.expose())
}

/// Returns the personal texts of a number.
fn personal_data(fields: &Fields) -> Vec<String> {
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

fn finish(route: Route, builder: Builder, tenant: &Tenant) -> Result<Request, Error> {
    let target = builder
        .query(
            "ContentId",
            tenant.content_id.map_or(String::new(), |id| id.to_string()),
        )
        .query(
            "FeatureName",
            tenant.feature_name.as_deref().unwrap_or_default(),
        )
        .build()?;
    Ok(Request {
        route,
        target,
        body: None,
        personal_data: Vec::new(),
    })
}

pub(super) fn list(
    tenant: &Tenant,
    unsafe_values: UnsafeValues,
    account: AccountId,
) -> Result<Request, Error> {
    let route = Route::List;
    let builder = get(route, "getfollowmes", unsafe_values, tenant).segment("IAccount", account);
    finish(route, builder, tenant)
}

pub(super) fn get_one(
    tenant: &Tenant,
    unsafe_values: UnsafeValues,
    account: AccountId,
    id: NumberId,
) -> Result<Request, Error> {
    let route = Route::Get;
    let builder = get(route, "getafollowme", unsafe_values, tenant)
        .segment("IAccount", account)
        .segment("IFollowMeNumber", id);
    finish(route, builder, tenant)
}

/// Builds an add: with 9 values when domain and flag are both set, else with 7, never with 8
/// (docs/upstream/wire.md 5). What the path does not carry goes as query values
/// (docs/upstream/domain.md 4).
pub(super) fn add(
    tenant: &Tenant,
    unsafe_values: UnsafeValues,
    account: AccountId,
    fields: &Fields,
) -> Result<Request, Error> {
    let nine = !fields.domain.is_empty() && !fields.keep_original_cld.is_empty();
    let route = if nine { Route::Add9 } else { Route::Add7 };
    let mut builder = get(route, "addfollowme", unsafe_values, tenant)
        .segment("IAccount", account)
        .segment("TimeOut", fields.ring_timeout.unwrap_or(0));
    if nine {
        builder = builder.segment("Domain", &fields.domain);
    }
    builder = common(builder, fields);
    builder = if nine {
        builder.segment("KeepOriginalCld", &fields.keep_original_cld)
    } else {
        builder
            .query("Domain", &fields.domain)
            .query("KeepOriginalCld", &fields.keep_original_cld)
    };
    let request = finish(route, rest(builder, fields), tenant)?;
    Ok(Request {
        personal_data: personal_data(fields),
        ..request
    })
}

/// Builds an update: with 9 values when a domain is set, else with 8.
pub(super) fn update(
    tenant: &Tenant,
    unsafe_values: UnsafeValues,
    account: AccountId,
    id: NumberId,
    fields: &Fields,
) -> Result<Request, Error> {
    let nine = !fields.domain.is_empty();
    let route = if nine { Route::Update9 } else { Route::Update8 };
    let mut builder = get(route, "updatefollowme", unsafe_values, tenant)
        .segment("IAccount", account)
        .segment("IFollowMeNumber", id)
        .segment("TimeOut", fields.ring_timeout.unwrap_or(0));
    if nine {
        builder = builder.segment("Domain", &fields.domain);
    }
    builder = common(builder, fields).query("KeepOriginalCld", &fields.keep_original_cld);
    let request = finish(route, rest(builder, fields), tenant)?;
    Ok(Request {
        personal_data: personal_data(fields),
        ..request
    })
}

/// The values that stand in the same order in each path of add and update.
fn common(builder: Builder, fields: &Fields) -> Builder {
    builder
        .segment("Name", &fields.name)
        .segment("FollowMeOrder", fields.order.unwrap_or(0))
        .segment("RedirectNumber", &fields.redirect_number)
        .segment("Active", &fields.active)
}

/// The values that no path of add and update carries.
fn rest(builder: Builder, fields: &Fields) -> Builder {
    builder
        .query("KeepOriginalCLI", &fields.keep_original_cli)
        .query("Period", &fields.period)
        .query("Period_desc", &fields.period_description)
        .query(
            "Status",
            fields
                .status
                .map_or("", |status| if status { "true" } else { "false" }),
        )
}

/// Builds a delete: with 4 values and `true` when `delete_forward`, else with 2. The 4-value one is
/// never sent with `false` (docs/upstream/domain.md 4).
pub(super) fn delete(
    tenant: &Tenant,
    unsafe_values: UnsafeValues,
    account: AccountId,
    id: NumberId,
    delete_forward: bool,
) -> Result<Request, Error> {
    let route = if delete_forward {
        Route::Delete4
    } else {
        Route::Delete2
    };
    let mut builder =
        get(route, "deletefollowme", unsafe_values, tenant).segment("IFollowMeNumber", id);
    if delete_forward {
        builder = builder
            .segment("IAccount", account)
            .segment("isDeleteForward", "true");
    }
    finish(route, builder, tenant)
}

/// A way to write the body of a POST (docs/upstream/wire.md 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFormat {
    Csv,
    Json,
    Form,
}

/// One record of `UpdateFollowmeAll`: all 17 properties of the metadata page, in its order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    i_account: i32,
    i_follow_me_number: i32,
    time_out: i32,
    domain: &'a str,
    name: &'a str,
    follow_me_order: i32,
    redirect_number: &'a str,
    keep_original_cld: &'a str,
    #[serde(rename = "KeepOriginalCLI")]
    keep_original_cli: &'a str,
    active: &'a str,
    period: &'a str,
    #[serde(rename = "Period_desc")]
    period_desc: &'a str,
    status: bool,
    #[serde(rename = "isDeleteForward")]
    is_delete_forward: bool,
    license: &'a str,
    content_id: i32,
    feature_name: &'a str,
}

impl<'a> Record<'a> {
    const HEADER: [&'static str; 17] = [
        "IAccount",
        "IFollowMeNumber",
        "TimeOut",
        "Domain",
        "Name",
        "FollowMeOrder",
        "RedirectNumber",
        "KeepOriginalCld",
        "KeepOriginalCLI",
        "Active",
        "Period",
        "Period_desc",
        "Status",
        "isDeleteForward",
        "License",
        "ContentId",
        "FeatureName",
    ];

    fn new(
        tenant: &'a Tenant,
        account: AccountId,
        id: Option<NumberId>,
        fields: &'a Fields,
    ) -> Self {
        Self {
            i_account: account.value(),
            i_follow_me_number: id.map_or(0, NumberId::value),
            time_out: fields.ring_timeout.unwrap_or(0),
            domain: &fields.domain,
            name: &fields.name,
            follow_me_order: fields.order.unwrap_or(0),
            redirect_number: &fields.redirect_number,
            keep_original_cld: &fields.keep_original_cld,
            keep_original_cli: &fields.keep_original_cli,
            active: &fields.active,
            period: &fields.period,
            period_desc: &fields.period_description,
            status: fields.status.unwrap_or(false),
            is_delete_forward: false,
            license: tenant.license.expose(),
            content_id: tenant.content_id.unwrap_or(0),
            feature_name: tenant.feature_name.as_deref().unwrap_or_default(),
        }
    }

    /// Returns the values as texts. Integers and booleans are never empty, since the framework's
    /// CSV reader refuses those (docs/upstream/wire.md 7).
    fn texts(&self) -> [String; 17] {
        let bool = |value: bool| (if value { "True" } else { "False" }).to_owned();
        [
            self.i_account.to_string(),
            self.i_follow_me_number.to_string(),
            self.time_out.to_string(),
            self.domain.to_owned(),
            self.name.to_owned(),
            self.follow_me_order.to_string(),
            self.redirect_number.to_owned(),
            self.keep_original_cld.to_owned(),
            self.keep_original_cli.to_owned(),
            self.active.to_owned(),
            self.period.to_owned(),
            self.period_desc.to_owned(),
            bool(self.status),
            bool(self.is_delete_forward),
            self.license.to_owned(),
            self.content_id.to_string(),
            self.feature_name.to_owned(),
        ]
    }
}

/// Builds a `POST /UpdateFollowmeAll`. The License stands in the body only. Several records need
/// CSV: no other body of this object can hold them.
pub(super) fn update_all(
    tenant: &Tenant,
    account: AccountId,
    numbers: &[(Option<NumberId>, &Fields)],
    format: BodyFormat,
) -> Result<Request, Error> {
    let route = Route::UpdateAll;
    let mut records = numbers
        .iter()
        .map(|(id, fields)| Record::new(tenant, account, *id, fields));
    let body = match format {
        BodyFormat::Csv => {
            let mut text = String::with_capacity(512);
            csv::write_record(&mut text, Record::HEADER.map(Field::Text), Newline::CrLf);
            for record in records {
                let texts = record.texts();
                csv::write_record(
                    &mut text,
                    texts.iter().map(|text| Field::Text(text)),
                    Newline::CrLf,
                );
            }
            Body {
                content_type: "text/csv",
                bytes: text.into_bytes(),
            }
        }
        BodyFormat::Json => Body {
            content_type: "application/json",
            // Strings, integers and booleans always serialize.
            bytes: records
                .next()
                .and_then(|record| serde_json::to_vec(&record).ok())
                .unwrap_or_default(),
        },
        BodyFormat::Form => {
            let texts = records.next().map(|record| record.texts());
            let pairs = Record::HEADER
                .iter()
                .zip(texts.iter().flatten())
                .filter(|(_, text)| !text.is_empty());
            Body {
                content_type: "application/x-www-form-urlencoded",
                bytes: super::target::form(pairs).into_bytes(),
            }
        }
    };
    let target = Builder::new(route, "UpdateFollowmeAll", UnsafeValues::Query).build()?;
    Ok(Request {
        route,
        target,
        body: Some(body),
        personal_data: numbers
            .iter()
            .flat_map(|(_, fields)| personal_data(fields))
            .collect(),
    })
}
