//! How the client sends a request: permits, the breaker, retries of reads, classification.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::Instrument as _;

use super::Client;
use crate::{
    domain::{AccountId, List},
    upstream::{
        Error, Kind, NullList, Permit, ReadPurpose, RequestOptions, Route, Tenant,
        classify::{self, Answer, Written},
        record::OTHER_ACCOUNT,
        request::Request,
        request_telemetry::RequestTelemetry,
    },
};

/// How a request is sent once.
struct Attempt<'a> {
    /// How long it may take, unless the deadline of the call ends it before.
    timeout: Duration,
    /// The permit that it is sent under.
    permit: Option<&'a Permit>,
    /// Whether it probes a half-open breaker.
    is_probe: bool,
    /// How often the request was sent before.
    resends: u32,
}

impl Client {
    /// Reads a list. A read that serves a call is retried.
    pub(super) async fn read(
        &self,
        tenant: &Tenant,
        account: AccountId,
        request: Request,
        options: &RequestOptions,
    ) -> Result<List, Error> {
        let route = request.route;
        let answer = if options.purpose == ReadPurpose::Verify {
            let attempt = Attempt {
                timeout: self.config.read_timeout,
                permit: options.permit.as_deref(),
                is_probe: false,
                resends: 0,
            };
            self.send(tenant, account, &request, options, attempt)
                .await?
        } else {
            self.read_with_retries(tenant, account, &request, options)
                .await?
        };
        if self.is_refusal(route, &answer) {
            return Err(Error::new(Kind::Refused, route)
                .with_status(200)
                .with_answered(true));
        }
        let settings = answer.settings.clone();
        Ok(answer
            .into_list()
            .unwrap_or_else(|| List::new(Vec::new(), settings, 0)))
    }

    /// Returns whether an answer with a good status is a refusal: of a write with `success=False`,
    /// of a read without a list.
    fn is_refusal(&self, route: Route, answer: &Answer) -> bool {
        if route.writes() {
            return answer.success == Some(false);
        }
        let is_empty = answer.success == Some(true) && self.config.null_list == NullList::Empty;
        answer.numbers.is_none() && !is_empty
    }

    async fn read_with_retries(
        &self,
        tenant: &Tenant,
        account: AccountId,
        request: &Request,
        options: &RequestOptions,
    ) -> Result<Answer, Error> {
        let mut retries = self.retry_policy.start();
        loop {
            let attempt = self.attempt(tenant, account, request, options, retries.count());
            let error = match attempt.await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match retries.delay_after(&error, options.deadline) {
                Some(delay) => sleep(delay).await,
                None => return Err(error),
            }
        }
    }

    /// Sends a read once, with a permit and if the breaker admits it.
    async fn attempt(
        &self,
        tenant: &Tenant,
        account: AccountId,
        request: &Request,
        options: &RequestOptions,
        resends: u32,
    ) -> Result<Answer, Error> {
        let permit = match &options.permit {
            Some(_) => None,
            None => Some(self.acquire(&options.fairness_key, request.route).await?),
        };
        let admission = self
            .breaker
            .try_admit()
            .map_err(|rejected| Error::new(Kind::BreakerOpen(rejected.0), request.route))?;
        let attempt = Attempt {
            timeout: self.config.read_timeout,
            permit: permit.as_ref().or(options.permit.as_deref()),
            is_probe: admission.is_probe(),
            resends,
        };
        self.send(tenant, account, request, options, attempt).await
    }

    /// Sends a write once.
    pub(super) async fn write(
        &self,
        tenant: &Tenant,
        account: AccountId,
        request: Request,
        options: &RequestOptions,
    ) -> Result<Written, Error> {
        let attempt = Attempt {
            timeout: self.config.write_timeout,
            permit: options.permit.as_deref(),
            is_probe: false,
            resends: 0,
        };
        let answer = self
            .send(tenant, account, &request, options, attempt)
            .await?;
        Ok(Written {
            success: answer.success,
            list: answer.into_list(),
        })
    }

    /// Sends one request, in a span of its own, and records its outcome for the breaker.
    async fn send(
        &self,
        tenant: &Tenant,
        account: AccountId,
        request: &Request,
        options: &RequestOptions,
        attempt: Attempt<'_>,
    ) -> Result<Answer, Error> {
        let Attempt {
            timeout,
            permit,
            is_probe,
            resends,
        } = attempt;
        let route = request.route;
        let patience = Instant::now() + timeout.min(self.config.read_timeout);
        let until = options.until(timeout);
        let telemetry =
            RequestTelemetry::begin(&options.progress, request, self.transport.host(), resends);
        let _in_flight = self.breaker.send();
        let connection = permit.map(Permit::send);
        let reply = self
            .transport
            .send(request, until)
            .instrument(telemetry.span())
            .await;
        let (status, bytes) = match &reply {
            Ok(reply) => (Some(reply.status), reply.body.len()),
            Err(error) => (error.status(), 0),
        };
        let answer = reply
            .and_then(|reply| {
                let (license, personal_data) = (&tenant.license, &request.personal_data);
                classify::classify_response(&reply, route, account, license, personal_data)
            })
            .map_err(|error| {
                if self.config.gateway || error.status().is_none() {
                    return error;
                }
                error.with_answered(true).with_unconfirmed(false)
            });
        let kind = answer.as_ref().err().map(Error::kind);
        if let Some(connection) = connection
            && !matches!(kind, Some(Kind::Timeout | Kind::TooLarge))
        {
            connection.end();
        }
        if kind == Some(Kind::BadResponse(OTHER_ACCOUNT)) {
            self.transport.drop_connections();
        }
        match &answer {
            // A caller with short deadlines and a slow account do not open the breaker for others.
            Err(error)
                if error.kind() == Kind::Timeout
                    && until < patience
                    && self.breaker.silence() < self.config.read_timeout => {}
            Err(error) if error.is_outage() => self.breaker.record_failure(is_probe),
            _ => self.breaker.record_success(),
        }
        let refused = matches!(&answer, Ok(answer) if self.is_refusal(route, answer));
        telemetry.end(status, bytes, answer.as_ref().err(), refused);
        answer
    }
}
