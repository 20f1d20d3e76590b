//! A caller, and what it may.

use std::{collections::HashSet, sync::Arc};

use super::{Denied, tls::ClientCertificate};
use crate::domain::{AccountId, DestinationPolicy, License, Method};

/// The methods that a caller may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Methods {
    /// Every method, those of later versions included.
    All,
    /// These.
    These(Vec<Method>),
}

/// Somebody who calls, and what they may.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The name; empty for the anonymous caller.
    pub name: Arc<str>,
    /// The SPIFFE ids (`spiffe://…`) and DNS names of client certificates that are the caller's.
    pub certificate_names: Vec<String>,
    /// What may be called.
    pub methods: Methods,
    /// The accounts that may be named; `None` for all.
    pub accounts: Option<HashSet<AccountId>>,
    /// The License of its calls that bring none; `None` where each has to bring one.
    pub license: Option<License>,
    /// Whether its calls may bring a License in `x-porta-license`.
    pub brings_license: bool,
    /// Where calls may be forwarded to.
    pub destinations: Arc<DestinationPolicy>,
    /// How many writes there may be to one account in a minute; `None` for any number.
    pub writes_per_minute: Option<u32>,
}

impl Caller {
    /// Makes the caller whom nobody knows, who may everything.
    #[must_use]
    pub fn anonymous(license: Option<License>) -> Self {
        Self {
            name: "".into(),
            certificate_names: Vec::new(),
            methods: Methods::All,
            accounts: None,
            license,
            brings_license: false,
            destinations: Arc::default(),
            writes_per_minute: None,
        }
    }

    /// Permits a call of a method of the service.
    ///
    /// # Errors
    /// [`Denied::Method`].
    pub fn authorize_method(&self, name: &str) -> Result<(), Denied> {
        match &self.methods {
            Methods::All => Ok(()),
            Methods::These(methods) => match name.parse::<Method>() {
                Ok(method) if methods.contains(&method) => Ok(()),
                _ => Err(Denied::Method),
            },
        }
    }

    /// Permits a call about an account.
    ///
    /// # Errors
    /// [`Denied::Account`].
    pub fn authorize_account(&self, account: AccountId) -> Result<(), Denied> {
        match &self.accounts {
            Some(accounts) if !accounts.contains(&account) => Err(Denied::Account { account }),
            _ => Ok(()),
        }
    }

    /// Tells whether a client certificate is the caller's: one of its names is one of the caller's,
    /// in any case of letters for DNS. A wildcard of a certificate stands for no name.
    pub(super) fn is_named_by(&self, certificate: &ClientCertificate) -> bool {
        self.certificate_names.iter().any(|wanted| {
            if wanted.contains("://") {
                certificate.uris.contains(wanted)
            } else {
                let is_wanted = |name: &String| name.eq_ignore_ascii_case(wanted);
                certificate.dns_names.iter().any(is_wanted)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    #[test]
    fn a_method_that_is_not_known_is_nobodys_but_of_who_may_all() {
        let mut caller = Caller::anonymous(None);
        assert_eq!(caller.authorize_method("Purge"), Ok(()));
        caller.methods = Methods::These(Method::VARIANTS.to_vec());
        assert_eq!(caller.authorize_method("Purge"), Err(Denied::Method));
        for method in Method::VARIANTS {
            assert_eq!(caller.authorize_method(method.name()), Ok(()));
        }
    }
}
