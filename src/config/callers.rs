//! `[callers.NAME]`: who calls, and what they are authorized for.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use super::{
    section::{Check, Section, section},
    source::Source,
};
use crate::{
    domain::{AccountId, DestinationPolicy, License, Method, check},
    security::{Caller, Methods},
};

section! {
    /// A `[callers.NAME]` table.
    struct CallerTable |key| {
        /// SPIFFE ids and DNS names in the client certificates of the caller. A caller without any
        /// needs a token.
        certificate_names: Vec<String> =
            key.example(vec!["spiffe://example.com/portal", "portal.example.com"])
                .value(Vec::new()),
        /// Methods that the caller can call: Add, Update, Delete, Get, List, ReplaceAll, or "*" for
        /// all. Required.
        methods: Vec<String> = key.example(vec!["List", "Get", "Update"]).value(Vec::new()),
        /// Accounts that the caller can access; without it, all.
        accounts: Option<Vec<i32>> = key.example(vec![1001, 1002]).optional(),
        /// File that holds the License of the caller; without it, that of upstream applies.
        license_file: Option<PathBuf> = key.path("/etc/followme/portal-license"),
        /// Allows the caller to send a License in x-porta-license; without it,
        /// upstream.caller_license applies.
        caller_license: Option<bool> = key.example(false).optional(),
        /// Prefixes of the redirect numbers that the caller can forward to; without it, all. Only
        /// letters, digits, * and # are compared. Numbers that upstream already holds are not
        /// checked. Prefer this list to denied_destinations: a switch may accept the same number
        /// with other prefixes.
        allowed_destinations: Option<Vec<String>> = key.example(vec!["1555"]).optional(),
        /// Prefixes of the redirect numbers that the caller cannot forward to. They override
        /// allowed_destinations.
        denied_destinations: Vec<String> =
            key.example(vec!["1900", "1555019"]).value(Vec::new()),
        /// Domains that the caller can forward to: hosts, or `*.` and a host for all names below
        /// it. Without it, none if allowed_destinations is set, else all. An empty domain is
        /// always allowed.
        allowed_domains: Option<Vec<String>> =
            key.example(vec!["pbx.example.com", "*.sip.example.com"]).optional(),
        /// Domains that the caller cannot forward to. They override allowed_domains. Prefer that
        /// list: a host has other names and addresses.
        denied_domains: Vec<String> = key.example(vec!["*.example.net"]).value(Vec::new()),
        /// Rate limit of writes to one account: a token bucket that holds the writes of a minute.
        /// Without it, there is no limit.
        writes_per_minute: Option<u32> = key.example(10).optional(),
    }
}

/// Reads the tables, by name. `has_tokens` and `has_client_ca` tell how callers can authenticate.
pub(super) fn read(
    source: &mut Source<'_>,
    has_tokens: bool,
    has_client_ca: bool,
) -> BTreeMap<String, CallerTable> {
    let mut certificate_names = HashSet::new();
    let mut tables = BTreeMap::new();
    for name in source.tables_in("callers") {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if name.len() > 64 || !name.bytes().all(plain) {
            let problem = "must be named by 1 to 64 letters, digits, - and _";
            source.error(&format!("callers.{name}"), problem);
        }
        let table = CallerTable::read(source, format!("callers.{name}"));
        let names = &table.certificate_names;
        let mut section = source.section(format!("callers.{name}"));
        section.ensure(
            "certificate_names",
            has_tokens || !names.is_empty(),
            "is missing, and so is tokens_file: the caller has no credential",
        );
        section.ensure(
            "certificate_names",
            has_client_ca || names.is_empty(),
            "requires tls.client_ca_file, which verifies client certificates",
        );
        for other in names {
            let is_new = certificate_names.insert(other.to_ascii_lowercase());
            let problem = format!("{other:?} is also a name of another caller");
            section.ensure("certificate_names", is_new, &problem);
        }
        tables.insert(name, table);
    }
    tables
}

impl Check for CallerTable {
    fn check(&self, section: &mut Section<'_, '_>) {
        for name in &self.certificate_names {
            let problem = format!(
                "{name:?} is neither a SPIFFE id (spiffe://…) nor a DNS name without wildcard"
            );
            section.ensure("certificate_names", is_certificate_name(name), &problem);
        }
        for name in self.methods.iter().filter(|name| *name != "*") {
            let problem = format!("{name:?} is not a method of FollowMeService");
            section.ensure("methods", name.parse::<Method>().is_ok(), &problem);
        }
        let has_methods = section.is_set("methods");
        section.ensure(
            "methods",
            has_methods,
            "is missing: name methods such as [\"List\", \"Get\"], or [\"*\"] for all",
        );
        let are_positive = |ids: &Vec<i32>| ids.iter().all(|id| *id > 0);
        section.ensure(
            "accounts",
            self.accounts.as_ref().is_none_or(are_positive),
            "must hold positive account ids",
        );
        let allowed = self.allowed_destinations.as_deref();
        let denied = &self.denied_destinations;
        for (key, policy) in [
            ("allowed_destinations", DestinationPolicy::new(allowed, &[])),
            ("denied_destinations", DestinationPolicy::new(None, denied)),
        ] {
            if let Err(prefix) = policy {
                section.error(key, format!("{prefix:?} has no letter, digit, * or #"));
            }
        }
        for (key, domains) in [
            (
                "allowed_domains",
                self.allowed_domains.as_deref().unwrap_or_default(),
            ),
            ("denied_domains", &self.denied_domains),
        ] {
            for text in domains {
                let host = text.strip_prefix("*.").unwrap_or(text);
                if host.is_empty() {
                    section.error(key, format!("{text:?} names no host"));
                } else if let Err(rule) = check::domain(host) {
                    section.error(key, format!("{text:?} {rule}"));
                }
            }
        }
        section.ensure(
            "writes_per_minute",
            (self.writes_per_minute).is_none_or(|rate| (1..=100_000).contains(&rate)),
            "must be 1 to 100000",
        );
    }
}

impl CallerTable {
    /// Makes the caller of this name, with its License and the default of `caller_license`.
    pub(super) fn caller(
        &self,
        name: &str,
        license: Option<License>,
        caller_license: bool,
    ) -> Caller {
        let accounts = self.accounts.as_ref();
        let destinations = DestinationPolicy::new(
            self.allowed_destinations.as_deref(),
            &self.denied_destinations,
        );
        Caller {
            name: name.into(),
            certificate_names: self.certificate_names.clone(),
            methods: if self.methods.iter().any(|name| name == "*") {
                Methods::All
            } else {
                let methods = self.methods.iter().filter_map(|name| name.parse().ok());
                Methods::These(methods.collect())
            },
            accounts: accounts.map(|ids| ids.iter().copied().filter_map(AccountId::new).collect()),
            license,
            brings_license: self.caller_license.unwrap_or(caller_license),
            destinations: destinations.map_or_else(
                |_| Arc::default(),
                |policy| {
                    let allowed = self.allowed_domains.as_deref();
                    Arc::new(policy.with_domains(allowed, &self.denied_domains))
                },
            ),
            writes_per_minute: self.writes_per_minute,
        }
    }
}

fn is_certificate_name(name: &str) -> bool {
    match name.split_once("://") {
        Some(("spiffe", rest)) => !rest.is_empty(),
        Some(_) => false,
        None => !name.is_empty() && !name.contains(['*', '/', ':', ' ']),
    }
}
