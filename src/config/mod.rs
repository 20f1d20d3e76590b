//! The configuration: flags override environment variables, and these override the TOML file. All
//! errors are reported at once, each with its key and location.
//!
//! # How to add a key
//! 1. Declare it in the section's file here (`upstream.rs` for `upstream.*`): name, meaning, type and
//!    default. Its variable, `config print`, the example file and the table in
//!    docs/configuration.md are made from the declaration.
//! 2. Check it in `check` of that file, and hand it to the module that uses it in `config`.
//! 3. Name the test that shows its effect in tests/it/security/shown_by.rs.
//! 4. Run `UPDATE_DOCS=1 cargo test --test it reference`, which writes the example file and the
//!    table.
//!
//! A new section is a new file, and a line in `Sections`.
//!
//! Architecture invariant: only this module reads the environment and files, except `/proc/self`,
//! which `telemetry` reads, and what libraries read themselves.

mod callers;
mod calls;
mod environment;
mod file;
mod journal;
mod print;
mod reload;
mod section;
mod server;
mod source;
mod telemetry;
mod tls;
mod top;
mod upstream;
mod watched;

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use reqwest::Url;

pub use environment::Environment;
pub use reload::{Changes, Reloader};
pub use top::DEFAULT_LISTEN;

use crate::{
    domain::License,
    grpc,
    journal::Location,
    operations,
    security::{self, Caller, Policy, Tokens},
    telemetry::audit,
};
use callers::CallerTable;
use calls::Calls;
use file::File;
use journal::Journal;
use server::Server;
use source::{Setting, Source};
use telemetry::Telemetry;
use tls::Tls;
use top::Top;
use upstream::{LicenseSource, Upstream};

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
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    /// TOML file of the configuration [env: FOLLOWME_CONFIG].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address of the gRPC server [env: FOLLOWME_LISTEN] [default: 127.0.0.1:50051].
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// URL of the PortaFollowMe service [env: FOLLOWME_UPSTREAM_URL].
    #[arg(long, value_name = "URL")]
    pub upstream_url: Option<String>,
    /// File that holds the License [env: FOLLOWME_LICENSE_FILE; or the License itself in
    /// FOLLOWME_LICENSE].
    #[arg(long, value_name = "FILE")]
    pub license_file: Option<PathBuf>,
    /// Allows a non-loopback address without TLS or without callers [env: FOLLOWME_INSECURE].
    #[arg(long)]
    pub insecure: bool,
    /// Address of the admin pages; without it, there are none [env: FOLLOWME_ADMIN_LISTEN].
    #[arg(long, value_name = "ADDR")]
    pub admin_listen: Option<String>,
    /// `--log-format`, which commands without a configuration have too.
    #[arg(skip)]
    pub log_format: Option<String>,
}

impl Flags {
    /// Returns the flags that are set, with their values.
    fn values(&self) -> BTreeMap<&'static str, String> {
        let license_file = self.license_file.as_ref();
        let flags = [
            ("--listen", self.listen.clone()),
            ("--upstream-url", self.upstream_url.clone()),
            (
                "--license-file",
                license_file.map(|path| path.to_string_lossy().into_owned()),
            ),
            ("--insecure", self.insecure.then(|| "true".to_owned())),
            ("--log-format", self.log_format.clone()),
            ("--admin-listen", self.admin_listen.clone()),
        ];
        let set = flags
            .into_iter()
            .filter_map(|(flag, value)| Some((flag, value?)));
        set.collect()
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
#[derive(Debug, Clone)]
struct Sections {
    top: Top,
    server: Server,
    upstream: Upstream,
    license: LicenseSource,
    calls: Calls,
    journal: Journal,
    telemetry: Telemetry,
    tls: Tls,
    callers: BTreeMap<String, CallerTable>,
}

impl Sections {
    fn read(source: &mut Source<'_>) -> Self {
        let top = Top::read(source, "");
        let server = Server::read(source, "server");
        let upstream = Upstream::read(source, "upstream");
        let license = upstream::license(source, upstream.license_file.as_ref());
        let calls = Calls::read(source, "calls");
        let journal = Journal::read(source, "journal");
        let telemetry = Telemetry::read(source, "telemetry");
        let tls = Tls::read(source, "tls");
        let (has_tokens, has_ca) = (top.tokens_file.is_some(), tls.client_ca_file.is_some());
        let sections = Self {
            callers: callers::read(source, has_tokens, has_ca),
            top,
            server,
            upstream,
            license,
            calls,
            journal,
            telemetry,
            tls,
        };
        let is_closed = sections.tls.certificate_file.is_some() && sections.has_callers();
        if is_exposed(sections.top.listen, is_closed, sections.top.insecure) {
            source.error("listen", top::EXPOSED);
        }
        sections
    }

