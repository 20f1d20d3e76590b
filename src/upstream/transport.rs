//! The HTTP client: sends requests and receives replies.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use parking_lot::Mutex;
use reqwest::{Url, redirect};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::{Error, Kind, classify::Reply, request::Request, retry::parse_retry_after};
use crate::telemetry::call_trace;

/// The address of upstream, and the settings of connections to it.
#[derive(Clone)]
pub struct TransportConfig {
    /// `http://host[:port][/path]`, or https.
    pub url: Url,
    /// How long it may take to open a connection.
    pub connect_timeout: Duration,
    /// How long a connection may be idle: below the keep-alive of the upstream, which is 15 s on
    /// self-host (docs/upstream/wire.md 9).
    pub idle_timeout: Duration,
    /// How old a connection may become, so that a change of DNS is followed.
    pub max_connection_age: Duration,
    /// The certificates that upstream's is checked against, as PEM; `None` for those of the system.
    pub ca: Option<Vec<u8>>,
    /// Our own certificate and its key for upstream, as PEM.
    pub identity: Option<Zeroizing<Vec<u8>>>,
    /// The largest answer that is read, in bytes.
    pub max_answer_bytes: usize,
}

impl fmt::Debug for TransportConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The identity holds a private key.
        f.debug_struct("TransportConfig")
            .field("connect_timeout", &self.connect_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("max_answer_bytes", &self.max_answer_bytes)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct Transport {
    config: TransportConfig,
    /// The client, and since when it is used. A connection lives as long as its client at most, so
    /// that a name that resolves to another address is followed.
    http: Mutex<(Instant, reqwest::Client)>,
    base: Url,
    /// The path of the URL, without a slash at its end.
    base_path: String,
    host: Host,
    max_answer_bytes: usize,
}

/// The address of upstream, for telemetry.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: u16,
}

impl Transport {
    pub(super) fn new(config: &TransportConfig) -> Result<Self, reqwest::Error> {
        Ok(Self {
            config: config.clone(),
            http: Mutex::new((Instant::now(), client(config)?)),
            base: config.url.clone(),
            base_path: config.url.path().trim_end_matches('/').to_owned(),
            host: Host {
                name: config.url.host_str().unwrap_or_default().to_owned(),
                port: config.url.port_or_known_default().unwrap_or_default(),
            },
            max_answer_bytes: config.max_answer_bytes,
        })
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the client in use, or a new one if that is too old. Requests in flight finish with
    /// the client that they began with.
    fn http(&self) -> reqwest::Client {
        let mut http = self.http.lock();
        if http.0.elapsed() >= self.config.max_connection_age {
            self.renew(&mut http);
        }
        http.1.clone()
    }

    /// Drops all idle connections: the next request opens one.
    pub(super) fn drop_connections(&self) {
        self.renew(&mut self.http.lock());
    }

    fn renew(&self, http: &mut (Instant, reqwest::Client)) {
        // The same settings worked at the start; if they fail now, the old client stays in use.
        match client(&self.config) {
            Ok(new) => *http = (Instant::now(), new),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "could not renew the HTTP client"
                );
                http.0 = Instant::now();
            }
        }
    }

    /// Returns the URL of a target: only its path and query are parsed.
    fn url(&self, path: &str, query: Option<&str>) -> Url {
        let mut url = self.base.clone();
        if self.base_path.is_empty() {
            url.set_path(path);
        } else {
            url.set_path(&format!("{}{path}", self.base_path));
        }
        url.set_query(query);
        url
    }

    /// Sends a request without a License to a path that is no route, and returns whether upstream
    /// answers.
    pub(super) async fn probe(&self, until: Instant) -> bool {
        let request = reqwest::Request::new(Method::GET, self.url("/", None));
        match timeout_at(until, self.http().execute(request)).await {
            Ok(Ok(response)) => !matches!(response.status().as_u16(), 502..=504),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Sends a request and reads its whole reply, until the instant. Dropping the future closes the
    /// connection.
    pub(super) async fn send(&self, request: &Request, until: Instant) -> Result<Reply, Error> {
        let route = request.route;
        let mut head = None;
        match timeout_at(until, self.exchange(request, &mut head)).await {
            Ok(reply) => reply,
            Err(_) => Err(with_head(Error::new(Kind::Timeout, route), head)),
        }
    }

    async fn exchange(&self, request: &Request, head: &mut Option<u16>) -> Result<Reply, Error> {
        let Request {
            route,
            target,
            body,
            personal_data: _,
        } = request;
        let route = *route;
        let fail = |kind, head, error: reqwest::Error| {
            // The URL holds the License.
            with_head(Error::new(kind, route), head).with_source(error.without_url())
        };
        let broken = |head, error: reqwest::Error| {
            let kind = if error.is_connect() {
                Kind::Connect
            } else {
                unparsable(&error).map_or(Kind::Broken, Kind::BadResponse)
            };
            match likely_cause(&error, self.config.url.scheme()) {
                Some(cause) => fail(kind, head, error).with_detail(cause.to_owned()),
                None => fail(kind, head, error),
            }
        };
        let (path, query) = target.path_and_query();
        let url = self.url(path, Some(query));
        let method = if body.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let mut http = reqwest::Request::new(method, url);
        let headers = http.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/csv"));
        // Reads decide what is written, and writes are GETs: no cache may answer either.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // Replies are small, and a coding is one more thing that can break.
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        call_trace::inject(headers);
        if let Some(body) = body {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static(body.content_type),
            );
            // Bytes have a length, so hyper sends Content-Length: a chunked body is silently
            // ignored (docs/upstream/wire.md 7).
            *http.body_mut() = Some(body.bytes.clone().into());
        }

        let mut response = self
            .http()
            .execute(http)
            .await
            .map_err(|error| broken(None, error))?;
        let status = response.status().as_u16();
        *head = Some(status);
        let reason = response
            .extensions()
            .get::<hyper::ext::ReasonPhrase>()
            .map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned());
        let text = |name| {
            let values = response.headers().get_all(name).iter();
            let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
            values.fold(String::new(), |list, value| match list.as_str() {
                "" => value.into_owned(),
                _ => list + ", " + &value,
            })
        };
        let mut content_type = text(header::CONTENT_TYPE);
        content_type.make_ascii_lowercase();
        let coding = text(header::CONTENT_ENCODING).to_ascii_lowercase();
        let server = text(header::SERVER);
        let closes = text(header::CONNECTION)
            .split(',')
            .any(|option| option.trim().eq_ignore_ascii_case("close"));
        let retry_after = parse_retry_after(&text(header::RETRY_AFTER));
        let too_large = || with_head(Error::new(Kind::TooLarge, route), Some(status));
        if response
            .content_length()
            .is_some_and(|length| length > self.max_answer_bytes as u64)
        {
            return Err(too_large());
        }
        let (mut first, mut body) = (Bytes::new(), Vec::new());
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| fail(Kind::Broken, Some(status), error))?
        {
            if first.len().max(body.len()) + chunk.len() > self.max_answer_bytes {
                return Err(too_large());
            }
            // A small body comes in one chunk, which needs no copy.
            if first.is_empty() {
                first = chunk;
                continue;
            }
            if body.is_empty() {
                body.extend_from_slice(&first);
            }
            body.extend_from_slice(&chunk);
        }
        let body = if body.is_empty() { first } else { body.into() };
        Ok(Reply {
            status,
            reason,
            content_type,
            coding,
            server,
            closes,
            retry_after,
            body,
        })
    }
}

