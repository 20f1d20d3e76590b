//! W3C trace context and baggage: extracted from the metadata of a call, injected into requests to
//! the upstream.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator as _},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// How many bytes of a `tracestate` are propagated: what every vendor has to accept (Trace Context,
/// 3.3.1.5).
const MAX_TRACESTATE_BYTES: usize = 512;

/// How many bytes of baggage are propagated at most (Baggage, 3.3.2).
const MAX_BAGGAGE_BYTES: usize = 8192;

/// Extracts the context of a call, if its caller sent one. Of its baggage only the configured keys
/// are extracted: the upstream belongs to another company, and what is not extracted cannot be
/// injected.
pub(super) fn extract(headers: &HeaderMap, baggage_keys: &[String]) -> Option<Context> {
    if !headers.contains_key("traceparent") && !headers.contains_key("baggage") {
        return None;
    }
    let incoming = Incoming {
        traceparent: traceparent(headers),
        tracestate: list(headers, "tracestate").map(|state| beginning(&state)),
    };
    // From an empty context: the current one of the thread is not the call's.
    let mut context =
        TraceContextPropagator::new().extract_with_context(&Context::new(), &incoming);
    if incoming.traceparent.is_some_and(is_random) {
        context = context.with_value(RandomTraceId);
    }
    let baggage = list(headers, "baggage").filter(|_| !baggage_keys.is_empty());
    let kept = baggage.map(|baggage| kept(&baggage, baggage_keys));
    Some(match kept.filter(|kept| !kept.is_empty()) {
        Some(kept) => context.with_value(Baggage(kept)),
        None => context,
    })
}

/// The members of a baggage that are propagated, as they came: decoding and encoding them anew would
/// change values that hold `=` or an encoded `%`.
#[derive(Debug)]
struct Baggage(String);

/// Whether the caller says that its trace id is random (Trace Context Level 2, 3.2.2.5). The
/// propagator knows no flag but that of sampling.
#[derive(Debug)]
struct RandomTraceId;

/// The flag of a random trace id.
const RANDOM: u8 = 0x02;

/// Returns the flags of a well-formed `traceparent`.
fn flags(traceparent: &str) -> Option<u8> {
    u8::from_str_radix(traceparent.get(53..55)?, 16).ok()
}

fn is_random(traceparent: &str) -> bool {
    flags(traceparent).is_some_and(|flags| flags & RANDOM != 0)
}

/// Returns the members of a baggage with one of the keys, at most as many bytes as every vendor has
/// to accept.
fn kept(baggage: &str, keys: &[String]) -> String {
    let mut kept = String::new();
    for member in baggage.split(',').map(str::trim) {
        let key = member.split_once('=').map(|(key, _)| key.trim());
        let is_kept = key.is_some_and(|key| keys.iter().any(|kept| kept == key));
        if is_kept && kept.len() + 1 + member.len() <= MAX_BAGGAGE_BYTES {
            if !kept.is_empty() {
                kept.push(',');
            }
            kept.push_str(member);
        }
    }
    kept
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
pub(super) fn inject(context: &Context, headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(context, &mut Outgoing(headers));
    let is_random = context.get::<RandomTraceId>().is_some();
    let traceparent = headers.get("traceparent").filter(|_| is_random);
    let traceparent = traceparent.and_then(|traceparent| traceparent.to_str().ok());
    let with_flag = traceparent.and_then(|traceparent| {
        let flags = flags(traceparent)? | RANDOM;
        Some(format!("{}{flags:02x}", traceparent.get(..53)?))
    });
    if let Some(traceparent) = with_flag {
        Outgoing(headers).set("traceparent", traceparent);
    }
    if let Some(Baggage(baggage)) = context.get() {
        Outgoing(headers).set("baggage", baggage.clone());
    }
}

/// The header fields of a call.
#[derive(Default)]
struct Incoming<'a> {
    traceparent: Option<&'a str>,
    tracestate: Option<Cow<'a, str>>,
}

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.traceparent,
            "tracestate" => self.tracestate.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
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
