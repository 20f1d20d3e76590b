//! W3C trace context and baggage: in from the metadata of a call, out in upstream requests.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    baggage::BaggageExt as _,
    propagation::{Extractor, Injector, TextMapPropagator as _},
};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

/// Takes the context of a call. Of its baggage only what the configuration names is taken: upstream
/// is another company's, and what is not taken in cannot go out.
pub(crate) fn extract(headers: &HeaderMap, baggage_keys: &[String]) -> Context {
    // A context of its own: what the thread had at hand is not the call's.
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &In(headers));
    if baggage_keys.is_empty() || !headers.contains_key("baggage") {
        return context;
    }
    let brought = BaggagePropagator::new().extract_with_context(&Context::new(), &In(headers));
    let taken = brought
        .baggage()
        .iter()
        .filter(|(key, _)| baggage_keys.iter().any(|taken| taken == key.as_str()))
        .map(|(key, (value, metadata))| {
            opentelemetry::baggage::KeyValueMetadata::new(
                key.clone(),
                value.clone(),
                metadata.clone(),
            )
        })
        .collect::<Vec<_>>();
    context.with_baggage(taken)
}

/// Writes the context into the header fields of a request.
pub(crate) fn inject(context: &Context, headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(context, &mut Out(headers));
    if !context.baggage().is_empty() {
        BaggagePropagator::new().inject_context(context, &mut Out(headers));
    }
}

struct In<'a>(&'a HeaderMap);

impl Extractor for In<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct Out<'a>(&'a mut HeaderMap);

impl Injector for Out<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(key.as_bytes()),
            HeaderValue::from_str(&value),
        ) {
            self.0.insert(name, value);
        }
    }
}
