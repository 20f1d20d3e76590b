//! The files of the configuration, loaded at the start and polled for changes while the facade
//! runs.
//!
//! Each part is replaced on its own: a broken certificate does not keep a token from being revoked.
//! A file that cannot be read or parsed leaves its last good content in force.

use std::{collections::BTreeMap, path::PathBuf};

use zeroize::Zeroizing;

use super::{
    Config, ConfigError, Flags, Sections,
    environment::Environment,
    file::File,
    print,
    source::{self, Setting, Source},
    upstream::LicenseSource,
    watched::{Problem, Watched, WatchedFile, find, is_invisible},
};
use crate::{
    domain::License,
    journal::Keys,
    security::{Caller, Policy, Tokens, tls},
    telemetry::audit,
};

const LICENSE: &str = "upstream.license_file";
const CERTIFICATE: &str = "tls.certificate_file";
const KEY: &str = "tls.key_file";
const CLIENT_CA: &str = "tls.client_ca_file";
const UPSTREAM: [&str; 3] = [
    "upstream.ca_file",
    "upstream.client_certificate_file",
    "upstream.client_key_file",
];

/// TLS to upstream, as PEM: the CAs, and our certificate with its key.
type UpstreamFiles = (Option<Vec<u8>>, Option<Zeroizing<Vec<u8>>>);

/// Polls the files of a configuration.
#[derive(Debug, Clone)]
pub struct Reloader {
    flags: Flags,
    environment: Environment,
    file: Watched<File>,
    /// The configuration in force: of a changed file, only what needs no restart.
    settings: Vec<Setting>,
    sections: Sections,
    tls: Watched<tls::Config>,
    tokens: Watched<Tokens>,
    /// By key.
    licenses: BTreeMap<String, Watched<License>>,
    upstream: Watched<UpstreamFiles>,
    audit_key: Watched<Zeroizing<Vec<u8>>>,
    journal_keys: Watched<Keys>,
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

/// Watches the TOML file that a flag or a variable names.
pub(super) fn config_file(flags: &Flags, environment: &Environment) -> Watched<File> {
    const VARIABLE: &str = "FOLLOWME_CONFIG";
    let variable = environment.variable(VARIABLE).map(PathBuf::from);
    Watched::new(match &flags.config {
        Some(path) => Some(("--config".to_owned(), path.clone())),
        None => variable.map(|path| (VARIABLE.to_owned(), path)),
    })
}

/// Watches the files that keys name.
fn watch<T>(settings: &[Setting], keys: &[&str]) -> Watched<T> {
    let named = settings
        .iter()
        .filter(|setting| keys.contains(&&*setting.key));
    Watched::new(named.filter_map(|setting| {
        let path = setting.value.as_ref()?.as_str()?;
        Some((setting.key.clone(), path.into()))
    }))
}

/// Reads and parses the TOML file, if it changed.
pub(super) fn poll_config_file(file: &mut Watched<File>) -> Result<bool, Vec<Problem>> {
    file.poll_file(|file| {
        File::parse(&file.path.display().to_string(), file.text()?)
            .map_err(|(location, problem)| file.problem(format!("{location}: {problem}")))
    })
}

impl Reloader {
    pub(super) fn new(
        flags: &Flags,
        environment: &Environment,
        file: Watched<File>,
        settings: Vec<Setting>,
        sections: Sections,
    ) -> Self {
        Self {
            flags: flags.clone(),
            environment: environment.clone(),
            file,
            tls: watch(&settings, &[CERTIFICATE, KEY, CLIENT_CA]),
            tokens: watch(&settings, &["tokens_file"]),
            licenses: BTreeMap::new(),
            upstream: watch(&settings, &UPSTREAM),
            audit_key: watch(&settings, &["telemetry.audit_key_file"]),
            journal_keys: watch(&settings, &["journal.key_file"]),
            settings,
            sections,
        }
    }

