//! Where values come from: a flag, else an environment variable, else the TOML file.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use super::{ConfigError, environment::Environment, file::File, section::Section};

/// Reads keys from flags, environment and file. Records each key with its value, its origin and
/// its documentation, and collects all errors.
pub(super) struct Source<'a> {
    file: File,
    /// Flags as they are typed, with their values.
    flags: BTreeMap<&'static str, String>,
    environment: &'a Environment,
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
    /// A value for the example file, if there is no default.
    pub(super) example: Option<toml::Value>,
    pub(super) value: Option<toml::Value>,
    /// `None` for the default.
    pub(super) origin: Option<Origin>,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// The flag, the variable, or the key in the file.
    pub(super) name: String,
    /// The location in the file, as `FILE:LINE`.
    location: Option<String>,
}

/// A value as it is written.
pub(super) enum Written {
    Toml(toml::Value),
    /// In a flag or a variable.
    Text(String),
}

impl Written {
    pub(super) fn typed<T: DeserializeOwned>(self) -> Result<T, String> {
        let typed = match self {
            Self::Toml(value) => value.try_into(),
            // A string needs no quotes; anything else is written as in TOML.
            Self::Text(text) => toml::Value::String(text.clone())
                .try_into()
                .or_else(|error| {
                    let table = format!("value = {text}").parse::<toml::Table>();
                    let value = table.ok().and_then(|mut table| table.remove("value"));
                    value.map_or(Err(error), toml::Value::try_into)
                }),
        };
        typed.map_err(|error: toml::de::Error| error.message().to_owned())
    }
}

impl Setting {
    /// Makes an error about this key, named after the origin of its value.
    pub(super) fn error(&self, problem: impl Into<String>) -> ConfigError {
        let origin = self.origin.as_ref();
        ConfigError {
            location: origin.and_then(|origin| origin.location.clone()),
            ..ConfigError::new(origin.map_or(&self.key, |origin| &origin.name), problem)
        }
    }
}

/// Makes an error about a key, named after the origin of its value.
pub(super) fn error(settings: &[Setting], key: &str, problem: impl Into<String>) -> ConfigError {
    match settings.iter().find(|setting| setting.key == key) {
        Some(setting) => setting.error(problem),
        None => ConfigError::new(key, problem),
    }
}

impl<'a> Source<'a> {
    pub(super) fn new(
        file: File,
        flags: BTreeMap<&'static str, String>,
        environment: &'a Environment,
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
        Section::new(self, name)
    }

    /// Returns the names of the tables in a section.
    pub(super) fn tables_in(&self, section: &str) -> BTreeSet<String> {
        self.file.tables_in(section)
    }

    /// Finds the value of a key, and records its origin.
    pub(super) fn find(&mut self, setting: &mut Setting) -> Option<Written> {
        // The file's value is always consumed: an overridden key is not an unknown one.
        let in_file = self.file.take(&setting.key);
        let in_flag = || Some((setting.flag?, self.flags.get(setting.flag?)?));
        let in_variable = || {
            let name = setting.variable.as_ref()?;
            Some((name.clone(), self.environment.variable(name)?))
        };
        let (name, location, written) = if let Some((name, value)) = in_flag() {
            (name.to_owned(), None, Written::Text(value.clone()))
        } else if let Some((name, value)) = in_variable() {
            (name, None, Written::Text(value))
        } else {
            let (location, value) = in_file?;
            (setting.key.clone(), Some(location), Written::Toml(value))
        };
        setting.origin = Some(Origin { name, location });
        Some(written)
    }

    pub(super) fn record(&mut self, setting: Setting) {
        self.settings.push(setting);
    }

    pub(super) fn push_error(&mut self, error: ConfigError) {
        self.errors.push(error);
    }

    /// Adds an error about a key that was read, or about a variable.
    pub(super) fn error(&mut self, key: &str, problem: impl Into<String>) {
        let error = error(&self.settings, key, problem);
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

    /// Returns the keys that were read and all errors, whatever was not read.
    pub(super) fn into_parts(self) -> (Vec<Setting>, Vec<ConfigError>) {
        (self.settings, self.errors)
    }

    /// Returns the keys that were read and all errors. A key or variable that was not read is an
    /// error: it is unknown.
    pub(super) fn finish(mut self) -> (Vec<Setting>, Vec<ConfigError>) {
        let keys = self.settings.iter().map(|setting| &setting.key);
        let sections = keys
            .filter_map(|key| Some(key.split_once('.')?.0))
            .collect();
        for (key, location) in std::mem::take(&mut self.file).unread(&sections) {
            self.errors.push(ConfigError {
                location: Some(location),
                ..ConfigError::new(key, "is not a key")
            });
        }
        let known = known_variables(&self.settings);
        for name in self.environment.names() {
            let is_ours = name.starts_with("FOLLOWME_") && !is_kubernetes(name);
            if is_ours && !known.contains(name) {
                let problem = "is not an environment variable of followme";
                self.errors.push(ConfigError::new(name, problem));
            }
        }
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
