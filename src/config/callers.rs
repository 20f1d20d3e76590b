//! The tables of callers: `[callers.NAME]`.

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use super::reader::Reader;
use crate::{
    domain::{AccountId, DestinationPolicy, License, Method},
    security::{Caller, Methods},
};

/// What the configuration says of a caller. Each key is described in
/// `deploy/followme.example.toml`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct CallerSettings {
    pub(super) name: String,
    certificate_names: Vec<String>,
    methods: Vec<String>,
    accounts: Option<Vec<i32>>,
    pub(super) license_file: Option<PathBuf>,
    pub(super) caller_license: Option<bool>,
    allowed_destinations: Option<Vec<String>>,
    denied_destinations: Vec<String>,
    destinations: DestinationPolicy,
    writes_per_minute: Option<u32>,
}

/// What the tables are checked against.
pub(super) struct Surroundings {
    /// Whether there is a file of tokens.
    pub(super) tokens: bool,
    /// Whether clients can show certificates.
    pub(super) certificates: bool,
}

/// Takes the tables of all callers, those in the file and those that are there already.
pub(super) fn read(
    file: &mut Reader<'_>,
    callers: &mut Vec<CallerSettings>,
    surroundings: &Surroundings,
) {
    for name in file.tables_in("callers") {
        callers.push(CallerSettings {
            name,
            ..CallerSettings::default()
        });
    }
    let mut names = HashSet::new();
    for caller in callers {
        caller.read(file, surroundings);
        for name in &caller.certificate_names {
            if !names.insert(name.to_ascii_lowercase()) {
                let key = format!("callers.{}.certificate_names", caller.name);
                file.mistake::<()>(&key, &format!("{name:?} is the name of another caller too"));
            }
        }
    }
}

impl CallerSettings {
    fn read(&mut self, file: &mut Reader<'_>, surroundings: &Surroundings) {
        let table = format!("callers.{}", self.name);
        let key = |name: &str| format!("{table}.{name}");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if self.name.len() > 64 || !self.name.bytes().all(plain) {
            let rule = "must be named by 1 to 64 letters, digits, - and _";
            file.mistake::<()>(&table, rule);
        }

        let names = key("certificate_names");
        file.set(&names, &mut self.certificate_names);
        if self.certificate_names.is_empty() {
            if !surroundings.tokens {
                let problem = "is missing, and so is tokens_file: nobody could be this caller";
                file.mistake::<()>(&names, problem);
            }
        } else if !surroundings.certificates {
            let problem = "needs tls.client_ca_file, by which certificates of callers are checked";
            file.mistake::<()>(&names, problem);
        }
        for name in &self.certificate_names {
            let is_name = match name.split_once("://") {
                Some(("spiffe", rest)) => !rest.is_empty(),
                Some(_) => false,
                None => !name.is_empty() && !name.contains(['*', '/', ':', ' ']),
            };
            if !is_name {
                let problem = format!(
                    "{name:?} is neither a SPIFFE id (spiffe://…) nor a DNS name without wildcard"
                );
                file.mistake::<()>(&names, &problem);
            }
        }

        let methods = key("methods");
        file.set(&methods, &mut self.methods);
        if file.origin(&methods).is_none() && self.methods.is_empty() {
            let problem =
                "is missing: name methods such as [\"List\", \"Get\"], or [\"*\"] for all";
            file.mistake::<()>(&methods, problem);
        }
        for name in &self.methods {
            if name != "*" && name.parse::<Method>().is_err() {
                let problem = format!("{name:?} is not a method of FollowMeService");
                file.mistake::<()>(&methods, &problem);
            }
        }

        let accounts = key("accounts");
        file.set_some(&accounts, &mut self.accounts);
        let mut ids = self.accounts.iter().flatten();
        if ids.any(|id| AccountId::new(*id).is_none()) {
            file.mistake::<()>(&accounts, "must hold positive account ids");
        }

        file.set_some(&key("license_file"), &mut self.license_file);
        file.set_some(&key("caller_license"), &mut self.caller_license);

        let (allowed, denied) = (key("allowed_destinations"), key("denied_destinations"));
        file.set_some(&allowed, &mut self.allowed_destinations);
        file.set(&denied, &mut self.denied_destinations);
        match DestinationPolicy::new(
            self.allowed_destinations.as_deref(),
            &self.denied_destinations,
        ) {
            Ok(destinations) => self.destinations = destinations,
            Err(prefix) => {
                let mut allows = self.allowed_destinations.iter().flatten();
                let key = if allows.any(|allowed| allowed == prefix) {
                    &allowed
                } else {
                    &denied
                };
                let problem = format!("{prefix:?} has no letter, digit, * or #");
                file.mistake::<()>(key, &problem);
            }
        }

        let rate = key("writes_per_minute");
        file.set_some(&rate, &mut self.writes_per_minute);
        if self
            .writes_per_minute
            .is_some_and(|rate| !(1..=100_000).contains(&rate))
        {
            file.mistake::<()>(&rate, "must be 1 to 100000");
        }
    }

    /// Makes the caller, for whom a License was found or not.
    pub(super) fn caller(&self, license: Option<License>, brings_license: bool) -> Caller {
        let methods = if self.methods.iter().any(|name| name == "*") {
            Methods::All
        } else {
            let methods = self.methods.iter();
            Methods::These(methods.filter_map(|name| name.parse().ok()).collect())
        };
        Caller {
            name: self.name.as_str().into(),
            certificate_names: self.certificate_names.clone(),
            methods,
            accounts: self.accounts.as_ref().map(|ids| {
                let ids = ids.iter();
                ids.filter_map(|id| AccountId::new(*id)).collect()
            }),
            license,
            brings_license: self.caller_license.unwrap_or(brings_license),
            destinations: Arc::new(self.destinations.clone()),
            writes_per_minute: self.writes_per_minute,
        }
    }
}
