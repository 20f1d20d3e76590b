//! Conversions of numbers, settings and sets of fields.

use crate::{
    domain::{AccountId, Field, FieldSet, Fields, Number, NumberId, Settings},
    journal::body,
    operations::NumberView,
};

pub(super) fn view_to_body(view: &NumberView) -> body::Number {
    match view {
        NumberView::Stored(number) => number_to_body(number),
        NumberView::Planned(_, fields) => body::Number {
            fields: Some(fields_to_body(fields)),
            ..Default::default()
        },
    }
}

pub(super) fn view_from_body(number: body::Number, account: AccountId) -> NumberView {
    let fields = number.fields.clone();
    match number_from_body(number, account) {
        Some(number) => NumberView::Stored(number),
        None => NumberView::Planned(account, fields_from_body(fields)),
    }
}

pub(super) fn number_to_body(number: &Number) -> body::Number {
    body::Number {
        id: number.id.value(),
        follow_me_id: number.follow_me_id,
        fields: Some(fields_to_body(&number.fields)),
        unreadable: number
            .unreadable
            .iter()
            .map(|(field, text)| body::Unreadable {
                field: (*field).to_owned(),
                text: text.clone(),
            })
            .collect(),
    }
}

pub(super) fn number_from_body(number: body::Number, account: AccountId) -> Option<Number> {
    Some(Number {
        account_id: account,
        id: NumberId::new(number.id)?,
        follow_me_id: number.follow_me_id,
        fields: fields_from_body(number.fields),
        unreadable: number
            .unreadable
            .into_iter()
            .filter_map(|raw| Some((unreadable_field(&raw.field)?, raw.text)))
            .collect(),
    })
}

/// Returns the static name of a field of upstream's lists that can be unreadable.
fn unreadable_field(name: &str) -> Option<&'static str> {
    ["i_follow_me", "i_follow_order", "timeout", "status"]
        .into_iter()
        .find(|known| *known == name)
}

pub(super) fn settings_to_body(settings: &Settings) -> body::Settings {
    body::Settings {
        follow_me_id: settings.follow_me_id,
        sequence: settings.sequence.clone(),
        ring_timeout: settings.ring_timeout,
        sip_status: settings.sip_status,
    }
}

pub(super) fn settings_from_body(settings: body::Settings) -> Settings {
    Settings {
        follow_me_id: settings.follow_me_id,
        sequence: settings.sequence,
        ring_timeout: settings.ring_timeout,
        sip_status: settings.sip_status,
    }
}

pub(super) fn fields_to_body(fields: &Fields) -> body::Fields {
    body::Fields {
        name: fields.name.clone(),
        redirect_number: fields.redirect_number.clone(),
        domain: fields.domain.clone(),
        order: fields.order,
        ring_timeout: fields.ring_timeout,
        active: fields.active.clone(),
        keep_original_cld: fields.keep_original_cld.clone(),
        keep_original_cli: fields.keep_original_cli.clone(),
        period: fields.period.clone(),
        period_description: fields.period_description.clone(),
        status: fields.status,
    }
}

pub(super) fn fields_from_body(fields: Option<body::Fields>) -> Fields {
    let fields = fields.unwrap_or_default();
    Fields {
        name: fields.name,
        redirect_number: fields.redirect_number,
        domain: fields.domain,
        order: fields.order,
        ring_timeout: fields.ring_timeout,
        active: fields.active,
        keep_original_cld: fields.keep_original_cld,
        keep_original_cli: fields.keep_original_cli,
        period: fields.period,
        period_description: fields.period_description,
        status: fields.status,
    }
}

/// Returns a set as bits, by the order of the contract, which only grows.
pub(super) fn bits(fields: FieldSet) -> u32 {
    let all = FieldSet::all();
    all.iter()
        .enumerate()
        .filter(|(_, field)| fields.contains(*field))
        .fold(0, |bits, (at, _)| bits | 1 << at)
}

pub(super) fn set(bits: u32) -> FieldSet {
    let all = FieldSet::all();
    let set = all.iter().enumerate();
    set.filter(|(at, _)| bits & 1 << at != 0)
        .map(|(_, field): (usize, Field)| field)
        .collect()
}

pub(super) fn values(ids: &[NumberId]) -> Vec<i32> {
    ids.iter().map(|id| id.value()).collect()
}

pub(super) fn ids(values: &[i32]) -> Vec<NumberId> {
    values.iter().filter_map(|id| NumberId::new(*id)).collect()
}