    /// Reads all files for the first time.
    pub(super) fn load(&mut self, config: &mut Config, errors: &mut Vec<ConfigError>) {
        let poll = self.upstream.poll(|files| {
            let [ca, certificate, key] = UPSTREAM.map(|key| find(files, key));
            let mut identity = Zeroizing::new(Vec::new());
            for file in [certificate, key].into_iter().flatten() {
                identity.extend_from_slice(&file.bytes);
                identity.push(b'\n');
            }
            let identity = Some(identity).filter(|identity| !identity.is_empty());
            Ok((ca.map(|ca| ca.bytes.to_vec()), identity))
        });
        self.report(poll, errors);
        let (ca, identity) = self.upstream.last.take().unwrap_or_default();
        config.upstream.transport.ca = ca;
        config.upstream.transport.identity = identity;
        let poll = self.audit_key.poll_file(|file| {
            let problem = || format!("must hold at least {} bytes", audit::MIN_KEY_BYTES);
            match file.bytes.len() >= audit::MIN_KEY_BYTES {
                true => Ok(file.bytes.clone()),
                false => Err(file.problem(problem())),
            }
        });
        self.report(poll, errors);
        config.audit.key = self.audit_key.last.take();
        // Else the first write of a caller would find it.
        if let Some(problem) = config.audit.unwritable() {
            errors.push(source::error(
                &self.settings,
                "telemetry.audit_file",
                problem,
            ));
        }
        let poll = self.journal_keys.poll_file(|file| {
            let path = file.path.display();
            Keys::parse(file.text()?).map_err(|problem| file.problem(format!("{path} {problem}")))
        });
        self.report(poll, errors);
        config.journal.keys = self.journal_keys.last.take();

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
            if !self.sections.callers.contains_key(name) {
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
        if needed && are_readable && matches!(self.sections.license, LicenseSource::Missing) {
            errors.push(ConfigError::new(
                LICENSE,
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
        // Their values are those of the start, so what the files hold now is not parsed.
        for (name, has_changed) in [
            ("the files of [upstream]", self.upstream.poll_contents()),
            ("telemetry.audit_key_file", self.audit_key.poll_contents()),
            ("journal.key_file", self.journal_keys.poll_contents()),
        ] {
            if has_changed {
                changes.restart.push(name.to_owned());
            }
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
        self.sections.top.read_only = sections.top.read_only;
        self.sections.upstream.caller_license = sections.upstream.caller_license;
        self.sections.callers = sections.callers;
        true
    }

    /// Returns the configuration in force, redacted.
    pub(super) fn rendered(&self) -> String {
        let is_variable = matches!(self.sections.license, LicenseSource::Variable(_));
        print::in_force(&self.settings, is_variable)
    }

    /// Polls the certificates. Returns whether they changed.
    fn poll_tls(&mut self, errors: &mut Vec<ConfigError>) -> bool {
        let require_client_certificate = self.sections.tls.require_client_certificate;
        let poll = self.tls.poll(|files| {
            let bytes = |key| find(files, key).map(|file| file.bytes.clone());
            let pem = tls::Pem {
                certificate: bytes(CERTIFICATE).unwrap_or_default().to_vec(),
                key: bytes(KEY).unwrap_or_default(),
                client_ca: bytes(CLIENT_CA).map(|ca| ca.to_vec()),
                require_client_certificate,
            };
            tls::Config::new(&pem).map_err(|error| {
                let key = match error {
                    tls::Error::Certificate(_) | tls::Error::Rustls(_) => CERTIFICATE,
                    tls::Error::Key | tls::Error::Mismatch => KEY,
                    tls::Error::ClientCa => CLIENT_CA,
                };
                let file = find(files, key).into_iter();
                let problem =
                    |file: &WatchedFile| file.problem(format!("{} {error}", file.path.display()));
                file.flat_map(problem).collect::<Vec<_>>()
            })
        });
        self.report(poll, errors)
    }

    /// Polls the tokens and Licenses. Returns whether they changed.
    fn poll_policy(&mut self, errors: &mut Vec<ConfigError>) -> bool {
        let poll = self.tokens.poll_file(|file| {
            let path = file.path.display();
            Tokens::parse(file.text()?).map_err(|problems| {
                let problems = problems.into_iter();
                problems
                    .flat_map(|(line, problem)| file.problem(format!("{path}:{line} {problem}")))
                    .collect()
            })
        });
        let mut changed = self.report(poll, errors);
        let files = self.license_files();
        self.licenses
            .retain(|known, _| files.iter().any(|(key, _)| key == known));
        for (key, path) in files {
            let watched = self.licenses.entry(key.clone());
            let watched = watched.or_insert_with(|| Watched::new(None));
            watched.follow(&key, &path);
            let poll = watched.poll_file(|file| {
                License::new(file.text()?.trim_matches(is_invisible)).map_err(|rule| {
                    file.problem(format!("the License in {} {rule}", path.display()))
                })
            });
            changed |= self.report(poll, errors);
        }
        changed
    }

    /// Returns the files of Licenses, each with the key that names it.
    fn license_files(&self) -> Vec<(String, PathBuf)> {
        let upstream = match &self.sections.license {
            LicenseSource::File(path) => Some((LICENSE.to_owned(), path.clone())),
            LicenseSource::Missing | LicenseSource::Variable(_) => None,
        };
        let callers = self.sections.callers.iter();
        let callers = callers
            .filter_map(|(name, table)| Some((license_key(name), table.license_file.clone()?)));
        upstream.into_iter().chain(callers).collect()
    }

    /// Builds the policy. A caller whose own License was never read is left out: it must not get
    /// the License of another.
    fn policy(&self) -> Policy {
        let Sections {
            top,
            upstream,
            callers,
            ..
        } = &self.sections;
        let read = |key: &str| self.licenses.get(key)?.last.clone();
        let license = match &self.sections.license {
            LicenseSource::Missing => None,
            LicenseSource::File(_) => read(LICENSE),
            LicenseSource::Variable(license) => license.clone(),
        };
        Policy {
            callers_only: self.sections.has_callers(),
            read_only: top.read_only,
            tokens: self.tokens.last.clone().unwrap_or_default(),
            callers: callers
                .iter()
                .filter_map(|(name, table)| {
                    let license = match &table.license_file {
                        None => license.clone(),
                        Some(_) => Some(read(&license_key(name))?),
                    };
                    Some(table.caller(name, license, upstream.caller_license).into())
                })
                .collect(),
            anonymous: Caller {
                brings_license: upstream.caller_license,
                ..Caller::anonymous(license.clone())
            },
        }
    }

    /// Adds the errors of a poll, and returns whether it found a change that is good.
    fn report(&self, poll: Result<bool, Vec<Problem>>, errors: &mut Vec<ConfigError>) -> bool {
        poll.unwrap_or_else(|problems| {
            let problems = problems.into_iter();
            errors.extend(
                problems.map(|(key, problem)| source::error(&self.settings, &key, problem)),
            );
            false
        })
    }
}

fn license_key(caller: &str) -> String {
    format!("callers.{caller}.license_file")
}
