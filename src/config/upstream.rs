//! `[upstream]`: the PortaFollowMe service, and how to call it.

use std::{path::PathBuf, time::Duration};

use reqwest::Url;

use super::source::{Origin, Source};
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

pub(super) struct Upstream {
    pub(super) config: Config,
    pub(super) name: Option<String>,
    pub(super) defaults: Defaults,
    pub(super) probe_after: Duration,
    pub(super) write_horizon: Option<Duration>,
    pub(super) caller_license: bool,
    pub(super) license: LicenseSource,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) client_certificate_file: Option<PathBuf>,
    pub(super) client_key_file: Option<PathBuf>,
}

/// The License of calls that bring none of their own.
#[derive(Debug, Clone)]
pub(super) enum LicenseSource {
    /// None is configured.
    Missing,
    /// `upstream.license_file` names its file.
    File(PathBuf),
    /// `FOLLOWME_LICENSE` holds it; `None` where its value is wrong.
    Variable(Option<License>),
}

pub(super) fn read(source: &mut Source<'_>) -> Upstream {
    let mut s = source.section("upstream");
    let url = s
        .key("url")
        .meaning(
            "URL of the service: http or https. Its path is the prefix of every route. Required.",
        )
        .flag("--upstream-url")
        .example("http://127.0.0.1:8080")
        .parsed(
            None,
            |text: String| upstream_url(&text).map(Some),
            |url| url.as_ref().map(|url: &Url| url.as_str().into()),
        );
    if !s.is_set("url") {
        s.error(
            "url",
            "is missing: set it, FOLLOWME_UPSTREAM_URL or --upstream-url to the URL of the \
             service, such as http://127.0.0.1:8080",
        );
    }
    let name = s
        .key("name")
        .meaning(
            "Stable name of the service in the journal, so that its url can change. By default \
             scheme, host, port and path of the url: another url is another service.",
        )
        .example("porta")
        .optional_checked(|name: &String| {
            let is_short = (1..=MAX_NAME_BYTES).contains(&name.len());
            if is_short && !name.chars().any(char::is_control) {
                Ok(())
            } else {
                Err("must be 1 to 128 bytes without control characters".to_owned())
            }
        });
    let license_file = s
        .key("license_file")
        .meaning(
            "File that holds the License. It, or the License itself in FOLLOWME_LICENSE, is \
             required unless every caller has its own or sends one.",
        )
        .flag("--license-file")
        .variable("FOLLOWME_LICENSE_FILE")
        .path("/etc/followme/license");
    let caller_license = s
        .key("caller_license")
        .meaning("Allows callers to send a License in x-porta-license.")
        .reloaded()
        .value(false);
    let defaults = Defaults {
        content_id: s
            .key("content_id")
            .meaning("ContentId of calls that send none.")
            .example(7)
            .optional(),
        feature_name: s
            .key("feature_name")
            .meaning("FeatureName of calls that send none.")
            .example("portal")
            .optional_checked(|name: &String| {
                let is_short = name.len() <= MAX_FEATURE_NAME_BYTES;
                if is_short && !name.chars().any(char::is_control) {
                    Ok(())
                } else {
                    Err("must be at most 128 bytes without control characters".to_owned())
                }
            }),
    };
    let transport = TransportConfig {
        url: url.unwrap_or_else(unset_url),
        connect_timeout: s
            .key("connect_timeout")
            .meaning("Time limit to open a connection.")
            .duration(Duration::from_secs(2)),
        idle_timeout: s
            .key("idle_timeout")
            .meaning(
                "Time after which an unused connection is closed. The service itself closes one \
                 after 15 s.",
            )
            .duration(Duration::from_secs(10)),
        max_connection_age: s
            .key("max_connection_age")
            .meaning("Age at which a connection is replaced, so that changes of DNS are followed.")
            .duration(Duration::from_secs(300)),
        max_answer_bytes: s
            .key("max_answer_bytes")
            .meaning("Maximum size of a response from upstream, in bytes.")
            .within(1024..=1024 * 1024 * 1024, 8 * 1024 * 1024),
        ca: None,
        identity: None,
    };
    let config = Config {
        transport,
        read_timeout: s
            .key("read_timeout")
            .meaning("Time limit of one request that reads.")
            .duration(Duration::from_secs(10)),
        write_timeout: s
            .key("write_timeout")
            .meaning("Time limit of one request that writes.")
            .duration(Duration::from_secs(10)),
        read_retries: s
            .key("read_retries")
            .meaning("Maximum number of retries of a read after a transient failure.")
            .within(0..=10, 2),
        limits: ConcurrencyConfig {
            requests: s
                .key("max_requests")
                .meaning("Maximum number of concurrent requests to upstream.")
                .within(1..=100_000, 64),
            queue: s
                .key("max_queue")
                .meaning(
                    "Maximum number of calls that wait while max_requests requests are in flight.",
                )
                .within(0..=1_000_000, 256),
            caller_share: s
                .key("caller_share")
                .meaning(
                    "Fraction of max_requests and of max_queue that one caller can use, above 0 \
                     and up to 1. Without callers, it applies to each connection.",
                )
                .checked(0.5, |share| {
                    let problem = || "must be more than 0 and at most 1".to_owned();
                    (*share > 0.0 && *share <= 1.0)
                        .then_some(())
                        .ok_or_else(problem)
                }),
        },
        breaker: BreakerConfig {
            failures: s
                .key("breaker_failures")
                .meaning("Consecutive failures that open the circuit breaker.")
                .within(1..=1000, 5),
            open: s
                .key("breaker_open")
                .meaning(
                    "Time for which the circuit breaker is open at first, plus up to a fifth of \
                     jitter. It doubles with each failed probe.",
                )
                .duration(Duration::from_secs(1)),
            open_max: s
                .key("breaker_open_max")
                .meaning(
                    "Maximum time for which the circuit breaker is open, plus up to a fifth of \
                     jitter.",
                )
                .duration(Duration::from_secs(30)),
        },
        unsafe_values: s
            .key("unsafe_values")
            .meaning(
                "Values that a path cannot carry: \"query\" sends them in the query, \"reject\" \
                 refuses the call.",
            )
            .one_of(&["query", "reject"], UnsafeValues::default()),
        gateway: s
            .key("gateway")
            .meaning(
                "Whether a proxy, load balancer or mesh between followme and the service may \
                 answer requests itself. If false, every HTTP answer proves that the service is \
                 done with the request.",
            )
            .value(true),
        null_list: s
            .key("null_list")
            .meaning(
                "Meaning of an empty list field with success=True: \"empty\" for a list without \
                 numbers, \"refused\" for a refusal.",
            )
            .one_of(&["empty", "refused"], NullList::default()),
        update_all: s
            .key("update_all")
            .meaning(
                "Use of UpdateFollowmeAll: \"one\" number per POST, the \"whole-list\", or \
                 \"off\".",
            )
            .one_of(&["one", "whole-list", "off"], UpdateAll::default()),
        post_format: s
            .key("post_format")
            .meaning(
                "Body format of UpdateFollowmeAll: \"auto\" tries JSON, then CSV, then a form, \
                 until the host accepts one. A text with [ { } or a quote is never sent as CSV.",
            )
            .one_of(&["auto", "csv", "json", "form"], PostFormat::default()),
    };
    let probe_after = s
        .key("probe_after")
        .meaning("Time without traffic to upstream after which a health probe is sent.")
        .duration(Duration::from_secs(10));
    let write_horizon = s
        .key("write_horizon")
        .meaning(
            "Time after which upstream certainly no longer carries out a request that followme \
             aborted: a write that the list does not show by then was not applied. \"0s\": that \
             time is not known, and an unknown outcome stays unknown.",
        )
        .checked_duration(Duration::ZERO, |_| Ok(()));
    let ca_file = s
        .key("ca_file")
        .meaning(
            "CA certificates that an https upstream is verified against; without it, those of \
             the system.",
        )
        .path("/etc/followme/upstream-ca.pem");
    let client_certificate_file = s
        .key("client_certificate_file")
        .meaning("Client certificate for an https upstream.")
        .path("/etc/followme/upstream.pem");
    let client_key_file = s
        .key("client_key_file")
        .meaning("Private key of the client certificate.")
        .path("/etc/followme/upstream.key");
    s.require_both(
        ("client_certificate_file", &client_certificate_file),
        ("client_key_file", &client_key_file),
    );
    Upstream {
        config,
        name,
        defaults,
        probe_after,
        write_horizon: (!write_horizon.is_zero()).then_some(write_horizon),
        caller_license,
        license: license(source, license_file),
        ca_file,
        client_certificate_file,
        client_key_file,
    }
}

