//! The control pages under `/_simulator/`: JSON in, JSON out.

use serde::Serialize;
use serde_json::{Value, json};

use super::{control_handle::Handle, faults::Fault, host::RawRequest, reply::Reply};

const ROOT: &str = "/_simulator/";

/// Method, page and meaning.
pub(crate) const PAGES: &[(&str, &str, &str)] = &[
    (
        "GET",
        "faults",
        "shows the faults that are armed and those that fired",
    ),
    ("POST", "faults", "arms one fault or a list of faults"),
    ("DELETE", "faults", "disarms all faults"),
    ("GET", "knobs", "shows the knobs"),
    (
        "PUT",
        "knobs",
        "sets all knobs; those that the body leaves out get their defaults",
    ),
    ("POST", "release", "releases the held calls"),
    ("GET", "requests", "shows the requests that came in"),
    ("GET", "effects", "shows what the requests changed"),
    ("GET", "accounts", "shows what is stored"),
];

/// Answers a request to a control page; None when it is none.
pub(crate) fn page(handle: &Handle, raw: &RawRequest) -> Option<Reply> {
    let name = raw.target.strip_prefix(ROOT)?;
    let body = raw.body.as_slice();
    Some(match (raw.method.as_str(), name) {
        ("GET", "faults") => show(&json!({ "armed": handle.armed(), "fired": handle.fired() })),
        ("POST", "faults") => match faults(body) {
            Ok(faults) => {
                faults.into_iter().for_each(|fault| handle.arm(fault));
                show(&json!({ "armed": handle.armed() }))
            }
            Err(error) => refuse(400, &error.to_string()),
        },
        ("DELETE", "faults") => {
            handle.disarm_all();
            show(&json!({ "armed": handle.armed() }))
        }
        ("GET", "knobs") => show(&handle.knobs()),
        ("PUT", "knobs") => match serde_json::from_slice(body) {
            Ok(knobs) => {
                handle.set_knobs(knobs);
                show(&handle.knobs())
            }
            Err(error) => refuse(400, &error.to_string()),
        },
        ("POST", "release") => {
            handle.release();
            show(&json!({}))
        }
        ("GET", "requests") => show(&handle.requests()),
        ("GET", "effects") => show(&handle.effects()),
        ("GET", "accounts") => show(&handle.accounts()),
        _ => refuse(404, "no such page"),
    })
}

/// Reads one fault or a list of them. By way of a value, so that an error names what is wrong.
fn faults(body: &[u8]) -> Result<Vec<Fault>, serde_json::Error> {
    match serde_json::from_slice(body)? {
        list @ Value::Array(_) => serde_json::from_value(list),
        one => serde_json::from_value(one).map(|fault| vec![fault]),
    }
}

fn show<T: Serialize>(value: &T) -> Reply {
    match serde_json::to_string_pretty(value) {
        Ok(text) => json_reply(200, text),
        Err(error) => refuse(500, &error.to_string()),
    }
}

fn refuse(status: u16, error: &str) -> Reply {
    json_reply(status, json!({ "error": error }).to_string())
}

fn json_reply(status: u16, body: String) -> Reply {
    Reply {
        content_type: Some("application/json".to_owned()),
        ..Reply::text(status, body)
    }
}
