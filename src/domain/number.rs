//! A follow-me number, and the list of an account.

use std::collections::BTreeMap;

use super::{AccountId, Fields, NumberId};

/// A number of an account's list, as the upstream holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// The account that it belongs to.
    pub account_id: AccountId,
    /// Its id.
    pub id: NumberId,
    /// The id of the list that it is in.
    pub follow_me_id: Option<i32>,
    /// The fields that can be written.
    pub fields: Fields,
    /// Integers and booleans that cannot be parsed: the upstream's name to the raw text.
    pub unreadable: BTreeMap<&'static str, String>,
}

/// The settings of an account's list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The id of the list.
    pub follow_me_id: Option<i32>,
    /// In which sequence the numbers ring, in the upstream's own text.
    pub sequence: String,
    /// The default ring timeout in seconds.
    pub ring_timeout: Option<i32>,
    /// Probably whether the account's phone is registered by SIP now.
    pub sip_status: Option<bool>,
}

/// An account's list at one moment: its numbers in order, and its settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// The numbers, sorted by `order` (absent last), then by id.
    pub numbers: Vec<Number>,
    /// The settings; `None` where the upstream sent none.
    pub settings: Option<Settings>,
    /// How many elements are not identified as numbers of the account: they have no positive id, or
    /// name another account. Each may be a number of which a part was lost.
    pub unidentified: usize,
}

impl List {
    /// Creates a list and sorts its numbers.
    #[must_use]
    pub fn new(mut numbers: Vec<Number>, settings: Option<Settings>, unidentified: usize) -> Self {
        numbers.sort_by_key(|number| {
            let order = number.fields.order;
            (order.is_none(), order, number.id)
        });
        Self {
            numbers,
            settings,
            unidentified,
        }
    }

    /// Returns the number of an id.
    #[must_use]
    pub fn find(&self, id: NumberId) -> Option<&Number> {
        self.numbers.iter().find(|number| number.id == id)
    }

    /// Returns the highest `order` in use, or 0.
    #[must_use]
    pub fn highest_order(&self) -> i32 {
        let orders = self.numbers.iter().map(|number| number.fields.order);
        orders.flatten().max().unwrap_or(0).max(0)
    }
}