/// Builds a client. It disables what is unsafe with this upstream: redirects (would replay a GET
/// that writes), retries, Referer, system proxies.
fn client(config: &TransportConfig) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .http1_only()
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(config.idle_timeout)
        .tcp_nodelay(true)
        .user_agent(concat!("followme/", env!("CARGO_PKG_VERSION")));
    if let Some(ca) = &config.ca {
        builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(ca)?);
    }
    if let Some(identity) = &config.identity {
        builder = builder.identity(reqwest::Identity::from_pem(identity)?);
    }
    builder.build()
}

/// Returns what is wrong if the head of a reply came and cannot be parsed: upstream lives, and a
/// repeated request gets the same.
fn unparsable(error: &reqwest::Error) -> Option<&'static str> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        match error.downcast_ref::<hyper::Error>() {
            Some(error) if error.is_parse_too_large() => return Some("the head is too large"),
            Some(error) if error.is_parse_status() => return Some("the status is not one of HTTP"),
            Some(error) if error.is_parse() => {
                return Some("a field of the head is not one of HTTP");
            }
            _ => source = error.source(),
        }
    }
    None
}

/// Returns what an operator should look for, for the log.
fn likely_cause(error: &reqwest::Error, scheme: &str) -> Option<&'static str> {
    let mut chain = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        chain += &error.to_string();
        source = error.source();
    }
    match scheme {
        "https" if chain.contains("InvalidContentType") || chain.contains("corrupt message") => {
            Some("the port does not speak TLS: upstream.url probably has to begin with http://")
        }
        "http" if chain.contains("invalid HTTP version") => {
            Some("the port does not speak HTTP/1: upstream.url probably has to begin with https://")
        }
        "https" if chain.contains("UnknownIssuer") => {
            Some("the certificate of upstream is of an unknown CA: see upstream.ca_file")
        }
        _ => None,
    }
}

fn with_head(error: Error, head: Option<u16>) -> Error {
    match head {
        Some(status) => error.with_status(status),
        None => error,
    }
}
