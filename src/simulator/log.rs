//! What the logs of requests and effects hold.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{framework::Route, host::Refusal, service::Call, store::StoredNumber};

/// How much of a request's body the log keeps.
const LOGGED_BODY: usize = 64 * 1024;

/// One request as it came and what the framework made of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Received {
    /// Counts requests from 1.
    pub sequence: u64,
    /// Counts connections from 1.
    pub connection: u64,
    /// The method as sent.
    pub method: String,
    /// The raw target; a client's fragment never gets here.
    pub target: String,
    /// The header fields in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, in the log at most its first 64 KiB.
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
    /// Returns the value of the first header field of a name, without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// Returns the values of the header fields of a name, joined with a comma.
    pub(crate) fn joined(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self.values(name).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let fields = self.headers.iter();
        fields
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Adds what the framework made of the request, and cuts the body for the log.
    pub(crate) fn logged(mut self, sequence: u64, dispatched: &Result<Call, Refusal>) -> Self {
        let call = dispatched.as_ref().ok();
        self.sequence = sequence;
        self.body.truncate(LOGGED_BODY);
        self.route = call.map(|call| call.route);
        self.bound = call.and_then(|call| serde_json::to_value(&call.bound).ok());
        self.unanswered = matches!(dispatched, Err(Refusal::NeverAnswer | Refusal::Close));
        self
    }
}

fn lossy_text<S: Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(body))
}

/// What a request did to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// It added a number.
    Add,
    /// It wrote a number, perhaps with the values that it had.
    Update,
    /// It deleted a number.
    Delete,
    /// It turned the account's forwarding off.
    ForwardingOff,
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

impl Effect {
    /// Makes the effect on a number from what it was and what it is; request, License and account
    /// are added when it is logged.
    pub(crate) fn new(
        kind: EffectKind,
        before: Option<&StoredNumber>,
        after: Option<&StoredNumber>,
    ) -> Self {
        Self {
            sequence: 0,
            request: 0,
            license: String::new(),
            account: 0,
            kind,
            id: before.or(after).map_or(0, |number| number.id),
            before: before.cloned(),
            after: after.cloned(),
        }
    }
}
