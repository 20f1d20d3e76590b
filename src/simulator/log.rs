//! The logs of requests and effects.

use std::collections::VecDeque;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{
    framework::Disposition,
    host::{RawRequest, Refusal},
    routing::Route,
    service::EffectKind,
    store::StoredNumber,
};

/// How many entries each log keeps; older ones are forgotten.
const LOG_ENTRIES: usize = 10_000;
/// How much of a request's body the log keeps.
const LOGGED_BODY: usize = 64 * 1024;

/// One request as it came and what the framework made of it.
#[derive(Clone, Debug, Serialize)]
pub struct Received {
    /// Counts requests from 1.
    pub sequence: u64,
    /// Counts connections from 1.
    pub connection: u64,
    /// The method as sent.
    pub method: String,
    /// The raw target.
    pub target: String,
    /// The header fields in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, at most its first 64 KiB.
    #[serde(serialize_with = "lossy_text")]
    pub body: Vec<u8>,
    /// The operation, when the service was called.
    pub route: Option<Route>,
    /// The request object as bound, when the service was called.
    pub bound: Option<Value>,
    /// Whether the host never answers it, as a self-host does over a malformed `%`.
    pub unanswered: bool,
}

impl Received {
    /// Makes the entry for a request and what the framework made of it.
    pub(crate) fn new(
        sequence: u64,
        connection: u64,
        mut raw: RawRequest,
        disposition: &Disposition,
    ) -> Self {
        let call = match disposition {
            Disposition::Serve(service_call) => Some(&service_call.call),
            _ => None,
        };
        raw.body.truncate(LOGGED_BODY);
        Self {
            sequence,
            connection,
            method: raw.method,
            target: raw.target,
            headers: raw.headers,
            body: raw.body,
            route: call.map(|call| call.route),
            bound: call.and_then(|call| serde_json::to_value(&call.bound).ok()),
            unanswered: matches!(
                disposition,
                Disposition::Refuse(Refusal::NeverAnswer | Refusal::Close)
            ),
        }
    }

    /// Returns a header field's value by its name, without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

fn lossy_text<S: Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(body))
}

/// One change of the store: the truth that tests compare answers with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effect {
    /// Counts effects from 1.
    pub sequence: u64,
    /// The sequence number of the request that caused it.
    pub request: u64,
    /// The License.
    pub license: String,
    /// The account.
    pub account: i32,
    /// What was done.
    pub kind: EffectKind,
    /// The number's id; the list's when forwarding was turned off.
    pub id: i32,
    /// The number before.
    pub before: Option<StoredNumber>,
    /// The number after.
    pub after: Option<StoredNumber>,
}

/// The last entries of a log.
#[derive(Debug)]
pub(crate) struct Log<T>(VecDeque<T>);

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Clone> Log<T> {
    /// Adds an entry, and forgets the oldest one of a full log.
    pub(crate) fn push(&mut self, entry: T) {
        if self.0.len() == LOG_ENTRIES {
            self.0.pop_front();
        }
        self.0.push_back(entry);
    }

    /// Iterates over the entries, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }

    /// Returns the entries, oldest first.
    pub(crate) fn all(&self) -> Vec<T> {
        self.0.iter().cloned().collect()
    }
}
