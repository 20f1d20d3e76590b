//! A caller, and what it is authorized for.

use std::{collections::HashSet, sync::Arc};

use super::{Denied, tls::ClientCertificate};
use crate::domain::{AccountId, DestinationPolicy, License, Method};

/// The methods that a caller is authorized for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Methods {
    /// Every method, those of later versions included.
    All,
    /// These.
    These(Vec<Method>),
}

/// An authenticated caller, and what it is authorized for.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The name; empty for the anonymous caller.
    pub name: Arc<str>,
    /// The SPIFFE ids (`spiffe://…`) and DNS names in the client certificates of the caller.
    pub certificate_names: Vec<String>,
    /// The methods that it can call.
    pub methods: Methods,
    /// The accounts that it can access; `None` for all.
    pub accounts: Option<HashSet<AccountId>>,
    /// The License of its calls that send none; `None` if each call must send one.
    pub license: Option<License>,
    /// Whether its calls may send a License in `x-porta-license`.
    pub brings_license: bool,
    /// The destinations that it can forward calls to.
    pub destinations: Arc<DestinationPolicy>,
    /// Rate limit of writes to one account, in a minute; `None` for no limit.
    pub writes_per_minute: Option<u32>,
}

impl Caller {
    /// Creates the anonymous caller, which is authorized for everything.
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

    /// Authorizes a call of a method of the service.
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

    /// Authorizes access to an account.
    ///
    /// # Errors
    /// [`Denied::Account`].
    pub fn authorize_account(&self, account: AccountId) -> Result<(), Denied> {
        match &self.accounts {
            Some(accounts) if !accounts.contains(&account) => Err(Denied::Account { account }),
            _ => Ok(()),
        }
    }

    /// Returns whether a client certificate is the caller's: its SPIFFE id or a DNS name. Case does not
    /// matter in DNS names, and wildcards in a certificate match nothing.
    pub(super) fn is_named_by(&self, certificate: &ClientCertificate) -> bool {
        self.certificate_names.iter().any(|wanted| {
            if wanted.contains("://") {
                certificate.spiffe_id.as_ref() == Some(wanted)
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
    fn an_unknown_method_is_authorized_by_all_methods_only() {
        let mut caller = Caller::anonymous(None);
        assert_eq!(caller.authorize_method("Purge"), Ok(()));
        caller.methods = Methods::These(Method::VARIANTS.to_vec());
        assert_eq!(caller.authorize_method("Purge"), Err(Denied::Method));
        for method in Method::VARIANTS {
            assert_eq!(caller.authorize_method(method.name()), Ok(()));
        }
    }
}
