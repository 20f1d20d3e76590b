//! The destination policy: prefixes of redirect numbers, and domains, that calls may be forwarded to.

use std::net::IpAddr;

use super::Field;

/// The destinations that a caller may forward calls to. The default allows all.
///
/// An empty domain is always allowed: then the switch routes the number itself.
///
/// A prefix and a redirect number are compared by their letters, digits, `*` and `#` only, letters
/// in any case: `+1 (900)` and `1.900` are the same prefix, since a switch dials the same. A denied
/// prefix takes precedence over an allowed one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DestinationPolicy {
    allowed: Option<Vec<String>>,
    denied: Vec<String>,
    allowed_domains: Option<Vec<String>>,
    denied_domains: Vec<String>,
}

impl DestinationPolicy {
    /// Creates a policy from prefixes. Without `allowed`, all are allowed that are not denied.
    ///
    /// # Errors
    /// Returns the first prefix that has none of these characters: every number would start with
    /// it.
    pub fn new<'a>(
        allowed: Option<&'a [String]>,
        denied: &'a [String],
    ) -> Result<Self, &'a String> {
        let prefixes = |texts: &'a [String]| {
            texts
                .iter()
                .map(|text| {
                    Some(dialled(text))
                        .filter(|left| !left.is_empty())
                        .ok_or(text)
                })
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            allowed: allowed.map(prefixes).transpose()?,
            denied: prefixes(denied)?,
            // A number means nothing without the host that it is dialled at.
            allowed_domains: allowed.map(|_| Vec::new()),
            denied_domains: Vec::new(),
        })
    }

    /// Adds the domains: hosts, or `*.` and a host for all names below it. Without `allowed`, all
    /// are allowed if all numbers are, else none.
    #[must_use]
    pub fn with_domains(mut self, allowed: Option<&[String]>, denied: &[String]) -> Self {
        let hosts = |texts: &[String]| texts.iter().map(|text| host(text)).collect();
        if let Some(allowed) = allowed {
            self.allowed_domains = Some(hosts(allowed));
        }
        self.denied_domains = hosts(denied);
        self
    }

    /// Returns the field because of which calls may not be forwarded to a destination; `None` if
    /// they may.
    #[must_use]
    pub fn denies(&self, redirect_number: &str, domain: &str) -> Option<Field> {
        if !self.allows_number(redirect_number) {
            Some(Field::RedirectNumber)
        } else if !self.allows_domain(domain) {
            Some(Field::Domain)
        } else {
            None
        }
    }

    fn allows_domain(&self, domain: &str) -> bool {
        if domain.is_empty() {
            return true;
        }
        let domain = host(domain);
        let names = |hosts: &[String]| {
            hosts.iter().any(|host| match host.strip_prefix('*') {
                Some(end) => domain.ends_with(end),
                None => domain == *host,
            })
        };
        self.allowed_domains.as_deref().is_none_or(names) && !names(&self.denied_domains)
    }

    fn allows_number(&self, redirect_number: &str) -> bool {
        let number = dialled(redirect_number);
        let begins = |prefixes: &[String]| prefixes.iter().any(|prefix| number.starts_with(prefix));
        self.allowed.as_deref().is_none_or(begins) && !begins(&self.denied)
    }
}

/// Returns the one spelling of a host: an address as the standard library writes it, an IPv4 address
/// in IPv6 as IPv4, a name in lower case without the dot at its end.
fn host(text: &str) -> String {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    match bare.unwrap_or(text).parse::<IpAddr>() {
        Ok(address) => address.to_canonical().to_string(),
        Err(_) => text.trim_end_matches('.').to_ascii_lowercase(),
    }
}

/// Returns the characters of a number that are dialled.
fn dialled(text: &str) -> String {
    text.chars()
        .filter(|character| character.is_ascii_alphanumeric() || "*#".contains(*character))
        .map(|character| character.to_ascii_lowercase())
        .collect()
}
