//! Telemetry of each upstream request: its span, its metrics, a log line if it fails.

use std::{borrow::Cow, time::Instant};

use tracing::{Span, field::Empty};

use super::{Error, Kind, Route, request::Request, transport::Host};
use crate::telemetry::{
    in_flight::Progress,
    metrics::{self, UpstreamRequest},
};

/// A request in flight. Dropping it without [`RequestTelemetry::end`] records a cancelled request.
pub(super) struct RequestTelemetry<'a> {
    span: Span,
    route: Route,
    method: &'static str,
    host: &'a Host,
    sent: usize,
    begun: Instant,
    ended: bool,
}

impl<'a> RequestTelemetry<'a> {
    pub(super) fn begin(
        progress: &Progress,
        request: &Request,
        host: &'a Host,
        resends: u32,
    ) -> Self {
        let route = request.route;
        let (method, body) = match &request.body {
            Some(body) => ("POST", body.bytes.len()),
            None => ("GET", 0),
        };
        // Never `url.full`: the path holds the License.
        let span = tracing::info_span!(
            "upstream",
            otel.name = format!("{method} {}", route.template()),
            otel.kind = "client",
            otel.status_code = Empty,
            http.request.method = method,
            url.template = route.template(),
            server.address = host.name,
            server.port = host.port,
            http.response.status_code = Empty,
            http.request.resend_count = (resends > 0).then_some(resends),
            error.type = Empty,
        );
        progress.count_upstream_request();
        Self {
            span,
            route,
            method,
            host,
            sent: request.target.as_str().len() + body,
            begun: Instant::now(),
            ended: false,
        }
    }

    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Records how the request ended: the HTTP status, the size of the reply, the error, and
    /// whether a reply without an error is a refusal.
    pub(super) fn end(
        mut self,
        status: Option<u16>,
        received: usize,
        error: Option<&Error>,
        refused: bool,
    ) {
        let failed = error.map(|error| error_type(error.kind(), status));
        let outcome = match error {
            None if refused => "refused",
            error => outcome(self.route, error),
        };
        self.record(status, received, failed.as_deref(), outcome);
        if let Some(error) = error {
            self.span.in_scope(|| {
                tracing::debug!(
                    error = error as &dyn std::error::Error,
                    detail = error.detail(),
                    nothing_ran = error.nothing_ran(),
                    "upstream request failed"
                );
            });
        }
    }

    fn record(
        &mut self,
        status: Option<u16>,
        received: usize,
        error: Option<&str>,
        outcome: &'static str,
    ) {
        self.ended = true;
        if let Some(status) = status {
            self.span.record("http.response.status_code", status);
        }
        if let Some(error) = error {
            self.span.record("error.type", error);
            self.span.record("otel.status_code", "ERROR");
        }
        metrics::upstream_request(&UpstreamRequest {
            method: self.method,
            template: self.route.template(),
            host: &self.host.name,
            port: self.host.port,
            status,
            error,
            outcome,
            took: self.begun.elapsed(),
        });
        metrics::bytes("upstream", received as u64, self.sent as u64);
    }
}

impl Drop for RequestTelemetry<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // The call was cancelled or reached its deadline, which aborts reads only.
            self.record(None, 0, Some("cancelled"), "unknown");
        }
    }
}

/// Returns the `error.type` of a failed request: the status if it is an error status.
fn error_type(kind: Kind, status: Option<u16>) -> Cow<'static, str> {
    match (status, kind) {
        (Some(status @ 400..), _) => status.to_string().into(),
        (_, Kind::BadResponse(_) | Kind::TooLarge) => "bad_response".into(),
        (_, Kind::Connect) => "connect".into(),
        (_, Kind::Timeout) => "timeout".into(),
        (_, Kind::Broken) => "broken".into(),
        _ => "_OTHER".into(),
    }
}

/// Returns the outcome of a request for metrics. A failed write that may have run is unknown.
fn outcome(route: Route, error: Option<&Error>) -> &'static str {
    let Some(error) = error else {
        return "ok";
    };
    let may_have_run = route.writes() && !error.nothing_ran();
    match error.kind().facts().outcome {
        "unavailable" if may_have_run => "unknown",
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_may_have_run_is_unknown_and_a_read_is_not() {
        let broken = |route| Error::new(Kind::Broken, route);
        assert_eq!(outcome(Route::Add7, Some(&broken(Route::Add7))), "unknown");
        assert_eq!(
            outcome(Route::List, Some(&broken(Route::List))),
            "unavailable"
        );
        assert_eq!(outcome(Route::List, None), "ok");
        let refused = broken(Route::Add7).with_nothing_ran(true);
        assert_eq!(outcome(Route::Add7, Some(&refused)), "unavailable");
    }

    #[test]
    fn an_error_is_of_the_type_of_its_status_where_that_says_it() {
        let kind = Kind::BadResponse("an error page, not a record");
        for (kind, status, name) in [
            (kind, Some(418), "418"),
            (kind, Some(302), "bad_response"),
            (kind, Some(200), "bad_response"),
            (Kind::TooLarge, Some(500), "500"),
            (Kind::ServerError, Some(599), "599"),
            (Kind::Timeout, None, "timeout"),
            (Kind::Timeout, Some(200), "timeout"),
            (Kind::Connect, None, "connect"),
            (Kind::Broken, None, "broken"),
        ] {
            assert_eq!(error_type(kind, status), name, "{kind:?}");
        }
    }
}
