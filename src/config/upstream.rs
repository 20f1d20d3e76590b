//! `[upstream]`: the PortaFollowMe service, and how to call it.

use std::{path::PathBuf, time::Duration};

use reqwest::Url;

use super::{
    section::{Check, Section, section},
    source::Source,
    watched::is_invisible,
};
use crate::{
    domain::License,
    grpc::{Defaults, MAX_FEATURE_NAME_BYTES},
    upstream::{
        BreakerConfig, ConcurrencyConfig, Config, NullList, PostFormat, TransportConfig,
        UnsafeValues, UpdateAll,
    },
};

/// The longest name of the service.
const MAX_NAME_BYTES: usize = 128;

section! {
    /// `[upstream]`.
    struct Upstream |key| {
        /// URL of the service: http or https. Its path is the prefix of every route. Required.
        url: Option<Url> = key.flag("--upstream-url").example("http://127.0.0.1:8080")
            .text(None, upstream_url),
        /// Stable name of the service in the journal, so that its url can change. By default
        /// scheme, host, port and path of the url: another url is another service.
        name: Option<String> = key.example("porta").optional(),
        /// File that holds the License. It, or the License itself in FOLLOWME_LICENSE, is required
        /// unless every caller has its own or sends one.
        license_file: Option<PathBuf> = key.flag("--license-file")
            .variable("FOLLOWME_LICENSE_FILE").path("/etc/followme/license"),
        /// Allows callers to send a License in x-porta-license.
        caller_license: bool = key.reloaded().value(false),
        /// ContentId of calls that send none.
        content_id: Option<i32> = key.example(7).optional(),
        /// FeatureName of calls that send none.
        feature_name: Option<String> = key.example("portal").optional(),
        /// Time limit to open a connection.
        connect_timeout: Duration = key.duration(Duration::from_secs(2)),
        /// Time after which an unused connection is closed. The service itself closes one after
        /// 15 s.
        idle_timeout: Duration = key.duration(Duration::from_secs(10)),
        /// Age at which a connection is replaced, so that changes of DNS are followed.
        max_connection_age: Duration = key.duration(Duration::from_secs(300)),
        /// Maximum size of a response from upstream, in bytes.
        max_answer_bytes: usize = key.within(1024..=1024 * 1024 * 1024, 8 * 1024 * 1024),
        /// Time limit of one request that reads.
        read_timeout: Duration = key.duration(Duration::from_secs(10)),
        /// Time limit of one request that writes.
        write_timeout: Duration = key.duration(Duration::from_secs(10)),
        /// Maximum number of retries of a read after a transient failure.
        read_retries: u32 = key.within(0..=10, 2),
        /// Maximum number of concurrent requests to upstream.
        max_requests: usize = key.within(1..=100_000, 64),
        /// Maximum number of calls that wait while max_requests requests are in flight.
        max_queue: usize = key.within(0..=1_000_000, 256),
        /// Fraction of max_requests that one caller can use, above 0 and up to 1; the rest stays
        /// free for others. Without callers, it applies to each connection.
        caller_share: f64 = key.value(0.875),
        /// Consecutive failures that open the circuit breaker.
        breaker_failures: u32 = key.within(1..=1000, 5),
        /// Time for which the circuit breaker is open at first, plus up to a fifth of jitter. It
        /// doubles with each failed probe.
        breaker_open: Duration = key.duration(Duration::from_secs(1)),
        /// Maximum time for which the circuit breaker is open, plus up to a fifth of jitter.
        breaker_open_max: Duration = key.duration(Duration::from_secs(30)),
        /// Values that a path cannot carry: "query" sends them in the query, "reject" refuses the
        /// call.
        unsafe_values: UnsafeValues = key.one_of(&["query", "reject"], UnsafeValues::default()),
        /// Whether a proxy, load balancer or mesh between followme and the service may answer
        /// requests itself. If false, every HTTP answer proves that the service is done with the
        /// request.
        gateway: bool = key.value(true),
        /// Meaning of an empty list field with success=True: "empty" for a list without numbers,
        /// "refused" for a refusal.
        null_list: NullList = key.one_of(&["empty", "refused"], NullList::default()),
        /// Use of UpdateFollowmeAll: "one" number per POST, the "whole-list" in one CSV (a list with
        /// [ { } or a quote in a text is written one number at a time), or "off".
        update_all: UpdateAll = key.one_of(&["one", "whole-list", "off"], UpdateAll::default()),
        /// Body format of UpdateFollowmeAll: "auto" tries JSON, then CSV, then a form, until the
        /// host accepts one. A text with [ { } or a quote is never sent as CSV.
        post_format: PostFormat =
            key.one_of(&["auto", "csv", "json", "form"], PostFormat::default()),
        /// Time without traffic to upstream after which a health probe is sent.
        probe_after: Duration = key.duration(Duration::from_secs(10)),
        /// Time after which upstream certainly no longer carries out a request that followme
        /// aborted: a write that the list does not show by then was not applied. "0s": that time is
        /// not known, and an unknown outcome stays unknown.
        write_horizon: Duration = key.may_be_zero().duration(Duration::ZERO),
        /// CA certificates that an https upstream is verified against; without it, those of the
        /// system.
        ca_file: Option<PathBuf> = key.path("/etc/followme/upstream-ca.pem"),
        /// Client certificate for an https upstream.
        client_certificate_file: Option<PathBuf> = key.path("/etc/followme/upstream.pem"),
        /// Private key of the client certificate.
        client_key_file: Option<PathBuf> = key.path("/etc/followme/upstream.key"),
    }
}

