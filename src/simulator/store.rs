//! The numbers that the double keeps, per License and account.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The id that the first number gets.
const FIRST_NUMBER: i32 = 70_001;
/// The id that the first account's list gets.
const FIRST_LIST: i32 = 5_001;

/// One follow-me number as the service keeps it; None is null or unset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoredNumber {
    /// The number's id, `i_follow_me_number`; 0 when seeding asks for the next free one.
    pub id: i32,
    /// The destination.
    pub redirect_number: Option<String>,
    /// The label.
    pub name: Option<String>,
    /// The position; None answers `i_follow_orderSpecified:False`.
    pub order: Option<i32>,
    /// The SIP host of the destination.
    pub domain: Option<String>,
    /// The ring time in seconds; None answers `timeoutSpecified:False`.
    pub timeout: Option<i32>,
    /// Whether the dialled number is kept, `Y` or `N`.
    pub keep_original_cld: Option<String>,
    /// Which caller id the destination sees, `Y`, `I` or `N`.
    pub keep_original_cli: Option<String>,
    /// When the number applies.
    pub period: Option<String>,
    /// The period in words.
    pub period_description: Option<String>,
    /// Whether the number is used, `Y` or `N`.
    pub active: Option<String>,
    /// The flag of unknown meaning.
    pub status: bool,
}

/// The settings of an account's follow-me list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The list's id; 0 when seeding asks for the next free one.
    pub i_follow_me: i32,
    /// The ring order.
    pub sequence: Option<String>,
    /// The default ring time in seconds.
    pub timeout: i32,
    /// Probably whether the account is registered now.
    pub sip_status: bool,
    /// Whether the account forwards at all; no answer of the service shows it.
    pub forwarding: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            i_follow_me: 0,
            sequence: Some("Order".to_owned()),
            timeout: 120,
            sip_status: true,
            forwarding: true,
        }
    }
}

/// An account: its settings and its numbers in the order of their adding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The settings of the list.
    pub settings: Settings,
    /// The numbers.
    pub numbers: Vec<StoredNumber>,
}

/// All accounts; ids of numbers are unique over all of them.
#[derive(Debug)]
pub(crate) struct Store {
    licenses: BTreeMap<String, BTreeMap<i32, Account>>,
    /// Further Licenses of the accounts of another one.
    aliases: BTreeMap<String, String>,
    ids: NumberIds,
    next_list: i32,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            licenses: BTreeMap::new(),
            aliases: BTreeMap::new(),
            ids: NumberIds(FIRST_NUMBER),
            next_list: FIRST_LIST,
        }
    }
}

/// The next id that a number gets.
#[derive(Debug)]
pub(crate) struct NumberIds(i32);

impl NumberIds {
    fn next(&mut self) -> i32 {
        let id = self.0;
        self.0 = id.saturating_add(1);
        id
    }

    /// Makes an empty number with an id of its own.
    pub(crate) fn number(&mut self) -> StoredNumber {
        StoredNumber {
            id: self.next(),
            ..StoredNumber::default()
        }
    }
}

impl Store {
    /// Creates or replaces an account; ids of 0 are assigned.
    pub(crate) fn seed(
        &mut self,
        license: &str,
        account: i32,
        mut numbers: Vec<StoredNumber>,
        mut settings: Settings,
    ) {
        for number in &mut numbers {
            if number.id == 0 {
                number.id = self.ids.next();
            } else {
                self.ids.0 = self.ids.0.max(number.id.saturating_add(1));
            }
        }
        if settings.i_follow_me == 0 {
            settings.i_follow_me = self.next_list();
        }
        self.licenses
            .entry(license.to_owned())
            .or_default()
            .insert(account, Account { settings, numbers });
    }

    /// Opens the accounts of a License to another one, too.
    pub(crate) fn alias(&mut self, alias: &str, license: &str) {
        self.aliases.insert(alias.to_owned(), license.to_owned());
    }

    /// Returns the License under which accounts are kept.
    fn kept_under<'a>(&'a self, license: &'a str) -> &'a str {
        self.aliases.get(license).map_or(license, String::as_str)
    }

    /// Removes every account. New ids continue after the old ones, so that none is used twice.
    pub(crate) fn clear(&mut self) {
        self.licenses.clear();
    }

    fn next_list(&mut self) -> i32 {
        let id = self.next_list;
        self.next_list = id.saturating_add(1);
        id
    }

    pub(crate) fn account(&self, license: &str, account: i32) -> Option<&Account> {
        self.licenses.get(self.kept_under(license))?.get(&account)
    }

    /// Returns an account to work on, and the ids for its new numbers.
    pub(crate) fn open(
        &mut self,
        license: &str,
        account: i32,
    ) -> Option<(&mut Account, &mut NumberIds)> {
        let license = self.kept_under(license).to_owned();
        let account = self.licenses.get_mut(&license)?.get_mut(&account)?;
        Some((account, &mut self.ids))
    }

    /// Finds the account of the License that has a number.
    pub(crate) fn owner(&self, license: &str, number: i32) -> Option<i32> {
        self.licenses
            .get(self.kept_under(license))?
            .iter()
            .find_map(|(id, account)| {
                account
                    .numbers
                    .iter()
                    .any(|stored| stored.id == number)
                    .then_some(*id)
            })
    }

    /// Returns everything, for the control pages.
    pub(crate) fn all(&self) -> &BTreeMap<String, BTreeMap<i32, Account>> {
        &self.licenses
    }

    /// Seeds what `followme simulate` shows at first.
    pub(crate) fn seed_demo(&mut self) {
        let text = |value: &str| Some(value.to_owned());
        let numbers = vec![
            StoredNumber {
                redirect_number: text("15550101"),
                name: text("Desk"),
                order: Some(1),
                domain: text("sip.example.com"),
                timeout: Some(20),
                keep_original_cld: text("N"),
                keep_original_cli: text("Y"),
                period: text("Always"),
                period_description: text("Always"),
                active: text("Y"),
                status: true,
                ..StoredNumber::default()
            },
            StoredNumber {
                redirect_number: text("15550102"),
                name: text("Mobile, \"after hours\""),
                order: Some(2),
                timeout: Some(45),
                keep_original_cli: text("N"),
                period: text("hr{6pm-8am}, wd{sa su}"),
                period_description: text("Evenings: and weekends"),
                active: text("Y"),
                ..StoredNumber::default()
            },
            StoredNumber {
                redirect_number: text("*72"),
                name: text(""),
                active: text("N"),
                ..StoredNumber::default()
            },
        ];
        self.seed("DEMO-KEY", 1001, numbers, Settings::default());
        let number = StoredNumber {
            redirect_number: text("15550110"),
            name: text("Reception"),
            order: Some(1),
            timeout: Some(30),
            active: text("Y"),
            ..StoredNumber::default()
        };
        self.seed("DEMO-KEY", 1002, vec![number], Settings::default());
        self.seed("DEMO-KEY", 1003, Vec::new(), Settings::default());
    }
}
