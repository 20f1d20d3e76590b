//! The License leaves the process on the upstream socket only: a marker License is looked for in
//! every byte that leaves otherwise.
//!
//! The facade runs as a process of its own, with all logs at TRACE, an export of everything, and an
//! upstream that echoes the License in errors; every RPC meets every fault.

use std::{collections::BTreeSet, fs, net::SocketAddr};

use base64::{Engine as _, engine::general_purpose};
use followme::{
    grpc::pb::{self, follow_me_service_client::FollowMeServiceClient},
    simulator::{Fault, FaultKind, Handle},
    telemetry,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tonic::{Status, codegen::tokio_stream, transport::Channel};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

use super::{
    admin::{page, put},
    faults::faults,
    receiver::{receive, seed, serve, upstream},
};
use crate::{
    cli::Process,
    support::{
        add, channel, delete, full_number, get, list, new_number, replace, update, with_metadata,
    },
};

const MARKER: &str = r#"Zk9+mQ/7w%5"Qv4"#;

/// A License of a caller's own, which must not appear anywhere either.
const CALLERS: &str = r#"Hx2+pL/8n%3"Wt6"#;

/// Returns the encodings of a text that are searched for.
pub(super) fn forms(secret: &str) -> Vec<Vec<u8>> {
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    // As a URL library would: only what must be encoded.
    let sparing = secret.replace('%', "%25").replace('"', "%22");
    let mut forms = vec![
        secret.to_owned(),
        percent.to_lowercase(),
        percent.clone(),
        sparing.to_lowercase(),
        sparing,
        utf8_percent_encode(&percent, NON_ALPHANUMERIC).to_string(),
        secret.replace('"', "\\\""),
        secret.replace('"', "\\\\\\\""),
        secret.replace('"', "\"\""),
        secret.replace('"', "\"\"\"\""),
        secret.replace('"', "&quot;"),
    ];
    // Base64 of a text that holds it somewhere: the part that does not depend on the rest, for each
    // of the three places in which it can begin.
    for (skip, engine) in (0..3).flat_map(|skip| {
        [
            general_purpose::STANDARD_NO_PAD,
            general_purpose::URL_SAFE_NO_PAD,
        ]
        .map(|engine| (skip, engine))
    }) {
        let bytes = [&[0; 2][..skip], secret.as_bytes()].concat();
        let text = engine.encode(&bytes);
        let from = (skip * 8).div_ceil(6);
        let to = bytes.len() * 8 / 6;
        forms.push(text[from..to].to_owned());
    }
    forms.into_iter().map(String::into_bytes).collect()
}

/// Returns the encodings of the secrets that the bytes hold.
fn leaks(bytes: &[u8]) -> Vec<String> {
    [MARKER, CALLERS]
        .into_iter()
        .flat_map(forms)
        .filter(|form| bytes.windows(form.len()).any(|window| window == form))
        .map(|form| String::from_utf8_lossy(&form).into_owned())
        .collect()
}

/// Everything that left the process, by where it was seen.
#[derive(Default)]
struct Seen(Vec<(String, Vec<u8>)>);

impl Seen {
    fn push(&mut self, what: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((what.into(), bytes.into()));
    }

    fn answer<T: std::fmt::Debug>(
        &mut self,
        what: &str,
        result: &Result<tonic::Response<T>, Status>,
    ) {
        self.push(what, format!("{result:?}"));
        if let Err(status) = result {
            self.push(what, status.message());
            self.push(what, status.details());
        }
    }

    /// Returns where the secrets were found.
    fn leaks(&self) -> Vec<String> {
        self.0
            .iter()
            .flat_map(|(what, bytes)| {
                leaks(bytes).into_iter().map(move |form| {
                    let text = String::from_utf8_lossy(bytes);
                    let line = text.lines().find(|line| line.contains(&form));
                    format!("{what}: {form}: {}", line.unwrap_or_default())
                })
            })
            .collect()
    }
}

/// Makes each call once, with the License of the facade or the caller's own.
async fn call_all(
    client: &mut FollowMeServiceClient<Channel>,
    id: i32,
    own: bool,
    seen: &mut Seen,
) {
    let entries: &[(&'static str, &str)] = if own {
        &[("x-porta-license", CALLERS)]
    } else {
        &[]
    };
    let named = ["redirect_number", "domain"];
    let number = || pb::FollowMeNumber {
        number_id: id,
        account_id: 1001,
        ..new_number("Desk", "15550150")
    };
    seen.answer(
        "List",
        &client.list(with_metadata(list(1001), entries)).await,
    );
    seen.answer(
        "Get",
        &client.get(with_metadata(get(1001, id), entries)).await,
    );
    seen.answer(
        "Update",
        &client
            .update(with_metadata(
                update(id, &named, new_number("", "15550151")),
                entries,
            ))
            .await,
    );
    seen.answer(
        "ReplaceAll",
        &client
            .replace_all(with_metadata(replace(1001, vec![number()]), entries))
            .await,
    );
    seen.answer(
        "Add",
        &client.add(with_metadata(add(full_number()), entries)).await,
    );
    seen.answer(
        "Delete",
        &client.delete(with_metadata(delete(id), entries)).await,
    );
}

fn start(name: &str, upstream: SocketAddr, collector: SocketAddr, audit: &str) -> Process {
    let _ = fs::remove_file(audit);
    let toml = format!(
        "admin_listen = \"127.0.0.1:0\"\n\
         [upstream]\nread_retries = 1\nread_timeout = \"150ms\"\nwrite_timeout = \"150ms\"\n\
         breaker_failures = 1000\ncaller_license = true\n\
         [calls]\nwrite_limit = \"400ms\"\n\
         [telemetry]\naudit_file = {audit:?}\n"
    );
    let endpoint = format!("http://{collector}");
    serve(
        name,
        &toml,
        upstream,
        &[
            ("FOLLOWME_LICENSE", MARKER),
            ("RUST_LOG", "trace"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
        ],
    )
}

async fn reflect(addr: SocketAddr, seen: &mut Seen) {
    let mut client = ServerReflectionClient::new(channel(addr).await);
    for message in [
        MessageRequest::ListServices(String::new()),
        MessageRequest::FileContainingSymbol("porta.followme.v1.FollowMeService".to_owned()),
    ] {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message),
        };
        let mut answers = client
            .server_reflection_info(tokio_stream::iter([request]))
            .await
            .expect("reflection is served")
            .into_inner();
        while let Some(answer) = answers.message().await.expect("an answer") {
            use prost::Message as _;
            seen.push("reflection", answer.encode_to_vec());
        }
    }
}

/// Ends the process and looks at what it left behind.
fn finish(process: &mut Process, audit: &str, seen: &mut Seen) -> String {
    process.signal("TERM");
    let (status, log) = process.end();
    seen.push("log", log.as_bytes());
    assert_eq!(status.code(), Some(0));
    seen.push("audit log", fs::read(audit).expect("it was written"));
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn the_license_leaves_the_process_on_the_upstream_socket_only() {
    let (received, collector, _task) = receive().await;
    let upstream: Handle = upstream(MARKER).await;
    let audit = concat!(env!("CARGO_TARGET_TMPDIR"), "/canary-audit");
    let mut process = start("canary", upstream.local_addr(), collector, audit);
    let admin = process.address("admin listening on");
    let addr = process.address("grpc listening on");
    let mut client = FollowMeServiceClient::new(channel(addr).await);
    let mut seen = Seen::default();
    for license in [MARKER, CALLERS] {
        let own = license == CALLERS;
        for fault in faults(license).into_iter().step_by(if own { 4 } else { 1 }) {
            seed(&upstream, license);
            let id = upstream.numbers(license, 1001).expect("seeded")[0].id;
            // The first read of a write passes, so that the write itself is hit too.
            for skip in [0, 1] {
                upstream.arm(Fault::once(fault.clone()).after(skip).times(2));
                call_all(&mut client, id, own, &mut seen).await;
                upstream.disarm_all();
                upstream.release();
            }
        }
    }
    let fired = upstream.fired();
    assert!(fired.len() > 200, "the faults acted: {}", fired.len());
    let fired: BTreeSet<&str> = fired.iter().map(|fault| fault.kind.name()).collect();
    let names: BTreeSet<&str> = FaultKind::names().iter().copied().collect();
    assert_eq!(fired, names, "every fault acted");
    // Upstream did get the License, in its query, since no path can carry it.
    let encoded = utf8_percent_encode(MARKER, NON_ALPHANUMERIC).to_string();
    assert!(
        upstream
            .requests()
            .iter()
            .any(|request| request.target.contains(&encoded))
    );

    for bad in [format!("{CALLERS}\u{7f}"), CALLERS.repeat(40)] {
        let mut request = tonic::Request::new(list(1001));
        if let Ok(value) = bad.parse() {
            request.metadata_mut().insert("x-porta-license", value);
            seen.answer("List", &client.list(request).await);
        }
    }
    reflect(addr, &mut seen).await;
    for path in [
        "/",
        "/livez",
        "/readyz",
        "/metrics",
        "/config",
        "/loglevel",
        "/inflight",
        "/none",
    ] {
        seen.push(path, page(admin, path).await.1);
    }
    seen.push("/loglevel", put(admin, "/loglevel", "trace").await.1);
    let (_, metrics) = page(admin, "/metrics").await;
    let contract = include_str!("../../../proto/porta/followme/v1/follow_me.proto");
    let rpcs: Vec<&str> = contract
        .lines()
        .filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next())
        .collect();
    assert!(rpcs.len() >= 6);
    for rpc in rpcs {
        assert!(
            metrics.contains(&format!("FollowMeService/{rpc}\"")),
            "{rpc} was called"
        );
    }
    drop(client);
    let log = finish(&mut process, audit, &mut seen);
    seen.push("OTLP", received.bytes());

    // What is searched is what there is to search.
    for text in [
        "TRACE",
        "h2::",
        "hyper",
        "upstream request failed",
        "call failed",
        "(license)",
    ] {
        assert!(log.contains(text), "{text} in the log");
    }
    assert!(received.spans().len() > 500);
    assert!(!received.metrics().is_empty());
    let leaks = seen.leaks();
    assert!(
        leaks.is_empty(),
        "{} leaks, the first: {}",
        leaks.len(),
        leaks[0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_leak_is_found() {
    // In each form, in the middle of other bytes.
    for form in forms(MARKER) {
        let bytes = [b"\x00\xffbefore ".as_slice(), &form, b" after"].concat();
        assert!(
            !leaks(&bytes).is_empty(),
            "{}",
            String::from_utf8_lossy(&form)
        );
    }
    for before in ["", "a", "ab", "abc"] {
        let text = format!("{before}{MARKER} and more");
        assert!(
            !leaks(general_purpose::STANDARD.encode(&text).as_bytes()).is_empty(),
            "{before:?}"
        );
    }
    assert!(leaks(b"nothing of it").is_empty());

    // And through the process: a caller who puts it where it does not belong.
    let (received, collector, _task) = receive().await;
    let upstream = upstream(MARKER).await;
    let audit = concat!(env!("CARGO_TARGET_TMPDIR"), "/planted-audit");
    let mut process = start("planted", upstream.local_addr(), collector, audit);
    let addr = process.address("grpc listening on");
    let mut client = FollowMeServiceClient::new(channel(addr).await);
    let mut seen = Seen::default();
    let mut request = delete(79999);
    request.request_id = MARKER.to_owned();
    seen.answer("Delete", &client.delete(request.clone()).await);
    let mut request = add(new_number("Van", "15550121"));
    request.request_id = MARKER.to_owned();
    seen.answer("Add", &client.add(request).await);
    drop(client);
    finish(&mut process, audit, &mut seen);
    seen.push("OTLP", received.bytes());
    let leaks = seen.leaks();
    for what in ["Delete", "audit log"] {
        assert!(
            leaks.iter().any(|leak| leak.starts_with(what)),
            "{what}: {leaks:?}"
        );
    }
}

/// Runs in a process of its own, as the test below starts it.
#[test]
#[ignore = "a part of another test, which runs it in a process of its own"]
fn child_that_panics() {
    telemetry::install_panic_hook();
    let config = telemetry::Config::default();
    let _telemetry = telemetry::install(&config).expect("there is no other");
    let text = format!("é{MARKER}");
    let _ = std::thread::spawn(move || text[1..].to_owned()).join();
    let _ = std::thread::spawn(|| panic!("{MARKER}")).join();
}

#[test]
fn a_panic_is_logged_with_its_location_and_without_its_message() {
    let path = "telemetry::redaction::child_that_panics";
    let output = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", path, "--ignored", "--nocapture"])
        .output()
        .expect("it can be run");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(log.matches("a task panicked").count(), 2, "{log}");
    assert!(log.contains("redaction.rs:"), "{log}");
    assert!(
        leaks(&output.stderr).is_empty() && leaks(&output.stdout).is_empty(),
        "{log}"
    );
}
