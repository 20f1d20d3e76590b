//! The control pages under `/_simulator/`: JSON in, JSON out.

use serde::Serialize;
use serde_json::{Error, Value, json};

use super::{fault::Fault, handle::Handle, host::reply::Reply, log::Received};

const ROOT: &str = "/_simulator/";

/// A control page.
pub(crate) struct Page {
    pub(crate) method: &'static str,
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    /// Answers with JSON; fails if the body is not what the page takes.
    answer: fn(&Handle, &[u8]) -> Result<String, Error>,
}

pub(crate) const PAGES: &[Page] = &[
    Page {
        method: "GET",
        name: "faults",
        meaning: "shows the faults that are armed and those that fired",
        answer: |handle, _| show(&json!({ "armed": handle.armed(), "fired": handle.fired() })),
    },
    Page {
        method: "POST",
        name: "faults",
        meaning: "arms one fault or a list of faults",
        answer: |handle, body| {
            faults(body)?
                .into_iter()
                .for_each(|fault| handle.arm(fault));
            show(&json!({ "armed": handle.armed() }))
        },
    },
    Page {
        method: "DELETE",
        name: "faults",
        meaning: "disarms all faults",
        answer: |handle, _| {
            handle.disarm_all();
            show(&json!({ "armed": handle.armed() }))
        },
    },
    Page {
        method: "GET",
        name: "knobs",
        meaning: "shows the knobs",
        answer: |handle, _| show(&handle.knobs()),
    },
    Page {
        method: "PUT",
        name: "knobs",
        meaning: "sets all knobs; those that the body leaves out get their defaults",
        answer: |handle, body| {
            handle.set_knobs(serde_json::from_slice(body)?);
            show(&handle.knobs())
        },
    },
    Page {
        method: "POST",
        name: "release",
        meaning: "releases the held calls",
        answer: |handle, _| {
            handle.release();
            show(&json!({}))
        },
    },
    Page {
        method: "GET",
        name: "requests",
        meaning: "shows the requests that came in",
        answer: |handle, _| show(&handle.requests()),
    },
    Page {
        method: "GET",
        name: "effects",
        meaning: "shows what the requests changed",
        answer: |handle, _| show(&handle.effects()),
    },
    Page {
        method: "GET",
        name: "accounts",
        meaning: "shows what is stored",
        answer: |handle, _| show(&handle.accounts()),
    },
];

/// Answers a request to a control page; None when it is none.
pub(crate) fn page(handle: &Handle, received: &Received) -> Option<Reply> {
    let name = received.target.strip_prefix(ROOT)?;
    let mut pages = PAGES.iter();
    let page = pages.find(|page| (page.method, page.name) == (&received.method, name));
    let refusal = |error: &str| json!({ "error": error }).to_string();
    let (status, body) = match page.map(|page| (page.answer)(handle, &received.body)) {
        Some(Ok(body)) => (200, body),
        Some(Err(error)) => (400, refusal(&error.to_string())),
        None => (404, refusal("no such page")),
    };
    Some(Reply {
        content_type: Some("application/json".to_owned()),
        ..Reply::text(status, body)
    })
}

/// Reads one fault or a list of them; through a value, so that an error names what is wrong.
fn faults(body: &[u8]) -> Result<Vec<Fault>, Error> {
    match serde_json::from_slice(body)? {
        list @ Value::Array(_) => serde_json::from_value(list),
        one => serde_json::from_value(one).map(|fault| vec![fault]),
    }
}

fn show<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string_pretty(value)
}
