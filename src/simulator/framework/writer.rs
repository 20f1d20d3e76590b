//! How an answer is written (docs/upstream/wire.md 2, 3, 8).

use super::{
    failure::Failure,
    format::{Format, Serializer},
    parameters::lossy,
    value::{EmptyString, Value, escape_xml},
};
use crate::simulator::{
    Dialect, Newline,
    host::{
        Host,
        reply::{Reply, html_page},
    },
    service::Call,
};

/// What a document says about the object in it.
struct Document {
    /// The title of an HTML page.
    title: &'static str,
    /// The XML element, its namespace, and the name that the elements of a list have in it.
    xml: [&'static str; 3],
}

impl Host {
    /// Writes an answer of the service; its body is empty if the format cannot be written.
    pub(crate) fn answer(&self, object: &Value, call: &Call) -> Reply {
        const DOCUMENT: Document = Document {
            title: "PortaFollowMe",
            xml: [
                "PortaFollowMeResponse",
                "http://schemas.datacontract.org/2004/07/Porta",
                "follow_me_number",
            ],
        };
        let csv = call.format == Format::Serialized(Serializer::Csv);
        let unwritable = matches!(call.format, Format::Unwritable(_));
        Reply {
            status: if unwritable { 500 } else { 200 },
            attachment: csv.then(|| call.operation.clone()),
            powered: true,
            ..self.reply(object, &call.format, &DOCUMENT)
        }
    }

    /// Writes a failure that the framework reports itself.
    pub(crate) fn failure(&self, failure: &Failure, format: &Format) -> Reply {
        let document = Document {
            title: match self.dialect {
                Dialect::V4 => "PortaFollowMe",
                Dialect::V3 | Dialect::AspNet => "",
            },
            xml: [
                "ErrorResponse",
                "http://schemas.servicestack.net/types",
                "ResponseError",
            ],
        };
        let object = Value::Object(vec![("ResponseStatus", failure.response_status())]);
        Reply {
            status: failure.status(self.dialect),
            ..self.reply(&object, format, &document)
        }
    }

    fn reply(&self, object: &Value, format: &Format, document: &Document) -> Reply {
        let body = match format {
            Format::Serialized(Serializer::Csv) => self.csv(object),
            Format::Serialized(Serializer::Json) => object.to_json(),
            Format::Serialized(Serializer::Jsv) => self.jsv(object),
            Format::Serialized(Serializer::Xml) => self.xml(object, document.xml),
            Format::Jsonp(function) => format!("{function}({})", object.to_json()),
            Format::Html => format!(
                "{}<script id=\"dto\" type=\"text/json\">{}</script>\r\n",
                html_page(&format!("{} Snapshot", document.title)),
                escape_xml(&object.to_json())
            ),
            Format::Unwritable(_) => String::new(),
        };
        Reply {
            content_type: Some(format.content_type().to_owned()),
            body: body.into_bytes(),
            ..Reply::default()
        }
    }

    /// Writes one header record and one data record. A text is itself, null and the empty text are
    /// empty fields, and every other value is its JSV.
    fn csv(&self, object: &Value) -> String {
        let Value::Object(members) = object else {
            return String::new();
        };
        let mut out = String::new();
        write_record(
            &mut out,
            members.iter().map(|(name, _)| *name),
            self.newline,
        );
        let text = |(_, value): &(_, Value)| match value {
            Value::Text(text) => text.clone(),
            other => self.jsv(other),
        };
        write_record(&mut out, members.iter().map(text), self.newline);
        out
    }

    fn jsv(&self, value: &Value) -> String {
        value.to_jsv(match self.dialect {
            Dialect::V4 => EmptyString::Quoted,
            Dialect::V3 | Dialect::AspNet => EmptyString::Bare,
        })
    }

    /// Writes an XML document. v3 starts it with a byte order mark, v4 with a declaration; v4 ends
    /// a `ResponseStatus` with one member more.
    fn xml(&self, object: &Value, [name, namespace, element]: [&str; 3]) -> String {
        const META: &str = "<Meta xmlns:d3p1=\"http://schemas.microsoft.com/2003/10/Serialization/\
                            Arrays\" i:nil=\"true\" /></ResponseStatus>";
        let root = format!(
            "<{name} xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns=\"{namespace}\">"
        );
        let content = object.to_xml(name, element);
        let content = content.replacen(&format!("<{name}>"), &root, 1);
        match self.dialect {
            Dialect::V4 => format!(
                "<?xml version=\"1.0\" encoding=\"utf-8\"?>{}",
                content.replace("</ResponseStatus>", META)
            ),
            Dialect::V3 | Dialect::AspNet => format!("\u{feff}{content}"),
        }
    }
}

/// Appends one CSV record. A field is quoted iff it holds a quote, a comma, CR or LF
/// (docs/upstream/wire.md 2.6).
pub fn write_record(
    out: &mut String,
    fields: impl IntoIterator<Item = impl AsRef<[u8]>>,
    newline: Newline,
) {
    let newline = match newline {
        Newline::Lf => csv::Terminator::Any(b'\n'),
        Newline::CrLf => csv::Terminator::CRLF,
    };
    let mut writer = csv::WriterBuilder::new()
        .terminator(newline)
        .from_writer(Vec::new());
    // Writing to memory does not fail.
    let _ = writer.write_record(fields);
    out.push_str(&lossy(&writer.into_inner().unwrap_or_default()));
}
