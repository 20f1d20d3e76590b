//! The codecs against what the real framework wrote and read, and against anything at all.

use std::borrow::Cow;

use followme::{
    format::jsv,
    simulator::{self, Newline, write_record},
};
use serde::Deserialize;
use serde_json::Value;

mod captured;
mod csv_reader;
mod jsv_reader;
mod jsv_types;
mod jsv_writer;
mod properties;

/// The element of `FollowMeNumbers`, in the order of the metadata page.
#[derive(Deserialize, Debug, Default, Clone, PartialEq)]
#[serde(default)]
struct Number<'a> {
    i_account: i32,
    #[serde(borrow, deserialize_with = "jsv::text")]
    redirect_number: Option<Cow<'a, str>>,
    i_follow_me: i32,
    #[serde(rename = "i_follow_meSpecified")]
    i_follow_me_specified: bool,
    i_follow_me_number: i32,
    #[serde(borrow, deserialize_with = "jsv::text")]
    name: Option<Cow<'a, str>>,
    #[serde(rename = "i_follow_orderSpecified")]
    i_follow_order_specified: bool,
    i_follow_order: i32,
    #[serde(borrow, deserialize_with = "jsv::text")]
    domain: Option<Cow<'a, str>>,
    timeout: i32,
    #[serde(rename = "timeoutSpecified")]
    timeout_specified: bool,
    #[serde(borrow, deserialize_with = "jsv::text")]
    keep_original_cld: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "jsv::text")]
    keep_original_cli: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "jsv::text")]
    period: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "jsv::text")]
    period_description: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "jsv::text")]
    active: Option<Cow<'a, str>>,
    status: bool,
}

/// `FollowMeinfo`.
#[derive(Deserialize, Debug, Default, Clone, PartialEq)]
#[serde(default)]
struct Info<'a> {
    i_follow_me: i32,
    #[serde(borrow, deserialize_with = "jsv::text")]
    sequence: Option<Cow<'a, str>>,
    timeout: i32,
    #[serde(rename = "SipStatus")]
    sip_status: bool,
}

/// A number or an info as the simulator's writer takes it.
trait ToValue {
    fn to_value(&self) -> simulator::Value;
}

fn optional(text: &Option<Cow<str>>) -> simulator::Value {
    text.as_deref().into()
}

impl ToValue for Number<'_> {
    fn to_value(&self) -> simulator::Value {
        simulator::Value::Object(vec![
            ("i_account", self.i_account.into()),
            ("redirect_number", optional(&self.redirect_number)),
            ("i_follow_me", self.i_follow_me.into()),
            ("i_follow_meSpecified", self.i_follow_me_specified.into()),
            ("i_follow_me_number", self.i_follow_me_number.into()),
            ("name", optional(&self.name)),
            (
                "i_follow_orderSpecified",
                self.i_follow_order_specified.into(),
            ),
            ("i_follow_order", self.i_follow_order.into()),
            ("domain", optional(&self.domain)),
            ("timeout", self.timeout.into()),
            ("timeoutSpecified", self.timeout_specified.into()),
            ("keep_original_cld", optional(&self.keep_original_cld)),
            ("keep_original_cli", optional(&self.keep_original_cli)),
            ("period", optional(&self.period)),
            ("period_description", optional(&self.period_description)),
            ("active", optional(&self.active)),
            ("status", self.status.into()),
        ])
    }
}

impl ToValue for Info<'_> {
    fn to_value(&self) -> simulator::Value {
        simulator::Value::Object(vec![
            ("i_follow_me", self.i_follow_me.into()),
            ("sequence", optional(&self.sequence)),
            ("timeout", self.timeout.into()),
            ("SipStatus", self.sip_status.into()),
        ])
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> simulator::Value {
        self.as_ref().map(ToValue::to_value).into()
    }
}

impl<T: ToValue> ToValue for Vec<T> {
    fn to_value(&self) -> simulator::Value {
        simulator::Value::List(self.iter().map(ToValue::to_value).collect())
    }
}

const COLUMNS: [&str; 6] = [
    "FollowMeNumbers",
    "FollowMeinfo",
    "success",
    "License",
    "ContentId",
    "FeatureName",
];

/// Writes a whole answer as the framework does.
fn write_answer(fields: [&str; 6], newline: Newline) -> String {
    let mut body = String::new();
    write_record(&mut body, COLUMNS, newline);
    write_record(&mut body, fields, newline);
    body
}

/// A JSON member as text: `None` where it is null or absent.
fn text<'v>(value: &'v Value, key: &str) -> Option<Cow<'v, str>> {
    value[key].as_str().map(Cow::Borrowed)
}
