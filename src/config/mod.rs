//! The configuration: flags override environment variables, and these override the TOML file. All
//! errors are reported at once, each with its key and location.
//!
//! # How to add a key
//! 1. Add a field to the `Config` of the module that uses the value, such as `upstream::Config`.
//! 2. Fill it by one expression in the section's file here (`upstream.rs` for `upstream.*`): name,
//!    meaning, type, default and check of the key are all in it. Its variable, `config print`, the
//!    example file and the table in docs/configuration.md are made from it.
//! 3. Name the test that shows its effect in tests/it/security/shown_by.rs.
//! 4. Run `UPDATE_DOCS=1 cargo test --test it reference`, which writes the example file and the
//!    table.
//!
//! A new section is a new file with a `read` function, and a line in `Sections`.
//!
//! Architecture invariant: only this module reads the environment and files, except `/proc/self`,
//! which `telemetry` reads, and what libraries read themselves.

mod callers;
mod calls;
mod environment;
mod file;
mod journal;
mod key;
mod print;
mod reload;
mod server;
mod source;
mod telemetry;
mod tls;
mod upstream;
mod watched;

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use reqwest::Url;

pub use environment::{Environment, ProcessEnvironment};
pub use reload::{Changes, Reloader};
pub use server::DEFAULT_LISTEN;

use crate::{
    domain::License,
    grpc,
    journal::Location,
    operations,
    security::{self, Caller, Policy, Tokens},
    telemetry::audit,
};
use environment::Snapshot;
use file::File;
use source::{Setting, Source};

/// Everything that `serve` depends on. The keys are described in docs/configuration.md.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address of the gRPC server.
    pub listen: SocketAddr,
    /// Whether a non-loopback address is allowed without TLS or without callers.
    pub insecure: bool,
    /// The client of upstream.
    pub upstream: crate::upstream::Config,
    /// The operations.
    pub operations: operations::Config,
    /// The journal.
    pub journal: crate::journal::Config,
    /// Metadata of calls that send none.
    pub defaults: grpc::Defaults,
    /// The gRPC server.
    pub server: grpc::server::Config,
    /// Whether health reports NOT_SERVING while upstream is unavailable.
    pub readiness_follows_upstream: bool,
    /// Time without traffic to upstream after which a health probe is sent.
    pub probe_after: Duration,
    /// TLS and the policy.
    pub security: security::Config,
    /// Logs, traces and metrics.
    pub telemetry: crate::telemetry::Config,
    /// The audit log.
    pub audit: audit::Config,
    /// The address of the admin pages; `None` for no pages.
    pub admin_listen: Option<SocketAddr>,
    /// Polls the files of the configuration; `None` for a configuration made in code.
    pub reloader: Option<Reloader>,
}

/// The flags that set keys.
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
    /// Returns the flags that are set, with their values.
    fn values(&self) -> BTreeMap<&'static str, String> {
        let license_file = self.license_file.as_ref();
        [
            ("--listen", self.listen.clone()),
            ("--upstream-url", self.upstream_url.clone()),
            (
                "--license-file",
                license_file.map(|path| path.to_string_lossy().into_owned()),
            ),
            ("--insecure", self.insecure.then(|| "true".to_owned())),
            ("--log-format", self.log_format.clone()),
            ("--admin-listen", self.admin_listen.clone()),
        ]
        .into_iter()
        .filter_map(|(flag, value)| Some((flag, value?)))
        .collect()
    }
}

/// An error in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The key, variable or flag that is wrong.
    pub key: String,
    /// What is wrong, and what to do.
    pub problem: String,
    /// The location in the file, as `FILE:LINE`; `None` for errors elsewhere.
    pub location: Option<String>,
}

impl ConfigError {
    fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
            location: None,
        }
    }
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

/// How much longer than a process may take to end the next one waits for its journal.
const LOCK_MARGIN: Duration = Duration::from_secs(5);

/// The sections of the file, as far as they can be read without other files.
struct Sections {
    server: server::Server,
    upstream: upstream::Upstream,
    calls: operations::Config,
    journal: journal::Journal,
    telemetry: telemetry::Telemetry,
    tls: tls::Tls,
    callers: callers::Callers,
}

impl Sections {
    fn read(source: &mut Source<'_>) -> Self {
        let server = server::read(source);
        let upstream = upstream::read(source);
        let calls = calls::read(source);
        let journal = journal::read(source);
        let telemetry = telemetry::read(source);
        let tls = tls::read(source);
        let callers = callers::read(source, tls.client_ca_file.is_some());
        let is_closed = tls.certificate_file.is_some() && callers.are_configured();
        if !server.listen.ip().is_loopback() && !is_closed && !server.insecure {
            source.error("listen", server::EXPOSED);
        }
        Self {
            server,
            upstream,
            calls,
            journal,
            telemetry,
            tls,
            callers,
        }
    }

