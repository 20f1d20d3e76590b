//! A log line, with the ids of the trace and the span that it is written in.

use std::{
    cell::RefCell,
    fmt::{self, Debug, Write as _},
    time::SystemTime,
};

use tracing::{Event, Level, Metadata, Subscriber, field};
use tracing_subscriber::{Layer, layer::Context};

use super::text::{Json, one_line, word};
use crate::telemetry::{call_trace, line_writer::STDERR};

/// The layer that writes each event as a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines {
    /// As JSON, else as text.
    pub(super) json: bool,
    /// With colors, as text.
    pub(super) color: bool,
}

/// The fields that every line has; one of an event must not replace them.
const RESERVED: [&str; 6] = ["time", "level", "target", "message", "trace_id", "span_id"];

/// The buffers of a thread, which are used for one line after the other.
#[derive(Default)]
struct Buffers {
    line: String,
    message: String,
    fields: String,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let written = BUFFERS.try_with(|buffers| match buffers.try_borrow_mut() {
            Ok(mut buffers) => self.write(event, &mut buffers),
            // An event inside the formatting of another one.
            Err(_) => self.write(event, &mut Buffers::default()),
        });
        if written.is_err() {
            self.write(event, &mut Buffers::default());
        }
    }
}

impl Lines {
    fn write(self, event: &Event<'_>, buffers: &mut Buffers) {
        let Buffers {
            line,
            message,
            fields,
        } = buffers;
        for buffer in [&mut *line, message, fields] {
            buffer.clear();
        }
        event.record(&mut Fields {
            json: self.json,
            message,
            fields,
        });
        // Writing to a String does not fail.
        let _ = if self.json {
            json(line, event.metadata(), message, fields)
        } else {
            self.text(line, event.metadata(), message, fields)
        };
        STDERR.queue(line);
    }

    fn text(
        self,
        line: &mut String,
        metadata: &Metadata<'_>,
        message: &str,
        fields: &str,
    ) -> fmt::Result {
        let time = humantime::format_rfc3339_micros(SystemTime::now());
        let level = *metadata.level();
        if self.color {
            write!(
                line,
                "\x1b[2m{time}\x1b[0m {}{level:>5}\x1b[0m",
                color(level)
            )?;
        } else {
            write!(line, "{time} {level:>5}")?;
        }
        let target = metadata.target();
        write!(line, " {target}: {}{fields}", one_line(message))?;
        if let Some((trace, span)) = call_trace::ids() {
            write!(line, " trace_id={trace} span_id={span}")?;
        }
        writeln!(line)
    }
}

fn json(line: &mut String, metadata: &Metadata<'_>, message: &str, fields: &str) -> fmt::Result {
    let time = humantime::format_rfc3339_micros(SystemTime::now());
    let (level, target) = (metadata.level().as_str(), metadata.target());
    write!(
        line,
        "{{\"time\":\"{time}\",\"level\":\"{level}\",\"target\":\"{target}\",\"message\":\""
    )?;
    line.push_str(message);
    line.push('"');
    if let Some((trace, span)) = call_trace::ids() {
        write!(line, ",\"trace_id\":\"{trace}\",\"span_id\":\"{span}\"")?;
    }
    line.push_str(fields);
    line.push_str("}\n");
    Ok(())
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

/// Writes the fields of an event, as they are visited.
struct Fields<'a> {
    json: bool,
    message: &'a mut String,
    fields: &'a mut String,
}

impl Fields<'_> {
    /// Writes a number or a boolean.
    fn plain(&mut self, field: &field::Field, value: impl fmt::Display) {
        let name = field.name();
        // Writing to a String does not fail.
        let _ = match self.json {
            true if RESERVED.contains(&name) => Ok(()),
            true => write!(self.fields, ",\"{name}\":{value}"),
            false => write!(self.fields, " {name}={value}"),
        };
    }

    /// Writes a text.
    fn text(&mut self, field: &field::Field, text: fmt::Arguments<'_>) {
        let name = field.name();
        let _ = match (self.json, name) {
            (true, "message") => Json(self.message).write_fmt(text),
            (false, "message") => self.message.write_fmt(text),
            (true, name) if RESERVED.contains(&name) => Ok(()),
            (true, name) => {
                let _ = write!(self.fields, ",\"{name}\":\"");
                let _ = Json(self.fields).write_fmt(text);
                self.fields.write_char('"')
            }
            (false, name) => write!(self.fields, " {name}={}", word(&text.to_string())),
        };
    }
}

impl field::Visit for Fields<'_> {
    fn record_f64(&mut self, field: &field::Field, value: f64) {
        if value.is_finite() {
            self.plain(field, format_args!("{value:?}"));
        } else {
            self.plain(field, "null");
        }
    }

    fn record_i64(&mut self, field: &field::Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &field::Field, value: u64) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &field::Field, value: bool) {
        self.plain(field, value);
    }

    fn record_str(&mut self, field: &field::Field, value: &str) {
        self.text(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &field::Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            // Writing to a String does not fail.
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.text(field, format_args!("{text}"));
    }

    fn record_debug(&mut self, field: &field::Field, value: &dyn Debug) {
        self.text(field, format_args!("{value:?}"));
    }
}
