//! `read_only`, `tokens_file` and `[callers.NAME]`: who calls, and what they are authorized for.

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use super::{
    key::{each, to_toml},
    source::Source,
};
use crate::{
    domain::{AccountId, DestinationPolicy, License, Method},
    security::{Caller, Methods},
};

#[derive(Debug, Clone)]
pub(super) struct Callers {
    pub(super) read_only: bool,
    pub(super) tokens_file: Option<PathBuf>,
    pub(super) tables: Vec<CallerTable>,
}

/// A `[callers.NAME]` table.
#[derive(Debug, Clone)]
pub(super) struct CallerTable {
    /// The caller, without its License.
    caller: Caller,
    license_file: Option<PathBuf>,
    caller_license: Option<bool>,
}

impl Callers {
    /// Returns whether callers are configured, so that everybody else is refused.
    pub(super) fn are_configured(&self) -> bool {
        self.tokens_file.is_some() || !self.tables.is_empty()
    }
}

impl CallerTable {
    pub(super) fn name(&self) -> &str {
        &self.caller.name
    }

    /// Returns the key and the path of the file that holds the License of the caller.
    pub(super) fn license_file(&self) -> Option<(String, PathBuf)> {
        let key = format!("callers.{}.license_file", self.caller.name);
        Some((key, self.license_file.clone()?))
    }

    /// Makes the caller, with its License and the default of `caller_license`.
    pub(super) fn caller(&self, license: Option<License>, caller_license: bool) -> Caller {
        Caller {
            license,
            brings_license: self.caller_license.unwrap_or(caller_license),
            ..self.caller.clone()
        }
    }
}

/// Reads the keys; `has_client_ca` tells whether client certificates are verified.
pub(super) fn read(source: &mut Source<'_>, has_client_ca: bool) -> Callers {
    let mut top = source.section("");
    let read_only = top
        .key("read_only")
        .meaning("Refuses all writes of all callers.")
        .reloaded()
        .value(false);
    let tokens_file = top
        .key("tokens_file")
        .meaning(
            "File of the bearer tokens, one a line: the name of the caller, the SHA-256 of the \
             token in hexadecimal, and optionally its expiry, such as 2027-01-31T00:00:00Z. With \
             it, or with any caller below, only callers are served.",
        )
        .path("/etc/followme/tokens");

    let mut names = HashSet::new();
    let mut tables = Vec::new();
    for name in source.tables_in("callers") {
        let table = read_table(source, &name, tokens_file.is_some(), has_client_ca);
        for other in &table.caller.certificate_names {
            if !names.insert(other.to_ascii_lowercase()) {
                let key = format!("callers.{name}.certificate_names");
                source.error(&key, format!("{other:?} is also a name of another caller"));
            }
        }
        tables.push(table);
    }
    Callers {
        read_only,
        tokens_file,
        tables,
    }
}