/// Chooses between the file and `FOLLOWME_LICENSE`, which overrides a file that the TOML file names
/// and is overridden by the flag. No error text holds any of the License.
fn license(source: &mut Source<'_>, file: Option<PathBuf>) -> LicenseSource {
    const VARIABLE: &str = "FOLLOWME_LICENSE";
    const KEY: &str = "upstream.license_file";
    let is_flag = matches!(source.origin(KEY), Some(Origin::Flag(_)));
    let Some(text) = source.variable(VARIABLE).filter(|_| !is_flag) else {
        return file.map_or(LicenseSource::Missing, LicenseSource::File);
    };
    let license = match (source.origin(KEY), License::new(text)) {
        (Some(Origin::Variable(other)), _) => {
            Err(format!("is set, and {other} too: set one of them"))
        }
        (_, license) => license.map_err(str::to_owned),
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

fn upstream_url(text: &str) -> Result<Url, Vec<String>> {
    let url = Url::parse(text).map_err(|error| vec![format!("is not a URL: {error}")])?;
    let problem = if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        "must start with http:// or https:// and name a host"
    } else if url.query().is_some() || url.fragment().is_some() {
        "must not have a query or a fragment"
    } else if !url.username().is_empty() || url.password().is_some() {
        "must not hold a user name or a password"
    } else {
        return Ok(url);
    };
    Err(vec![problem.to_owned()])
}
