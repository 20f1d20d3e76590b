//! The configuration: TOML file, environment, flags, in this order, later wins. It is parsed into
//! checked types here, and every mistake is reported at once with its key and its place.
//!
//! `keys` is the one list of keys: reading, checking, printing and the names of variables follow it.
//! `watch` looks at the files while the facade runs.
//!
//! Architecture invariant: this is the only room that reads the environment and files, as far as our
//! own code reads any; but `telemetry` reads `/proc/self`.

mod callers;
mod file;
mod keys;
mod print;
mod reader;
mod telemetry;
mod watch;

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use reqwest::Url;

pub use watch::{Changes, Reloader};

use crate::{
    domain::{Field, License, Rules},
    grpc, operations,
    security::{self, Caller, Tokens},
    telemetry::audit,
    upstream::{self, TransportConfig},
};
use callers::CallerSettings;
use file::File;
use print::Effective;
use reader::{Findings, Flag, Reader};

/// Everything that `serve` depends on.
#[derive(Debug, Clone)]
pub struct Config {
    /// `listen` / `FOLLOWME_LISTEN` / `--listen`: the address of the gRPC server
    /// (127.0.0.1:50051). Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// `insecure` / `--insecure`: whether others than this machine may be listened to without TLS
    /// or without callers (false).
    pub insecure: bool,
    /// `[upstream]`.
    pub upstream: upstream::Config,
    /// `[calls]`.
    pub operations: operations::Config,
    /// What holds for a caller who says nothing: `upstream.content_id`, `upstream.feature_name`.
    pub defaults: grpc::Defaults,
    /// `[server]`.
    pub server: grpc::server::Config,
    /// `server.readiness_follows_upstream`: whether the facade says that it is not ready while
    /// upstream does not work (false).
    pub readiness_follows_upstream: bool,
    /// `upstream.probe_after`: how long upstream may go unheard of before it is asked (10 s).
    pub probe_after: Duration,
    /// `[tls]`, `[callers.NAME]`, `tokens_file`, `read_only`, and the Licenses.
    pub security: security::Config,
    /// `log_format`, and what `RUST_LOG` and the `OTEL_*` variables say.
    pub telemetry: crate::telemetry::Config,
    /// `[telemetry]`: the audit log.
    pub audit: audit::Config,
    /// `admin_listen` / `--admin-listen`: the address of the admin pages; `None` for no such pages.
    /// Other than loopback only with `admin_insecure`.
    pub admin_listen: Option<SocketAddr>,
    /// What looks at the files while the facade runs; `None` where nothing was read from any.
    pub reloader: Option<Reloader>,
    settings: Settings,
}

/// The values that stand for files, and those that are looked at again while the facade runs.
#[derive(Debug, Clone, Default)]
struct Settings {
    has_url: bool,
    /// Whether a License is named, be it there or not.
    has_license: bool,
    read_only: bool,
    tokens_file: Option<PathBuf>,
    license_file: Option<PathBuf>,
    /// The License of `FOLLOWME_LICENSE`, in place of the file's.
    license: Option<License>,
    caller_license: bool,
    upstream_ca_file: Option<PathBuf>,
    upstream_certificate_file: Option<PathBuf>,
    upstream_key_file: Option<PathBuf>,
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    client_ca_file: Option<PathBuf>,
    require_client_certificate: bool,
    callers: Vec<CallerSettings>,
    admin_insecure: bool,
    audit_key_file: Option<PathBuf>,
}

impl Settings {
    /// Tells whether callers are configured, so that everybody else is refused.
    fn has_callers(&self) -> bool {
        self.tokens_file.is_some() || !self.callers.is_empty()
    }
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
    /// `--insecure`.
    pub insecure: bool,
    /// `--log-format`.
    pub log_format: Option<String>,
    /// `--admin-listen`.
    pub admin_listen: Option<String>,
}

impl Flags {
    fn values(&self) -> Vec<Flag> {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        [
            ("listen", "--listen", self.listen.clone()),
            ("upstream.url", "--upstream-url", self.upstream_url.clone()),
            (
                "upstream.license_file",
                "--license-file",
                self.license_file.as_ref().map(path),
            ),
            (
                "insecure",
                "--insecure",
                self.insecure.then(|| "true".to_owned()),
            ),
            ("log_format", "--log-format", self.log_format.clone()),
            ("admin_listen", "--admin-listen", self.admin_listen.clone()),
        ]
        .into_iter()
        .filter_map(|(key, name, value)| {
            Some(Flag {
                key,
                name,
                value: value?,
            })
        })
        .collect()
    }
}

/// A mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// What it is about: a TOML key, a variable or a flag.
    pub key: String,
    /// What is wrong, and what to do.
    pub problem: String,
    /// Where it stands, as `FILE:LINE`, if in the file.
    pub location: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)?;
        match &self.location {
            Some(location) => write!(f, " ({location})"),
            None => Ok(()),
        }
    }
}

/// The environment, as far as it matters here. Tests give their own.
pub trait Environment {
    /// Returns the value of a variable that is set and not empty.
    fn variable(&self, name: &str) -> Option<String>;

    /// Returns the names of the variables that are set, so that one that is not known is refused.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }
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

    fn names(&self) -> Vec<String> {
        std::env::vars_os()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(name, _)| name.into_string().ok())
            .collect()
    }
}

/// The environment as it was when the configuration was read.
#[derive(Clone, Default)]
struct Snapshot(BTreeMap<String, String>);

