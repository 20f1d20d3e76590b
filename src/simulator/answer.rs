//! The response object of the service, member for member as on the page.

use super::{
    framework::{Property, RequestObject, Value},
    service::Outcome,
    store::{Settings, StoredNumber},
};

/// The member that holds the list.
pub(crate) const NUMBERS: &str = "FollowMeNumbers";

/// Makes the response object: the outcome of a call, and the License and context of its request.
pub(crate) fn response(outcome: &Outcome, bound: &RequestObject) -> Value {
    let settings = outcome.settings.as_ref();
    let element = |number| element(number, outcome.account, settings);
    let numbers = outcome.numbers.as_ref();
    let numbers = numbers.map(|numbers| numbers.iter().map(element).collect::<Vec<_>>());
    Value::Object(vec![
        (NUMBERS, numbers.into()),
        ("FollowMeinfo", settings.map(info).into()),
        ("success", outcome.success.into()),
        ("License", bound.value(Property::License)),
        ("ContentId", bound.value(Property::ContentId)),
        ("FeatureName", bound.value(Property::FeatureName)),
    ])
}

fn info(settings: &Settings) -> Value {
    Value::Object(vec![
        ("i_follow_me", settings.i_follow_me.into()),
        ("sequence", settings.sequence.clone().into()),
        ("timeout", settings.timeout.into()),
        ("SipStatus", settings.sip_status.into()),
    ])
}

fn element(number: &StoredNumber, account: i32, settings: Option<&Settings>) -> Value {
    let StoredNumber { order, timeout, .. } = *number;
    let list = settings.map(|settings| settings.i_follow_me);
    let text = |text: &Option<String>| Value::from(text.as_deref());
    Value::Object(vec![
        ("i_account", account.into()),
        ("redirect_number", text(&number.redirect_number)),
        ("i_follow_me", list.unwrap_or(0).into()),
        ("i_follow_meSpecified", list.is_some().into()),
        ("i_follow_me_number", number.id.into()),
        ("name", text(&number.name)),
        ("i_follow_orderSpecified", order.is_some().into()),
        ("i_follow_order", order.unwrap_or(0).into()),
        ("domain", text(&number.domain)),
        ("timeout", timeout.unwrap_or(0).into()),
        ("timeoutSpecified", timeout.is_some().into()),
        ("keep_original_cld", text(&number.keep_original_cld)),
        ("keep_original_cli", text(&number.keep_original_cli)),
        ("period", text(&number.period)),
        ("period_description", text(&number.period_description)),
        ("active", text(&number.active)),
        ("status", number.status.into()),
    ])
}
