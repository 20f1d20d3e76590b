//! Takes the values of keys one by one from flags, environment and file, and collects every mistake
//! and every value in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

use super::{ConfigError, Environment, file::File, print::Effective};

/// The longest duration that is taken.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// What a flag says of a key.
pub(super) struct Flag {
    pub(super) key: &'static str,
    /// The flag as it is typed.
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    Flag(&'static str),
    Variable(String),
    /// The file, and the line in it.
    File(String),
}

pub(super) struct Reader<'a> {
    file: File,
    flags: Vec<Flag>,
    environment: &'a dyn Environment,
    mistakes: Vec<ConfigError>,
    origins: BTreeMap<String, Origin>,
    effective: Vec<Effective>,
}

/// What was found.
pub(super) struct Findings {
    /// Every key and its value in force.
    pub(super) effective: Vec<Effective>,
    /// Where the values come from that do not come from the defaults.
    pub(super) origins: BTreeMap<String, Origin>,
    pub(super) mistakes: Vec<ConfigError>,
}

/// Makes a mistake, named by where the value of the key comes from.
pub(super) fn mistake(
    origins: &BTreeMap<String, Origin>,
    key: &str,
    problem: String,
) -> ConfigError {
    let (key, place) = match origins.get(key) {
        Some(Origin::Flag(name)) => ((*name).to_owned(), None),
        Some(Origin::Variable(name)) => (name.clone(), None),
        Some(Origin::File(place)) => (key.to_owned(), Some(place.clone())),
        None => (key.to_owned(), None),
    };
    ConfigError {
        key,
        problem,
        location: place,
    }
}

/// A value, as it is written.
enum Written {
    Toml(toml::Value),
    /// A flag's or a variable's.
    Text(String),
}

