//! Who may call, over what, and what they may: TLS, callers, tokens, what each caller is permitted.
//!
//! All of it can be replaced while the facade runs. Nobody is admitted by a thing that is missing:
//! once callers are configured, whoever is none of them is refused.
//!
//! Architecture invariant: this room reads no file and knows no gRPC. `config` reads the files,
//! `grpc` asks for each call.

mod caller;
mod rate_limit;
pub mod tls;
mod tokens;

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, header::AUTHORIZATION};

pub use caller::{Caller, Methods};
pub use tokens::{Token, Tokens};

use crate::domain::{AccountId, Reason};
use rate_limit::RateLimiter;
use tls::Tls;

/// What the facade begins with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The certificates of the gRPC address; `None` for plaintext.
    pub tls: Option<tls::Config>,
    /// Who may call, and what.
    pub policy: Policy,
}

/// Who may call, and what they may.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Whether whoever is no caller is refused; true once any caller is configured.
    pub closed: bool,
    /// Whether nobody may write.
    pub read_only: bool,
    /// What everybody may while the facade is not closed.
    pub anonymous: Caller,
    /// The callers.
    pub callers: Vec<Arc<Caller>>,
    /// The tokens by which they are known.
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

/// Why a call is refused. Its text is what the caller reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody knows who calls.
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// The method is not one of the caller's.
    #[error("the caller may not call this method")]
    Method,
    /// The account is not one of the caller's.
    #[error("the caller may not name account {account}")]
    Account {
        /// The account.
        account: AccountId,
    },
    /// Nobody may write for now.
    #[error("followme is read-only for now; nothing was written by this call")]
    ReadOnly,
    /// The caller has written to the account too often.
    #[error(
        "the caller writes to account {account} too often; nothing was written by this call; try \
         again later"
    )]
    WriteRate {
        /// The account.
        account: AccountId,
        /// When one more may be tried.
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

/// Why nobody knows who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// There is nothing to know the caller by.
    #[error("there is no credential: call with a client certificate, or a token in authorization")]
    Missing,
    /// The metadata cannot be read.
    #[error("authorization must be there once, as `Bearer` and a token")]
    Malformed,
    /// A token came where others can read it.
    #[error("a token is not taken over plaintext: call over TLS")]
    Plaintext,
    /// No such token is known.
    #[error("the token is not known")]
    UnknownToken,
    /// The token's time is over.
    #[error("the token has expired")]
    ExpiredToken,
    /// The token is that of somebody who is no caller.
    #[error("the token belongs to no caller")]
    NoCaller,
    /// The certificate is good, but its names are nobody's.
    #[error("the names of the client certificate belong to no caller")]
    UnknownCertificate,
    /// The certificate was good when the connection was made, and is not any more.
    #[error("the client certificate is not valid any more")]
    InvalidCertificate,
}

/// Admits callers, by what is configured at the moment.
#[derive(Debug)]
pub struct Authorizer {
    policy: RwLock<Arc<Policy>>,
    rate_limiter: RateLimiter,
    tls: Option<Arc<Tls>>,
}

impl Authorizer {
    /// Makes the authorizer.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            policy: RwLock::new(Arc::new(config.policy)),
            rate_limiter: RateLimiter::default(),
            tls: config.tls.map(|config| Arc::new(Tls::new(config))),
        }
    }

    /// Returns what accepts connections over TLS; `None` for plaintext.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// Puts another policy in place, for calls that come from now on.
    ///
    /// A facade that was closed stays closed: one whose last caller was taken away admits nobody.
    pub fn replace(&self, mut policy: Policy) {
        let mut current = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        policy.closed |= current.closed;
        *current = Arc::new(policy);
    }

    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Finds out who calls: by the token in `authorization` where there is one, else by the client
    /// certificate. While the facade is not closed, everybody is the anonymous caller.
    ///
    /// A token is taken over TLS, or from the loopback interface.
    ///
    /// # Errors
    /// Says why nobody knows who calls.
    pub fn authenticate(
        &self,
        remote: SocketAddr,
        session: Option<&tls::Session>,
        headers: &HeaderMap,
    ) -> Result<Arc<Caller>, Unauthenticated> {
        let policy = self.policy();
        if !policy.closed {
            return Ok(Arc::new(policy.anonymous.clone()));
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
            return policy
                .caller(&token.caller)
                .ok_or(Unauthenticated::NoCaller);
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
            Some(tls) if tls.still_trusts(certificate) => Ok(Arc::clone(caller)),
            _ => Err(Unauthenticated::InvalidCertificate),
        }
    }

    /// Permits a write, and counts it.
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
