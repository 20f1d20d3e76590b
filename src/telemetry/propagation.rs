//! W3C trace context and baggage: extracted from the metadata of a call, injected into requests to
//! the upstream.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    baggage::BaggageExt as _,
    propagation::{Extractor, Injector, TextMapPropagator as _},
};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

/// How many bytes of a `tracestate` are propagated: what every vendor has to accept (Trace Context,
/// 3.3.1.5).
const MAX_TRACESTATE_BYTES: usize = 512;

/// Extracts the context of a call. Of its baggage only the configured keys are extracted: the
/// upstream belongs to another company, and what is not extracted cannot be injected.
pub(crate) fn extract(headers: &HeaderMap, baggage_keys: &[String]) -> Context {
    let incoming = Incoming {
        traceparent: traceparent(headers),
        tracestate: list(headers, "tracestate").map(|state| beginning(&state)),
        baggage: None,
    };
    // From an empty context: the current one of the thread is not the call's.
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &incoming);
    if baggage_keys.is_empty() || !headers.contains_key("baggage") {
        return context;
    }
    let incoming = Incoming {
        baggage: list(headers, "baggage"),
        ..Incoming::default()
    };
    let incoming = BaggagePropagator::new().extract_with_context(&Context::new(), &incoming);
    let kept = incoming
        .baggage()
        .iter()
        .filter(|(key, _)| baggage_keys.iter().any(|kept| kept == key.as_str()))
        .map(|(key, (value, metadata))| {
            opentelemetry::baggage::KeyValueMetadata::new(
                key.clone(),
                value.clone(),
                metadata.clone(),
            )
        })
        .collect::<Vec<_>>();
    context.with_baggage(kept)
}

/// Returns the `traceparent`, where there is exactly one and it is well formed (Trace Context,
/// 3.2): several, or a part of one, name no parent. The propagator would accept numbers that are
/// too short.
fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all("traceparent").iter();
    let (value, None) = (values.next()?.to_str().ok()?.trim(), values.next()) else {
        return None;
    };
    let bytes = value.as_bytes();
    let is_well_formed = bytes.len() >= 55
        && bytes[..55].iter().enumerate().all(|(at, byte)| match at {
            2 | 35 | 52 => *byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
        // Later versions may append more.
        && matches!(bytes.get(55), None | Some(b'-'));
    is_well_formed.then_some(value)
}

/// Returns a list that may be split over several header fields (RFC 9110, 5.3).
fn list<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    let mut values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let first = values.next()?;
    Some(values.fold(Cow::Borrowed(first), |list, value| list + "," + value))
}

/// Returns the first members of a list, as many as are propagated.
fn beginning<'a>(list: &Cow<'a, str>) -> Cow<'a, str> {
    if list.len() <= MAX_TRACESTATE_BYTES {
        return list.clone();
    }
    // A header value is ASCII. A comma right after the limit ends a member as well.
    let end = list[..=MAX_TRACESTATE_BYTES].rfind(',').unwrap_or(0);
    list[..end].to_owned().into()
}

/// Injects the context into the header fields of a request.
pub(crate) fn inject(context: &Context, headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(context, &mut Outgoing(headers));
    if !context.baggage().is_empty() {
        BaggagePropagator::new().inject_context(context, &mut Outgoing(headers));
    }
}

/// The header fields of a call.
#[derive(Default)]
struct Incoming<'a> {
    traceparent: Option<&'a str>,
    tracestate: Option<Cow<'a, str>>,
    baggage: Option<Cow<'a, str>>,
}

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.traceparent,
            "tracestate" => self.tracestate.as_deref(),
            "baggage" => self.baggage.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate", "baggage"]
    }
}

struct Outgoing<'a>(&'a mut HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        // The propagator sets an empty `tracestate` where there is none.
        if value.is_empty() {
            return;
        }
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(key.as_bytes()),
            HeaderValue::from_str(&value),
        ) {
            self.0.insert(name, value);
        }
    }
}
