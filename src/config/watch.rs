//! The files that the configuration names: read at start, and looked at again while the facade
//! runs.
//!
//! What changes in a file is taken over where it can be read, part by part: a broken certificate
//! does not keep a token from being revoked. What cannot be read leaves in place what was there.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{
    Config, ConfigError, Environment, Flags, Settings, Snapshot, parse,
    print::{self, Effective},
    reader::{Findings, Origin, Reader, mistake},
};
use crate::{
    domain::License,
    security::{Caller, Policy, Tokens, tls},
    telemetry::audit,
};

/// The keys besides `callers.*` that are taken over while the facade runs.
const RELOADED: [&str; 2] = ["read_only", "upstream.caller_license"];

/// What the configuration was read from.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    pub(super) flags: Flags,
    pub(super) environment: Snapshot,
    /// The option that names the TOML file, and the file.
    pub(super) file: Option<(&'static str, PathBuf)>,
}

/// Looks at the files of a configuration.
#[derive(Debug, Clone)]
pub struct Reloader {
    sources: Sources,
    settings: Settings,
    /// What is in force: of a file that changed, what does not take a restart.
    effective: Vec<Effective>,
    origins: BTreeMap<String, Origin>,
    /// What each group of files held when it was looked at last.
    seen: HashMap<&'static str, [u8; 32]>,
    /// What the files of Licenses held, or what was wrong with them.
    seen_licenses: Option<Vec<(PathBuf, Result<License, String>)>>,
    licenses: HashMap<PathBuf, License>,
    tokens: Tokens,
}

/// What came of looking at the files.
#[derive(Debug, Default)]
pub struct Changes {
    /// Who may call from now on; `None` where nothing changed.
    pub policy: Option<Policy>,
    /// The certificates from now on; `None` where nothing changed.
    pub tls: Option<tls::Config>,
    /// The configuration in force from now on, redacted; `None` where nothing changed.
    pub rendered: Option<String>,
    /// What could not be taken over; what was there stays in place.
    pub errors: Vec<ConfigError>,
    /// The keys whose changes take a restart.
    pub restart: Vec<String>,
}

/// The contents of files, or which one of them cannot be read and why.
type Contents = Result<Vec<Zeroizing<Vec<u8>>>, (usize, String)>;

impl Reloader {
    pub(super) fn new(
        sources: Sources,
        text: Option<&str>,
        settings: Settings,
        findings: Findings,
    ) -> Self {
        let mut watch = Self {
            sources,
            settings,
            effective: findings.effective,
            origins: findings.origins,
            seen: HashMap::new(),
            seen_licenses: None,
            licenses: HashMap::new(),
            tokens: Tokens::default(),
        };
        if let Some(text) = text {
            watch
                .seen
                .insert("configuration", digest(&Ok(vec![text.as_bytes()])));
        }
        watch
    }

    /// Reads every file for the first time.
    pub(super) fn fill(&mut self, config: &mut Config, mistakes: &mut Vec<ConfigError>) {
        self.upstream(config, mistakes);
        self.audit_key(config, mistakes);
        let mut changes = Changes::default();
        self.look_at_parts(&mut changes);
        let unreadable = !changes.errors.is_empty();
        mistakes.append(&mut changes.errors);
        config.security.tls = changes.tls;
        config.security.policy = self.policy();
        for token in self.tokens.iter() {
            let name = &token.caller;
            if !self
                .settings
                .callers
                .iter()
                .any(|caller| caller.name == *name)
            {
                let problem = format!("holds a token of {name:?}, and there is no callers.{name}");
                mistakes.push(self.mistake("tokens_file", problem));
            }
        }
        let policy = &config.security.policy;
        let needs_license = |caller: &Caller| caller.license.is_none() && !caller.brings_license;
        let needed = if policy.closed {
            policy.callers.iter().any(|caller| needs_license(caller))
        } else {
            needs_license(&policy.anonymous)
        };
        if needed && !self.settings.has_license && !unreadable {
            mistakes.push(ConfigError {
                key: "upstream.license_file".to_owned(),
                problem: "is missing: set it, FOLLOWME_LICENSE_FILE, --license-file or \
                          FOLLOWME_LICENSE, or let callers bring their own with \
                          upstream.caller_license = true"
                    .to_owned(),
                location: None,
            });
        }
    }

