//! The answer of the service as it is written, member for member as on the page.

use std::fmt::Write as _;

use serde::Serialize;

use super::bound::Bound;
use super::faults::Odd;
use super::formats::{escape_xml, xml_start};
use super::options::Dialect;
use super::service::Outcome;
use super::store::{Settings, StoredNumber};

/// Holds the response object; None is null.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Answer {
    #[serde(rename = "FollowMeNumbers", skip_serializing_if = "Option::is_none")]
    pub(crate) numbers: Option<Vec<Element>>,
    #[serde(rename = "FollowMeinfo", skip_serializing_if = "Option::is_none")]
    pub(crate) info: Option<Info>,
    pub(crate) success: bool,
    #[serde(rename = "License", skip_serializing_if = "Option::is_none")]
    pub(crate) license: Option<String>,
    #[serde(rename = "ContentId")]
    pub(crate) content_id: i32,
    #[serde(rename = "FeatureName", skip_serializing_if = "Option::is_none")]
    pub(crate) feature_name: Option<String>,
}

/// Holds the settings of the list.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Info {
    i_follow_me: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<String>,
    timeout: i32,
    #[serde(rename = "SipStatus")]
    sip_status: bool,
}

/// Is an integer, or text in its place for a fault.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Number {
    Int(i32),
    Text(&'static str),
}

/// Holds one number of the list. All members are optional so that a null element is `{}`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Element {
    #[serde(skip_serializing_if = "Option::is_none")]
    i_account: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    i_follow_me: Option<i32>,
    #[serde(
        rename = "i_follow_meSpecified",
        skip_serializing_if = "Option::is_none"
    )]
    i_follow_me_specified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    i_follow_me_number: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(
        rename = "i_follow_orderSpecified",
        skip_serializing_if = "Option::is_none"
    )]
    i_follow_order_specified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    i_follow_order: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Number>,
    #[serde(rename = "timeoutSpecified", skip_serializing_if = "Option::is_none")]
    timeout_specified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_original_cld: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_original_cli: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    period_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<bool>,
}

impl Element {
    fn new(number: &StoredNumber, account: i32, settings: Option<&Settings>) -> Self {
        let number = number.clone();
        Self {
            i_account: Some(account),
            redirect_number: number.redirect_number,
            i_follow_me: Some(settings.map_or(0, |settings| settings.i_follow_me)),
            i_follow_me_specified: Some(settings.is_some()),
            i_follow_me_number: Some(number.id),
            name: number.name,
            i_follow_order_specified: Some(number.order.is_some()),
            i_follow_order: Some(number.order.unwrap_or(0)),
            domain: number.domain,
            timeout: Some(Number::Int(number.timeout.unwrap_or(0))),
            timeout_specified: Some(number.timeout.is_some()),
            keep_original_cld: number.keep_original_cld,
            keep_original_cli: number.keep_original_cli,
            period: number.period,
            period_description: number.period_description,
            active: number.active,
            status: Some(number.status),
        }
    }

    /// Makes the element odd in the given way.
    pub(crate) fn make_odd(&mut self, odd: Odd) {
        match odd {
            Odd::Null => *self = Self::default(),
            Odd::NoId => self.i_follow_me_number = None,
            Odd::ZeroId => self.i_follow_me_number = Some(0),
            Odd::OtherAccount => self.i_account = self.i_account.map(|id| id.wrapping_add(1)),
            Odd::TextTimeout => self.timeout = Some(Number::Text("soon")),
        }
    }
}

impl Answer {
    /// Makes the answer to a call: the outcome, and the request's License and context echoed.
    pub(crate) fn new(outcome: &Outcome, bound: &Bound) -> Self {
        let settings = outcome.settings.as_ref();
        Self {
            numbers: outcome.numbers.as_ref().map(|numbers| {
                numbers
                    .iter()
                    .map(|number| Element::new(number, outcome.account, settings))
                    .collect()
            }),
            info: settings.map(|settings| Info {
                i_follow_me: settings.i_follow_me,
                sequence: settings.sequence.clone(),
                timeout: settings.timeout,
                sip_status: settings.sip_status,
            }),
            success: outcome.success,
            license: bound.license.clone(),
            content_id: bound.content_id,
            feature_name: bound.feature_name.clone(),
        }
    }

    /// Writes the answer as XML: inherited members first, each class's members by name.
    pub(crate) fn to_xml(&self, dialect: Dialect) -> String {
        let mut xml = xml_start(dialect).to_owned();
        xml.push_str(
            "<PortaFollowMeResponse xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xmlns=\"http://schemas.datacontract.org/2004/07/Porta\">",
        );
        let _ = write!(xml, "<ContentId>{}</ContentId>", self.content_id);
        text(&mut xml, "FeatureName", self.feature_name.as_deref());
        text(&mut xml, "License", self.license.as_deref());
        match &self.numbers {
            None => text(&mut xml, "FollowMeNumbers", None),
            Some(numbers) if numbers.is_empty() => xml.push_str("<FollowMeNumbers />"),
            Some(numbers) => {
                xml.push_str("<FollowMeNumbers>");
                for number in numbers {
                    xml.push_str("<follow_me_number>");
                    members(&mut xml, number);
                    xml.push_str("</follow_me_number>");
                }
                xml.push_str("</FollowMeNumbers>");
            }
        }
        match &self.info {
            None => text(&mut xml, "FollowMeinfo", None),
            Some(info) => {
                xml.push_str("<FollowMeinfo>");
                members(&mut xml, info);
                xml.push_str("</FollowMeinfo>");
            }
        }
        let _ = write!(
            xml,
            "<success>{}</success></PortaFollowMeResponse>",
            self.success
        );
        xml
    }
}

/// Writes the members of an object in the order of their names; serde_json's map sorts them.
fn members<T: Serialize>(xml: &mut String, object: &T) {
    if let Ok(serde_json::Value::Object(members)) = serde_json::to_value(object) {
        for (name, value) in members {
            match value {
                serde_json::Value::String(value) => text(xml, &name, Some(&value)),
                other => text(xml, &name, Some(&other.to_string())),
            }
        }
    }
}

fn text(xml: &mut String, name: &str, value: Option<&str>) {
    let _ = match value {
        Some(value) => write!(xml, "<{name}>{}</{name}>", escape_xml(value)),
        None => write!(xml, "<{name} i:nil=\"true\" />"),
    };
}
