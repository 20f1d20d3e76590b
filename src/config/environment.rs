//! The environment variables.

use std::{collections::BTreeMap, fmt};

/// The environment variables that are set and not empty.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Copies the environment of the process, without what is not UTF-8.
    #[must_use]
    pub fn of_process() -> Self {
        let variables = std::env::vars_os();
        variables
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// Returns the value of a variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        let mut variables: BTreeMap<_, _> = variables.into_iter().collect();
        variables.retain(|_, value| !value.is_empty());
        Self(variables)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One of the values may be a License.
        f.debug_set().entries(self.0.keys()).finish()
    }
}
