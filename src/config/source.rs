//! Where values come from: a flag, else an environment variable, else the TOML file.
//!
//! [`Source`] hands out keys, and records each one with its value, its origin and its
//! documentation.

use std::collections::{BTreeMap, BTreeSet};

use super::{ConfigError, environment::Environment, file::File, key::Key};

/// Reads keys from flags, environment and file, and collects all errors.
pub(super) struct Source<'a> {
    file: File,
    /// Flags as they are typed, with their values.
    flags: BTreeMap<&'static str, String>,
    environment: &'a dyn Environment,
    settings: Vec<Setting>,
    errors: Vec<ConfigError>,
}

/// A key that was read: its documentation, its value and the value's origin.
#[derive(Debug, Clone, Default)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) meaning: &'static str,
    /// The type, as the documentation names it.
    pub(super) kind: String,
    pub(super) variable: Option<String>,
    pub(super) flag: Option<&'static str>,
    /// Whether a change takes effect without a restart.
    pub(super) reloaded: bool,
    pub(super) default: Option<toml::Value>,
    /// A value for the example file, where there is no default.
    pub(super) example: Option<toml::Value>,
    pub(super) value: Option<toml::Value>,
    /// `None` for the default.
    pub(super) origin: Option<Origin>,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    Flag(&'static str),
    Variable(String),
    /// The location in the file, as `FILE:LINE`.
    File(String),
}

/// A value as it is written.
pub(super) enum Raw {
    Toml(toml::Value),
    /// From a flag or a variable.
    Text(String),
}

impl Setting {
    /// Makes an error about this key, named after the origin of its value.
    pub(super) fn error(&self, problem: impl Into<String>) -> ConfigError {
        match &self.origin {
            Some(Origin::Flag(name)) => ConfigError::new(*name, problem),
            Some(Origin::Variable(name)) => ConfigError::new(name, problem),
            Some(Origin::File(location)) => ConfigError {
                location: Some(location.clone()),
                ..ConfigError::new(&self.key, problem)
            },
            None => ConfigError::new(&self.key, problem),
        }
    }
}

/// Makes an error about a key, named after the origin of its value.
pub(super) fn error(settings: &[Setting], key: &str, problem: String) -> ConfigError {
    match settings.iter().find(|setting| setting.key == key) {
        Some(setting) => setting.error(problem),
        None => ConfigError::new(key, problem),
    }
}

