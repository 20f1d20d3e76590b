//! The numbers that the double keeps, per License and account.

use std::{collections::BTreeMap, io};

use serde::{Deserialize, Serialize};

/// The id that the first number gets.
const FIRST_NUMBER: i32 = 70_001;
/// The id that the first account's list gets.
const FIRST_LIST: i32 = 5_001;
/// What `followme simulate` and `followme demo` show at first.
const DEMO: &str = include_str!("demo.toml");

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

/// The accounts of a seed file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seeds {
    accounts: Vec<Seed>,
}

/// An account of a seed file: its License, its id, and what it holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed {
    license: String,
    id: i32,
    #[serde(default)]
    settings: Settings,
    #[serde(default)]
    numbers: Vec<StoredNumber>,
}

/// The ids that come next; none is used twice.
#[derive(Debug)]
pub(crate) struct Ids(i32);

impl Ids {
    pub(crate) fn next(&mut self) -> i32 {
        let id = self.0;
        self.0 = id.saturating_add(1);
        id
    }

    /// Assigns an id that is 0, and notes any other as used.
    fn assign(&mut self, id: &mut i32) {
        if *id == 0 {
            *id = self.next();
        }
        self.0 = self.0.max(id.saturating_add(1));
    }
}

/// All accounts; ids of numbers and of lists are unique over all of them.
#[derive(Debug)]
pub(crate) struct Store {
    licenses: BTreeMap<String, BTreeMap<i32, Account>>,
    /// Further Licenses of the accounts of another one.
    aliases: BTreeMap<String, String>,
    numbers: Ids,
    lists: Ids,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            licenses: BTreeMap::new(),
            aliases: BTreeMap::new(),
            numbers: Ids(FIRST_NUMBER),
            lists: Ids(FIRST_LIST),
        }
    }
}

impl Store {
    /// Makes a store with the accounts of the demo.
    ///
    /// # Errors
    /// Returns what is wrong with the seed file.
    pub(crate) fn demo() -> io::Result<Self> {
        let seeds: Seeds = toml::from_str(DEMO).map_err(io::Error::other)?;
        let mut store = Self::default();
        for seed in seeds.accounts {
            let (settings, numbers) = (seed.settings, seed.numbers);
            store.seed(&seed.license, seed.id, Account { settings, numbers });
        }
        Ok(store)
    }

    /// Creates or replaces an account; ids of 0 are assigned.
    pub(crate) fn seed(&mut self, license: &str, id: i32, mut account: Account) {
        for number in &mut account.numbers {
            self.numbers.assign(&mut number.id);
        }
        self.lists.assign(&mut account.settings.i_follow_me);
        let accounts = self.licenses.entry(license.to_owned()).or_default();
        accounts.insert(id, account);
    }

    /// Opens the accounts of a License to another one, too.
    pub(crate) fn alias(&mut self, alias: &str, license: &str) {
        self.aliases.insert(alias.to_owned(), license.to_owned());
    }

    /// Returns the License under which accounts are kept.
    fn kept_under<'a>(&'a self, license: &'a str) -> &'a str {
        self.aliases.get(license).map_or(license, String::as_str)
    }

    pub(crate) fn account(&self, license: &str, account: i32) -> Option<&Account> {
        self.licenses.get(self.kept_under(license))?.get(&account)
    }

    /// Returns an account to work on, and the ids for its new numbers.
    pub(crate) fn open(&mut self, license: &str, account: i32) -> Option<(&mut Account, &mut Ids)> {
        let license = self.kept_under(license).to_owned();
        let account = self.licenses.get_mut(&license)?.get_mut(&account)?;
        Some((account, &mut self.numbers))
    }

    /// Finds the account of the License that has a number.
    pub(crate) fn owner(&self, license: &str, number: i32) -> Option<i32> {
        let mut accounts = self.licenses.get(self.kept_under(license))?.iter();
        let has = |account: &Account| account.numbers.iter().any(|stored| stored.id == number);
        accounts.find_map(|(id, account)| has(account).then_some(*id))
    }

    /// Returns everything, for the control pages.
    pub(crate) fn all(&self) -> &BTreeMap<String, BTreeMap<i32, Account>> {
        &self.licenses
    }
}
