//! Log lines: text for people, JSON for machines, on standard error, each with the ids of the trace
//! and the span that it was written in.

use std::{
    fmt::{self, Write as _},
    io::IsTerminal as _,
    time::SystemTime,
};

use opentelemetry::trace::TraceContextExt as _;
use serde_json::{Map, Value};
use tracing::{Event, Level, Subscriber, dispatcher, field};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt as _, filter_fn},
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
    reload,
};

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

/// What is written where nobody says so. The exporter names each of its own steps at `info`.
const DEFAULT_FILTER: &str = "info,opentelemetry=warn";

/// Which lines are written; can be changed while the process runs.
pub struct LogFilter(Box<dyn Handle>);

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogFilter").field(&self.text()).finish()
    }
}

/// A reload handle, whatever subscriber it belongs to.
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
        // Fails only after the subscriber has gone, which lives as long as the process.
        self.0.get().unwrap_or_default()
    }

    /// Puts another filter in force.
    ///
    /// # Errors
    /// Says what is wrong with a text that is no filter.
    pub fn set(&self, text: &str) -> Result<(), String> {
        let filter = EnvFilter::builder()
            .parse(text)
            .map_err(|error| error.to_string())?;
        self.0.set(filter).map_err(|error| error.to_string())?;
        tracing::info!(filter = self.text(), "the log filter was changed");
        Ok(())
    }
}

/// Makes the layer that writes log lines, and the handle of its filter.
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
    };
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .event_format(lines)
        // The trace tells of spans; formatting them for the log as well would cost every call.
        .with_filter(filter.and(filter_fn(|metadata| metadata.is_event())));
    Ok((layer, LogFilter(Box::new(handle))))
}

/// Writes a line.
struct Lines {
    json: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let time = humantime::format_rfc3339_micros(SystemTime::now());
        let mut fields = Fields::default();
        event.record(&mut fields);
        let ids = trace_ids();
        if self.json {
            let mut line = Map::new();
            line.insert("time".to_owned(), time.to_string().into());
            line.insert("level".to_owned(), metadata.level().as_str().into());
            line.insert("target".to_owned(), metadata.target().into());
            line.insert("message".to_owned(), fields.message.into());
            if let Some((trace, span)) = ids {
                line.insert("trace_id".to_owned(), trace.into());
                line.insert("span_id".to_owned(), span.into());
            }
            for (name, value) in fields.others {
                // A field must not take the place of what every line has.
                line.entry(name).or_insert(value);
            }
            return writeln!(writer, "{}", json_line(line));
        }
        let level = *metadata.level();
        if writer.has_ansi_escapes() {
            write!(
                writer,
                "\x1b[2m{time}\x1b[0m {}{level:>5}\x1b[0m",
                color(level)
            )?;
        } else {
            write!(writer, "{time} {level:>5}")?;
        }
        write!(
            writer,
            " {}: {}",
            metadata.target(),
            one_line(&fields.message)
        )?;
        for (name, value) in &fields.others {
            match value {
                Value::String(text) => write!(writer, " {name}={}", word(text))?,
                value => write!(writer, " {name}={value}")?,
            }
        }
        if let Some((trace, span)) = ids {
            write!(writer, " trace_id={trace} span_id={span}")?;
        }
        writeln!(writer)
    }
}

/// Returns the ids of the current span, where it is part of a trace.
pub(super) fn trace_ids() -> Option<(String, String)> {
    dispatcher::get_default(|dispatch| {
        let current = dispatch.current_span();
        let context = tracing_opentelemetry::get_otel_context(current.id()?, dispatch)?;
        let span = context.span();
        let ids = span.span_context();
        ids.is_valid()
            .then(|| (ids.trace_id().to_string(), ids.span_id().to_string()))
    })
}

fn color(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// Writes an object as one line. JSON itself lets characters through that command a terminal.
fn json_line(line: Map<String, Value>) -> String {
    let text = Value::Object(line).to_string();
    if !text.contains(commands) {
        return text;
    }
    text.chars()
        .map(|char| match char {
            char if commands(char) => format!("\\u{:04x}", u32::from(char)),
            char => char.into(),
        })
        .collect()
}

/// Tells whether a character commands whoever shows it: to do something, to begin a line, or to
/// write from right to left. All of them have four digits at most.
fn commands(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes a text so that it is one line: nobody can make a second one.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|char| if commands(char) { ' ' } else { char })
        .collect()
}

/// Writes a text as one word: in quotes where it would not be one.
fn word(text: &str) -> String {
    let plain = |char: char| !commands(char) && !char.is_whitespace() && char != '"';
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("{text:?}")
    }
}

/// The fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(String, Value)>,
}

impl Fields {
    fn push(&mut self, field: &field::Field, value: Value) {
        self.others.push((field.name().to_owned(), value));
    }
}

impl field::Visit for Fields {
    fn record_f64(&mut self, field: &field::Field, value: f64) {
        self.push(field, value.into());
    }

    fn record_i64(&mut self, field: &field::Field, value: i64) {
        self.push(field, value.into());
    }

    fn record_u64(&mut self, field: &field::Field, value: u64) {
        self.push(field, value.into());
    }

    fn record_bool(&mut self, field: &field::Field, value: bool) {
        self.push(field, value.into());
    }

    fn record_str(&mut self, field: &field::Field, value: &str) {
        self.push(field, value.into());
    }

    fn record_error(&mut self, field: &field::Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            // Writing to a String does not fail.
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.push(field, text.into());
    }

    fn record_debug(&mut self, field: &field::Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.push(field, text.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_make_a_second_line_or_another_field() {
        assert_eq!(one_line("a\nb"), "a b");
        assert_eq!(word("15550100"), "15550100");
        assert_eq!(word("a b=\n"), r#""a b=\n""#);
        assert_eq!(word(""), r#""""#);
    }

    #[test]
    fn a_text_cannot_command_a_terminal_nor_turn_its_lines_around() {
        let evil = "a\u{1b}[2Jb\u{9b}31mc\u{7f}d\u{202e}e\u{2066}f\u{2028}g";
        for line in [
            word(evil),
            one_line(evil),
            one_line(&json_line(Map::from_iter([(
                "path".to_owned(),
                Value::from(evil),
            )]))),
        ] {
            let bad = |char: &char| char.is_control() || "\u{202e}\u{2066}\u{2028}".contains(*char);
            assert_eq!(line.chars().find(bad), None, "{line:?}");
        }
        let line = json_line(Map::from_iter([("path".to_owned(), Value::from(evil))]));
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["path"], evil);
        assert_eq!(
            json_line(Map::from_iter([("é".to_owned(), "日本".into())])),
            r#"{"é":"日本"}"#
        );
    }
}
