//! Builds the bodies of `POST UpdateFollowmeAll` (docs/upstream/wire.md 7).

use serde::ser::{SerializeMap, Serializer};

use super::{
    Error, Kind, Route, Tenant, UnsafeValues,
    request::{Body, PROPERTIES, Property, Request, Source, Value, personal_data},
    target::{self, Builder},
};
use crate::domain::{AccountId, Fields, NumberId};

/// A format of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// JSON: one number.
    Json,
    /// CSV.
    Csv,
    /// `application/x-www-form-urlencoded`: one number.
    Form,
}

/// Builds a `POST UpdateFollowmeAll`. The License is in the body only.
///
/// # Errors
/// [`Kind::DoesNotFit`] if the format cannot hold these numbers: JSON and forms hold one, and CSV
/// only texts that the reader of v4 leaves as they are.
pub(super) fn update_all(
    tenant: &Tenant,
    account: AccountId,
    numbers: &[(Option<NumberId>, &Fields)],
    format: BodyFormat,
) -> Result<Request, Error> {
    let route = Route::UpdateAll;
    let sources: Vec<_> = numbers
        .iter()
        .map(|(id, fields)| Source {
            account: Some(account),
            number: Some(id.map_or(0, NumberId::value)),
            fields: Some(*fields),
            content_id: Some(tenant.content_id.unwrap_or(0)),
            delete_forward: Some(false),
            ..Source::new(tenant)
        })
        .collect();
    let (content_type, bytes) = match (format, &sources[..]) {
        (BodyFormat::Csv, sources) => ("text/csv", csv(sources)),
        (BodyFormat::Json, [source]) => ("application/json", json(source)),
        (BodyFormat::Form, [source]) => ("application/x-www-form-urlencoded", Some(form(source))),
        (BodyFormat::Json | BodyFormat::Form, _) => ("", None),
    };
    let bytes = bytes.ok_or_else(|| Error::new(Kind::DoesNotFit, route))?;
    let (literal, _) = route.segments();
    Ok(Request {
        route,
        target: Builder::new(route, literal, UnsafeValues::Query).build()?,
        body: Some(Body {
            content_type,
            bytes,
        }),
        personal_data: numbers
            .iter()
            .flat_map(|(_, fields)| personal_data(fields))
            .collect(),
    })
}

/// Returns the properties of a record that are not absent.
fn present<'a>(source: &Source<'a>) -> impl Iterator<Item = (&'static str, Value<'a>)> {
    PROPERTIES
        .iter()
        .map(|property| (property.name, (property.value)(source)))
        .filter(|(_, value)| *value != Value::Absent)
}

fn json(source: &Source<'_>) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(512);
    let mut serializer = serde_json::Serializer::new(&mut bytes);
    let mut map = serializer.serialize_map(None).ok()?;
    for (name, value) in present(source) {
        map.serialize_entry(name, &value).ok()?;
    }
    map.end().ok()?;
    Some(bytes)
}

/// Writes a header record, and a record of quoted fields per number.
///
/// Returns `None` if the reader of v4 would change a text (docs/upstream/wire.md 12), or if some of
/// the numbers lack a property that others have: that reader refuses an empty integer, and 0 would
/// be stored.
fn csv(sources: &[Source<'_>]) -> Option<Vec<u8>> {
    let columns: Vec<&Property> = PROPERTIES
        .iter()
        .filter(|property| {
            sources
                .iter()
                .any(|source| (property.value)(source) != Value::Absent)
        })
        .collect();
    let names: Vec<_> = columns.iter().map(|property| property.name).collect();
    let header = names.join(",") + "\r\n";
    let mut writer = csv::WriterBuilder::new()
        .quote_style(csv::QuoteStyle::Always)
        .terminator(csv::Terminator::CRLF)
        .from_writer(header.into_bytes());
    for source in sources {
        for property in &columns {
            let value = (property.value)(source);
            let changed = |text: &str| text.contains(['[', '{', '}', '"']);
            let text = match value {
                // A new number has no flag that must be kept.
                Value::Absent if property.name == "Status" && source.number == Some(0) => {
                    Value::Bool(false).in_body()
                }
                Value::Absent => return None,
                Value::Text(text) if changed(text) => return None,
                value => value.in_body(),
            };
            writer.write_field(text).ok()?;
        }
        writer.write_record(None::<&[u8]>).ok()?;
    }
    writer.into_inner().ok()
}

/// Leaves empty texts out: a form cannot carry them.
fn form(source: &Source<'_>) -> Vec<u8> {
    let pairs = present(source)
        .map(|(name, value)| (name, value.in_body()))
        .filter(|(_, text)| !text.is_empty());
    target::form(pairs).into_bytes()
}
