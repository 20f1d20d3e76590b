//! The records inside an answer, as the framework writes them (docs/upstream/wire.md 2, 3).

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;

use crate::{
    domain::{AccountId, Fields, Number, NumberId, Settings},
    format::jsv,
};

/// An element of `FollowMeNumbers`. Every member is read as text, so that one odd value never
/// fails a read; an absent member and an empty one are one (docs/upstream/wire.md 10.11).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NumberRecord<'a> {
    #[serde(borrow)]
    i_account: Cow<'a, str>,
    #[serde(borrow)]
    redirect_number: Cow<'a, str>,
    #[serde(borrow)]
    i_follow_me: Cow<'a, str>,
    #[serde(borrow, rename = "i_follow_meSpecified")]
    i_follow_me_specified: Cow<'a, str>,
    #[serde(borrow)]
    i_follow_me_number: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, rename = "i_follow_orderSpecified")]
    i_follow_order_specified: Cow<'a, str>,
    #[serde(borrow)]
    i_follow_order: Cow<'a, str>,
    #[serde(borrow)]
    domain: Cow<'a, str>,
    #[serde(borrow)]
    timeout: Cow<'a, str>,
    #[serde(borrow, rename = "timeoutSpecified")]
    timeout_specified: Cow<'a, str>,
    #[serde(borrow)]
    keep_original_cld: Cow<'a, str>,
    #[serde(borrow)]
    keep_original_cli: Cow<'a, str>,
    #[serde(borrow)]
    period: Cow<'a, str>,
    #[serde(borrow)]
    period_description: Cow<'a, str>,
    #[serde(borrow)]
    active: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
}

/// `FollowMeinfo`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InfoRecord<'a> {
    #[serde(borrow)]
    i_follow_me: Cow<'a, str>,
    #[serde(borrow)]
    sequence: Cow<'a, str>,
    #[serde(borrow)]
    timeout: Cow<'a, str>,
    #[serde(borrow, rename = "SipStatus")]
    sip_status: Cow<'a, str>,
}

/// The numbers of a list, and how many elements were left out.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub(super) numbers: Vec<Number>,
    /// Elements without a positive id, or of another account.
    pub(super) unidentified: usize,
}

/// Decodes a list of numbers.
///
/// # Errors
/// Says what is wrong: broken JSV, or one id twice.
pub(super) fn numbers(text: &str, account: AccountId) -> Result<Numbers, &'static str> {
    let records: Vec<NumberRecord<'_>> =
        jsv::from_str(text).map_err(|_| "FollowMeNumbers is not a JSV list of objects")?;
    let mut list = Numbers::default();
    let mut seen = std::collections::HashSet::with_capacity(records.len());
    for record in records {
        match number(record, account) {
            Some(number) if !seen.insert(number.id) => {
                return Err("FollowMeNumbers holds one id twice");
            }
            Some(number) => list.numbers.push(number),
            None => list.unidentified += 1,
        }
    }
    Ok(list)
}

/// Understands one element. An account that is absent or 0 is the default of its type, not another
/// account.
fn number(record: NumberRecord<'_>, account: AccountId) -> Option<Number> {
    let id = record
        .i_follow_me_number
        .parse()
        .ok()
        .and_then(NumberId::new)?;
    let of_account =
        matches!(&*record.i_account, "" | "0") || record.i_account.parse() == Ok(account.value());
    if !of_account {
        return None;
    }
    let mut unreadable = BTreeMap::new();
    let mut odd = |name: &'static str, raw: &str| {
        unreadable.insert(name, raw.to_owned());
    };
    let mut int = |name, value: &str, specified: &str| {
        if value.is_empty() || specified.eq_ignore_ascii_case("false") {
            return None;
        }
        // A request can only send back what fits 32 bits; less than 0 means nothing here.
        let read = value.parse::<i32>().ok().filter(|value| *value >= 0);
        if read.is_none() {
            odd(name, value);
        }
        read
    };
    let follow_me_id = int(
        "i_follow_me",
        &record.i_follow_me,
        &record.i_follow_me_specified,
    );
    let order = int(
        "i_follow_order",
        &record.i_follow_order,
        &record.i_follow_order_specified,
    );
    let ring_timeout = int("timeout", &record.timeout, &record.timeout_specified);
    let status = bool(&record.status);
    if status.is_none() && !record.status.is_empty() {
        odd("status", &record.status);
    }
    Some(Number {
        account_id: account,
        id,
        follow_me_id,
        fields: Fields {
            name: record.name.into_owned(),
            redirect_number: record.redirect_number.into_owned(),
            domain: record.domain.into_owned(),
            order,
            ring_timeout,
            active: record.active.into_owned(),
            keep_original_cld: record.keep_original_cld.into_owned(),
            keep_original_cli: record.keep_original_cli.into_owned(),
            period: record.period.into_owned(),
            period_description: record.period_description.into_owned(),
            status,
        },
        unreadable,
    })
}

/// Decodes the settings. An odd value in them is taken for absent.
///
/// # Errors
/// Says what is wrong: broken JSV.
pub(super) fn settings(text: &str) -> Result<Settings, &'static str> {
    let record: InfoRecord<'_> =
        jsv::from_str(text).map_err(|_| "FollowMeinfo is not a JSV object")?;
    Ok(Settings {
        follow_me_id: record.i_follow_me.parse().ok(),
        sequence: record.sequence.into_owned(),
        ring_timeout: record.timeout.parse().ok().filter(|timeout| *timeout >= 0),
        sip_status: bool(&record.sip_status),
    })
}

/// Understands a boolean as .NET writes it, in any case.
pub(super) fn bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}
