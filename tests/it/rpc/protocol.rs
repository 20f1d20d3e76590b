//! What gRPC is on the wire: requests that a gRPC library does not send, or that a foreign client
//! does.

use bytes::Bytes;
use followme::{
    grpc::pb,
    simulator::{Settings, StoredNumber},
};
use http::{HeaderMap, Request, StatusCode};
use tonic::Code;

use crate::support::{
    World, add, delete, failure, list, new_number, path,
    raw_h2::{Connection, framed, post, rpc},
    replace, stored_number, update, with_metadata,
};

/// A facade whose callers bring their License, in front of two tenants with the same account.
async fn two_tenants() -> World {
    let world =
        World::configured(|config| config.security.policy.anonymous.brings_license = true).await;
    let numbers = |name| vec![numbered(70001, stored_number(name, "15550101", 1))];
    world
        .handle
        .seed("TENANT-B", 1001, numbers("B"), Settings::default());
    world
}

fn numbered(id: i32, number: StoredNumber) -> StoredNumber {
    StoredNumber { id, ..number }
}

fn trailers(entries: &[(&'static str, &str)]) -> Option<HeaderMap> {
    let mut trailers = HeaderMap::new();
    for (key, value) in entries {
        trailers.append(*key, value.parse().expect("a value"));
    }
    Some(trailers)
}

#[tokio::test]
async fn request_trailers_change_nothing() {
    let world = two_tenants().await;
    let connection = Connection::open(world.addr).await;
    let headers = [
        ("x-porta-license", "TENANT-B"),
        ("x-porta-content-id", "7"),
        ("x-porta-feature-name", "portal"),
    ];
    let request = || {
        headers.iter().fold(rpc("List"), |request, (key, value)| {
            request.header(*key, *value)
        })
    };
    for fields in [
        &[("x-porta-license", "DEMO-KEY")][..],
        &[("x-porta-content-id", "8"), ("x-porta-feature-name", "x")],
        &[("x-porta-feature-name-bin", "eA"), ("grpc-timeout", "1n")],
        &[("x-porta-license", "TENANT-B"), ("x-porta-license", "")],
        &[("authorization", "Bearer x"), ("grpc-encoding", "gzip")],
    ] {
        let answer = connection
            .send(request(), &[framed(&list(1001))], trailers(fields))
            .await;
        answer.result().expect("a list");
    }
    let requests = world.handle.requests();
    assert_eq!(requests.len(), 5);
    for request in requests {
        assert!(request.target.contains("TENANT-B"), "{}", request.target);
        let context = "&ContentId=7&FeatureName=portal";
        assert!(request.target.contains(context), "{}", request.target);
    }

    // Neither where callers may bring no License, nor where they bring it in trailers alone.
    let world = World::start().await;
    let connection = Connection::open(world.addr).await;
    let body = [framed(&delete(70001))];
    let fields = trailers(&[("x-porta-license", "TENANT-B")]);
    let answer = connection.send(rpc("Delete"), &body, fields).await;
    answer.result().expect("it is deleted");
    assert!(world.write_paths()[0].contains("/DEMO-KEY/"));
}

#[tokio::test]
async fn metadata_of_the_tenant_or_the_deadline_must_be_there_once() {
    let world = two_tenants().await;
    let connection = Connection::open(world.addr).await;
    for (key, values) in [
        ("x-porta-license", ["TENANT-B", "DEMO-KEY"]),
        ("x-porta-license", ["DEMO-KEY", "DEMO-KEY"]),
        ("x-porta-license", ["DEMO-KEY", ""]),
        ("x-porta-content-id", ["7", "8"]),
        ("x-porta-content-id", ["", "8"]),
        ("x-porta-feature-name", ["a", "b"]),
        ("x-porta-feature-name-bin", ["YQ", "Yg"]),
        ("grpc-timeout", ["5S", "6S"]),
    ] {
        let headers = values.map(|value| (key, value));
        for (method, refused) in [
            ("List", connection.call("List", &headers, &list(1001)).await),
            (
                "Delete",
                connection.call("Delete", &headers, &delete(70001)).await,
            ),
        ] {
            let refused = failure(refused.result());
            assert_eq!(refused.code, Code::InvalidArgument, "{method} {key}");
            let field = format!("metadata.{key}");
            assert_eq!(refused.violation(&field), "must be there once", "{method}");
        }
    }
    assert!(world.handle.requests().is_empty());
}

#[tokio::test]
async fn a_doubled_traceparent_begins_a_trace_and_lists_are_joined() {
    const ONE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const OTHER: &str = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let world = World::configured(|config| {
        config.server.baggage_keys = vec!["a".to_owned(), "b".to_owned()];
    })
    .await;
    let connection = Connection::open(world.addr).await;
    let lists = [
        ("tracestate", "x=1"),
        ("tracestate", "y=2"),
        ("baggage", "a=1"),
        ("baggage", "b=2"),
    ];
    for parents in [&[ONE][..], &[ONE, OTHER], &[ONE, ONE]] {
        let parents = parents.iter().map(|parent| ("traceparent", *parent));
        let headers: Vec<_> = parents.chain(lists).collect();
        let answer = connection.call("List", &headers, &list(1001)).await;
        answer.result().expect("a list");
    }
    let requests = world.handle.requests();
    assert_eq!(requests[0].header("tracestate"), Some("x=1,y=2"));
    let mut baggage: Vec<_> = requests[0]
        .header("baggage")
        .expect("baggage")
        .split(',')
        .collect();
    baggage.sort_unstable();
    assert_eq!(baggage, ["a=1", "b=2"]);
    for (index, request) in requests.iter().enumerate() {
        let parent = request.header("traceparent").expect("a context");
        assert_eq!(
            parent.contains("af7651916cd43dd8448eb211c80319c"),
            index == 0
        );
    }
}

#[tokio::test]
async fn only_grpc_is_executed() {
    let world = World::start().await;
    let connection = Connection::open(world.addr).await;
    let message = framed(&add(new_number("Van", "15550120")));
    let path = "/porta.followme.v1.FollowMeService/Add";
    for types in [
        &[][..],
        &[""],
        &["text/plain"],
        &["application/json"],
        &["application/x-www-form-urlencoded"],
        &["application/grpc-web"],
        &["application/grpc-web+proto"],
        &["application/grpc-web-text"],
        &["application/grpc+json"],
        &["application/grpcx"],
        &["application/grpc, text/plain"],
        &["text/plain", "application/grpc"],
        &["application/grpc", "application/grpc"],
    ] {
        let request = types.iter().fold(post(path), |request, value| {
            request.header("content-type", *value)
        });
        let answer = connection
            .send(request, std::slice::from_ref(&message), None)
            .await;
        assert_eq!(answer.http, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{types:?}");
        assert!(answer.body.is_empty());
        let refused = failure(answer.result());
        assert_eq!(refused.reason, "UNSUPPORTED_CALL");
    }
    for method in [
        "GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "BREW",
    ] {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://localhost{path}"))
            .header("content-type", "application/grpc");
        let answer = connection
            .send(request, std::slice::from_ref(&message), None)
            .await;
        assert_eq!(answer.http, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.headers["allow"], "POST");
        assert!(answer.body.is_empty());
        assert_eq!(answer.status().is_none(), method == "HEAD");
    }
    assert!(world.handle.requests().is_empty());
    for value in [
        "application/grpc",
        "application/grpc+proto",
        "Application/gRPC",
        "application/grpc; charset=utf-8",
        "application/grpc+proto;x=y",
    ] {
        let request = post("/porta.followme.v1.FollowMeService/List").header("content-type", value);
        let answer = connection.send(request, &[framed(&list(1001))], None).await;
        assert_eq!(answer.http, StatusCode::OK, "{value}");
        answer.result().expect("a list");
    }
}

#[tokio::test]
async fn a_call_takes_exactly_one_message() {
    let world = World::start().await;
    let connection = Connection::open(world.addr).await;
    let one = framed(&add(new_number("Van", "15550120")));
    let other = framed(&add(new_number("Bus", "15550121")));
    let empty = Bytes::from_static(&[0; 5]);
    let both = Bytes::from([&one[..], &other].concat());
    let cut = Bytes::from([&one[..], &[0, 0, 0]].concat());
    for body in [
        &[][..],
        &[Bytes::new()],
        &[one.clone(), other.clone()],
        &[both],
        &[one.clone(), empty.clone()],
        &[empty, one.clone()],
        &[cut],
        &[one.slice(..7), one.slice(7..), other.slice(..5)],
    ] {
        for fields in [None, trailers(&[("x", "y")])] {
            let answer = connection.send(rpc("Add"), body, fields).await;
            let refused = failure(answer.result());
            assert_eq!(refused.code, Code::Unimplemented, "{body:?}");
            assert_eq!(refused.reason, "UNSUPPORTED_CALL");
        }
    }
    for (body, problem) in [
        (one.slice(..one.len() - 1), "it ends before its length"),
        (one.slice(..4), "it ends before its length"),
        (Bytes::from_static(&[0, 0, 0, 0, 1, 0xff]), "invalid"),
    ] {
        let answer = connection.send(rpc("Add"), &[body], None).await;
        let refused = failure(answer.result());
        assert_eq!(refused.code, Code::Internal);
        assert_eq!(refused.reason, "MALFORMED_MESSAGE");
        let text = refused.status.message();
        assert!(text.contains(problem), "{text}");
    }
    assert!(world.handle.requests().is_empty());
    // In however many frames it comes.
    let parts: Vec<Bytes> = (0..one.len()).map(|at| one.slice(at..=at)).collect();
    let answer = connection.send(rpc("Add"), &parts, None).await;
    answer.result().expect("it is added");
    assert_eq!(world.effects().len(), 1);
}

#[tokio::test]
async fn compression_is_refused_as_the_protocol_says() {
    let world = World::start().await;
    let connection = Connection::open(world.addr).await;
    for encodings in [&["gzip"][..], &["deflate"], &["identity", "zstd"], &[""]] {
        let headers: Vec<_> = encodings
            .iter()
            .map(|encoding| ("grpc-encoding", *encoding))
            .collect();
        let answer = connection.call("List", &headers, &list(1001)).await;
        let refused = failure(answer.result());
        assert_eq!(refused.code, Code::Unimplemented, "{encodings:?}");
        assert_eq!(refused.reason, "UNSUPPORTED_CALL");
        assert_eq!(answer.headers["grpc-accept-encoding"], "identity");
    }
    // Without an encoding, the flag is an error of the client.
    let mut message = framed(&list(1001)).to_vec();
    message[0] = 1;
    let answer = connection.send(rpc("List"), &[message.into()], None).await;
    let refused = failure(answer.result());
    assert_eq!(refused.code, Code::Internal);
    assert_eq!(refused.reason, "MALFORMED_MESSAGE");
    assert!(world.handle.requests().is_empty());
    let headers = [
        ("grpc-encoding", "identity"),
        ("grpc-accept-encoding", "gzip"),
    ];
    let answer = connection.call("List", &headers, &list(1001)).await;
    answer.result().expect("a list");
    assert_eq!(answer.body[0], 0);
    assert!(!answer.headers.contains_key("grpc-encoding"));
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_with_the_limit() {
    let world = World::start().await;
    let mut request = add(new_number("Van", "15550120"));
    request.request_id = "x".repeat(2 * 1024 * 1024);
    let refused = failure(world.add(request).await);
    assert_eq!(refused.code, Code::ResourceExhausted);
    assert_eq!(refused.reason, "MESSAGE_TOO_LARGE");
    assert_eq!(refused.meta("max_bytes"), Some("1048576"));
    // A length alone is enough.
    let connection = Connection::open(world.addr).await;
    let head = Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]);
    let answer = connection.send(rpc("Add"), &[head], None).await;
    assert_eq!(failure(answer.result()).reason, "MESSAGE_TOO_LARGE");
    assert!(world.handle.requests().is_empty());
}

#[tokio::test]
async fn as_many_numbers_as_are_allowed_fit_into_a_message() {
    let world = World::configured(|config| config.operations.max_numbers = 1000).await;
    let label = "a".repeat(61);
    let number = pb::FollowMeNumber {
        // Four bytes each.
        name: "\u{1f4de}".repeat(128),
        domain: format!("{label}.{label}.{label}.{label}"),
        period_description: "é".repeat(256),
        etag: "v1.0123456789abcdef0123456789abcdef".to_owned(),
        unrecognized: [("timeout".to_owned(), "x".repeat(1500))].into(),
        number_id: i32::MAX,
        ..new_number("", &"1".repeat(64))
    };
    let mut request = replace(1001, vec![number; 1000]);
    request.list_etag = "v1.other".to_owned();
    let refused = failure(world.replace_all(request).await);
    assert_ne!(refused.reason, "MESSAGE_TOO_LARGE", "{refused:?}");
}

#[tokio::test]
async fn a_delay_is_told_to_the_retries_of_libraries_too() {
    let world = World::configured(|config| {
        config.security.policy.anonymous.writes_per_minute = Some(1);
    })
    .await;
    world.delete(delete(70001)).await.expect("it is deleted");
    let refused = failure(world.delete(delete(70002)).await);
    assert_eq!(refused.reason, "WRITE_RATE");
    let pushback = refused.status.metadata().get("grpc-retry-pushback-ms");
    let pushback = pushback.expect("a pushback");
    let pushback: u64 = pushback.to_str().expect("digits").parse().expect("digits");
    assert!((50_000..=60_000).contains(&pushback), "{pushback}");
}

#[tokio::test]
async fn libraries_do_not_repeat_a_write_that_may_be_done_unless_it_has_a_request_id() {
    use followme::simulator::{FaultKind, Route, When};
    for id in ["", "id-1"] {
        let world = World::start().await;
        world.arm(FaultKind::Hold { when: When::Before }, Route::Update);
        let mut request = update(70001, &["name"], new_number("Bus", ""));
        request.request_id = id.to_owned();
        let late = with_metadata(request, &[("grpc-timeout", "500m")]);
        let late = failure(world.update(late).await);
        assert_eq!(late.reason, "WRITE_IN_PROGRESS");
        let pushback = late.status.metadata().get("grpc-retry-pushback-ms");
        let pushback = pushback.map(|value| value.to_str().expect("digits"));
        assert_eq!(pushback, id.is_empty().then_some("-1"));
        world.handle.release();
    }
}

#[tokio::test]
async fn a_path_that_is_not_served_is_unimplemented() {
    let world = World::start().await;
    let connection = Connection::open(world.addr).await;
    for path in [
        "/",
        "/AWS.ALB/healthcheck",
        "/porta.followme.v1.FollowMeService/Purge",
        "/porta.followme.v1.FollowMeService/List/",
        "/porta.followme.v1.FollowMeService/%4Cist",
        "/porta.followme.v1.FollowMeService/list",
        "/grpc.health.v1.Health/Probe",
        "/grpc.reflection.v1.ServerReflection/X",
    ] {
        let request = post(path).header("content-type", "application/grpc");
        let answer = connection.send(request, &[framed(&list(1001))], None).await;
        let refused = failure(answer.result());
        assert_eq!(refused.code, Code::Unimplemented, "{path}");
        assert_eq!(refused.reason, "METHOD_UNKNOWN");
    }
    assert!(world.handle.requests().iter().all(|it| path(it).is_empty()));
}
