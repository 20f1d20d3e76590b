//! Pages under `/_simulator/` for people who run a simulator: JSON in, JSON out.
//!
//! | page | GET | else |
//! |---|---|---|
//! | `faults` | those armed and those that fired | POST arms one or a list, DELETE disarms all |
//! | `knobs` | those in force | PUT sets them all, absent ones at their default |
//! | `release` | | POST lets held calls go on |
//! | `requests`, `effects`, `accounts` | the logs and the store | |

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::faults::Fault;
use super::framework::Exchange;
use super::handle::Handle;
use super::options::Knobs;
use super::reply::Reply;

const ROOT: &str = "/_simulator/";

/// Answers a request to a control page; None when it is none.
pub(crate) fn page(handle: &Handle, exchange: &Exchange) -> Option<Reply> {
    let name = exchange.target.strip_prefix(ROOT)?;
    let body = exchange.body.as_slice();
    Some(match (exchange.method.as_str(), name) {
        ("GET", "faults") => show(&json!({ "armed": handle.armed(), "fired": handle.fired() })),
        ("POST", "faults") => match read::<OneOrMany>(body) {
            Ok(faults) => {
                faults
                    .into_vec()
                    .into_iter()
                    .for_each(|fault| handle.arm(fault));
                show(&json!({ "armed": handle.armed() }))
            }
            Err(refusal) => refusal,
        },
        ("DELETE", "faults") => {
            handle.disarm_all();
            show(&json!({ "armed": handle.armed() }))
        }
        ("GET", "knobs") => show(&handle.knobs()),
        ("PUT", "knobs") => match read::<Knobs>(body) {
            Ok(knobs) => {
                handle.set_knobs(knobs);
                show(&handle.knobs())
            }
            Err(refusal) => refusal,
        },
        ("POST", "release") => {
            handle.release();
            show(&json!({}))
        }
        ("GET", "requests") => show(&handle.requests()),
        ("GET", "effects") => show(&handle.effects()),
        ("GET", "accounts") => show(&handle.accounts()),
        _ => reply(404, json!({ "error": "no such page" }).to_string()),
    })
}

struct OneOrMany(Vec<Fault>);

impl OneOrMany {
    fn into_vec(self) -> Vec<Fault> {
        self.0
    }
}

impl<'de> serde::Deserialize<'de> for OneOrMany {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        // By way of a value, so that the message names what is wrong with the fault.
        let value = serde_json::Value::deserialize(deserializer)?;
        let faults = match value {
            serde_json::Value::Array(_) => serde_json::from_value(value),
            one => serde_json::from_value(one).map(|fault| vec![fault]),
        };
        faults.map(Self).map_err(D::Error::custom)
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Reply> {
    serde_json::from_slice(body)
        .map_err(|error| reply(400, json!({ "error": error.to_string() }).to_string()))
}

fn show<T: Serialize>(value: &T) -> Reply {
    match serde_json::to_string_pretty(value) {
        Ok(text) => reply(200, text),
        Err(error) => reply(500, json!({ "error": error.to_string() }).to_string()),
    }
}

fn reply(status: u16, body: String) -> Reply {
    Reply {
        content_type: Some("application/json".to_owned()),
        ..Reply::text(status, body)
    }
}
