//! The files of the configuration, loaded at the start and polled for changes while the facade
//! runs.
//!
//! Each part is replaced on its own: a broken certificate does not keep a token from being revoked.
//! A file that cannot be read or parsed leaves its last good content in force.

use std::{collections::BTreeMap, path::PathBuf};

use zeroize::Zeroizing;

use super::{
    Config, ConfigError, Flags, Sections,
    callers::Callers,
    environment::{Environment, Snapshot},
    file::File,
    print,
    source::{self, Setting, Source},
    tls::Tls,
    upstream::{LicenseSource, Upstream},
    watched::{Poll, Watched, WatchedFile},
};
use crate::{
    domain::License,
    journal::Keys,
    security::{Caller, Policy, Tokens, tls},
    telemetry::audit,
};

/// The TOML file, keyed by the option that names it.
pub(super) type ConfigFile = Watched<File, 1>;

/// Polls the files of a configuration.
#[derive(Debug, Clone)]
pub struct Reloader {
    flags: Flags,
    environment: Snapshot,
    file: ConfigFile,
    /// The configuration in force: of a changed file, only what needs no restart.
    settings: Vec<Setting>,
    callers: Callers,
    caller_license: bool,
    license: LicenseSource,
    require_client_certificate: bool,
    tls: Watched<tls::Config, 3>,
    tokens: Watched<Tokens, 1>,
    /// By key and path.
    licenses: BTreeMap<(String, PathBuf), Watched<License, 1>>,
    upstream: Watched<UpstreamFiles, 3>,
    audit_key: Watched<Zeroizing<Vec<u8>>, 1>,
    journal_keys: Watched<Option<Keys>, 1>,
}

/// What changed since the last poll.
#[derive(Debug, Default)]
pub struct Changes {
    /// The new policy; `None` if it did not change.
    pub policy: Option<Policy>,
    /// The new certificates; `None` if they did not change.
    pub tls: Option<tls::Config>,
    /// The new configuration in force, redacted; `None` if it did not change.
    pub rendered: Option<String>,
    /// What could not be reloaded; its last good content stays in force.
    pub errors: Vec<ConfigError>,
    /// The keys whose changes require a restart.
    pub restart: Vec<String>,
}

/// TLS to upstream, as PEM: the CAs, and our certificate with its key.
type UpstreamFiles = (Option<Vec<u8>>, Option<Zeroizing<Vec<u8>>>);

/// Returns the TOML file that a flag or a variable names.
pub(super) fn config_file(flags: &Flags, environment: &impl Environment) -> ConfigFile {
    const VARIABLE: &str = "FOLLOWME_CONFIG";
    match &flags.config {
        Some(path) => Watched::new([("--config", Some(path))]),
        None => {
            let path = environment.variable(VARIABLE).map(PathBuf::from);
            Watched::new([(VARIABLE, path.as_ref())])
        }
    }
}

/// Reads and parses the TOML file, if it changed.
pub(super) fn poll_config_file(file: &mut ConfigFile) -> Poll {
    file.poll(|[file]| {
        let Some(file) = file else {
            return Ok(File::default());
        };
        File::parse(&file.path.display().to_string(), file.text()?)
            .map_err(|(location, problem)| vec![(0, format!("{location}: {problem}"))])
    })
}

impl Reloader {
    pub(super) fn new(
        flags: &Flags,
        environment: &impl Environment,
        file: ConfigFile,
        settings: Vec<Setting>,
        sections: &Sections,
    ) -> Self {
        let Sections {
            upstream,
            callers,
            tls,
            telemetry,
            journal,
            ..
        } = sections;
        Self {
            flags: flags.clone(),
            environment: Snapshot::new(environment, &settings),
            file,
            settings,
            callers: callers.clone(),
            caller_license: upstream.caller_license,
            license: upstream.license.clone(),
            require_client_certificate: tls.require_client_certificate,
            tls: watch_tls(tls),
            tokens: Watched::new([("tokens_file", callers.tokens_file.as_ref())]),
            licenses: BTreeMap::new(),
            upstream: watch_upstream(upstream),
            audit_key: Watched::new([(
                "telemetry.audit_key_file",
                telemetry.audit_key_file.as_ref(),
            )]),
            journal_keys: Watched::new([("journal.key_file", journal.key_file.as_ref())]),
        }
    }

