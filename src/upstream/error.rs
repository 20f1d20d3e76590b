//! What can go wrong between a request and its answer.

use std::{error::Error as StdError, fmt, time::Duration};

use super::Route;

/// A failed upstream request.
///
/// It never prints a URL or a text of upstream: both can hold the License. What may be logged of
/// them is in [`Error::detail`], redacted.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    route: Route,
    nothing_ran: bool,
    answered: bool,
    status: Option<u16>,
    retry_after: Option<Duration>,
    detail: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kinds of failure. Reads of every kind may be repeated without harm, a write only when
/// [`Error::nothing_ran`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// There was no connection: nothing ran. UNAVAILABLE `UPSTREAM_UNAVAILABLE`.
    Connect,
    /// The connection broke before the answer was whole. On a read UNAVAILABLE
    /// `UPSTREAM_UNAVAILABLE`.
    Broken,
    /// The answer did not come in time. On a read UNAVAILABLE `UPSTREAM_TIMEOUT`.
    Timeout,
    /// 401 or 403: PERMISSION_DENIED where the License is the caller's own, else INTERNAL;
    /// `UPSTREAM_DENIED`.
    Denied,
    /// 404 `text/plain`: the framework has no such route (docs/upstream/wire.md 8); nothing ran.
    /// INTERNAL `UPSTREAM_ROUTE_MISSING`.
    RouteMissing,
    /// 404 with a record: the service says that there is no such thing. On a read NOT_FOUND.
    NotFound,
    /// ASP.NET refused a value that looks like HTML (docs/upstream/wire.md 5); nothing ran.
    /// INVALID_ARGUMENT.
    LooksLikeHtml,
    /// Another 4xx with a record, or `success=False` without a list. FAILED_PRECONDITION
    /// `UPSTREAM_REFUSED`.
    Refused,
    /// 5xx. On a read UNAVAILABLE `UPSTREAM_ERROR`.
    ServerError,
    /// The answer is not what the service writes: HTML, broken CSV or JSV, a wrong header record, a
    /// missing column, one id twice. INTERNAL `UPSTREAM_BAD_RESPONSE`.
    BadResponse(&'static str),
    /// The answer is larger than allowed. INTERNAL `UPSTREAM_BAD_RESPONSE`.
    TooLarge,
    /// The breaker is open, for so long; nothing was sent. UNAVAILABLE `UPSTREAM_UNAVAILABLE`.
    BreakerOpen(Duration),
    /// There is neither a place for the request nor room to wait; nothing was sent.
    /// RESOURCE_EXHAUSTED `OVERLOADED`.
    Overloaded,
    /// The values do not fit the request line of this route; nothing was sent. INVALID_ARGUMENT, or
    /// another way is taken.
    DoesNotFit,
    /// A value that a path cannot carry, where the configuration refuses those; nothing was sent.
    /// INVALID_ARGUMENT.
    UnsafeValue(&'static str),
}

impl Error {
    pub(super) fn new(kind: Kind, route: Route) -> Self {
        let nothing_ran = matches!(
            kind,
            Kind::Connect
                | Kind::RouteMissing
                | Kind::BreakerOpen(_)
                | Kind::Overloaded
                | Kind::DoesNotFit
                | Kind::UnsafeValue(_)
        );
        Self {
            kind,
            route,
            nothing_ran,
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

    /// Notes the status of the answer: from here on the request is known to be over.
    pub(super) fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self.answered = true;
        self
    }

    /// Notes when upstream asks to be asked again.
    pub(super) fn with_retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    /// Notes a text for the log. It must be redacted.
    pub(super) fn with_detail(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }

    /// Notes the proof that the service did not run (docs/upstream/wire.md 8).
    pub(super) fn with_nothing_ran(mut self, proved: bool) -> Self {
        self.nothing_ran |= proved;
        self
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the route that was asked.
    #[must_use]
    pub fn route(&self) -> Route {
        self.route
    }

    /// Tells whether it is proved that the service did not run, so that a write had no effect
    /// (docs/upstream/wire.md 8).
    #[must_use]
    pub fn nothing_ran(&self) -> bool {
        self.nothing_ran
    }

    /// Tells whether the head of an answer came, so that the service is done with the request.
    #[must_use]
    pub fn answered(&self) -> bool {
        self.answered
    }

    /// Returns the HTTP status, where one came.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Returns how long upstream asks to wait before it is asked again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Tells whether this says that nobody is there: what opens the breaker.
    pub(super) fn is_outage(&self) -> bool {
        match self.kind {
            Kind::Connect | Kind::Broken | Kind::Timeout => true,
            Kind::ServerError => matches!(self.status, Some(502..=504)),
            _ => false,
        }
    }

    /// Tells whether a read that failed so may be tried again soon.
    pub(super) fn is_passing(&self) -> bool {
        self.is_outage() || self.kind == Kind::ServerError
    }

    /// Returns what upstream said, redacted of the License and cut, for the log only.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.route.template())?;
        match self.kind {
            Kind::Connect => f.write_str("could not connect"),
            Kind::Broken => f.write_str("the connection broke before the answer was whole"),
            Kind::Timeout => f.write_str("no answer in time"),
            Kind::Denied => f.write_str("access denied"),
            Kind::RouteMissing => f.write_str("upstream has no such route"),
            Kind::NotFound => f.write_str("not found"),
            Kind::LooksLikeHtml => f.write_str("a value that looks like HTML was refused"),
            Kind::Refused => f.write_str("refused"),
            Kind::ServerError => f.write_str("upstream failed"),
            Kind::BadResponse(what) => write!(f, "bad response: {what}"),
            Kind::TooLarge => f.write_str("the answer is too large"),
            Kind::BreakerOpen(_) => f.write_str("not asked, since it did not answer lately"),
            Kind::Overloaded => f.write_str("not asked, since too many requests wait"),
            Kind::DoesNotFit => f.write_str("the values do not fit a request line"),
            Kind::UnsafeValue(field) => write!(f, "{field} cannot stand in a path"),
        }?;
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
