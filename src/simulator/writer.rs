//! How an answer is written (docs/upstream/wire.md 2, 3, 8).

use super::{
    answer::Answer,
    failure::Failure,
    negotiation::Format,
    options::{Dialect, Newline},
    reply::Reply,
    value::{EmptyString, Value, escape_xml},
};
use crate::format::csv::{Field, write_record};

/// How a host writes its answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) dialect: Dialect,
    pub(crate) newline: Newline,
}

impl Style {
    fn jsv(self, value: &Value) -> String {
        value.to_jsv(match self.dialect {
            Dialect::V4 => EmptyString::Quoted,
            Dialect::V3 | Dialect::AspNet => EmptyString::Bare,
        })
    }

    /// Writes an answer of the service, or an empty one where its format cannot be written.
    pub(crate) fn answer(self, answer: &Answer, format: &Format, operation: &str) -> Reply {
        let members = answer.members();
        let object = Value::Object(members.to_vec());
        let mut reply = Reply {
            status: 200,
            content_type: Some(format.content_type().to_owned()),
            powered: true,
            ..Reply::default()
        };
        let body = match format {
            Format::Csv => {
                reply.attachment = Some(operation.to_owned());
                self.csv(&members)
            }
            Format::Json => object.to_json(),
            Format::Jsonp(function) => format!("{function}({})", object.to_json()),
            Format::Jsv => self.jsv(&object),
            Format::Xml => self.xml(
                &object,
                "PortaFollowMeResponse",
                "http://schemas.datacontract.org/2004/07/Porta",
                "follow_me_number",
            ),
            Format::Html => {
                return Reply {
                    powered: true,
                    ..html_snapshot("PortaFollowMe", 200, &object)
                };
            }
            Format::Unwritable(_) => {
                reply.status = 500;
                String::new()
            }
        };
        reply.body = body.into_bytes();
        reply
    }

    /// Writes one header record and one data record. A text is itself, null and the empty text are
    /// empty fields, and every other value is its JSV.
    fn csv(self, members: &[(&'static str, Value)]) -> String {
        let mut out = String::new();
        let names = members.iter().map(|(name, _)| Field::Text(name));
        write_record(&mut out, names, self.newline);
        let texts: Vec<String> = members
            .iter()
            .map(|(_, value)| match value {
                Value::Text(text) => text.clone(),
                other => self.jsv(other),
            })
            .collect();
        let fields = texts.iter().map(|text| match text.as_str() {
            "" => Field::Null,
            text => Field::Text(text),
        });
        write_record(&mut out, fields, self.newline);
        out
    }

    /// Writes a failure that the framework reports itself.
    pub(crate) fn failure(self, failure: &Failure, format: &Format) -> Reply {
        let members = [("ResponseStatus", failure.response_status())];
        let object = Value::Object(members.to_vec());
        let body = match format {
            Format::Csv => self.csv(&members),
            Format::Json => object.to_json(),
            Format::Jsonp(function) => format!("{function}({})", object.to_json()),
            Format::Jsv => self.jsv(&object),
            Format::Xml => self
                .xml(
                    &object,
                    "ErrorResponse",
                    "http://schemas.servicestack.net/types",
                    "ResponseError",
                )
                .replace("</ResponseStatus>", self.xml_meta()),
            Format::Html => {
                let title = match self.dialect {
                    Dialect::V4 => "PortaFollowMe",
                    Dialect::V3 | Dialect::AspNet => "",
                };
                return html_snapshot(title, failure.status, &object);
            }
            Format::Unwritable(_) => String::new(),
        };
        Reply {
            status: failure.status,
            content_type: Some(format.content_type().to_owned()),
            body: body.into_bytes(),
            ..Reply::default()
        }
    }

    /// Writes an XML document. v3 starts it with a byte order mark, v4 with a declaration.
    fn xml(self, object: &Value, name: &str, namespace: &str, element_name: &str) -> String {
        let mut out = match self.dialect {
            Dialect::V4 => "<?xml version=\"1.0\" encoding=\"utf-8\"?>",
            Dialect::V3 | Dialect::AspNet => "\u{feff}",
        }
        .to_owned();
        let mut content = String::new();
        object.write_xml(&mut content, name, element_name);
        let start = format!(
            "<{name} xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns=\"{namespace}\">"
        );
        out.push_str(&content.replacen(&format!("<{name}>"), &start, 1));
        out
    }

    /// Returns the end of a `ResponseStatus`: v4 has one member more.
    fn xml_meta(self) -> &'static str {
        match self.dialect {
            Dialect::V4 => {
                "<Meta xmlns:d3p1=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\" \
                 i:nil=\"true\" /></ResponseStatus>"
            }
            Dialect::V3 | Dialect::AspNet => "</ResponseStatus>",
        }
    }
}

fn html_snapshot(title: &str, status: u16, object: &Value) -> Reply {
    let mut reply = Reply::html(status, "text/html", &format!("{title} Snapshot"));
    let script = format!(
        "<script id=\"dto\" type=\"text/json\">{}</script>\r\n",
        escape_xml(&object.to_json())
    );
    reply.body.extend_from_slice(script.as_bytes());
    reply
}