    /// Reads all files for the first time.
    pub(super) fn load(&mut self, config: &mut Config, errors: &mut Vec<ConfigError>) {
        let poll = self.upstream.poll(|[ca, certificate, key]| {
            let mut identity = Zeroizing::new(Vec::new());
            for file in [certificate, key].into_iter().flatten() {
                identity.extend_from_slice(&file.bytes);
                identity.push(b'\n');
            }
            let identity = Some(identity).filter(|identity| !identity.is_empty());
            Ok((ca.map(|ca| ca.bytes.to_vec()), identity))
        });
        self.report(poll, errors);
        if let Some((ca, identity)) = self.upstream.last.take() {
            config.upstream.transport.ca = ca;
            config.upstream.transport.identity = identity;
        }
        let poll = self.audit_key.poll(|[key]| {
            let key = key.map(|file| file.bytes).unwrap_or_default();
            let problem = format!("must hold at least {} bytes", audit::MIN_KEY_BYTES);
            let is_long = key.len() >= audit::MIN_KEY_BYTES;
            is_long.then_some(key).ok_or_else(|| vec![(0, problem)])
        });
        self.report(poll, errors);
        config.audit.key = self.audit_key.last.take();
        let poll = self.journal_keys.poll(|[file]| {
            let Some(file) = file else {
                return Ok(None);
            };
            let path = file.path.display();
            let keys = Keys::parse(file.text()?);
            keys.map(Some)
                .map_err(|problem| vec![(0, format!("{path} {problem}"))])
        });
        self.report(poll, errors);
        config.journal.keys = self.journal_keys.last.take().flatten();

        let before = errors.len();
        self.poll_tls(errors);
        self.poll_policy(errors);
        let are_readable = errors.len() == before;
        config.security.tls = self.tls.last.clone();
        config.security.policy = self.policy();
        self.check_policy(&config.security.policy, are_readable, errors);
    }

    /// Checks that each token has its caller, and that there is a License for each call.
    fn check_policy(&self, policy: &Policy, are_readable: bool, errors: &mut Vec<ConfigError>) {
        for token in policy.tokens.iter() {
            let name = &token.caller;
            if self.callers.tables.iter().all(|table| table.name() != name) {
                let problem = format!("holds a token of {name:?}, but there is no callers.{name}");
                errors.push(source::error(&self.settings, "tokens_file", problem));
            }
        }
        let needs_license = |caller: &Caller| caller.license.is_none() && !caller.brings_license;
        let needed = if policy.callers_only {
            policy.callers.iter().any(|caller| needs_license(caller))
        } else {
            needs_license(&policy.anonymous)
        };
        if needed && are_readable && matches!(self.license, LicenseSource::Missing) {
            errors.push(ConfigError::new(
                "upstream.license_file",
                "is missing: set it, FOLLOWME_LICENSE_FILE, --license-file or FOLLOWME_LICENSE, or \
                 let callers send their own with upstream.caller_license = true",
            ));
        }
    }

    /// Reads all files again, and returns what changed.
    ///
    /// It blocks: call it from a thread that may.
    pub fn poll(&mut self) -> Changes {
        let mut changes = Changes::default();
        let is_configured = self.poll_configuration(&mut changes);
        if self.poll_tls(&mut changes.errors) {
            changes.tls.clone_from(&self.tls.last);
        }
        if self.poll_policy(&mut changes.errors) || is_configured {
            changes.policy = Some(self.policy());
        }
        let upstream = self.upstream.poll(|_| Ok(UpstreamFiles::default()));
        if !matches!(upstream, Poll::Unchanged) {
            changes.restart.push("the files of [upstream]".to_owned());
        }
        let audit_key = self.audit_key.poll(|_| Ok(Zeroizing::default()));
        if !matches!(audit_key, Poll::Unchanged) {
            changes.restart.push("telemetry.audit_key_file".to_owned());
        }
        let journal_keys = self.journal_keys.poll(|_| Ok(None));
        if !matches!(journal_keys, Poll::Unchanged) {
            changes.restart.push("journal.key_file".to_owned());
        }
        changes
    }

    /// Polls the TOML file. Returns whether any of it was reloaded.
    fn poll_configuration(&mut self, changes: &mut Changes) -> bool {
        let poll = poll_config_file(&mut self.file);
        if !self.report(poll, &mut changes.errors) {
            return false;
        }
        let file = self.file.last.take().unwrap_or_default();
        let mut source = Source::new(file, self.flags.values(), &self.environment);
        let sections = Sections::read(&mut source);
        let (mut settings, errors) = source.finish();
        if !errors.is_empty() {
            changes.errors.extend(errors);
            return false;
        }
        for new in settings.iter_mut().filter(|setting| !setting.reloaded) {
            let old = self.settings.iter().find(|old| old.key == new.key);
            if let Some(old) = old.filter(|old| old.value != new.value) {
                changes.restart.push(new.key.clone());
                new.value.clone_from(&old.value);
            }
        }
        self.settings = settings;
        changes.rendered = Some(self.rendered());
        self.caller_license = sections.upstream.caller_license;
        self.callers = Callers {
            tokens_file: self.callers.tokens_file.take(),
            ..sections.callers
        };
        true
    }

    /// Returns the configuration in force, redacted.
    pub(super) fn rendered(&self) -> String {
        let is_variable = matches!(self.license, LicenseSource::Variable(_));
        print::in_force(&self.settings, is_variable)
    }

