//! The simulator against every request captured from the real framework.
//!
//! Compared are the status line and the Content-Type for all; the bound object where something was
//! bound, and then never the body, which echoes the capture host's store, except the CSV of an
//! exception; where nothing was bound, the body. HTML pages and ASP.NET's own texts count by
//! status and type, stack traces by header record and error code. The body of an answer to a HEAD is
//! compared elsewhere (`simulator::hosts`).

use std::net::SocketAddr;
use std::path::Path;

use followme::simulator::{Dialect, Fault, FaultKind, Handle, Newline, Options, Simulator, When};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::raw_http::{self, Ending, PATIENCE, RawResponse};
use crate::support::vectors;

/// What is left out: file, name, reason.
const EXCLUDED: &[(&str, &[&str], &str)] = &[
    (
        "paths_v3.json paths_v4.json",
        &["struct:fragment"],
        "the HTTP library drops a raw fragment",
    ),
    ("binding_v4.json", &["predef [] array"], "a batch of v4"),
    (
        "bodies_v4.json",
        &["predef [] csv", "predef [] json"],
        "a batch of v4",
    ),
    (
        "csv_reader_v4.json",
        &[
            "auto batch []",
            "auto batch [] json",
            "auto batch [] json as csv",
        ],
        "a batch of v4",
    ),
    (
        "extra_v3.json extra_v4.json extra_aspnet.json",
        &["dot end"],
        "a canned answer of the capture host",
    ),
    (
        "format_v3.json format_aspnet.json",
        &["suffix on middle segment"],
        "a canned answer of the capture host",
    ),
    (
        "errors_v3.json errors_v4.json errors_aspnet.json",
        &[
            "withstatus http404",
            "withstatus arg",
            "withstatus generic",
            "withstatus httperr",
            "withstatus ok",
            "noconv http404",
            "noconv arg",
            "noconv generic",
            "noconv httperr",
            "dc list2",
            "dc list0",
            "dc listnull",
            "nullable",
        ],
        "services that the capture host had besides PortaFollowMe",
    ),
    (
        "errors_v3.json errors_v4.json errors_aspnet.json",
        &["infra metadata unknown"],
        "a metadata page",
    ),
    (
        "errors_aspnet.json",
        &["infra predef no op /"],
        "an empty page whose cause is not known",
    ),
];

fn excluded(file: &str, name: &str) -> bool {
    EXCLUDED.iter().any(|(files, names, _)| {
        files.split(' ').any(|known| known == file) && names.contains(&name)
    })
}

/// Arms what the capture host's service did for a License; the names are those of the captures.
fn arm(handle: &Handle, target: &str) {
    let exception = |name: &str| FaultKind::Exception {
        type_name: name.to_owned(),
        when: When::After,
    };
    let http_error = |status, code: Option<&str>, message: &str, returned| FaultKind::HttpError {
        status,
        code: code.map(str::to_owned),
        message: message.to_owned(),
        returned,
        when: When::After,
    };
    let license = target.split('/').nth(2).unwrap_or_default();
    let kind = match license {
        "SC-http404" => http_error(404, None, "No such follow-me, \"really\": none", false),
        "SC-http409" => http_error(409, None, "dup", false),
        "SC-httperr" => http_error(402, Some("PayUp"), "Pay, please", false),
        "SC-rethttperr" => http_error(402, Some("PayUp"), "Pay, please", true),
        "SC-arg" => exception("ArgumentException"),
        "SC-argnull" => exception("ArgumentNullException"),
        "SC-generic" | "SC-unicodeerr" => exception("Exception"),
        "SC-custom" => exception("MyEx"),
        "SC-inner" => exception("InvalidOperationException"),
        "SC-nullref" => exception("NullReferenceException"),
        "SC-format" => exception("FormatException"),
        "SC-unauth" => exception("UnauthorizedAccessException"),
        "SC-notimpl" => exception("NotImplementedException"),
        "SC-null" => FaultKind::NullResult,
        _ => return,
    };
    handle.arm(Fault::once(kind));
}