impl<'a> Source<'a> {
    pub(super) fn new(
        file: File,
        flags: BTreeMap<&'static str, String>,
        environment: &'a dyn Environment,
    ) -> Self {
        Self {
            file,
            flags,
            environment,
            settings: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Returns a section, whose keys are then read one by one; `""` for the top of the file.
    pub(super) fn section(&mut self, name: impl Into<String>) -> Section<'_, 'a> {
        Section {
            source: self,
            name: name.into(),
        }
    }

    /// Returns the names of the tables in a section.
    pub(super) fn tables_in(&self, section: &str) -> BTreeSet<String> {
        self.file.tables_in(section)
    }

    /// Finds the value of a key, and records its origin.
    pub(super) fn raw(&mut self, setting: &mut Setting) -> Option<Raw> {
        // The file's value is always consumed: an overridden key is not an unknown one.
        let in_file = self.file.take(&setting.key);
        let flag = setting.flag.and_then(|name| self.flags.get_key_value(name));
        let variable = setting.variable.as_ref();
        let (origin, raw) = if let Some((name, value)) = flag {
            (Origin::Flag(name), Raw::Text(value.clone()))
        } else if let Some((name, value)) =
            variable.and_then(|name| Some((name, self.environment.variable(name)?)))
        {
            (Origin::Variable(name.clone()), Raw::Text(value))
        } else {
            let (location, value) = in_file?;
            (Origin::File(location), Raw::Toml(value))
        };
        setting.origin = Some(origin);
        Some(raw)
    }

    pub(super) fn record(&mut self, setting: Setting) {
        self.settings.push(setting);
    }

    pub(super) fn push_error(&mut self, error: ConfigError) {
        self.errors.push(error);
    }

    /// Adds an error about a key that was read, or about a variable.
    pub(super) fn error(&mut self, key: &str, problem: impl Into<String>) {
        let error = error(&self.settings, key, problem.into());
        self.errors.push(error);
    }

    /// Returns the origin of the value of a key that was read; `None` for its default.
    pub(super) fn origin(&self, key: &str) -> Option<&Origin> {
        let setting = self.settings.iter().find(|setting| setting.key == key)?;
        setting.origin.as_ref()
    }

    /// Records that a key has no value after all, because another one overrides it.
    pub(super) fn clear(&mut self, key: &str) {
        let mut settings = self.settings.iter_mut();
        if let Some(setting) = settings.find(|setting| setting.key == key) {
            setting.value = None;
        }
    }

    /// Returns the value of a variable that is not a key's.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.environment.variable(name)
    }

    /// Returns the keys that were read and all errors, without a look at what was not read.
    pub(super) fn into_parts(self) -> (Vec<Setting>, Vec<ConfigError>) {
        (self.settings, self.errors)
    }

    /// Returns the keys that were read and all errors. A key or variable that was not read is an
    /// error: it is unknown.
    pub(super) fn finish(mut self) -> (Vec<Setting>, Vec<ConfigError>) {
        let sections: BTreeSet<&str> = self
            .settings
            .iter()
            .filter_map(|setting| setting.key.split_once('.'))
            .map(|(section, _)| section)
            .collect();
        let unknown = std::mem::take(&mut self.file).unread(&sections);
        let unknown = unknown.into_iter().map(|(key, location)| ConfigError {
            location: Some(location),
            ..ConfigError::new(key, "is not a key")
        });
        self.errors.extend(unknown);
        let known = known_variables(&self.settings);
        let names = self.environment.names().into_iter();
        let unknown = names.filter(|name| {
            name.starts_with("FOLLOWME_") && !known.contains(name.as_str()) && !is_kubernetes(name)
        });
        self.errors.extend(
            unknown
                .map(|name| ConfigError::new(name, "is not an environment variable of followme")),
        );
        self.into_parts()
    }
}

/// Returns the names of all `FOLLOWME_` variables.
pub(super) fn known_variables(settings: &[Setting]) -> BTreeSet<&str> {
    settings
        .iter()
        .filter_map(|setting| setting.variable.as_deref())
        .chain(["FOLLOWME_CONFIG", "FOLLOWME_LICENSE"])
        .collect()
}

/// Returns whether Kubernetes sets such a variable for a service named followme: the addresses and
/// ports of its services.
fn is_kubernetes(name: &str) -> bool {
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}

/// A table of the file.
pub(super) struct Section<'s, 'a> {
    source: &'s mut Source<'a>,
    name: String,
}

impl<'a> Section<'_, 'a> {
    /// Starts to read a key of this section. Its variable is `FOLLOWME_` and the key in upper case,
    /// with `_` for its dots; keys of callers have none, and take effect without a restart.
    pub(super) fn key(&mut self, name: &str) -> Key<'_, 'a> {
        let key = self.full(name);
        let is_caller = key.starts_with("callers.");
        let variable = format!("FOLLOWME_{}", key.to_ascii_uppercase().replace('.', "_"));
        let setting = Setting {
            key,
            variable: (!is_caller).then_some(variable),
            reloaded: is_caller,
            ..Setting::default()
        };
        Key::new(self.source, setting)
    }

    /// Adds an error about a key of this section.
    pub(super) fn error(&mut self, name: &str, problem: impl Into<String>) {
        let key = self.full(name);
        self.source.error(&key, problem);
    }

    /// Adds an error where only one of two keys is set.
    pub(super) fn require_both<T>(&mut self, one: (&str, &Option<T>), other: (&str, &Option<T>)) {
        for ((key, value), (missing, other)) in [(one, other), (other, one)] {
            if value.is_some() && other.is_none() {
                let missing = self.full(missing);
                self.error(key, format!("requires {missing}"));
            }
        }
    }

    /// Returns whether a key is set, be it to a wrong value.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.source.origin(&self.full(name)).is_some()
    }

    fn full(&self, name: &str) -> String {
        if self.name.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.name)
        }
    }
}