    /// Polls the certificates. Returns whether they changed.
    fn poll_tls(&mut self, errors: &mut Vec<ConfigError>) -> bool {
        let require_client_certificate = self.require_client_certificate;
        let poll = self.tls.poll(|[certificate, key, client_ca]| {
            let paths = [&certificate, &key, &client_ca]
                .map(|file| file.as_ref().map(|file| file.path.display().to_string()));
            let bytes = |file: Option<WatchedFile<'_>>| file.map(|file| file.bytes);
            let pem = tls::Pem {
                certificate: bytes(certificate).unwrap_or_default().to_vec(),
                key: bytes(key).unwrap_or_default(),
                client_ca: bytes(client_ca).map(|ca| ca.to_vec()),
                require_client_certificate,
            };
            tls::Config::new(&pem).map_err(|error| {
                let at = match error {
                    tls::Error::Certificate(_) | tls::Error::Rustls(_) => 0,
                    tls::Error::Key | tls::Error::Mismatch => 1,
                    tls::Error::ClientCa => 2,
                };
                let path = paths.into_iter().nth(at).flatten().unwrap_or_default();
                vec![(at, format!("{path} {error}"))]
            })
        });
        self.report(poll, errors)
    }

    /// Polls the tokens and Licenses. Returns whether they changed.
    fn poll_policy(&mut self, errors: &mut Vec<ConfigError>) -> bool {
        let poll = self.tokens.poll(|[file]| {
            let Some(file) = file else {
                return Ok(Tokens::default());
            };
            Tokens::parse(file.text()?).map_err(|problems| {
                let path = file.path.display();
                let problems = problems.into_iter();
                problems
                    .map(|(line, problem)| (0, format!("{path}:{line} {problem}")))
                    .collect()
            })
        });
        let mut changed = self.report(poll, errors);
        let files = self.license_files();
        self.licenses.retain(|file, _| files.contains(file));
        for (key, path) in files {
            let watched = self.licenses.entry((key.clone(), path.clone()));
            let watched = watched.or_insert_with(|| Watched::new([(&key, Some(&path))]));
            let poll = watched.poll(|[file]| {
                let text = file.as_ref().map_or(Ok(""), WatchedFile::text)?;
                License::new(text.trim_end_matches(['\r', '\n']))
                    .map_err(|rule| vec![(0, format!("the License in {} {rule}", path.display()))])
            });
            changed |= self.report(poll, errors);
        }
        changed
    }

    fn license_files(&self) -> Vec<(String, PathBuf)> {
        let mut files = Vec::new();
        if let LicenseSource::File(path) = &self.license {
            files.push(("upstream.license_file".to_owned(), path.clone()));
        }
        for table in &self.callers.tables {
            files.extend(table.license_file());
        }
        files
    }

    /// Builds the policy. A caller whose own License was never read is left out: it must not get
    /// the License of another.
    fn policy(&self) -> Policy {
        let read = |file: (String, PathBuf)| self.licenses.get(&file)?.last.clone();
        let license = match &self.license {
            LicenseSource::Missing => None,
            LicenseSource::File(path) => read(("upstream.license_file".to_owned(), path.clone())),
            LicenseSource::Variable(license) => license.clone(),
        };
        let callers = self.callers.tables.iter().filter_map(|table| {
            let license = match table.license_file() {
                None => license.clone(),
                Some(file) => Some(read(file)?),
            };
            Some(table.caller(license, self.caller_license).into())
        });
        Policy {
            callers_only: self.callers.are_configured(),
            read_only: self.callers.read_only,
            callers: callers.collect(),
            tokens: self.tokens.last.clone().unwrap_or_default(),
            anonymous: Caller {
                brings_license: self.caller_license,
                ..Caller::anonymous(license.clone())
            },
        }
    }

    /// Adds the errors of a poll, and returns whether it found a change.
    fn report(&self, poll: Poll, errors: &mut Vec<ConfigError>) -> bool {
        match poll {
            Poll::Unchanged => false,
            Poll::Changed => true,
            Poll::Failed(problems) => {
                let problems = problems.into_iter();
                errors.extend(
                    problems.map(|(key, problem)| source::error(&self.settings, &key, problem)),
                );
                false
            }
        }
    }
}

fn watch_tls(tls: &Tls) -> Watched<tls::Config, 3> {
    let certificate = tls.certificate_file.as_ref().zip(tls.key_file.as_ref());
    Watched::new([
        ("tls.certificate_file", certificate.map(|(file, _)| file)),
        ("tls.key_file", certificate.map(|(_, key)| key)),
        (
            "tls.client_ca_file",
            tls.client_ca_file
                .as_ref()
                .filter(|_| certificate.is_some()),
        ),
    ])
}

fn watch_upstream(upstream: &Upstream) -> Watched<UpstreamFiles, 3> {
    Watched::new([
        ("upstream.ca_file", upstream.ca_file.as_ref()),
        (
            "upstream.client_certificate_file",
            upstream.client_certificate_file.as_ref(),
        ),
        (
            "upstream.client_key_file",
            upstream.client_key_file.as_ref(),
        ),
    ])
}