/// Returns the variable of a key: `FOLLOWME_`, and the key in upper case with `_` for its dots.
/// That of `upstream.license_file` is shorter. The keys of callers have none.
pub(super) fn variable(key: &str) -> Option<String> {
    match key {
        "upstream.license_file" => Some("FOLLOWME_LICENSE_FILE".to_owned()),
        key if key.starts_with("callers.") => None,
        key => Some(format!(
            "FOLLOWME_{}",
            key.to_ascii_uppercase().replace('.', "_")
        )),
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: File, flags: Vec<Flag>, environment: &'a dyn Environment) -> Self {
        Self {
            file,
            flags,
            environment,
            mistakes: Vec::new(),
            origins: BTreeMap::new(),
            effective: Vec::new(),
        }
    }

    /// Notes a mistake, named by where the value of the key comes from.
    pub(super) fn mistake<T>(&mut self, key: &str, problem: &str) -> Option<T> {
        let mistake = mistake(&self.origins, key, problem.to_owned());
        self.mistakes.push(mistake);
        None
    }

    /// Notes a mistake that a check finds.
    pub(super) fn check(&mut self, key: &str, check: impl FnOnce() -> Result<(), String>) {
        if let Err(problem) = check() {
            self.mistake::<()>(key, &problem);
        }
    }

    /// Returns where the value of a key comes from.
    pub(super) fn origin(&self, key: &str) -> Option<&Origin> {
        self.origins.get(key)
    }

    /// Returns the variable's value.
    pub(super) fn environment(&self, name: &str) -> Option<String> {
        self.environment.variable(name)
    }

    /// Returns the names of the tables in a section.
    pub(super) fn tables_in(&self, section: &str) -> BTreeSet<String> {
        self.file.tables_in(section)
    }

    /// Takes what is said of a key: by a flag, else by the environment, else by the file.
    fn written(&mut self, key: &str) -> Option<Written> {
        // The key of the file is taken in any case: one that is overridden is no unknown key.
        let in_file = self.file.take(key);
        let (origin, written) = if let Some(flag) = self.flags.iter().find(|flag| flag.key == key) {
            (Origin::Flag(flag.name), Written::Text(flag.value.clone()))
        } else if let Some((name, value)) =
            variable(key).and_then(|name| Some((name.clone(), self.environment.variable(&name)?)))
        {
            (Origin::Variable(name), Written::Text(value))
        } else {
            let (place, value) = in_file?;
            (Origin::File(place), Written::Toml(value))
        };
        self.origins.insert(key.to_owned(), origin);
        Some(written)
    }

    /// Takes a value.
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let taken = match self.written(key)? {
            Written::Toml(value) => value.try_into(),
            // A text stands as it is; what else there is, as in TOML.
            Written::Text(text) => match toml::Value::String(text.clone()).try_into() {
                Ok(value) => Ok(value),
                Err(error) => match format!("value = {text}").parse::<toml::Table>() {
                    Ok(mut table) => match table.remove("value") {
                        Some(value) => value.try_into(),
                        None => Err(error),
                    },
                    Err(_) => Err(error),
                },
            },
        };
        match taken {
            Ok(value) => Some(value),
            Err(error) => self.mistake(key, error.message()),
        }
    }

    /// Notes the value in force.
    pub(super) fn note(&mut self, key: &str, value: impl Serialize) {
        // `None` is no TOML value.
        self.effective.push(Effective {
            key: key.to_owned(),
            value: toml::Value::try_from(value).ok(),
        });
    }

    /// Takes a value into its place.
    pub(super) fn set<T: DeserializeOwned + Serialize>(&mut self, key: &str, place: &mut T) {
        if let Some(value) = self.take(key) {
            *place = value;
        }
        self.note(key, &*place);
    }

    /// Takes a value that may be absent into its place.
    pub(super) fn set_some<T>(&mut self, key: &str, place: &mut Option<T>)
    where
        T: DeserializeOwned + Serialize,
    {
        if let Some(value) = self.take(key) {
            *place = Some(value);
        }
        self.note(key, &*place);
    }

    /// Takes a number within bounds.
    pub(super) fn size<T>(&mut self, key: &str, bounds: RangeInclusive<T>, place: &mut T)
    where
        T: DeserializeOwned + Serialize + PartialOrd + std::fmt::Display,
    {
        match self.take::<T>(key) {
            None => {}
            Some(value) if bounds.contains(&value) => *place = value,
            Some(_) => {
                let problem = format!("must be {} to {}", bounds.start(), bounds.end());
                self.mistake::<()>(key, &problem);
            }
        }
        self.note(key, &*place);
    }

    /// Takes a duration: a number with its unit, more than 0, at most a day.
    pub(super) fn duration(&mut self, key: &str, place: &mut Duration) {
        self.span(key, place, false);
    }

    /// Takes a duration: a number with its unit, at most a day.
    pub(super) fn duration_or_zero(&mut self, key: &str, place: &mut Duration) {
        self.span(key, place, true);
    }

    fn span(&mut self, key: &str, place: &mut Duration, zero: bool) {
        if let Some(text) = self.take::<String>(key) {
            match humantime::parse_duration(&text) {
                Ok(value) if value > MAX_DURATION => {
                    self.mistake::<()>(key, "must be at most 1day");
                }
                Ok(value) if value.is_zero() && !zero => {
                    self.mistake::<()>(key, "must be more than 0");
                }
                Ok(value) => *place = value,
                Err(error) => {
                    let problem =
                        format!("must be a duration such as \"2s\" or \"500ms\": {error}");
                    self.mistake::<()>(key, &problem);
                }
            }
        }
        self.note(key, humantime::format_duration(*place).to_string());
    }

    /// Notes each key and each variable that nobody took, and returns what was found.
    pub(super) fn finish(mut self) -> Findings {
        let sections: BTreeSet<&str> = self
            .effective
            .iter()
            .filter_map(|effective| effective.key.split_once('.'))
            .map(|(section, _)| section)
            .collect();
        let unknown = self.file.left(&sections);
        self.mistakes
            .extend(unknown.into_iter().map(|(key, place)| ConfigError {
                key,
                problem: "is not a key".to_owned(),
                location: Some(place),
            }));
        let known: BTreeSet<String> = self
            .effective
            .iter()
            .filter_map(|effective| variable(&effective.key))
            .chain(["FOLLOWME_CONFIG", "FOLLOWME_LICENSE"].map(str::to_owned))
            .collect();
        for name in self.environment.names() {
            if name.starts_with("FOLLOWME_") && !known.contains(&name) && !is_kubernetes(&name) {
                self.mistakes.push(ConfigError {
                    key: name,
                    problem: "is not a variable of followme".to_owned(),
                    location: None,
                });
            }
        }
        Findings {
            effective: self.effective,
            origins: self.origins,
            mistakes: self.mistakes,
        }
    }
}

/// Tells whether Kubernetes sets such a variable, for a service that is called followme: the
/// addresses and ports of its services.
fn is_kubernetes(name: &str) -> bool {
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}
