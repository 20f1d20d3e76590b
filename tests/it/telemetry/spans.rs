//! Trace context and baggage: what of it is forwarded to upstream.

use tonic::{Request, metadata::MetadataValue};

use crate::support::{World, list, with_metadata};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A read with header fields, each of which may occur more than once.
fn read(fields: &[(&'static str, &str)]) -> Request<followme::grpc::pb::ListRequest> {
    let mut request = Request::new(list(1001));
    for (name, value) in fields {
        let value: MetadataValue<_> = value.parse().expect("a value");
        request.metadata_mut().append(*name, value);
    }
    request
}

#[tokio::test]
async fn baggage_is_forwarded_for_configured_keys_only() {
    let entries = [("baggage", "tenant=blue;p=1,secret=s%20t,other=x")];
    let world = World::start().await;
    let request = with_metadata(list(1001), &entries);
    world.list(request).await.expect("a list");
    let world_requests = world.handle.requests();
    assert_eq!(world_requests[0].header("baggage"), None);

    let world = World::configured(|config| {
        config.server.baggage_keys = vec!["tenant".to_owned(), "absent".to_owned()];
    })
    .await;
    let request = with_metadata(list(1001), &entries);
    world.list(request).await.expect("a list");
    world.read(1001).await;
    // A list may be spread over several fields (RFC 9110, 5.3).
    let split = read(&[("baggage", "other=x"), ("baggage", "tenant=red")]);
    world.list(split).await.expect("a list");
    // A value reads the same at the other end.
    let values = "tenant=YWJj==,tenant=a%2541%20b;p=%25";
    world
        .list(read(&[("baggage", values)]))
        .await
        .expect("a list");
    let requests = world.handle.requests();
    assert_eq!(requests[3].header("baggage"), Some(values));
    assert_eq!(requests[0].header("baggage"), Some("tenant=blue;p=1"));
    assert_eq!(requests[1].header("baggage"), None);
    assert_eq!(requests[2].header("baggage"), Some("tenant=red"));
}

#[tokio::test]
async fn an_invalid_traceparent_starts_a_new_trace() {
    let world = World::start().await;
    let good = format!("00-{TRACE}-b7ad6b7169203331-01");
    let other = "00-11111111111111111111111111111111-b7ad6b7169203331-01";
    let later = format!("cc-{TRACE}-b7ad6b7169203331-01-more");
    for good in [&good, &later] {
        world
            .list(read(&[("traceparent", good)]))
            .await
            .expect("a list");
        let last = world.handle.requests().pop().expect("it was asked");
        assert_eq!(&last.header("traceparent").expect("a trace")[3..35], TRACE);
    }
    for bad in [
        "",
        "00",
        "00-1-1-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        &format!("00-{TRACE}-0000000000000000-01"),
        &format!("ff-{TRACE}-b7ad6b7169203331-01"),
        &format!("00-{TRACE}-b7ad6b7169203331-01-more"),
        &format!("00-+{}-b7ad6b7169203331-01", &TRACE[1..]),
        &format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
        &good.repeat(100),
    ] {
        world
            .list(read(&[("traceparent", bad)]))
            .await
            .expect("a list");
        let last = world.handle.requests().pop().expect("it was asked");
        let header = last.header("traceparent").expect("a trace");
        assert!(
            header.len() == 55 && &header[3..35] != TRACE,
            "{bad}: {header}"
        );
        assert!(!header.contains("00000000000000000000"), "{bad}: {header}");
    }
    // The parent of the call is ambiguous.
    let both = read(&[("traceparent", &good), ("traceparent", other)]);
    world.list(both).await.expect("a list");
    let last = world.handle.requests().pop().expect("it was asked");
    let header = last.header("traceparent").expect("a trace");
    assert!(
        !header.contains(TRACE) && !header.contains("1111111111"),
        "{header}"
    );
}

#[tokio::test]
async fn a_tracestate_is_forwarded_whole_up_to_its_minimum_length() {
    let world = World::start().await;
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let long: Vec<String> = (0..30)
        .map(|member| format!("m{member}={}", "x".repeat(40)))
        .collect();
    for (states, goes_on) in [
        (vec![], None),
        (vec!["one=1".to_owned()], Some("one=1".to_owned())),
        // A list may be spread over several fields.
        (
            vec!["one=1".to_owned(), "two=2".to_owned()],
            Some("one=1,two=2".to_owned()),
        ),
        (vec!["no list".to_owned()], None),
        // 512 characters go on everywhere (Trace Context, 3.3.1.5); members are left out whole.
        (vec![long.join(",")], Some(long[..11].join(","))),
    ] {
        let mut fields = vec![("traceparent", traceparent.as_str())];
        fields.extend(states.iter().map(|state| ("tracestate", state.as_str())));
        world.list(read(&fields)).await.expect("a list");
        let last = world.handle.requests().pop().expect("it was asked");
        assert_eq!(last.header("tracestate"), goes_on.as_deref());
        assert_eq!(&last.header("traceparent").expect("a trace")[3..35], TRACE);
    }
}
