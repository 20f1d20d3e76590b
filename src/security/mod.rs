//! TLS, authentication, authorization and rate limits.
//!
//! All of it can be reloaded. Missing credentials never grant access: once callers are configured,
//! only they are served.
//!
//! Architecture invariant: this module reads no file and knows no gRPC. `config` reads the files;
//! `grpc` and `operations` authorize each call.

mod caller;
mod rate_limit;
pub mod tls;
mod tokens;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, header::AUTHORIZATION};
use tokio::sync::watch;

pub use caller::{Caller, Methods};
pub use tokens::{Token, Tokens};

use crate::{
    domain::{AccountId, Method, Reason},
    telemetry::metrics::Expiry,
};
use rate_limit::RateLimiter;
use tls::Tls;

/// TLS and policy at the start.
#[derive(Debug, Clone)]
pub struct Config {
    /// TLS of the gRPC server; `None` for plaintext.
    pub tls: Option<tls::Config>,
    /// The policy.
    pub policy: Policy,
}

/// Who is served, and what each caller is authorized for.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Whether only callers are served; true once any is configured.
    pub callers_only: bool,
    /// Whether all writes are refused.
    pub read_only: bool,
    /// The caller of all calls while no callers are configured.
    pub anonymous: Caller,
    /// The callers.
    pub callers: Vec<Arc<Caller>>,
    /// Their bearer tokens.
    pub tokens: Tokens,
}

impl Policy {
    fn caller(&self, name: &str) -> Option<Arc<Caller>> {
        self.callers
            .iter()
            .find(|caller| &*caller.name == name)
            .cloned()
    }
}

/// Why a call is refused. Its text is sent to the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The caller is not authenticated.
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// The caller is not authorized for the method.
    #[error("the caller may not call this method")]
    Method,
    /// The caller is not authorized for the account.
    #[error("the caller may not access account {account}")]
    Account {
        /// The account.
        account: AccountId,
    },
    /// All writes are refused.
    #[error("followme is read-only for now; nothing was written by this call")]
    ReadOnly,
    /// The caller exceeds its rate limit of writes to the account.
    #[error(
        "the caller writes to account {account} too often; nothing was written by this call; try \
         again later"
    )]
    WriteRate {
        /// The account.
        account: AccountId,
        /// Time until the next write is allowed.
        retry_after: Duration,
    },
}

impl Denied {
    /// Returns the reason of its ErrorInfo.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unauthenticated(_) => Reason::Unauthenticated,
            Self::Method => Reason::MethodDenied,
            Self::Account { .. } => Reason::AccountDenied,
            Self::ReadOnly => Reason::ReadOnly,
            Self::WriteRate { .. } => Reason::WriteRate,
        }
    }
}

/// Why a caller is not authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// The call has no credential.
    #[error(
        "the call has no credential: send a client certificate, or a bearer token in authorization"
    )]
    Missing,
    /// The `authorization` metadata is malformed.
    #[error("authorization must be sent once, as `Bearer` and a token")]
    Malformed,
    /// A token came over plaintext, where others can read it.
    #[error("tokens are not accepted over plaintext: call over TLS")]
    Plaintext,
    /// The token is unknown.
    #[error("the token is unknown")]
    UnknownToken,
    /// The token has expired.
    #[error("the token has expired")]
    ExpiredToken,
    /// The token belongs to no configured caller.
    #[error("the token belongs to no caller")]
    NoCaller,
    /// The certificate is valid, but none of its names belongs to a caller.
    #[error("the names of the client certificate belong to no caller")]
    UnknownCertificate,
    /// The certificate was valid when the connection was opened, and no longer is.
    #[error("the client certificate is no longer valid")]
    InvalidCertificate,
}

/// How often the credential of a stream is checked again: its certificate may have expired.
const RECHECK: Duration = Duration::from_secs(60);

/// A credential that authenticates a caller.
struct Credential {
    caller: Arc<Caller>,
    /// When its token expires.
    expires: Option<SystemTime>,
}

/// Authenticates and authorizes callers by the policy in force.
#[derive(Debug)]
pub struct Authorizer {
    policy: watch::Sender<Arc<Policy>>,
    rate_limiter: RateLimiter,
    tls: Option<Arc<Tls>>,
}