    /// Looks at every file, and says what is to be taken over.
    ///
    /// It blocks: it is for a thread that may.
    pub fn poll(&mut self) -> Changes {
        let mut changes = Changes::default();
        let configured = self.look_at_configuration(&mut changes);
        let parts = self.look_at_parts(&mut changes);
        if configured || parts {
            changes.policy = Some(self.policy());
        }
        if self.seen_anew("upstream", &self.upstream_files()).is_some() {
            changes.restart.push("the files of [upstream]".to_owned());
        }
        if self.seen_anew("audit", &self.audit_files()).is_some() {
            changes.restart.push("telemetry.audit_key_file".to_owned());
        }
        changes
    }

    /// Looks at the TOML file. Returns whether something of it is taken over.
    fn look_at_configuration(&mut self, changes: &mut Changes) -> bool {
        let Some((option, path)) = self.sources.file.clone() else {
            return false;
        };
        let files = [("", path.clone())];
        let Some(contents) = self.seen_anew("configuration", &files) else {
            return false;
        };
        let text = contents
            .map_err(|(_, problem)| problem)
            .and_then(|contents| text(contents.first()));
        let file = text
            .map_err(|problem| ConfigError {
                key: option.to_owned(),
                problem,
                location: None,
            })
            .and_then(|text| parse(option, &path, &text));
        let file = match file {
            Ok(file) => file,
            Err(mistake) => {
                changes.errors.push(mistake);
                return false;
            }
        };
        let Sources {
            flags, environment, ..
        } = &self.sources;
        let (config, findings) = Config::read(file, flags, environment);
        if !findings.mistakes.is_empty() {
            changes.errors.extend(findings.mistakes);
            return false;
        }
        let reloaded = |key: &str| key.starts_with("callers.") || RELOADED.contains(&key);
        let mut in_force = findings.effective;
        for new in in_force.iter_mut().filter(|new| !reloaded(&new.key)) {
            let old = self.effective.iter().find(|old| old.key == new.key);
            if let Some(old) = old.filter(|old| *old != new) {
                changes.restart.push(new.key.clone());
                new.clone_from(old);
            }
        }
        let license_of_variable = self.settings.license.is_some();
        changes.rendered = Some(print::render(&in_force, license_of_variable));
        self.effective = in_force;
        self.origins = findings.origins;
        self.settings.read_only = config.settings.read_only;
        self.settings.caller_license = config.settings.caller_license;
        self.settings.callers = config.settings.callers;
        true
    }

    /// Looks at the certificates, the tokens and the Licenses. Returns whether who may call has
    /// changed.
    fn look_at_parts(&mut self, changes: &mut Changes) -> bool {
        self.look_at_tls(changes);
        let tokens = self.look_at_tokens(changes);
        let licenses = self.look_at_licenses(changes);
        tokens || licenses
    }

    fn look_at_tls(&mut self, changes: &mut Changes) {
        let settings = &self.settings;
        let files = named([
            ("tls.certificate_file", &settings.certificate_file),
            ("tls.key_file", &settings.key_file),
            ("tls.client_ca_file", &settings.client_ca_file),
        ]);
        if files.len() < 2 {
            return;
        }
        let Some(contents) = self.seen_anew("tls", &files) else {
            return;
        };
        let mut contents = match contents {
            Ok(contents) => contents.into_iter(),
            Err((at, problem)) => {
                changes.errors.push(self.mistake_at(&files, at, problem));
                return;
            }
        };
        let pem = tls::Pem {
            certificate: contents.next().unwrap_or_default().to_vec(),
            key: contents.next().unwrap_or_default(),
            client_ca: contents.next().map(|ca| ca.to_vec()),
            require_client_certificate: self.settings.require_client_certificate,
        };
        match tls::Config::new(&pem) {
            Ok(config) => changes.tls = Some(config),
            Err(error) => {
                let at = match error {
                    tls::Error::Certificate(_) | tls::Error::Rustls(_) => 0,
                    tls::Error::Key | tls::Error::Mismatch => 1,
                    tls::Error::ClientCa => 2,
                };
                let path = files.get(at).map(|(_, path)| path.display().to_string());
                let problem = format!("{} {error}", path.unwrap_or_default());
                changes.errors.push(self.mistake_at(&files, at, problem));
            }
        }
    }