impl Check for Upstream {
    fn check(&self, section: &mut Section<'_, '_>) {
        let has_url = section.is_set("url");
        section.ensure(
            "url",
            has_url,
            "is missing: set it, FOLLOWME_UPSTREAM_URL or --upstream-url to the URL of the \
             service, such as http://127.0.0.1:8080",
        );
        let is_plain = |name: &String| !name.chars().any(char::is_control);
        section.ensure(
            "name",
            (self.name.as_ref())
                .is_none_or(|name| (1..=MAX_NAME_BYTES).contains(&name.len()) && is_plain(name)),
            "must be 1 to 128 bytes without control characters",
        );
        section.ensure(
            "feature_name",
            (self.feature_name.as_ref())
                .is_none_or(|name| name.len() <= MAX_FEATURE_NAME_BYTES && is_plain(name)),
            "must be at most 128 bytes without control characters",
        );
        section.ensure("caller_share", is_share(self.caller_share), IS_SHARE);
        section.require_both(
            ("client_certificate_file", &self.client_certificate_file),
            ("client_key_file", &self.client_key_file),
        );
    }
}

impl Upstream {
    pub(super) fn config(&self) -> Config {
        Config {
            transport: TransportConfig {
                url: self.url.clone().unwrap_or_else(unset_url),
                connect_timeout: self.connect_timeout,
                idle_timeout: self.idle_timeout,
                max_connection_age: self.max_connection_age,
                max_answer_bytes: self.max_answer_bytes,
                ca: None,
                identity: None,
            },
            read_timeout: self.read_timeout,
            write_timeout: self.write_timeout,
            read_retries: self.read_retries,
            limits: ConcurrencyConfig {
                requests: self.max_requests,
                queue: self.max_queue,
                caller_share: self.caller_share,
            },
            breaker: BreakerConfig {
                failures: self.breaker_failures,
                open: self.breaker_open,
                open_max: self.breaker_open_max,
            },
            unsafe_values: self.unsafe_values,
            gateway: self.gateway,
            null_list: self.null_list,
            update_all: self.update_all,
            post_format: self.post_format,
        }
    }

    pub(super) fn defaults(&self) -> Defaults {
        Defaults {
            content_id: self.content_id,
            feature_name: self.feature_name.clone(),
        }
    }

    pub(super) fn write_horizon(&self) -> Option<Duration> {
        Some(self.write_horizon).filter(|horizon| !horizon.is_zero())
    }
}

/// The problem with a fraction that [`is_share`] refuses.
pub(super) const IS_SHARE: &str = "must be more than 0 and at most 1";

pub(super) fn is_share(share: f64) -> bool {
    share > 0.0 && share <= 1.0
}

/// The License of calls that bring none of their own.
#[derive(Debug, Clone)]
pub(super) enum LicenseSource {
    /// None is configured.
    Missing,
    /// `upstream.license_file` names its file.
    File(PathBuf),
    /// `FOLLOWME_LICENSE` holds it; `None` if its value is wrong.
    Variable(Option<License>),
}

/// Chooses between the file and `FOLLOWME_LICENSE`, which overrides a file that the TOML file names
/// and is overridden by the flag. No error text holds any of the License.
pub(super) fn license(source: &mut Source<'_>, file: Option<&PathBuf>) -> LicenseSource {
    const VARIABLE: &str = "FOLLOWME_LICENSE";
    const KEY: &str = "upstream.license_file";
    let origin = source.origin(KEY).map(|origin| origin.name.clone());
    let is_flag = origin.as_ref().is_some_and(|name| name.starts_with("--"));
    let Some(text) = source.variable(VARIABLE).filter(|_| !is_flag) else {
        return file.map_or(LicenseSource::Missing, |file| {
            LicenseSource::File(file.clone())
        });
    };
    let license = match origin {
        // Otherwise the file is named by the key.
        Some(other) if other != KEY => Err(format!("is set, and {other} too: set one of them")),
        _ => License::new(text.trim_matches(is_invisible)).map_err(str::to_owned),
    };
    source.clear(KEY);
    if let Err(problem) = &license {
        source.error(VARIABLE, problem);
    }
    LicenseSource::Variable(license.ok())
}

/// Returns a URL for a configuration without one; it is never used, since that is an error.
fn unset_url() -> Url {
    #[expect(clippy::expect_used, reason = "the text is a URL")]
    Url::parse("http://upstream.invalid/").expect("a URL")
}

fn upstream_url(text: &str) -> Result<Url, String> {
    if !text.contains("://") {
        return Err(
            "names no scheme: write http:// or https:// before the host, such as \
                    http://127.0.0.1:8080"
                .to_owned(),
        );
    }
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    let problem = if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        "must start with http:// or https:// and name a host"
    } else if url.query().is_some() || url.fragment().is_some() {
        "must not have a query or a fragment"
    } else if !url.username().is_empty() || url.password().is_some() {
        "must not hold a user name or a password"
    } else {
        return Ok(url);
    };
    Err(problem.to_owned())
}