impl Authorizer {
    /// Creates an authorizer with a first policy.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            policy: watch::Sender::new(Arc::new(config.policy)),
            rate_limiter: RateLimiter::default(),
            tls: config.tls.map(|config| Arc::new(Tls::new(config))),
        }
    }

    /// Returns the acceptor of TLS connections; `None` for plaintext.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// Replaces the policy for later calls.
    ///
    /// Once only callers are served, this stays so: without any caller left, all calls are refused.
    pub fn replace(&self, mut policy: Policy) {
        self.policy.send_modify(|current| {
            policy.callers_only |= current.callers_only;
            *current = Arc::new(policy);
        });
    }

    /// Returns when the certificates of the server and the last token of each caller expire.
    pub(crate) fn expiries(&self) -> Vec<Expiry> {
        let mut last: BTreeMap<&str, Option<SystemTime>> = BTreeMap::new();
        let policy = self.policy();
        for token in policy.tokens.iter() {
            last.entry(&token.caller)
                .and_modify(|last| *last = last.zip(token.expires).map(|(a, b)| a.max(b)))
                .or_insert(token.expires);
        }
        let tokens = last
            .iter()
            .filter_map(|(caller, last)| Some(Expiry::token(caller, (*last)?)));
        let certificates = self.tls.iter().flat_map(|tls| tls.expiries().to_vec());
        tokens.chain(certificates).collect()
    }

    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.borrow())
    }

    /// Authenticates a caller by the bearer token in `authorization`, or without one by the client
    /// certificate. While no callers are configured, returns the anonymous caller.
    ///
    /// Tokens are accepted over TLS and from the loopback interface only.
    ///
    /// # Errors
    /// Returns why the caller is not authenticated.
    pub fn authenticate(
        &self,
        remote: SocketAddr,
        session: Option<&tls::Session>,
        headers: &HeaderMap,
    ) -> Result<Arc<Caller>, Unauthenticated> {
        let credential = self.identify(remote, session, headers)?;
        Ok(credential.caller)
    }

    /// Waits until a credential no longer authenticates its caller. Returns why; `None` if it does
    /// not authenticate any now.
    pub async fn until_denied(
        &self,
        remote: SocketAddr,
        session: Option<&tls::Session>,
        headers: &HeaderMap,
    ) -> Option<Unauthenticated> {
        let mut changes = self.policy.subscribe();
        self.identify(remote, session, headers).ok()?;
        loop {
            changes.mark_unchanged();
            let credential = match self.identify(remote, session, headers) {
                Ok(credential) => credential,
                Err(error) => return Some(error),
            };
            let until = credential.expires.map_or(RECHECK, |expires| {
                let left = expires.duration_since(SystemTime::now());
                left.unwrap_or_default().min(RECHECK)
            });
            tokio::select! {
                () = tokio::time::sleep(until) => {}
                // The sender lives as long as `self`.
                _ = changes.changed() => {}
            }
        }
    }

    fn identify(
        &self,
        remote: SocketAddr,
        session: Option<&tls::Session>,
        headers: &HeaderMap,
    ) -> Result<Credential, Unauthenticated> {
        let policy = self.policy();
        let of = |caller| Credential {
            caller,
            expires: None,
        };
        if !policy.callers_only {
            return Ok(of(Arc::new(policy.anonymous.clone())));
        }
        let mut tokens = headers.get_all(AUTHORIZATION).iter();
        if let Some(value) = tokens.next() {
            if session.is_none() && !remote.ip().to_canonical().is_loopback() {
                return Err(Unauthenticated::Plaintext);
            }
            let token = value
                .to_str()
                .ok()
                .and_then(|text| text.split_once(' '))
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                .map(|(_, token)| token.trim())
                .filter(|token| !token.is_empty() && tokens.next().is_none())
                .ok_or(Unauthenticated::Malformed)?;
            let token = policy
                .tokens
                .find(token)
                .ok_or(Unauthenticated::UnknownToken)?;
            if token.expires.is_some_and(|end| end <= SystemTime::now()) {
                return Err(Unauthenticated::ExpiredToken);
            }
            let caller = policy.caller(&token.caller);
            return Ok(Credential {
                caller: caller.ok_or(Unauthenticated::NoCaller)?,
                expires: token.expires,
            });
        }
        let certificate = session
            .and_then(|session| session.certificate.as_deref())
            .ok_or(Unauthenticated::Missing)?;
        let caller = policy
            .callers
            .iter()
            .find(|caller| caller.is_named_by(certificate))
            .ok_or(Unauthenticated::UnknownCertificate)?;
        match &self.tls {
            Some(tls) if tls.still_trusts(certificate) => Ok(of(Arc::clone(caller))),
            _ => Err(Unauthenticated::InvalidCertificate),
        }
    }

    /// Returns a caller by its name, as it is configured now.
    #[must_use]
    pub fn caller(&self, name: &str) -> Option<Arc<Caller>> {
        let policy = self.policy();
        if policy.callers_only {
            policy.caller(name)
        } else {
            name.is_empty().then(|| Arc::new(policy.anonymous.clone()))
        }
    }

    /// Authorizes a write once more, right before a step of it is sent, by what is configured now.
    /// Returns the caller as it is configured now.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn reauthorize(
        &self,
        caller: &Caller,
        method: Method,
        account: AccountId,
    ) -> Result<Arc<Caller>, Denied> {
        if self.policy().read_only {
            return Err(Denied::ReadOnly);
        }
        let caller = self.caller(&caller.name).ok_or(Unauthenticated::NoCaller)?;
        caller.authorize_method(method.name())?;
        caller.authorize_account(account)?;
        Ok(caller)
    }

    /// Authorizes a write, and counts it against the rate limit.
    ///
    /// # Errors
    /// [`Denied::ReadOnly`], [`Denied::WriteRate`].
    pub fn authorize_write(&self, caller: &Caller, account: AccountId) -> Result<(), Denied> {
        if self.policy().read_only {
            return Err(Denied::ReadOnly);
        }
        let Some(per_minute) = caller.writes_per_minute else {
            return Ok(());
        };
        self.rate_limiter
            .take(&caller.name, account, per_minute)
            .map_err(|retry_after| Denied::WriteRate {
                account,
                retry_after,
            })
    }
}