    /// Returns the configuration with a policy that serves everybody.
    fn into_config(self, telemetry: crate::telemetry::Config) -> Config {
        let request_ids = self.calls.request_ids;
        let url = &self.upstream.config.transport.url;
        let journal = crate::journal::Config {
            upstream: self.upstream.name.unwrap_or_else(|| journal::name_of(url)),
            lock_timeout: self.server.config.drain_delay
                + self.server.config.drain_limit
                + LOCK_MARGIN,
            limits: request_ids,
            ..self.journal.config
        };
        Config {
            listen: self.server.listen,
            insecure: self.server.insecure,
            upstream: self.upstream.config,
            operations: operations::Config {
                write_horizon: self.upstream.write_horizon,
                ..self.calls
            },
            journal,
            defaults: self.upstream.defaults,
            server: grpc::server::Config {
                baggage_keys: self.telemetry.baggage_keys,
                ..self.server.config
            },
            readiness_follows_upstream: self.server.readiness_follows_upstream,
            probe_after: self.upstream.probe_after,
            security: security::Config {
                tls: None,
                policy: Policy {
                    callers_only: false,
                    read_only: false,
                    anonymous: Caller::anonymous(None),
                    callers: Vec::new(),
                    tokens: Tokens::default(),
                },
            },
            telemetry,
            audit: audit::Config {
                timeout: self.journal.config.timeout,
                ..self.telemetry.audit
            },
            admin_listen: self.telemetry.admin_listen,
            reloader: None,
        }
    }
}

impl Config {
    /// Returns a configuration of defaults, for an upstream and a License, with a journal in
    /// memory.
    #[must_use]
    pub fn new(url: Url, license: Option<License>) -> Self {
        let environment = Snapshot::default();
        let mut source = Source::new(File::default(), BTreeMap::new(), &environment);
        let mut config = Sections::read(&mut source).into_config(Default::default());
        config.journal.location = Location::Memory;
        config.journal.upstream = journal::name_of(&url);
        config.upstream.transport.url = url;
        config.security.policy.anonymous.license = license;
        config
    }

    /// Reads the configuration, and every file that it names.
    ///
    /// # Errors
    /// Returns all errors that can be found.
    pub fn load(flags: &Flags, environment: &impl Environment) -> Result<Self, Vec<ConfigError>> {
        let mut file = reload::config_file(flags, environment);
        let mut errors = Vec::new();
        if let watched::Poll::Failed(problems) = reload::poll_config_file(&mut file) {
            let problems = problems.into_iter();
            errors.extend(problems.map(|(key, problem)| ConfigError::new(key, problem)));
        }
        let parsed = file.last.take().unwrap_or_default();
        let mut source = Source::new(parsed, flags.values(), environment);
        let sections = Sections::read(&mut source);
        let (settings, found) = source.finish();
        errors.extend(found);
        let mut reloader = Reloader::new(flags, environment, file, settings, &sections);
        let log_format = sections.telemetry.log_format;
        let mut config = sections.into_config(Default::default());
        reloader.load(&mut config, &mut errors);
        config.telemetry = telemetry::from_environment(log_format, environment, &mut errors);
        config.reloader = Some(reloader);
        if errors.is_empty() {
            Ok(config)
        } else {
            Err(errors)
        }
    }

    /// Returns the error of an address that other machines reach without TLS or callers.
    #[must_use]
    pub fn exposure(&self) -> Option<ConfigError> {
        let is_closed = self.security.tls.is_some() && self.security.policy.callers_only;
        let exposed = !self.listen.ip().is_loopback() && !is_closed && !self.insecure;
        exposed.then(|| ConfigError::new("listen", server::EXPOSED))
    }

    /// Returns the configuration as it was loaded, as TOML that can be read back. Secrets are in
    /// files of their own, of which it holds only the paths.
    #[must_use]
    pub fn redacted(&self) -> String {
        match &self.reloader {
            Some(reloader) => reloader.rendered(),
            None => print::in_force(&keys(), false),
        }
    }

    /// Returns every key but those of callers, and its default as TOML; `None` where there is none.
    #[must_use]
    pub fn defaults() -> Vec<(String, Option<toml::Value>)> {
        let keys = keys().into_iter();
        keys.map(|setting| (setting.key, setting.default)).collect()
    }
}

/// Returns the table of all keys, as Markdown: key, type, default, variable and flag, meaning.
#[must_use]
pub fn reference() -> String {
    print::reference(&keys_with_caller("NAME"))
}

/// Returns the example file: all keys with their meaning and default.
#[must_use]
pub fn example() -> String {
    print::example(&keys_with_caller("portal"))
}

/// Returns every key but those of callers, with its default.
fn keys() -> Vec<Setting> {
    read_defaults(|_| {})
}

fn keys_with_caller(name: &str) -> Vec<Setting> {
    read_defaults(|source| {
        callers::read_table(source, name, true, true);
    })
}

fn read_defaults(more: impl FnOnce(&mut Source<'_>)) -> Vec<Setting> {
    let environment = Snapshot::default();
    let mut source = Source::new(File::default(), BTreeMap::new(), &environment);
    Sections::read(&mut source);
    more(&mut source);
    source.into_parts().0
}

/// Reads the configuration of the commands that have no other: logs, traces and metrics.
///
/// # Errors
/// Returns all errors that can be found.
pub fn telemetry(
    flags: &Flags,
    environment: &impl Environment,
) -> Result<crate::telemetry::Config, Vec<ConfigError>> {
    telemetry::alone(flags, environment)
}