    /// Returns whether callers are configured, so that everybody else is refused.
    fn has_callers(&self) -> bool {
        self.top.tokens_file.is_some() || !self.callers.is_empty()
    }

    /// Returns the configuration with a policy that serves everybody.
    fn config(&self) -> Config {
        let Self {
            top,
            server,
            upstream,
            ..
        } = self;
        let transport = upstream.config();
        let operations = self.calls.config(upstream.write_horizon());
        let name = upstream.name.clone();
        Config {
            listen: top.listen,
            insecure: top.insecure,
            journal: crate::journal::Config {
                upstream: name.unwrap_or_else(|| journal::name_of(&transport.transport.url)),
                lock_timeout: server.drain_delay + server.drain_limit + LOCK_MARGIN,
                limits: operations.request_ids,
                ..self.journal.config()
            },
            upstream: transport,
            operations,
            defaults: upstream.defaults(),
            server: server.config(self.telemetry.baggage_keys.clone()),
            readiness_follows_upstream: server.readiness_follows_upstream,
            probe_after: upstream.probe_after,
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
            telemetry: crate::telemetry::Config::default(),
            audit: self.telemetry.audit(self.journal.timeout),
            admin_listen: top.admin_listen,
            reloader: None,
        }
    }
}

/// Returns whether other machines reach an address without TLS or callers.
fn is_exposed(listen: SocketAddr, is_closed: bool, insecure: bool) -> bool {
    !listen.ip().is_loopback() && !is_closed && !insecure
}

impl Config {
    /// Returns a configuration of defaults, for an upstream and a License, with a journal in
    /// memory.
    #[must_use]
    pub fn new(url: Url, license: Option<License>) -> Self {
        let environment = Environment::default();
        let mut source = Source::new(File::default(), BTreeMap::new(), &environment);
        let mut config = Sections::read(&mut source).config();
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
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self, Vec<ConfigError>> {
        let mut file = reload::config_file(flags, environment);
        let unreadable = reload::poll_config_file(&mut file)
            .err()
            .unwrap_or_default();
        let parsed = file.last.take().unwrap_or_default();
        let mut source = Source::new(parsed, flags.values(), environment);
        for (key, problem) in unreadable {
            source.push_error(ConfigError::new(key, problem));
        }
        let sections = Sections::read(&mut source);
        let (settings, mut errors) = source.finish();
        let mut config = sections.config();
        let log_format = sections.top.log_format;
        let mut reloader = Reloader::new(flags, environment, file, settings, sections);
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
        is_exposed(self.listen, is_closed, self.insecure)
            .then(|| ConfigError::new("listen", top::EXPOSED))
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
    read_defaults(|source| {
        Sections::read(source);
    })
}

fn keys_with_caller(name: &str) -> Vec<Setting> {
    let mut keys = keys();
    keys.extend(read_defaults(|source| {
        CallerTable::read(source, format!("callers.{name}"));
    }));
    keys
}

fn read_defaults(read: impl FnOnce(&mut Source<'_>)) -> Vec<Setting> {
    let environment = Environment::default();
    let mut source = Source::new(File::default(), BTreeMap::new(), &environment);
    read(&mut source);
    source.into_parts().0
}

/// Reads the configuration of the commands that have no other: logs, traces and metrics.
///
/// # Errors
/// Returns all errors that can be found.
pub fn telemetry(
    log_format: Option<String>,
    environment: &Environment,
) -> Result<crate::telemetry::Config, Vec<ConfigError>> {
    // The other keys of the section keep their defaults.
    let flags = Flags {
        log_format,
        ..Flags::default()
    };
    const VARIABLE: &str = "FOLLOWME_LOG_FORMAT";
    let variables = environment.variable(VARIABLE);
    let variables = variables
        .into_iter()
        .map(|value| (VARIABLE.to_owned(), value));
    let variables = variables.collect();
    let mut source = Source::new(File::default(), flags.values(), &variables);
    let top = Top::read(&mut source, "");
    let (_, mut errors) = source.into_parts();
    let config = telemetry::from_environment(top.log_format, environment, &mut errors);
    if errors.is_empty() {
        Ok(config)
    } else {
        Err(errors)
    }
}
