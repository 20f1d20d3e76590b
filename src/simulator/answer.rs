//! The response object of the service, member for member as on the page.

use super::{
    request_object::{Property, RequestObject},
    service::Outcome,
    store::{Settings, StoredNumber},
    value::Value,
};

/// The response object.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) numbers: Value,
    pub(crate) info: Value,
    pub(crate) success: bool,
    license: Value,
    content_id: Value,
    feature_name: Value,
}

impl Default for Answer {
    fn default() -> Self {
        Self::new(&Outcome::default(), &RequestObject::default())
    }
}

impl Answer {
    /// Makes the answer to a call: the outcome, and the License and context of the request.
    pub(crate) fn new(outcome: &Outcome, bound: &RequestObject) -> Self {
        let settings = outcome.settings.as_ref();
        let list = |numbers: &Vec<StoredNumber>| {
            let element = |number| element(number, outcome.account, settings);
            numbers.iter().map(element).collect::<Vec<_>>()
        };
        let info = |settings: &Settings| {
            Value::Object(vec![
                ("i_follow_me", settings.i_follow_me.into()),
                ("sequence", settings.sequence.clone().into()),
                ("timeout", settings.timeout.into()),
                ("SipStatus", settings.sip_status.into()),
            ])
        };
        Self {
            numbers: outcome.numbers.as_ref().map(list).into(),
            info: settings.map(info).into(),
            success: outcome.success,
            license: bound.value(Property::License),
            content_id: bound.value(Property::ContentId),
            feature_name: bound.value(Property::FeatureName),
        }
    }

    /// Returns the elements of the list, none where the list is null.
    pub(crate) fn elements(&mut self) -> &mut [Value] {
        match &mut self.numbers {
            Value::List(elements) => elements,
            _ => &mut [],
        }
    }

    /// Returns the members in the order of the page.
    pub(crate) fn members(&self) -> [(&'static str, Value); 6] {
        [
            ("FollowMeNumbers", self.numbers.clone()),
            ("FollowMeinfo", self.info.clone()),
            ("success", self.success.into()),
            ("License", self.license.clone()),
            ("ContentId", self.content_id.clone()),
            ("FeatureName", self.feature_name.clone()),
        ]
    }
}

fn element(number: &StoredNumber, account: i32, settings: Option<&Settings>) -> Value {
    let StoredNumber { order, timeout, .. } = *number;
    let text = |text: &Option<String>| Value::from(text.clone());
    Value::Object(vec![
        ("i_account", account.into()),
        ("redirect_number", text(&number.redirect_number)),
        (
            "i_follow_me",
            settings.map_or(0, |settings| settings.i_follow_me).into(),
        ),
        ("i_follow_meSpecified", settings.is_some().into()),
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
