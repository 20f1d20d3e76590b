//! Declares the keys of a section: each once, with its name, type, meaning, default and bounds.

use std::{fmt::Display, ops::RangeInclusive, path::PathBuf, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::source::{Setting, Source};

/// Declares a section: a struct with a field for each key, and `read`, which reads them in their
/// order and ends with [`Check`]. The comment of a field is the meaning of its key in the documentation. Its expression
/// describes the rest, ends with the default, and may use the fields above it.
macro_rules! section {
    (
        $(#[$about:meta])*
        struct $name:ident |$key:ident| {
            $( $(#[doc = $meaning:literal])+ $field:ident: $type:ty = $value:expr, )+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone)]
        #[allow(dead_code, reason = "most files are watched by the names of their keys")]
        pub(super) struct $name {
            $( pub(super) $field: $type, )+
        }

        impl $name {
            /// Reads and checks the keys of the section with this name.
            pub(super) fn read(
                source: &mut crate::config::source::Source<'_>,
                section: impl Into<String>,
            ) -> Self {
                let section = &mut source.section(section);
                $(
                    let $key = section.key(stringify!($field), concat!($($meaning),+));
                    let $field: $type = $value;
                )+
                let read = Self { $($field),+ };
                crate::config::section::Check::check(&read, section);
                read
            }
        }
    };
}
pub(super) use section;

/// What cannot be checked key by key.
pub(super) trait Check {
    /// Adds the errors of a section that was read.
    fn check(&self, _section: &mut Section<'_, '_>) {}
}

/// The longest duration, if a key allows no longer one.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// A table of the file; `""` is its top.
pub(super) struct Section<'s, 'a> {
    source: &'s mut Source<'a>,
    name: String,
}

impl<'s, 'a> Section<'s, 'a> {
    pub(super) fn new(source: &'s mut Source<'a>, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { source, name }
    }

    /// Begins to describe a key. Its variable is `FOLLOWME_` and the key in upper case, with `_`
    /// for its dots; keys of callers have none, and take effect without a restart.
    pub(super) fn key(&mut self, name: &str, meaning: &'static str) -> Key<'_, 'a> {
        let key = self.full(name);
        let is_caller = key.starts_with("callers.");
        let variable = format!("FOLLOWME_{}", key.to_ascii_uppercase().replace('.', "_"));
        let setting = Setting {
            key,
            meaning: meaning.trim_start(),
            variable: (!is_caller).then_some(variable),
            reloaded: is_caller,
            ..Setting::default()
        };
        Key {
            source: self.source,
            setting,
            may_be_zero: false,
            longest: MAX_DURATION,
        }
    }

    /// Adds an error about a key of this section.
    pub(super) fn error(&mut self, name: &str, problem: impl Into<String>) {
        let key = self.full(name);
        self.source.error(&key, problem);
    }

    /// Adds an error about a key unless its value is good.
    pub(super) fn ensure(&mut self, name: &str, is_good: bool, problem: &str) {
        if !is_good {
            self.error(name, problem);
        }
    }

    /// Adds an error if only one of two keys is set.
    pub(super) fn require_both<T>(&mut self, one: (&str, &Option<T>), other: (&str, &Option<T>)) {
        for ((key, value), (missing, other)) in [(one, other), (other, one)] {
            let missing = format!("requires {}", self.full(missing));
            self.ensure(key, value.is_none() || other.is_some(), &missing);
        }
    }

    /// Returns whether a key is set, be it to a wrong value.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.source.origin(&self.full(name)).is_some()
    }

    fn full(&self, name: &str) -> String {
        match self.name.as_str() {
            "" => name.to_owned(),
            section => format!("{section}.{name}"),
        }
    }
}

/// A key that is being described. The last call names its default, and returns its value: the
/// default, if the key is not set or its value is wrong.
#[must_use]
pub(super) struct Key<'s, 'a> {
    source: &'s mut Source<'a>,
    setting: Setting,
    may_be_zero: bool,
    longest: Duration,
}

impl Key<'_, '_> {
    /// Names the flag that sets the key.
    pub(super) fn flag(mut self, flag: &'static str) -> Self {
        self.setting.flag = Some(flag);
        self
    }

    /// Names the variable that sets the key, if it is not the usual one.
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

    /// Allows a duration of 0.
    pub(super) fn may_be_zero(mut self) -> Self {
        self.may_be_zero = true;
        self
    }

    /// Allows a longer duration than a day.
    pub(super) fn up_to(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Returns the value of a variable that is not a key's.
    pub(super) fn environment(&self, name: &str) -> Option<String> {
        self.source.variable(name)
    }

    /// Names the type for the documentation, if the default or example does not tell it.
    fn kind(mut self, kind: impl Into<String>) -> Self {
        self.setting.kind = kind.into();
        self
    }

    /// Reads a value of any type that TOML holds.
    pub(super) fn value<T: DeserializeOwned + Serialize>(self, default: T) -> T {
        self.read(default, Ok, to_toml)
    }

    /// Reads a value that may be absent.
    pub(super) fn optional<T: DeserializeOwned + Serialize>(self) -> Option<T> {
        self.read(
            None,
            |value| Ok(Some(value)),
            |value| to_toml(value.as_ref()?),
        )
    }

    /// Reads the path of a file; the example file shows `example`.
    pub(super) fn path(self, example: &str) -> Option<PathBuf> {
        self.example(example).kind("path").optional()
    }

    /// Reads a number within bounds.
    pub(super) fn within<T>(self, bounds: RangeInclusive<T>, default: T) -> T
    where
        T: DeserializeOwned + Serialize + PartialOrd + Display,
    {
        let range = format!("{} to {}", bounds.start(), bounds.end());
        let parse = |value: T| match bounds.contains(&value) {
            true => Ok(value),
            false => Err(format!("must be {range}")),
        };
        self.kind(format!("integer, {range}"))
            .read(default, parse, to_toml)
    }

    /// Reads one of several names.
    pub(super) fn one_of<T: DeserializeOwned + Serialize>(self, names: &[&str], default: T) -> T {
        let quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
        let kind = quoted.join(" or ");
        let problem = format!("must be {kind}");
        let parse = |name: String| toml::Value::String(name).try_into().map_err(|_| problem);
        self.kind(kind).read(default, parse, to_toml)
    }

    /// Reads a value that is written as a text, and that may be absent.
    pub(super) fn text<T: Display>(
        self,
        default: Option<T>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let show = |value: &Option<T>| Some(value.as_ref()?.to_string().into());
        self.read(default, |text: String| parse(&text).map(Some), show)
    }

    /// Reads a duration: a number with its unit, within the bounds that are described.
    pub(super) fn duration(self, default: Duration) -> Duration {
        let (may_be_zero, longest) = (self.may_be_zero, self.longest);
        let parse = |text: String| match humantime::parse_duration(&text) {
            Err(error) => Err(format!(
                "must be a duration such as \"2s\" or \"500ms\": {error}"
            )),
            Ok(value) if value > longest => {
                let longest = humantime::format_duration(longest);
                Err(format!("must be at most {longest}"))
            }
            Ok(value) if value.is_zero() && !may_be_zero => Err("must be more than 0".to_owned()),
            Ok(value) => Ok(value),
        };
        let show = |value: &Duration| Some(humantime::format_duration(*value).to_string().into());
        self.kind("duration").read(default, parse, show)
    }

    /// Reads a value of type `R` and turns it into a `T`. `show` turns a `T` into the TOML value
    /// that the configuration is printed with.
    fn read<R: DeserializeOwned, T>(
        mut self,
        default: T,
        parse: impl FnOnce(R) -> Result<T, String>,
        show: impl Fn(&T) -> Option<toml::Value>,
    ) -> T {
        let setting = &mut self.setting;
        setting.default = show(&default);
        if setting.kind.is_empty() {
            let shown = setting.default.as_ref().or(setting.example.as_ref());
            setting.kind = shown.map_or("string", kind_of).to_owned();
        }
        let written = self.source.find(setting);
        let value = match written.map(|written| written.typed().and_then(parse)) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(problem)) => {
                self.source.push_error(setting.error(problem));
                default
            }
        };
        setting.value = show(&value);
        self.source.record(self.setting);
        value
    }
}

/// Turns a value into TOML; `None` if it is absent.
fn to_toml(value: &impl Serialize) -> Option<toml::Value> {
    toml::Value::try_from(value).ok()
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
