//! One key: its documentation, its default, and how its value is read and checked.

use std::{fmt::Display, ops::RangeInclusive, path::PathBuf, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::source::{Raw, Setting, Source};

/// The longest duration, where a key allows no longer one.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// A key that is being described. The last call names its type and default, and returns its value:
/// the default, where the key is not set or its value is wrong.
#[must_use]
pub(super) struct Key<'s, 'a> {
    source: &'s mut Source<'a>,
    setting: Setting,
    longest: Duration,
}

impl<'s, 'a> Key<'s, 'a> {
    pub(super) fn new(source: &'s mut Source<'a>, setting: Setting) -> Self {
        Self {
            source,
            setting,
            longest: MAX_DURATION,
        }
    }

    /// Describes the key for the documentation and the example file.
    pub(super) fn meaning(mut self, meaning: &'static str) -> Self {
        self.setting.meaning = meaning;
        self
    }

    /// Names the flag that sets the key.
    pub(super) fn flag(mut self, flag: &'static str) -> Self {
        self.setting.flag = Some(flag);
        self
    }

    /// Names the variable that sets the key, where it differs from the usual name.
    pub(super) fn variable(mut self, name: &str) -> Self {
        self.setting.variable = Some(name.to_owned());
        self
    }

    /// Marks a key whose changes take effect without a restart.
    pub(super) fn reloaded(mut self) -> Self {
        self.setting.reloaded = true;
        self
    }

    /// Gives a value for the example file.
    pub(super) fn example(mut self, example: impl Into<toml::Value>) -> Self {
        self.setting.example = Some(example.into());
        self
    }

    /// Allows a longer duration than a day.
    pub(super) fn up_to(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Names the type for the documentation, where the default or example does not tell it.
    fn kind(mut self, kind: impl Into<String>) -> Self {
        self.setting.kind = kind.into();
        self
    }

    /// Reads a value of any type that TOML holds.
    pub(super) fn value<T: DeserializeOwned + Serialize>(self, default: T) -> T {
        self.checked(default, |_| Ok(()))
    }

    /// Reads a value that a check accepts.
    pub(super) fn checked<T: DeserializeOwned + Serialize>(
        self,
        default: T,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> T {
        let parse = |value: T| {
            check(&value)
                .map(|()| value)
                .map_err(|problem| vec![problem])
        };
        self.parsed(default, parse, to_toml)
    }

    /// Reads a number within bounds.
    pub(super) fn within<T>(self, bounds: RangeInclusive<T>, default: T) -> T
    where
        T: DeserializeOwned + Serialize + PartialOrd + Display,
    {
        let range = format!("{} to {}", bounds.start(), bounds.end());
        let check = |value: &T| {
            let is_within = bounds.contains(value);
            is_within.then_some(()).ok_or(format!("must be {range}"))
        };
        self.kind(format!("integer, {range}"))
            .checked(default, check)
    }

    /// Reads one of several names.
    pub(super) fn one_of<T: DeserializeOwned + Serialize>(self, names: &[&str], default: T) -> T {
        let quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
        let kind = quoted.join(" or ");
        let problem = format!("must be {kind}");
        let parse = |name: String| match toml::Value::String(name).try_into() {
            Ok(value) => Ok(value),
            Err(_) => Err(vec![problem]),
        };
        self.kind(kind).parsed(default, parse, to_toml)
    }

    /// Reads a value that may be absent.
    pub(super) fn optional<T: DeserializeOwned + Serialize>(self) -> Option<T> {
        self.optional_checked(|_| Ok(()))
    }

    /// Reads a value that may be absent, and that a check accepts.
    pub(super) fn optional_checked<T: DeserializeOwned + Serialize>(
        self,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Option<T> {
        let parse = |value: T| match check(&value) {
            Ok(()) => Ok(Some(value)),
            Err(problem) => Err(vec![problem]),
        };
        self.parsed(None, parse, |value| value.as_ref().and_then(to_toml))
    }

    /// Reads the path of a file; the example file shows `example`.
    pub(super) fn path(self, example: &str) -> Option<PathBuf> {
        self.example(example).kind("path").optional()
    }

    /// Reads a duration: a number with its unit, more than 0, at most the longest one.
    pub(super) fn duration(self, default: Duration) -> Duration {
        self.checked_duration(default, |value| {
            let problem = || "must be more than 0".to_owned();
            (!value.is_zero()).then_some(()).ok_or_else(problem)
        })
    }

    /// Reads a duration that a check accepts: a number with its unit, at most the longest one.
    pub(super) fn checked_duration(
        self,
        default: Duration,
        check: impl FnOnce(&Duration) -> Result<(), String>,
    ) -> Duration {
        let longest = self.longest;
        let parse = |text: String| {
            let value = humantime::parse_duration(&text).map_err(|error| {
                format!("must be a duration such as \"2s\" or \"500ms\": {error}")
            })?;
            if value > longest {
                let longest = humantime::format_duration(longest);
                return Err(format!("must be at most {longest}"));
            }
            check(&value).map(|()| value)
        };
        let show = |value: &Duration| Some(humantime::format_duration(*value).to_string().into());
        let parse = |text| parse(text).map_err(|problem| vec![problem]);
        self.kind("duration").parsed(default, parse, show)
    }

    /// Reads a value of type `R` and turns it into a `T`, or returns all that is wrong with it.
    /// `show` turns a `T` into the TOML value that the configuration is printed with.
    pub(super) fn parsed<R: DeserializeOwned, T>(
        mut self,
        default: T,
        parse: impl FnOnce(R) -> Result<T, Vec<String>>,
        show: impl Fn(&T) -> Option<toml::Value>,
    ) -> T {
        self.setting.default = show(&default);
        if self.setting.kind.is_empty() {
            let shown = self.setting.default.as_ref();
            let shown = shown.or(self.setting.example.as_ref());
            self.setting.kind = shown.map_or("string", kind_of).to_owned();
        }
        let raw = self.source.raw(&mut self.setting);
        let read = raw.map(|raw| {
            let value = typed(raw).map_err(|problem| vec![problem])?;
            parse(value)
        });
        let value = match read {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(problems)) => {
                for problem in problems {
                    self.source.push_error(self.setting.error(problem));
                }
                default
            }
        };
        self.setting.value = show(&value);
        self.source.record(self.setting);
        value
    }
}

/// Turns a value into TOML; `None` where it is absent.
pub(super) fn to_toml(value: &impl Serialize) -> Option<toml::Value> {
    toml::Value::try_from(value).ok()
}

/// Parses each item of a list, or returns all that is wrong with them.
pub(super) fn each<T>(
    items: Vec<String>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Vec<String>> {
    let (mut values, mut problems) = (Vec::new(), Vec::new());
    for item in items {
        match parse(&item) {
            Ok(value) => values.push(value),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(values)
    } else {
        Err(problems)
    }
}

fn typed<R: DeserializeOwned>(raw: Raw) -> Result<R, String> {
    let typed = match raw {
        Raw::Toml(value) => value.try_into(),
        // A string needs no quotes in a flag or a variable; anything else is written as in TOML.
        Raw::Text(text) => toml::Value::String(text.clone())
            .try_into()
            .or_else(|error| {
                let table = format!("value = {text}").parse::<toml::Table>();
                let value = table.ok().and_then(|mut table| table.remove("value"));
                value.map_or(Err(error), toml::Value::try_into)
            }),
    };
    typed.map_err(|error: toml::de::Error| error.message().to_owned())
}

fn kind_of(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::Boolean(_) => "boolean",
        toml::Value::Integer(_) => "integer",
        toml::Value::Float(_) => "number",
        toml::Value::Array(items) => match items.first() {
            Some(toml::Value::Integer(_)) => "list of integers",
            _ => "list of strings",
        },
        _ => "string",
    }
}
