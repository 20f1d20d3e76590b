//! Takes values out of a TOML table one by one, and collects every mistake.

use std::{ops::RangeInclusive, time::Duration};

use serde::de::DeserializeOwned;

use super::{Mistake, Sourced};

/// The longest duration that is taken.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) struct Reader<'a> {
    table: toml::Table,
    mistakes: &'a mut Vec<Mistake>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(table: toml::Table, mistakes: &'a mut Vec<Mistake>) -> Self {
        Self { table, mistakes }
    }

    /// Notes a mistake.
    pub(super) fn mistake<T>(&mut self, key: &str, problem: &str) -> Option<T> {
        self.mistakes.push(Mistake {
            key: key.to_owned(),
            problem: problem.to_owned(),
        });
        None
    }

    /// Notes a mistake that a check finds.
    pub(super) fn check(&mut self, key: &str, check: impl FnOnce() -> Result<(), String>) {
        if let Err(problem) = check() {
            self.mistake::<()>(key, &problem);
        }
    }

    /// Takes a value.
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = match key.split_once('.') {
            None => self.table.remove(key)?,
            Some((section, name)) => self.table.get_mut(section)?.as_table_mut()?.remove(name)?,
        };
        match value.try_into() {
            Ok(value) => Some(value),
            Err(error) => self.mistake(key, error.message()),
        }
    }

    /// Takes a text, and where it stands.
    pub(super) fn text(&mut self, key: &str) -> Option<Sourced> {
        self.take(key).map(|value| Sourced {
            key: key.to_owned(),
            value,
        })
    }

    /// Takes a value into its place.
    pub(super) fn set<T: DeserializeOwned>(&mut self, key: &str, place: &mut T) {
        if let Some(value) = self.take(key) {
            *place = value;
        }
    }

    /// Takes a value that may be absent into its place.
    pub(super) fn set_some<T: DeserializeOwned>(&mut self, key: &str, place: &mut Option<T>) {
        if let Some(value) = self.take(key) {
            *place = Some(value);
        }
    }

    /// Takes a number within bounds.
    pub(super) fn size(&mut self, key: &str, bounds: RangeInclusive<usize>, place: &mut usize) {
        match self.take::<usize>(key) {
            None => {}
            Some(value) if bounds.contains(&value) => *place = value,
            Some(_) => {
                let problem = format!("must be {} to {}", bounds.start(), bounds.end());
                self.mistake::<()>(key, &problem);
            }
        }
    }

    /// Takes a duration: a number with its unit, more than 0, at most a day.
    pub(super) fn duration(&mut self, key: &str, place: &mut Duration) {
        let before = *place;
        self.duration_or_zero(key, place);
        if place.is_zero() {
            *place = before;
            self.mistake::<()>(key, "must be more than 0");
        }
    }

    /// Takes a duration: a number with its unit, at most a day.
    pub(super) fn duration_or_zero(&mut self, key: &str, place: &mut Duration) {
        let Some(text) = self.take::<String>(key) else {
            return;
        };
        match humantime::parse_duration(&text) {
            Ok(value) if value <= MAX_DURATION => *place = value,
            Ok(_) => {
                self.mistake::<()>(key, "must be at most 1day");
            }
            Err(error) => {
                let problem = format!("must be a duration such as \"2s\" or \"500ms\": {error}");
                self.mistake::<()>(key, &problem);
            }
        }
    }

    /// Notes each key that nobody took.
    pub(super) fn finish(mut self) {
        for (name, value) in std::mem::take(&mut self.table) {
            match value {
                toml::Value::Table(section)
                    if matches!(name.as_str(), "upstream" | "calls" | "server") =>
                {
                    for key in section.keys() {
                        self.mistake::<()>(&format!("{name}.{key}"), "is not a key");
                    }
                }
                _ => {
                    self.mistake::<()>(&name, "is not a key");
                }
            }
        }
    }
}