fn bytes(addr: SocketAddr, file: &str, vector: &Value) -> Vec<u8> {
    let name = vectors::str(vector, "name");
    let request = &vector["request"];
    let (method, target) = (
        vectors::str(request, "method"),
        vectors::str(request, "path"),
    );
    let version = if name.starts_with("http10") {
        "HTTP/1.0"
    } else {
        "HTTP/1.1"
    };
    let headers: Vec<(&str, &str)> = request["headers"]
        .as_array()
        .expect("headers are a list")
        .iter()
        .map(|pair| {
            (
                pair[0].as_str().expect("a name"),
                pair[1].as_str().expect("a value"),
            )
        })
        .collect();
    let has = |name: &str| {
        headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    let body = match request["body"].as_str().unwrap_or_default() {
        text if text.starts_with("base64:") => base64(&text["base64:".len()..]),
        text => text.as_bytes().to_vec(),
    };
    let mut out = format!("{method} {target} {version}\r\n").into_bytes();
    let no_host = file.starts_with("headers_") && name == "no host";
    if !has("host") && !no_host {
        out.extend_from_slice(format!("Host: {addr}\r\n").as_bytes());
    }
    for (name, value) in &headers {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if has("transfer-encoding") {
        out.extend_from_slice(format!("\r\n{:x}\r\n", body.len()).as_bytes());
        out.extend_from_slice(&body);
        out.extend_from_slice(b"\r\n0\r\n\r\n");
        return out;
    }
    if !request["body"].is_null() || method == "POST" {
        out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&body);
    out
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    let (mut buffer, mut bits) = (0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let value = ALPHABET
            .iter()
            .position(|known| *known == byte)
            .expect("base64");
        buffer = (buffer << 6) | u32::try_from(value).expect("six bits");
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from((buffer >> bits) & 0xff).expect("eight bits"));
        }
    }
    out
}

/// Returns what differs, or nothing.
fn differences(dialect: Dialect, vector: &Value, got: &RawResponse, bound: &Value) -> Vec<String> {
    let mut out = Vec::new();
    let mut expect = |what: &str, expected: String, got: String| {
        if expected != got {
            out.push(format!("{what}: expected {expected}, got {got}"));
        }
    };
    let response = &vector["response"];
    let status_line = vectors::str(response, "status_line");
    expect("status", status_line.to_owned(), got.status_line.clone());
    let content_type = response["headers"]
        .as_array()
        .expect("headers are a list")
        .iter()
        .find(|pair| pair[0] == "Content-Type")
        .and_then(|pair| pair[1].as_str());
    expect(
        "type",
        format!("{content_type:?}"),
        format!("{:?}", got.header("content-type")),
    );
    expect("bound", vector["bound"].to_string(), bound.to_string());

    let csv = content_type == Some("text/csv");
    let exception = csv && vector["bound"].is_object() && got.status() >= 400;
    let html = content_type.is_some_and(|value| value.starts_with("text/html"));
    let own_text = dialect == Dialect::AspNet && content_type == Some("text/plain");
    let head = vector["request"]["method"] == "HEAD";
    let Some(body) = response["body"].as_str() else {
        return out;
    };
    if (vector["bound"].is_object() && !exception) || html || own_text || head {
        return out;
    }
    let text = got.text();
    if body.contains("\n  at ") || body.contains("StackTrace:") {
        let code = |body: &str| {
            let header = body.lines().next().unwrap_or_default().to_owned();
            let code = body
                .split("ErrorCode:")
                .nth(1)
                .and_then(|rest| rest.split(',').next());
            format!("{header} {code:?}")
        };
        expect("header and code", code(body), code(&text));
    } else {
        expect("body", format!("{body:?}"), format!("{text:?}"));
    }
    out
}

