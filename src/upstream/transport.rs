//! The one HTTP client, and how a request goes out and its reply comes in.

use std::time::Duration;

use http::{HeaderValue, Method, header};
use opentelemetry::propagation::{Injector, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use reqwest::{Url, redirect};
use tokio::time::{Instant, timeout_at};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{Error, Kind, answer::Reply, routes::Request};

/// Where upstream is, and how it is talked to.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    /// `http://host[:port][/path]`, or https.
    pub url: Url,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long a connection may be idle: below the keep-alive of the upstream, which is 15 s on
    /// self-host (WIRE.md 9).
    pub idle_timeout: Duration,
    /// The largest answer that is read, in bytes.
    pub max_answer_bytes: usize,
}

#[derive(Debug)]
pub(super) struct Transport {
    http: reqwest::Client,
    /// The URL without a slash at its end.
    base: String,
    max_answer_bytes: usize,
}

impl Transport {
    /// Builds the client. What reqwest does by default and must not be done to this upstream is
    /// switched off: following redirects (would replay a GET that writes), retries, Referer,
    /// system proxies.
    pub(super) fn new(config: &TransportConfig) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .connect_timeout(config.connect_timeout)
            .pool_idle_timeout(config.idle_timeout)
            .tcp_nodelay(true)
            .user_agent(concat!("followme/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            http,
            base: config.url.as_str().trim_end_matches('/').to_owned(),
            max_answer_bytes: config.max_answer_bytes,
        })
    }

    /// Sends a request and reads its whole reply, until the instant. Dropping the future closes the
    /// connection.
    pub(super) async fn send(&self, request: Request, until: Instant) -> Result<Reply, Error> {
        let route = request.route;
        let mut head = None;
        match timeout_at(until, self.exchange(request, &mut head)).await {
            Ok(reply) => reply,
            Err(_) => Err(with_head(Error::new(Kind::Timeout, route), head)),
        }
    }

    async fn exchange(&self, request: Request, head: &mut Option<u16>) -> Result<Reply, Error> {
        let Request {
            route,
            target,
            body,
        } = request;
        let fail = |kind, head, error: reqwest::Error| {
            // The URL holds the License.
            with_head(Error::new(kind, route), head).with_source(error.without_url())
        };
        let broken = |head, error: reqwest::Error| {
            let kind = if error.is_connect() {
                Kind::Connect
            } else {
                Kind::Broken
            };
            fail(kind, head, error)
        };
        let url = Url::parse(&format!("{}{}", self.base, target.as_str()))
            .map_err(|_| Error::new(Kind::DoesNotFit, route))?;
        let method = if body.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let mut http = reqwest::Request::new(method, url);
        let headers = http.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/csv"));
        let context = tracing::Span::current().context();
        TraceContextPropagator::new().inject_context(&context, &mut Headers(headers));
        if let Some(body) = body {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static(body.content_type),
            );
            // Bytes have a length, so hyper sends Content-Length: a chunked body is silently
            // ignored (WIRE.md 7).
            *http.body_mut() = Some(body.bytes.into());
        }

        let mut response = self
            .http
            .execute(http)
            .await
            .map_err(|error| broken(None, error))?;
        let status = response.status().as_u16();
        *head = Some(status);
        let reason = response
            .extensions()
            .get::<hyper::ext::ReasonPhrase>()
            .map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned());
        let content_type = response
            .headers()
            .get(header::CONTENT_TYPE)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase())
            .unwrap_or_default();
        let too_large = || with_head(Error::new(Kind::TooLarge, route), Some(status));
        if response
            .content_length()
            .is_some_and(|length| length > self.max_answer_bytes as u64)
        {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| fail(Kind::Broken, Some(status), error))?
        {
            if body.len() + chunk.len() > self.max_answer_bytes {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply {
            status,
            reason,
            content_type,
            body,
        })
    }
}

fn with_head(error: Error, head: Option<u16>) -> Error {
    match head {
        Some(status) => error.with_status(status),
        None => error,
    }
}

struct Headers<'a>(&'a mut http::HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (
            http::HeaderName::from_bytes(key.as_bytes()),
            HeaderValue::from_str(&value),
        ) {
            self.0.insert(name, value);
        }
    }
}
