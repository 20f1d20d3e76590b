//! The errors of upstream requests.

use std::{error::Error as StdError, fmt, time::Duration};

use super::Route;
use crate::domain::Reason;

/// A failed upstream request.
///
/// Its texts never hold a URL or a text of upstream, because both can hold the License. The
/// redacted text of upstream, for the log, is in [`Error::detail`].
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    route: Route,
    nothing_ran: bool,
    /// Whether the proof that nothing ran is a reply that a gateway could have caused.
    unconfirmed: bool,
    answered: bool,
    status: Option<u16>,
    retry_after: Option<Duration>,
    detail: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kinds of failure. What depends on each is in `Kind::facts`.
///
/// A read can be repeated after any of them, a write only if [`Error::nothing_ran`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// There was no connection.
    Connect,
    /// The connection broke before the reply was whole.
    Broken,
    /// The reply did not come in time.
    Timeout,
    /// 401 or 403.
    Denied,
    /// 404 `text/plain`: the framework has no such route (docs/upstream/wire.md 8).
    RouteMissing,
    /// 404 with a record: the service has no such account or number.
    NotFound,
    /// ASP.NET refused a value that looks like HTML (docs/upstream/wire.md 5).
    LooksLikeHtml,
    /// Another 4xx with a record, or `success=False` without a list.
    Refused,
    /// 5xx or 429.
    ServerError,
    /// The reply is not what the service writes: HTML, broken CSV or JSV, a wrong header record, a
    /// missing column, one id twice.
    BadResponse(&'static str),
    /// The reply is larger than the configuration allows.
    TooLarge,
    /// The breaker stays open for this long; nothing was sent.
    BreakerOpen(Duration),
    /// There was no permit, and the queue for one was full; nothing was sent.
    Overloaded,
    /// The values do not fit the request line of this route; nothing was sent.
    DoesNotFit,
    /// A path cannot carry the value, and the configuration refuses such values; nothing was sent.
    UnsafeValue(&'static str),
    /// The text of this property fits no path and holds characters that upstream drops from a query
    /// (docs/upstream/wire.md 12); nothing was sent. A POST body carries it.
    NotCarried(&'static str),
}

/// All that depends on the kind of an error.
pub(crate) struct Facts {
    /// The reason of its ErrorInfo, where the error ends the call.
    pub(crate) reason: Reason,
    /// Whether the kind alone proves that the service did not run.
    nothing_ran: bool,
    /// The outcome of the request in the metrics; of a write that may have run, `unavailable` is
    /// `unknown`.
    pub(super) outcome: &'static str,
    /// What happened, for the log and for the caller.
    pub(crate) text: &'static str,
    /// What the caller can do.
    pub(crate) action: &'static str,
}

impl Kind {
    /// Returns the row of this kind.
    pub(crate) fn facts(self) -> Facts {
        let (reason, nothing_ran, outcome, text, action) = match self {
            Self::Connect => (
                Reason::UpstreamUnavailable,
                true,
                "unavailable",
                "could not connect to upstream",
                "try again later",
            ),
            Self::Broken => (
                Reason::UpstreamUnavailable,
                false,
                "unavailable",
                "the connection to upstream broke before the reply was whole",
                "try again",
            ),
            Self::Timeout => (
                Reason::UpstreamTimeout,
                false,
                "timeout",
                "upstream did not answer in time",
                "try again",
            ),
            Self::Denied => (
                Reason::UpstreamDenied,
                false,
                "refused",
                "upstream denied access",
                "the operator must check the configured License",
            ),
            Self::RouteMissing => (
                Reason::UpstreamRouteMissing,
                true,
                "bad_response",
                "upstream has no such route",
                "the operator must check upstream.url",
            ),
            Self::NotFound => (
                Reason::AccountNotFound,
                false,
                "refused",
                "upstream has no such account or number",
                "check the ids",
            ),
            Self::LooksLikeHtml => (
                Reason::InvalidRequest,
                false,
                "refused",
                "upstream refused a value that looks like HTML",
                "leave out `&#`, and `<` before a letter or one of `!/?`",
            ),
            Self::Refused => (
                Reason::UpstreamRefused,
                false,
                "refused",
                "upstream refused",
                "check that the account exists and has follow-me settings, and that the License is right: \
                 upstream answers all three alike",
            ),
            Self::ServerError => (
                Reason::UpstreamError,
                false,
                "unavailable",
                "upstream failed",
                "try again later",
            ),
            Self::BadResponse(_) => (
                Reason::UpstreamBadResponse,
                false,
                "bad_response",
                "the upstream reply is not one of PortaFollowMe",
                "report it to the operator: the log of followme says more",
            ),
            Self::TooLarge => (
                Reason::UpstreamBadResponse,
                false,
                "bad_response",
                "the upstream reply is larger than upstream.max_answer_bytes",
                "report it to the operator",
            ),
            Self::BreakerOpen(_) => (
                Reason::UpstreamUnavailable,
                true,
                "unavailable",
                "upstream failed repeatedly, so the circuit breaker is open",
                "try again after the delay",
            ),
            Self::Overloaded => (
                Reason::Overloaded,
                true,
                "unavailable",
                "too many calls wait for upstream",
                "try again later, and more slowly",
            ),
            Self::DoesNotFit => (
                Reason::InvalidRequest,
                true,
                "refused",
                "the values are too long for an upstream request",
                "shorten them",
            ),
            Self::UnsafeValue(_) => (
                Reason::InvalidRequest,
                true,
                "refused",
                "a value holds characters that an upstream path cannot carry, and \
                 upstream.unsafe_values refuses those",
                "leave them out",
            ),
            Self::NotCarried(_) => (
                Reason::InvalidRequest,
                true,
                "refused",
                "a text holds direction marks (U+200E, U+200F, U+202A to U+202E), which upstream \
                 would drop",
                "leave them out",
            ),
        };
        Facts {
            reason,
            nothing_ran,
            outcome,
            text,
            action,
        }
    }
}

impl Error {
    pub(super) fn new(kind: Kind, route: Route) -> Self {
        Self {
            kind,
            route,
            nothing_ran: kind.facts().nothing_ran,
            unconfirmed: false,
            answered: false,
            status: None,
            retry_after: None,
            detail: None,
            source: None,
        }
    }

    pub(super) fn with_source(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds the HTTP status. Some prove that the service is done: any 4xx but 408 and 499, which
    /// gateways send for requests that continue, and those 5xx that gateways do not send.
    pub(super) fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        let is_final = matches!(status, 400..=407 | 409..=498 | 500 | 501 | 505);
        self.with_answered(is_final)
    }

    /// Adds whether the reply is proved to be the service's own.
    pub(super) fn with_answered(mut self, answered: bool) -> Self {
        self.answered |= answered;
        self
    }

    /// Adds the delay that upstream asks for.
    pub(super) fn with_retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    /// Adds a text for the log, which must be redacted.
    pub(super) fn with_detail(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }

    /// Adds whether it is proved that the service did not run (docs/upstream/wire.md 8).
    pub(super) fn with_nothing_ran(mut self, proved: bool) -> Self {
        self.nothing_ran |= proved;
        self
    }

    /// Adds whether a gateway could have caused the reply: one that repeats a request passes on what
    /// the second one got.
    pub(super) fn with_unconfirmed(mut self, unconfirmed: bool) -> Self {
        self.unconfirmed = unconfirmed;
        self
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the route of the request.
    #[must_use]
    pub fn route(&self) -> Route {
        self.route
    }

    /// Returns whether it is proved that the service did not run, so that a write had no effect
    /// (docs/upstream/wire.md 8).
    #[must_use]
    pub fn nothing_ran(&self) -> bool {
        self.nothing_ran
    }

    /// Returns whether the proof that the service did not run must be confirmed by a read: it is a
    /// reply that a gateway could have caused.
    #[must_use]
    pub fn needs_confirmation(&self) -> bool {
        self.nothing_ran && self.unconfirmed
    }

    /// Returns whether the service is proved to be done with the request: the reply is its own and
    /// not that of a gateway, which can come while the service still runs
    /// (docs/upstream/wire.md 12).
    #[must_use]
    pub fn answered(&self) -> bool {
        self.answered
    }

    /// Returns the HTTP status of the reply, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Returns the delay before the next attempt that upstream asks for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns whether this is a failure for the breaker: upstream does not answer.
    pub(super) fn is_outage(&self) -> bool {
        match self.kind {
            Kind::Connect | Kind::Broken | Kind::Timeout => true,
            Kind::ServerError => matches!(self.status, Some(502..=504)),
            _ => false,
        }
    }

    /// Returns whether a read that failed so may be retried soon.
    pub(super) fn is_transient(&self) -> bool {
        self.is_outage() || self.kind == Kind::ServerError
    }

    /// Returns the text of upstream, redacted and cut, for the log only.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.route.template(), self.kind.facts().text)?;
        if let Kind::BadResponse(what) | Kind::UnsafeValue(what) | Kind::NotCarried(what) =
            self.kind
        {
            write!(f, ": {what}")?;
        }
        match self.status {
            Some(status) => write!(f, " (HTTP status {status})"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