    fn look_at_tokens(&mut self, changes: &mut Changes) -> bool {
        let files = named([("tokens_file", &self.settings.tokens_file)]);
        let Some(contents) = self.seen_anew("tokens", &files) else {
            return false;
        };
        let Some((_, path)) = files.first() else {
            return false;
        };
        let text = contents
            .map_err(|(_, problem)| problem)
            .and_then(|contents| text(contents.first()));
        let text = match text {
            Ok(text) => text,
            Err(problem) => {
                changes.errors.push(self.mistake("tokens_file", problem));
                return false;
            }
        };
        match Tokens::parse(&text) {
            Ok(tokens) => {
                self.tokens = tokens;
                true
            }
            Err(problems) => {
                for (line, problem) in problems {
                    let problem = format!("{}:{line} {problem}", path.display());
                    changes.errors.push(self.mistake("tokens_file", problem));
                }
                false
            }
        }
    }

    fn look_at_licenses(&mut self, changes: &mut Changes) -> bool {
        let mut files: Vec<(String, PathBuf)> = Vec::new();
        if let Some(path) = &self.settings.license_file {
            files.push(("upstream.license_file".to_owned(), path.clone()));
        }
        for caller in &self.settings.callers {
            if let Some(path) = &caller.license_file {
                files.push((
                    format!("callers.{}.license_file", caller.name),
                    path.clone(),
                ));
            }
        }
        let read: Vec<_> = files
            .iter()
            .map(|(_, path)| (path.clone(), read_license(path)))
            .collect();
        // Compared as they are: the text of a License is not this room's to hash.
        if self.seen_licenses.as_ref() == Some(&read) {
            return false;
        }
        self.seen_licenses = Some(read.clone());
        self.licenses
            .retain(|path, _| files.iter().any(|(_, used)| used == path));
        for ((key, _), (path, license)) in files.into_iter().zip(read) {
            match license {
                Ok(license) => {
                    self.licenses.insert(path, license);
                }
                Err(problem) => changes.errors.push(self.mistake(&key, problem)),
            }
        }
        true
    }

    /// Says who may call. A caller whose own License was never read is none: it must not get
    /// somebody else's.
    fn policy(&self) -> Policy {
        let settings = &self.settings;
        let read = |path: &PathBuf| self.licenses.get(path).cloned();
        let license = settings
            .license
            .clone()
            .or_else(|| settings.license_file.as_ref().and_then(read));
        let callers = settings.callers.iter().filter_map(|caller| {
            let license = match &caller.license_file {
                None => license.clone(),
                Some(path) => Some(read(path)?),
            };
            Some(caller.caller(license, settings.caller_license).into())
        });
        Policy {
            closed: settings.has_callers(),
            read_only: settings.read_only,
            callers: callers.collect(),
            tokens: self.tokens.clone(),
            anonymous: Caller {
                brings_license: settings.caller_license,
                ..Caller::anonymous(license.clone())
            },
        }
    }

    fn upstream_files(&self) -> Vec<(&'static str, PathBuf)> {
        let settings = &self.settings;
        named([
            ("upstream.ca_file", &settings.upstream_ca_file),
            (
                "upstream.client_certificate_file",
                &settings.upstream_certificate_file,
            ),
            ("upstream.client_key_file", &settings.upstream_key_file),
        ])
    }

    /// Reads what is shown to upstream, and what upstream is checked against.
    fn upstream(&mut self, config: &mut Config, mistakes: &mut Vec<ConfigError>) {
        let files = self.upstream_files();
        let contents = match self.seen_anew("upstream", &files) {
            Some(Ok(contents)) => contents,
            Some(Err((at, problem))) => {
                mistakes.push(self.mistake_at(&files, at, problem));
                return;
            }
            None => return,
        };
        let transport = &mut config.upstream.transport;
        let mut identity = Zeroizing::new(Vec::new());
        for ((key, _), content) in files.iter().zip(contents) {
            if *key == "upstream.ca_file" {
                transport.ca = Some(content.to_vec());
            } else {
                identity.extend_from_slice(&content);
                identity.push(b'\n');
            }
        }
        transport.identity = Some(identity).filter(|identity| !identity.is_empty());
    }

    fn audit_files(&self) -> Vec<(&'static str, PathBuf)> {
        named([("telemetry.audit_key_file", &self.settings.audit_key_file)])
    }

