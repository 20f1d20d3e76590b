//! Logs on standard error: text for people or JSON for machines, with trace ids, and a filter that
//! can be changed at run time.

mod line;
mod text;

use std::{fmt, io::IsTerminal as _};

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt as _, filter_fn},
    registry::LookupSpan,
    reload,
};

use self::line::Lines;
use super::Error;

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As text on a terminal, as JSON otherwise.
    #[default]
    Auto,
    /// As text.
    Text,
    /// As JSON, one object per line.
    Json,
}

impl std::str::FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be auto, text or json"),
        }
    }
}

/// The default filter. The exporter logs each of its own steps at `info`.
const DEFAULT_FILTER: &str = "info,opentelemetry=warn";

/// The filter of log lines; it can be changed while the process runs.
pub struct LogFilter(Box<dyn Handle>);

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogFilter").field(&self.text()).finish()
    }
}

/// A reload handle, without the type of its subscriber.
trait Handle: Send + Sync {
    fn set(&self, filter: EnvFilter) -> Result<(), reload::Error>;
    fn get(&self) -> Result<String, reload::Error>;
}

impl<S: Subscriber> Handle for reload::Handle<EnvFilter, S> {
    fn set(&self, filter: EnvFilter) -> Result<(), reload::Error> {
        self.reload(filter)
    }

    fn get(&self) -> Result<String, reload::Error> {
        self.with_current(ToString::to_string)
    }
}

impl LogFilter {
    /// Returns the filter in force, as `RUST_LOG` writes it.
    #[must_use]
    pub fn text(&self) -> String {
        // It fails only without a subscriber, which lives as long as the process.
        self.0.get().unwrap_or_default()
    }

    /// Sets the filter.
    ///
    /// # Errors
    /// Fails where the text is not a filter.
    pub fn set(&self, text: &str) -> Result<(), String> {
        let filter = EnvFilter::builder()
            .parse(text)
            .map_err(|error| error.to_string())?;
        self.0.set(filter).map_err(|error| error.to_string())?;
        tracing::info!(filter = self.text(), "the log filter was changed");
        Ok(())
    }
}

/// Creates the layer that writes log lines, and the handle of its filter.
pub(super) fn layer<S>(
    filter: Option<&str>,
    format: Format,
) -> Result<(impl Layer<S>, LogFilter), Error>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let filter = EnvFilter::builder()
        .parse(filter.unwrap_or(DEFAULT_FILTER))
        .map_err(Error::Filter)?;
    let (filter, handle) = reload::Layer::new(filter);
    let terminal = std::io::stderr().is_terminal();
    let lines = Lines {
        json: match format {
            Format::Auto => !terminal,
            Format::Text => false,
            Format::Json => true,
        },
        color: terminal,
    };
    // Spans are for traces; the log needs none of them.
    let events = filter.and(filter_fn(|metadata| metadata.is_event()));
    Ok((lines.with_filter(events), LogFilter(Box::new(handle))))
}
