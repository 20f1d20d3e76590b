//! The environment variables.

use std::{collections::BTreeMap, fmt};

use super::source::{Setting, known_variables};

/// The variables that name directories for state: systemd's, the user's, and the user's home.
pub(super) const STATE_DIRECTORIES: [&str; 3] = ["STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"];

/// Environment variables. Tests bring their own.
pub trait Environment {
    /// Returns the value of a variable that is set and not empty.
    fn variable(&self, name: &str) -> Option<String>;

    /// Returns the names of the variables that are set and not empty; unknown ones are refused.
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
        reason = "the one function that reads the environment"
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

/// The environment at the time when the configuration was loaded.
#[derive(Clone, Default)]
pub(super) struct Snapshot(BTreeMap<String, String>);

impl Snapshot {
    /// Copies the variables of the keys.
    pub(super) fn new(environment: &impl Environment, settings: &[Setting]) -> Self {
        let names = known_variables(settings)
            .into_iter()
            .chain(STATE_DIRECTORIES);
        let values = names.filter_map(|name| Some((name.to_owned(), environment.variable(name)?)));
        Self(values.collect())
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