    /// Reads the key of the hashes in the audit log.
    fn audit_key(&mut self, config: &mut Config, mistakes: &mut Vec<ConfigError>) {
        let files = self.audit_files();
        match self.seen_anew("audit", &files) {
            Some(Ok(contents)) => {
                config.audit.key = contents.into_iter().next();
                let key = config.audit.key.as_ref();
                if key.is_some_and(|key| key.len() < audit::MIN_KEY_BYTES) {
                    let problem = format!("must hold at least {} bytes", audit::MIN_KEY_BYTES);
                    mistakes.push(self.mistake_at(&files, 0, problem));
                }
            }
            Some(Err((at, problem))) => mistakes.push(self.mistake_at(&files, at, problem)),
            None => {}
        }
    }

    /// Reads a group of files; `None` where they are as they were when looked at last.
    fn seen_anew(
        &mut self,
        group: &'static str,
        files: &[(&'static str, PathBuf)],
    ) -> Option<Contents> {
        let contents: Contents = files
            .iter()
            .enumerate()
            .map(|(at, (_, path))| {
                let content = fs::read(path).map(Zeroizing::new);
                content.map_err(|error| (at, unreadable(path, &error)))
            })
            .collect();
        let digest = digest(&contents);
        (self.seen.insert(group, digest) != Some(digest)).then_some(contents)
    }

    fn mistake(&self, key: &str, problem: String) -> ConfigError {
        mistake(&self.origins, key, problem)
    }

    fn mistake_at(
        &self,
        files: &[(&'static str, PathBuf)],
        at: usize,
        problem: String,
    ) -> ConfigError {
        self.mistake(files.get(at).map_or("", |(key, _)| key), problem)
    }
}

/// Returns the files that are named.
fn named<const N: usize>(
    files: [(&'static str, &Option<PathBuf>); N],
) -> Vec<(&'static str, PathBuf)> {
    let files = files.into_iter();
    files
        .filter_map(|(key, path)| Some((key, path.clone()?)))
        .collect()
}

fn digest<T: AsRef<[u8]>>(contents: &Result<Vec<T>, (usize, String)>) -> [u8; 32] {
    let mut hash = Sha256::new();
    match contents {
        Ok(contents) => {
            for content in contents {
                let content = content.as_ref();
                hash.update(content.len().to_be_bytes());
                hash.update(content);
            }
        }
        Err((at, problem)) => {
            hash.update(at.to_be_bytes());
            hash.update(problem);
        }
    }
    hash.finalize().into()
}

fn text(content: Option<&Zeroizing<Vec<u8>>>) -> Result<String, String> {
    let content = content.map(|content| content.to_vec()).unwrap_or_default();
    String::from_utf8(content).map_err(|_| "is not UTF-8".to_owned())
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

/// Returns the TOML file that is named, and the option that names it.
pub(super) fn config_file(
    flags: &Flags,
    environment: &impl Environment,
) -> Option<(&'static str, PathBuf)> {
    match &flags.config {
        Some(path) => Some(("--config", path.clone())),
        None => {
            let path = environment.variable("FOLLOWME_CONFIG")?;
            Some(("FOLLOWME_CONFIG", path.into()))
        }
    }
}

/// Reads a text.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

/// Takes the License of `FOLLOWME_LICENSE`, which beats the file that the TOML file names, and is
/// beaten by the flag. No problem prints any of it.
pub(super) fn license_of_environment(reader: &mut Reader<'_>, settings: &mut Settings) {
    settings.has_license = settings.license_file.is_some();
    let Some(text) = reader.environment("FOLLOWME_LICENSE") else {
        return;
    };
    settings.has_license = true;
    match reader.origin("upstream.license_file") {
        Some(Origin::Flag(_)) => return,
        Some(Origin::Variable(_)) => {
            let problem = "is set and FOLLOWME_LICENSE_FILE too: set one of them";
            reader.mistake::<()>("FOLLOWME_LICENSE", problem);
        }
        Some(Origin::File(_)) | None => match License::new(text) {
            Ok(license) => settings.license = Some(license),
            Err(rule) => {
                reader.mistake::<()>("FOLLOWME_LICENSE", rule);
            }
        },
    }
    settings.license_file = None;
}

fn read_license(path: &Path) -> Result<License, String> {
    let text = Zeroizing::new(read_text(path)?);
    License::new(text.trim_end_matches(['\r', '\n']))
        .map_err(|rule| format!("the License in {} {rule}", path.display()))
}
