//! Runs the integration suite in a process of its own and searches all that it writes: the License
//! leaves the process on the upstream socket only, and only the audit log holds redirect numbers.
//!
//! `redaction` searches for a License that is hard to encode; here all scenarios of the suite run,
//! and with them every reason of an error. The suite itself searches each answer to a caller
//! (`support::failure`).

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use followme::domain::Reason;
use prost::Message as _;
use serde_json::Value;
use strum::VariantArray as _;

use super::{receiver::receive, redaction::forms};
use crate::support::{LICENSE, SEARCHED};

/// The beginning of the redirect numbers of all tests; two digits follow.
const NUMBERS: &[u8] = b"155501";

fn holds(bytes: &[u8], form: &[u8]) -> bool {
    bytes.windows(form.len()).any(|window| window == form)
}

fn holds_number(bytes: &[u8]) -> bool {
    bytes.windows(NUMBERS.len() + 2).any(|window| {
        window.starts_with(NUMBERS) && window[NUMBERS.len()..].iter().all(u8::is_ascii_digit)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_scenario_leaks_the_license_or_a_number() {
    let (received, collector, _task) = receive().await;
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("searched");
    // What an earlier run left there is not the test's.
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("the directory for tests can be written");
    let mut suite = Command::new(std::env::current_exe().expect("this test"));
    suite
        .args([
            "rpc::",
            "guarantees::",
            "security::",
            "telemetry::audit",
            "resilience::concurrency_limit",
            "resilience::health",
        ])
        // Megabytes of messages, traced byte by byte, take minutes; and processes that a test starts
        // have a log of their own.
        .args(["--skip", "rpc::bounds", "--skip", "guarantees::crash"])
        .env(SEARCHED, &directory)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"))
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .env("OTEL_BSP_MAX_QUEUE_SIZE", "65536")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "1000");
    let output = tokio::task::spawn_blocking(move || suite.output())
        .await
        .expect("it ends")
        .expect("it can be run");
    // Whether the tests pass is not asserted here: tracing everything makes them slow.
    let log = String::from_utf8_lossy(&output.stderr);
    let mut seen = BTreeSet::new();
    for line in log.lines() {
        let fields: Value = serde_json::from_str(line).unwrap_or_default();
        if fields["target"] == "access" {
            seen.extend(fields["reason"].as_str().map(str::to_owned));
        }
        let is_audit = fields["target"] == "audit";
        assert!(is_audit || !holds_number(line.as_bytes()), "{line}");
    }
    let missing: Vec<&str> = Reason::VARIANTS
        .iter()
        .map(|reason| reason.as_str())
        .filter(|reason| !seen.contains(*reason))
        .collect();
    assert!(missing.is_empty(), "no scenario ends with {missing:?}");
    assert!(log.contains("\"TRACE\"") && log.contains("a task panicked"));

    for form in forms(LICENSE) {
        let leak = log
            .lines()
            .find(|line| holds(line.as_bytes(), &form))
            .unwrap_or_default();
        assert_eq!(leak, "", "in the log");
        assert!(!holds(&received.bytes(), &form), "in the export");
    }
    assert!(received.spans().len() > 500);
    assert!(!received.metrics().is_empty());
    for span in received.spans() {
        assert!(!holds_number(&span.encode_to_vec()), "{span:?}");
    }
}

#[test]
fn planted_leaks_are_found() {
    for (bytes, found) in [
        (b"redirect_number=15550121 ".as_slice(), true),
        (b"\x0a\x0815550199", true),
        (b"\"time\":\"14:48:39.155501Z\"", false),
    ] {
        assert_eq!(holds_number(bytes), found);
    }
    for form in forms(LICENSE) {
        assert!(holds(
            &[b"/getfollowmes/", form.as_slice(), b"/1001"].concat(),
            &form
        ));
    }
}