/// Reads one table. A caller needs a token or a client certificate.
pub(super) fn read_table(
    source: &mut Source<'_>,
    name: &str,
    has_tokens: bool,
    has_client_ca: bool,
) -> CallerTable {
    let table = format!("callers.{name}");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if name.len() > 64 || !name.bytes().all(plain) {
        source.error(&table, "must be named by 1 to 64 letters, digits, - and _");
    }
    let mut s = source.section(table);
    let certificate_names = s
        .key("certificate_names")
        .meaning(
            "SPIFFE ids and DNS names in the client certificates of the caller. A caller without \
             any needs a token.",
        )
        .example(vec!["spiffe://example.com/portal", "portal.example.com"])
        .value(Vec::<String>::new());
    if certificate_names.is_empty() && !has_tokens {
        let problem = "is missing, and so is tokens_file: the caller has no credential";
        s.error("certificate_names", problem);
    }
    if !certificate_names.is_empty() && !has_client_ca {
        let problem = "requires tls.client_ca_file, which verifies client certificates";
        s.error("certificate_names", problem);
    }
    for name in certificate_names
        .iter()
        .filter(|name| !is_certificate_name(name))
    {
        let problem = "is neither a SPIFFE id (spiffe://…) nor a DNS name without wildcard";
        s.error("certificate_names", format!("{name:?} {problem}"));
    }
    let methods = s
        .key("methods")
        .meaning(
            "Methods that the caller can call: Add, Update, Delete, Get, List, ReplaceAll, or \
             \"*\" for all. Required.",
        )
        .example(vec!["List", "Get", "Update"])
        .parsed(Methods::These(Vec::new()), methods, |methods| {
            to_toml(&match methods {
                Methods::All => vec!["*"],
                Methods::These(methods) => methods.iter().map(|method| method.name()).collect(),
            })
        });
    if !s.is_set("methods") {
        let problem = "is missing: name methods such as [\"List\", \"Get\"], or [\"*\"] for all";
        s.error("methods", problem);
    }
    let accounts = s
        .key("accounts")
        .meaning("Accounts that the caller can access; without it, all.")
        .example(vec![1001, 1002])
        .parsed(None, accounts, |accounts: &Option<HashSet<AccountId>>| {
            let mut ids: Vec<i32> = accounts.as_ref()?.iter().map(|id| id.value()).collect();
            ids.sort_unstable();
            to_toml(&ids)
        });
    let license_file = s
        .key("license_file")
        .meaning("File that holds the License of the caller; without it, that of upstream applies.")
        .path("/etc/followme/portal-license");
    let caller_license = s
        .key("caller_license")
        .meaning(
            "Allows the caller to send a License in x-porta-license; without it, \
             upstream.caller_license applies.",
        )
        .example(false)
        .optional();
    let allowed: Option<Vec<String>> = s
        .key("allowed_destinations")
        .meaning(
            "Prefixes of the redirect numbers that the caller can forward to; without it, all. \
             Only letters, digits, * and # are compared. Numbers that upstream already holds are \
             not checked. Prefer this list to denied_destinations: a switch may accept the same \
             number with other prefixes.",
        )
        .example(vec!["1555"])
        .optional_checked(|prefixes: &Vec<String>| destinations(Some(prefixes), &[]).map(|_| ()));
    let denied: Vec<String> = s
        .key("denied_destinations")
        .meaning(
            "Prefixes of the redirect numbers that the caller cannot forward to. They override \
             allowed_destinations.",
        )
        .example(vec!["1900", "1555019"])
        .checked(Vec::new(), |prefixes| {
            destinations(None, prefixes).map(|_| ())
        });
    let writes_per_minute = s
        .key("writes_per_minute")
        .meaning(
            "Rate limit of writes to one account: a token bucket that holds the writes of a \
             minute. Without it, there is no limit.",
        )
        .example(10)
        .optional_checked(|rate| {
            let problem = || "must be 1 to 100000".to_owned();
            (1..=100_000)
                .contains(rate)
                .then_some(())
                .ok_or_else(problem)
        });
    CallerTable {
        caller: Caller {
            name: name.into(),
            certificate_names,
            methods,
            accounts,
            license: None,
            brings_license: false,
            destinations: destinations(allowed.as_deref(), &denied)
                .map_or_else(|_| Arc::default(), Arc::new),
            writes_per_minute,
        },
        license_file,
        caller_license,
    }
}

fn is_certificate_name(name: &str) -> bool {
    match name.split_once("://") {
        Some(("spiffe", rest)) => !rest.is_empty(),
        Some(_) => false,
        None => !name.is_empty() && !name.contains(['*', '/', ':', ' ']),
    }
}

fn methods(names: Vec<String>) -> Result<Methods, Vec<String>> {
    let is_all = names.iter().any(|name| name == "*");
    let names = names.into_iter().filter(|name| name != "*").collect();
    let methods = each(names, |name| {
        let problem = || format!("{name:?} is not a method of FollowMeService");
        name.parse::<Method>().map_err(|_| problem())
    })?;
    Ok(if is_all {
        Methods::All
    } else {
        Methods::These(methods)
    })
}

fn accounts(ids: Vec<i32>) -> Result<Option<HashSet<AccountId>>, Vec<String>> {
    let ids: Option<_> = ids.into_iter().map(AccountId::new).collect();
    let problem = || vec!["must hold positive account ids".to_owned()];
    ids.map(Some).ok_or_else(problem)
}

fn destinations(
    allowed: Option<&[String]>,
    denied: &[String],
) -> Result<DestinationPolicy, String> {
    DestinationPolicy::new(allowed, denied)
        .map_err(|prefix| format!("{prefix:?} has no letter, digit, * or #"))
}
