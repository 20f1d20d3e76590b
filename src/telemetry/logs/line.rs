//! A log line, with the ids of the trace and the span that it is written in.

use std::{
    fmt::{self, Write as _},
    time::SystemTime,
};

use opentelemetry::trace::TraceContextExt as _;
use serde_json::{Map, Value};
use tracing::{Event, Level, Subscriber, dispatcher, field};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Formats events as lines.
pub(super) struct Lines {
    /// As JSON, else as text.
    pub(super) json: bool,
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
                // A field must not replace what every line has.
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

/// Returns the ids of the trace and of the current span, where it is in a trace.
pub(in crate::telemetry) fn trace_ids() -> Option<(String, String)> {
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

/// Writes an object as one line. JSON alone leaves in characters that control a terminal.
fn json_line(line: Map<String, Value>) -> String {
    let text = Value::Object(line).to_string();
    if !text.contains(is_control) {
        return text;
    }
    text.chars()
        .map(|char| match char {
            char if is_control(char) => format!("\\u{:04x}", u32::from(char)),
            char => char.into(),
        })
        .collect()
}

/// Returns whether a character can control a terminal, start a line, or change the direction of the
/// text. All of these have at most four hexadecimal digits.
fn is_control(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes a text as one line, so that a value cannot forge a second one.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|char| if is_control(char) { ' ' } else { char })
        .collect()
}

/// Writes a text as one word, in quotes where it is needed.
fn word(text: &str) -> String {
    let plain = |char: char| !is_control(char) && !char.is_whitespace() && char != '"';
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
    fn a_text_cannot_forge_a_line_or_a_field() {
        assert_eq!(one_line("a\nb"), "a b");
        assert_eq!(word("15550100"), "15550100");
        assert_eq!(word("a b=\n"), r#""a b=\n""#);
        assert_eq!(word(""), r#""""#);
    }

    #[test]
    fn a_text_cannot_control_a_terminal_or_change_its_direction() {
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
