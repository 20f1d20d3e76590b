//! The trace context of a call is forwarded with every upstream request.

use std::collections::HashSet;

use followme::simulator::Received;

use crate::support::{World, add, list, new_number, replace, update, with_metadata};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Splits a traceparent into trace id, parent id and flags, and checks that it is one.
fn parts(request: &Received) -> (String, String, String) {
    let header = request.header("traceparent").expect("it has a traceparent");
    let parts: Vec<&str> = header.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else {
        panic!("four parts: {header}");
    };
    let hex = |text: &str, len: usize| {
        text.len() == len
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    assert_eq!(version, "00");
    assert!(
        hex(trace, 32) && trace.bytes().any(|byte| byte != b'0'),
        "{header}"
    );
    assert!(
        hex(parent, 16) && parent.bytes().any(|byte| byte != b'0'),
        "{header}"
    );
    assert!(hex(flags, 2), "{header}");
    (trace.to_owned(), parent.to_owned(), flags.to_owned())
}

#[tokio::test]
async fn every_request_is_a_child_of_the_callers_span() {
    for flags in ["00", "01", "02", "03"] {
        let world = World::start().await;
        let traceparent = format!("00-{TRACE}-{PARENT}-{flags}");
        let entries = [
            ("traceparent", traceparent.as_str()),
            ("tracestate", "vendor=a,other=b"),
        ];
        world
            .list(with_metadata(list(1001), &entries))
            .await
            .expect("a list");
        world
            .add(with_metadata(add(new_number("Van", "15550121")), &entries))
            .await
            .expect("it is added");
        let clear = update(70001, &["domain"], new_number("", ""));
        world
            .update(with_metadata(clear, &entries))
            .await
            .expect("it is updated");
        let request = replace(1003, vec![new_number("Van", "15550121")]);
        world
            .replace_all(with_metadata(request, &entries))
            .await
            .expect("it is replaced");
        let requests = world.handle.requests();
        assert!(requests.len() >= 7);
        let mut parents = HashSet::new();
        for request in &requests {
            let (trace, parent, sampled) = parts(request);
            assert_eq!(trace, TRACE);
            assert_eq!(sampled, flags);
            assert_eq!(request.header("tracestate"), Some("vendor=a,other=b"));
            assert_ne!(parent, PARENT);
            assert!(parents.insert(parent), "each request is a span of its own");
        }
    }
}

#[tokio::test]
async fn a_call_without_a_context_starts_a_trace() {
    let world = World::start().await;
    world.read(1001).await;
    for broken in [
        "",
        "00-x",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    ] {
        let request = with_metadata(list(1001), &[("traceparent", broken)]);
        world.list(request).await.expect("a list");
    }
    let mut traces = HashSet::new();
    for request in &world.handle.requests() {
        let (trace, _, flags) = parts(request);
        assert_eq!(flags, "00");
        assert!(traces.insert(trace), "each call is a trace of its own");
    }
    assert_eq!(traces.len(), 4);
}
