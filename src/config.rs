//! The configuration: TOML file, environment, flags, in this order, later wins. It is parsed into
//! checked types here, and every mistake is reported at once with its key.
//!
//! Architecture invariant: this is the only room that reads the environment and files.

mod reader;

use std::{
    fmt, fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Url;
use zeroize::Zeroizing;

use crate::{
    domain::{Field, FieldSet, License, Rules, check},
    grpc, operations,
    upstream::{self, TransportConfig},
};
use reader::Reader;

/// Everything that `serve` depends on.
#[derive(Debug, Clone)]
pub struct Config {
    /// `listen` / `FOLLOWME_LISTEN` / `--listen`: the address of the gRPC server
    /// (127.0.0.1:50051). Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// `[upstream]`.
    pub upstream: upstream::Config,
    /// `[calls]`.
    pub operations: operations::Config,
    /// What holds for a caller who says nothing: `upstream.content_id`, `upstream.feature_name`,
    /// and the License.
    pub defaults: grpc::Defaults,
    /// `[server]`.
    pub server: grpc::server::Config,
    /// `server.readiness_follows_upstream`: whether the facade says that it is not ready while
    /// upstream does not work (false).
    pub readiness_follows_upstream: bool,
    /// `upstream.probe_after`: how long upstream may go unheard of before it is asked (10 s).
    pub probe_after: Duration,
}

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--upstream-url`.
    pub upstream_url: Option<String>,
    /// `--license-file`.
    pub license_file: Option<PathBuf>,
}

/// A mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where it stands: a TOML key, a variable or a flag.
    pub key: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

/// The environment, as far as it matters here. Tests give their own.
pub trait Environment {
    /// Returns the value of a variable that is set and not empty.
    fn variable(&self, name: &str) -> Option<String>;
}

/// The environment of the process.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }
}

/// The default address of the gRPC server.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 50051);

impl Config {
    /// Makes the configuration of a facade that has everything from its defaults, but for the
    /// upstream and the License.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn new(url: Url, license: Option<License>) -> Self {
        Self {
            listen: DEFAULT_LISTEN,
            upstream: upstream::Config {
                transport: TransportConfig {
                    url,
                    connect_timeout: Duration::from_secs(2),
                    idle_timeout: Duration::from_secs(10),
                    max_connection_age: Duration::from_secs(300),
                    ca: None,
                    identity: None,
                    max_answer_bytes: 8 * 1024 * 1024,
                },
                read_timeout: Duration::from_secs(10),
                write_timeout: Duration::from_secs(10),
                unsafe_values: upstream::UnsafeValues::default(),
                null_list: upstream::NullList::default(),
                update_all: upstream::UpdateAll::default(),
                post_format: upstream::PostFormat::default(),
                read_retries: 2,
                limits: upstream::LimitsConfig {
                    requests: 64,
                    queue: 256,
                    caller_share: 0.5,
                },
                breaker: upstream::BreakerConfig {
                    failures: 5,
                    open: Duration::from_secs(1),
                    open_max: Duration::from_secs(30),
                },
            },
            operations: operations::Config {
                rules: Rules {
                    strip_plus: true,
                    default_ring_timeout: 30,
                },
                write_limit: Duration::from_secs(30),
                max_numbers: 100,
                strict_fields: [
                    Field::RedirectNumber,
                    Field::Domain,
                    Field::Order,
                    Field::RingTimeout,
                    Field::Active,
                ]
                .into_iter()
                .collect(),
                request_ids: operations::RequestIdLimits {
                    ttl: Duration::from_secs(60 * 60),
                    entries: 100_000,
                    bytes: 64 * 1024 * 1024,
                },
            },
            defaults: grpc::Defaults {
                license,
                caller_license: false,
                content_id: None,
                feature_name: None,
            },
            server: grpc::server::Config {
                accept: grpc::accept::Config {
                    max_connections: 16_384,
                    handshake_timeout: Duration::from_secs(10),
                    idle_timeout: Duration::from_secs(15 * 60),
                },
                default_deadline: Duration::from_secs(15),
                max_calls_per_connection: 200,
                max_connection_age: Duration::from_secs(30 * 60),
                drain_delay: Duration::from_secs(5),
                drain_limit: Duration::from_secs(30),
            },
            readiness_follows_upstream: false,
            probe_after: Duration::from_secs(10),
        }
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// Returns every mistake that can be seen.
    pub fn load(flags: &Flags, environment: &impl Environment) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let table = table(flags, environment, &mut mistakes);
        let mut file = Reader::new(table, &mut mistakes);

        // The keys of the file are taken in any case: one that is overridden is no unknown key.
        let (listen_in_file, url_in_file) = (file.text("listen"), file.text("upstream.url"));
        let listen =
            source(&flags.listen, "--listen", environment, "FOLLOWME_LISTEN").or(listen_in_file);
        let url = source(
            &flags.upstream_url,
            "--upstream-url",
            environment,
            "FOLLOWME_UPSTREAM_URL",
        )
        .or(url_in_file);
        // A URL has to be there for the defaults; the mistake stops the one made up from use.
        let url = match url {
            None => file.mistake(
                "upstream.url",
                "is missing: set it, FOLLOWME_UPSTREAM_URL or --upstream-url to the address of the \
                 service, for example http://127.0.0.1:8080",
            ),
            Some(text) => upstream_url(&text.value)
                .map_err(|problem| file.mistake::<()>(&text.key, &problem))
                .ok(),
        };
        let license_file = file.text("upstream.license_file");
        let unset = Url::parse("http://upstream.invalid/");
        let Some(mut config) = url.or(unset.ok()).map(|url| Self::new(url, None)) else {
            return Err(mistakes);
        };

        if let Some(listen) = listen {
            match listen.value.parse() {
                Ok(address) => config.listen = address,
                Err(_) => {
                    file.mistake::<()>(
                        &listen.key,
                        "must be an IP address and a port, for example 127.0.0.1:50051",
                    );
                }
            }
        }
        let defaults = &mut config.defaults;
        file.set("upstream.caller_license", &mut defaults.caller_license);
        file.set_some("upstream.content_id", &mut defaults.content_id);
        file.set_some("upstream.feature_name", &mut defaults.feature_name);
        file.check("upstream.feature_name", || {
            let name = defaults.feature_name.as_deref().unwrap_or_default();
            (name.len() <= grpc::MAX_FEATURE_NAME_BYTES && !name.chars().any(char::is_control))
                .then_some(())
                .ok_or_else(|| "must be at most 128 bytes without control characters".to_owned())
        });
        let upstream = &mut config.upstream;
        let transport = &mut upstream.transport;
        file.duration("upstream.connect_timeout", &mut transport.connect_timeout);
        file.duration("upstream.idle_timeout", &mut transport.idle_timeout);
        file.duration("upstream.read_timeout", &mut upstream.read_timeout);
        file.duration("upstream.write_timeout", &mut upstream.write_timeout);
        file.size(
            "upstream.max_answer_bytes",
            1024..=1024 * 1024 * 1024,
            &mut transport.max_answer_bytes,
        );
        file.duration(
            "upstream.max_connection_age",
            &mut transport.max_connection_age,
        );
        transport.ca = file.text("upstream.ca_file").and_then(|path| {
            let pem = read_file(&path).map_err(|problem| file.mistake::<()>(&path.key, &problem));
            pem.ok()
        });
        transport.identity = identity(&mut file);
        file.duration("upstream.probe_after", &mut config.probe_after);
        let mut retries = upstream.read_retries as usize;
        file.size("upstream.read_retries", 0..=10, &mut retries);
        upstream.read_retries = u32::try_from(retries).unwrap_or(u32::MAX);
        file.size(
            "upstream.max_requests",
            1..=100_000,
            &mut upstream.limits.requests,
        );
        file.size(
            "upstream.max_queue",
            0..=1_000_000,
            &mut upstream.limits.queue,
        );
        file.set("upstream.caller_share", &mut upstream.limits.caller_share);
        let share = upstream.limits.caller_share;
        file.check("upstream.caller_share", || {
            (share > 0.0 && share <= 1.0)
                .then_some(())
                .ok_or_else(|| "must be more than 0 and at most 1".to_owned())
        });
        let breaker = &mut upstream.breaker;
        let mut failures = breaker.failures as usize;
        file.size("upstream.breaker_failures", 1..=1000, &mut failures);
        breaker.failures = u32::try_from(failures).unwrap_or(u32::MAX);
        file.duration("upstream.breaker_open", &mut breaker.open);
        file.duration("upstream.breaker_open_max", &mut breaker.open_max);
        file.set("upstream.unsafe_values", &mut upstream.unsafe_values);
        file.set("upstream.null_list", &mut upstream.null_list);
        file.set("upstream.update_all", &mut upstream.update_all);
        file.set("upstream.post_format", &mut upstream.post_format);
        let operations = &mut config.operations;
        file.set("calls.strip_plus", &mut operations.rules.strip_plus);
        let mut ring = Duration::from_secs(30);
        file.duration("calls.default_ring_timeout", &mut ring);
        file.check("calls.default_ring_timeout", || {
            let seconds = i64::try_from(ring.as_secs()).unwrap_or(i64::MAX);
            check::ring_timeout(seconds, ring.subsec_nanos().cast_signed())
        });
        operations.rules.default_ring_timeout = i32::try_from(ring.as_secs()).unwrap_or(30);
        file.duration("calls.write_limit", &mut operations.write_limit);
        file.size("calls.max_numbers", 1..=1000, &mut operations.max_numbers);
        if let Some(names) = file.take::<Vec<String>>("calls.strict_fields") {
            operations.strict_fields = FieldSet::EMPTY;
            for name in names {
                match Field::from_name(&name) {
                    Some(field) => operations.strict_fields.insert(field),
                    None => {
                        let problem = format!("{name:?} is not a field of FollowMeNumber");
                        file.mistake::<()>("calls.strict_fields", &problem);
                    }
                }
            }
        }
        let server = &mut config.server;
        let accept = &mut server.accept;
        file.size(
            "server.max_connections",
            1..=1_000_000,
            &mut accept.max_connections,
        );
        file.duration("server.handshake_timeout", &mut accept.handshake_timeout);
        file.duration("server.idle_timeout", &mut accept.idle_timeout);
        file.duration("server.default_deadline", &mut server.default_deadline);
        let mut calls = server.max_calls_per_connection as usize;
        file.size("server.max_calls_per_connection", 1..=10_000, &mut calls);
        server.max_calls_per_connection = u32::try_from(calls).unwrap_or(u32::MAX);
        file.duration("server.max_connection_age", &mut server.max_connection_age);
        file.duration_or_zero("server.drain_delay", &mut server.drain_delay);
        file.duration("server.drain_limit", &mut server.drain_limit);
        file.set(
            "server.readiness_follows_upstream",
            &mut config.readiness_follows_upstream,
        );
        let ids = &mut operations.request_ids;
        file.duration("calls.request_id_ttl", &mut ids.ttl);
        file.size("calls.request_id_entries", 1..=10_000_000, &mut ids.entries);
        file.size("calls.request_id_bytes", 1024..=1 << 40, &mut ids.bytes);
        file.finish();

        let found = mistakes.len();
        config.defaults.license = license(flags, environment, license_file, &mut mistakes);
        if config.defaults.license.is_none()
            && !config.defaults.caller_license
            && mistakes.len() == found
        {
            mistakes.push(Mistake {
                key: "upstream.license_file".to_owned(),
                problem: "is missing: set it, FOLLOWME_LICENSE_FILE, --license-file or \
                          FOLLOWME_LICENSE, or let callers bring their own with \
                          upstream.caller_license = true"
                    .to_owned(),
            });
        }
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(mistakes)
        }
    }
}

/// A value, and where it stands.
#[derive(Debug, Clone)]
struct Sourced {
    key: String,
    value: String,
}

fn source(
    flag: &Option<String>,
    flag_name: &str,
    environment: &impl Environment,
    variable: &str,
) -> Option<Sourced> {
    let flag = flag.clone().map(|value| (flag_name, value));
    let (key, value) = flag.or_else(|| {
        environment
            .variable(variable)
            .map(|value| (variable, value))
    })?;
    Some(Sourced {
        key: key.to_owned(),
        value,
    })
}

/// Reads the TOML file, where one is named.
fn table(
    flags: &Flags,
    environment: &impl Environment,
    mistakes: &mut Vec<Mistake>,
) -> toml::Table {
    let named = flags
        .config
        .clone()
        .map(|path| ("--config", path))
        .or_else(|| {
            let path = environment.variable("FOLLOWME_CONFIG")?;
            Some(("FOLLOWME_CONFIG", path.into()))
        });
    let Some((key, path)) = named else {
        return toml::Table::new();
    };
    let mut fail = |problem: String| {
        mistakes.push(Mistake {
            key: key.to_owned(),
            problem,
        });
        toml::Table::new()
    };
    match fs::read_to_string(&path) {
        Err(error) => fail(format!("cannot read {}: {error}", path.display())),
        Ok(text) => text.parse().unwrap_or_else(|error: toml::de::Error| {
            let line = error
                .span()
                .and_then(|span| text.get(..span.start))
                .map_or(1, |before| before.matches('\n').count() + 1);
            fail(format!("{}:{line}: {}", path.display(), error.message()))
        }),
    }
}

fn read_file(path: &Sourced) -> Result<Vec<u8>, String> {
    fs::read(&path.value).map_err(|error| format!("cannot read {}: {error}", path.value))
}

/// Reads our own certificate for upstream and its key.
fn identity(file: &mut Reader<'_>) -> Option<Zeroizing<Vec<u8>>> {
    let certificate = file.text("upstream.client_certificate_file");
    let key = file.text("upstream.client_key_file");
    match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            let mut pem = Zeroizing::new(Vec::new());
            for path in [&certificate, &key] {
                match read_file(path) {
                    Ok(bytes) => pem.extend_from_slice(&Zeroizing::new(bytes)),
                    Err(problem) => return file.mistake(&path.key, &problem),
                }
                pem.push(b'\n');
            }
            Some(pem)
        }
        (Some(alone), None) | (None, Some(alone)) => file.mistake(
            &alone.key,
            "needs both client_certificate_file and client_key_file",
        ),
    }
}

fn upstream_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must start with http:// or https:// and name a host".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query or a fragment".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or a password".to_owned());
    }
    Ok(url)
}

/// Finds the License. No problem prints any of it.
fn license(
    flags: &Flags,
    environment: &impl Environment,
    file: Option<Sourced>,
    mistakes: &mut Vec<Mistake>,
) -> Option<License> {
    let path_from_environment = environment.variable("FOLLOWME_LICENSE_FILE");
    let mut fail = |key: &str, problem: String| {
        mistakes.push(Mistake {
            key: key.to_owned(),
            problem,
        });
        None
    };
    let (key, path) = if let Some(path) = &flags.license_file {
        ("--license-file".to_owned(), path.clone())
    } else if let Some(text) = environment.variable("FOLLOWME_LICENSE") {
        if path_from_environment.is_some() {
            return fail(
                "FOLLOWME_LICENSE",
                "is set and FOLLOWME_LICENSE_FILE too: set one of them".to_owned(),
            );
        }
        return match License::new(text) {
            Ok(license) => Some(license),
            Err(rule) => fail("FOLLOWME_LICENSE", rule.to_owned()),
        };
    } else if let Some(path) = path_from_environment {
        ("FOLLOWME_LICENSE_FILE".to_owned(), path.into())
    } else {
        let file = file?;
        (file.key, PathBuf::from(file.value))
    };
    match read_license(&path) {
        Ok(license) => Some(license),
        Err(problem) => fail(&key, problem),
    }
}

fn read_license(path: &Path) -> Result<License, String> {
    let text = fs::read_to_string(path)
        .map(zeroize::Zeroizing::new)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    License::new(text.trim_end_matches(['\r', '\n']))
        .map_err(|rule| format!("the License in {} {rule}", path.display()))
}
