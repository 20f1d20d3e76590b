/// The newline that ends every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Newline {
    /// What the framework writes everywhere but on Windows.
    #[default]
    Lf,
    /// What the framework writes on Windows.
    CrLf,
}

/// A field to write.
#[derive(Clone, Copy)]
pub enum Field<'a> {
    /// Writes nothing. The framework's answers show null and the empty string so.
    Null,
    /// Writes a text; an empty one as `""`, which a CSV body can clear a field with
    /// (docs/upstream/wire.md 7).
    Text(&'a str),
}

/// Appends one record to `out`. A field is quoted iff it holds a quote, a comma, CR or LF
/// (docs/upstream/wire.md 2.6), or is an empty text.
pub fn write_record<'a>(
    out: &mut String,
    fields: impl IntoIterator<Item = Field<'a>>,
    newline: Newline,
) {
    for (index, field) in fields.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        if let Field::Text(text) = field {
            write_text(out, text);
        }
    }
    out.push_str(match newline {
        Newline::Lf => "\n",
        Newline::CrLf => "\r\n",
    });
}

fn write_text(out: &mut String, text: &str) {
    if !text.is_empty() && !text.contains(['"', ',', '\r', '\n']) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for (index, part) in text.split('"').enumerate() {
        if index > 0 {
            out.push_str("\"\"");
        }
        out.push_str(part);
    }
    out.push('"');
}