impl Snapshot {
    /// Keeps what the keys ask for.
    fn new(environment: &impl Environment, keys: &[Effective]) -> Self {
        let names = keys.iter().filter_map(|key| reader::variable(&key.key));
        let names = names.chain(["FOLLOWME_LICENSE", "FOLLOWME_CONFIG"].map(str::to_owned));
        Self(
            names
                .filter_map(|name| environment.variable(&name).map(|value| (name, value)))
                .collect(),
        )
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One of the values may be a License.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment for Snapshot {
    fn variable(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
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
                limits: upstream::ConcurrencyConfig {
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
            insecure: false,
            defaults: grpc::Defaults {
                content_id: None,
                feature_name: None,
            },
            server: grpc::server::Config {
                accept: grpc::accept::Config {
                    max_connections: 16_384,
                    handshake_timeout: Duration::from_secs(10),
                    idle_timeout: Duration::from_secs(15 * 60),
                },
                reflection: true,
                default_deadline: Duration::from_secs(15),
                max_calls_per_connection: 200,
                max_connection_age: Duration::from_secs(30 * 60),
                drain_delay: Duration::from_secs(5),
                drain_limit: Duration::from_secs(30),
                baggage_keys: Vec::new(),
            },
            telemetry: crate::telemetry::Config::default(),
            audit: audit::Config::default(),
            admin_listen: None,
            readiness_follows_upstream: false,
            probe_after: Duration::from_secs(10),
            security: security::Config {
                tls: None,
                policy: security::Policy {
                    closed: false,
                    read_only: false,
                    anonymous: Caller::anonymous(license),
                    callers: Vec::new(),
                    tokens: Tokens::default(),
                },
            },
            settings: Settings {
                has_url: true,
                ..Settings::default()
            },
            reloader: None,
        }
    }

    /// Reads the configuration, and every file that it names.
    ///
    /// # Errors
    /// Returns every mistake that can be seen.
    pub fn load(flags: &Flags, environment: &impl Environment) -> Result<Self, Vec<ConfigError>> {
        let mut mistakes = Vec::new();
        let path = watch::config_file(flags, environment);
        let text = path.as_ref().map(|(key, path)| {
            watch::read_text(path).map_err(|problem| ConfigError {
                key: (*key).to_owned(),
                problem,
                location: None,
            })
        });
        let text = text.transpose().unwrap_or_else(|mistake| {
            mistakes.push(mistake);
            None
        });
        let file = match (&path, &text) {
            (Some((option, path)), Some(text)) => {
                parse(option, path, text).unwrap_or_else(|mistake| {
                    mistakes.push(mistake);
                    File::default()
                })
            }
            _ => File::default(),
        };
        let (mut config, mut findings) = Self::read(file, flags, environment);
        mistakes.append(&mut findings.mistakes);
        let sources = watch::Sources {
            flags: flags.clone(),
            environment: Snapshot::new(environment, &findings.effective),
            file: path,
        };
        let mut watch = Reloader::new(sources, text.as_deref(), config.settings.clone(), findings);
        watch.fill(&mut config, &mut mistakes);
        telemetry::of_environment(&mut config.telemetry, environment, &mut mistakes);
        config.reloader = Some(watch);
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(mistakes)
        }
    }

    /// Takes what flags, environment and file say, but for what stands in other files.
    fn read(file: File, flags: &Flags, environment: &dyn Environment) -> (Self, Findings) {
        let mut config = Self::new(unset_url(), None);
        config.settings.has_url = false;
        let mut reader = Reader::new(file, flags.values(), environment);
        keys::read(&mut reader, &mut config);
        let settings = &mut config.settings;
        watch::license_of_environment(&mut reader, settings);
        (config, reader.finish())
    }

    /// Returns what is wrong with the address: others reach it, and nothing keeps them out.
    #[must_use]
    pub fn exposure(&self) -> Option<ConfigError> {
        let closed = self.security.tls.is_some() && self.security.policy.closed;
        let exposed = !self.listen.ip().is_loopback() && !closed && !self.insecure;
        exposed.then(|| ConfigError {
            key: "listen".to_owned(),
            problem: keys::EXPOSED.to_owned(),
            location: None,
        })
    }

    /// Prints the configuration in force, as TOML that can be read back. What is secret stands in
    /// files of its own, of which only the paths are printed.
    #[must_use]
    pub fn redacted(&self) -> String {
        let mut copy = self.clone();
        let environment = Snapshot::default();
        let mut reader = Reader::new(File::default(), Vec::new(), &environment);
        keys::read(&mut reader, &mut copy);
        print::render(&reader.finish().effective, self.settings.license.is_some())
    }

    /// Returns every key but those of callers, and its default as TOML; `None` where there is none.
    #[must_use]
    pub fn defaults() -> Vec<(String, Option<toml::Value>)> {
        let environment = Snapshot::default();
        let (_, findings) = Self::read(File::default(), &Flags::default(), &environment);
        findings
            .effective
            .into_iter()
            .map(|Effective { key, value }| (key, value))
            .collect()
    }
}

/// Reads what logs, traces and metrics depend on, for the commands that have no other
/// configuration.
///
/// # Errors
/// Returns every mistake that can be seen.
pub fn telemetry(
    flags: &Flags,
    environment: &impl Environment,
) -> Result<crate::telemetry::Config, Vec<ConfigError>> {
    telemetry::alone(flags, environment)
}

/// Stands for the URL of upstream where none is given; the mistake stops it from use.
fn unset_url() -> Url {
    #[expect(clippy::expect_used, reason = "the text is a URL")]
    Url::parse("http://upstream.invalid/").expect("a URL")
}

/// Parses the TOML file; a mistake in it is named by the option that names the file.
fn parse(option: &str, path: &std::path::Path, text: &str) -> Result<File, ConfigError> {
    File::parse(&path.display().to_string(), text).map_err(|(place, problem)| ConfigError {
        key: option.to_owned(),
        problem: format!("{place}: {problem}"),
        location: None,
    })
}