/// Sends every vector of a file and reports all that differ at once.
async fn hold_against(files: &[&str], dialect: Dialect) {
    let mut failures = Vec::new();
    for file in files {
        let simulator = Simulator::bind(Options {
            dialect,
            newline: if dialect == Dialect::V4 {
                Newline::CrLf
            } else {
                Newline::Lf
            },
            accept_any_license: true,
            strict_host: file.starts_with("headers_"),
            ..Options::default()
        })
        .await
        .expect("a loopback port is free");
        let (addr, handle) = (simulator.local_addr(), simulator.handle());
        let running = tokio::spawn(simulator.run(std::future::pending()));
        for vector in vectors::load(file) {
            let name = vectors::str(&vector, "name");
            if excluded(file, name) {
                continue;
            }
            arm(&handle, vectors::str(&vector["request"], "path"));
            let bytes = bytes(addr, file, &vector);
            let differences = if vector["response"]["error"].is_null() {
                match raw_http::send(addr, &bytes).await {
                    Ending::Response(got) => {
                        let bound = handle.requests().pop().and_then(|request| request.bound);
                        differences(dialect, &vector, &got, &bound.unwrap_or_default())
                    }
                    other => vec![format!("no answer: {other:?}")],
                }
            } else {
                does_not_answer(addr, &handle, &bytes).await
            };
            failures.extend(
                differences
                    .into_iter()
                    .map(|what| format!("{file} {name:?} {what}")),
            );
        }
        running.abort();
    }
    assert!(
        failures.is_empty(),
        "{} differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

async fn does_not_answer(addr: SocketAddr, handle: &Handle, bytes: &[u8]) -> Vec<String> {
    let count = handle.requests().len();
    let mut stream = TcpStream::connect(addr)
        .await
        .expect("the simulator listens");
    stream
        .write_all(bytes)
        .await
        .expect("the request can be sent");
    let recorded = handle.wait_until("the request", |handle| handle.requests().len() > count);
    tokio::time::timeout(PATIENCE, recorded)
        .await
        .expect("the request is recorded");
    match handle.requests().last() {
        Some(request) if request.unanswered => Vec::new(),
        other => vec![format!("expected no answer to {other:?}")],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_as_v3_did() {
    let files = [
        "paths_v3.json",
        "binding_v3.json",
        "extra_v3.json",
        "bodies_v3.json",
        "csv_reader_v3.json",
        "format_v3.json",
        "format_more_v3.json",
        "errors_v3.json",
        "headers_v3.json",
    ];
    hold_against(&files, Dialect::V3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_as_v4_did() {
    let files = [
        "paths_v4.json",
        "binding_v4.json",
        "extra_v4.json",
        "bodies_v4.json",
        "csv_reader_v4.json",
        "errors_v4.json",
    ];
    hold_against(&files, Dialect::V4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_as_aspnet_did() {
    let files = [
        "paths_aspnet.json",
        "binding_aspnet.json",
        "extra_aspnet.json",
        "bodies_aspnet.json",
        "format_aspnet.json",
        "errors_aspnet.json",
        "headers_aspnet.json",
    ];
    hold_against(&files, Dialect::AspNet).await;
}

#[test]
fn leaves_out_only_vectors_that_exist() {
    for (files, names, reason) in EXCLUDED {
        for file in files.split(' ') {
            let known = vectors::load(file);
            for name in *names {
                let found = known.iter().any(|vector| vector["name"] == *name);
                assert!(found, "{file} has no {name:?}, left out as {reason}");
            }
        }
    }
}

#[test]
fn fixtures_are_the_captured_vectors_unchanged() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(captured) = std::fs::read_dir(root.join("../shared/upstream/vectors")) else {
        return;
    };
    for entry in captured {
        let entry = entry.expect("the directory can be read");
        let fixture = root.join("tests/fixtures/vectors").join(entry.file_name());
        let expected = std::fs::read(entry.path()).expect("a vector file can be read");
        let copy = std::fs::read(&fixture).unwrap_or_default();
        assert!(
            copy == expected,
            "{} differs from what was captured",
            fixture.display()
        );
    }
}
