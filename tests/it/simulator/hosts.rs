//! What hosts do besides the captures (docs/upstream/wire.md 12).

use super::*;

/// Left-to-right and right-to-left marks, embeddings and overrides.
const DIRECTION: &str = "\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}";
const DIRECTION_ESCAPED: &str = "%E2%80%8E%E2%80%8F%E2%80%AA%E2%80%AB%E2%80%AC%E2%80%AD%E2%80%AE";

async fn host(dialect: Dialect) -> (SocketAddr, Handle) {
    start(Options {
        dialect,
        seed_demo: true,
        ..Options::default()
    })
    .await
}

fn name(handle: &Handle, account: i32, id: i32) -> Option<String> {
    let numbers = handle
        .numbers("DEMO-KEY", account)
        .expect("the account exists");
    let number = numbers.into_iter().find(|number| number.id == id);
    number.expect("the number exists").name
}

#[tokio::test]
async fn self_hosts_drop_direction_marks_from_the_query_and_from_nothing_else() {
    let marked = format!("a{DIRECTION}b");
    for (dialect, by_query) in [
        (Dialect::V3, "ab"),
        (Dialect::V4, "ab"),
        (Dialect::AspNet, &marked),
    ] {
        let (addr, handle) = host(dialect).await;
        let update = "/updatefollowme/DEMO-KEY/1001/70001/30";
        let value = format!("a{DIRECTION_ESCAPED}b");
        get(
            addr,
            &format!("{update}/x/2/15550111/Y?format=csv&Name={value}"),
        )
        .await;
        assert_eq!(name(&handle, 1001, 70001).as_deref(), Some(by_query));
        get(addr, &format!("{update}/{value}/2/15550111/Y?format=csv")).await;
        assert_eq!(name(&handle, 1001, 70001), Some(marked.clone()), "path");
        let body = json!({ "License": "DEMO-KEY", "IAccount": 1001, "IFollowMeNumber": 70002,
                           "Name": marked });
        update_all(addr, "application/json", &body.to_string()).await;
        assert_eq!(name(&handle, 1001, 70002), Some(marked.clone()), "JSON");
        let form = format!("License=DEMO-KEY&IAccount=1001&IFollowMeNumber=70003&Name={value}");
        update_all(addr, "application/x-www-form-urlencoded", &form).await;
        assert_eq!(name(&handle, 1001, 70003), Some(marked.clone()), "form");
    }
}

/// Writes one number by CSV, the name quoted only where CSV asks for it.
async fn name_by_csv(name: &str) -> (u16, Value) {
    let (addr, handle) = host(Dialect::V4).await;
    let field = if name.contains([',', '"']) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    };
    let body = format!("IAccount,IFollowMeNumber,Name,License\n1001,70001,{field},DEMO-KEY\n");
    let got = update_all(addr, "text/csv", &body).await;
    let bound = handle.requests()[0].bound.clone();
    (got.status(), bound.unwrap_or_default())
}

#[tokio::test]
async fn v4_unescapes_a_csv_text_twice() {
    for (name, read) in [
        ("\"quoted\"", "quoted"),
        ("\"Mom\" and \"Dad\"", "Mom\" and \"Dad"),
        ("\"a\",\"b\"", "a\",\"b"),
        ("\"a\"\"b\"", "a\"b"),
        ("a \"b\"", "a \"b\""),
        ("a, b", "a, b"),
    ] {
        let (status, bound) = name_by_csv(name).await;
        assert_eq!((status, &bound["Name"]), (200, &json!(read)), "{name}");
        assert_eq!(bound["License"], "DEMO-KEY", "{name}");
    }
}

#[tokio::test]
async fn v4_takes_the_rest_of_the_record_for_a_bare_csv_text_that_opens_a_bracket() {
    for name in ["[x", "{x"] {
        let (status, bound) = name_by_csv(name).await;
        let swallowed = format!("{name},DEMO-KEY");
        assert_eq!((status, &bound["Name"]), (200, &json!(swallowed)), "{name}");
        assert_eq!(bound["License"], Value::Null, "{name}");
    }
}

#[tokio::test]
async fn v4_refuses_a_csv_text_that_it_takes_apart() {
    for name in ["\"", "x}", "}", "@{x}"] {
        assert_eq!(name_by_csv(name).await, (400, Value::Null), "{name}");
    }
}

#[tokio::test]
async fn an_open_json_object_is_an_object_of_defaults() {
    for dialect in [Dialect::V3, Dialect::V4, Dialect::AspNet] {
        let (addr, handle) = host(dialect).await;
        assert_eq!(
            update_all(addr, "application/json", "{").await.status(),
            200
        );
        let bound = handle.requests()[0].bound.clone().expect("it is bound");
        assert_eq!(
            (&bound["IAccount"], &bound["Name"]),
            (&json!(0), &Value::Null)
        );
    }
}

#[tokio::test]
async fn a_strict_self_host_refuses_a_foreign_or_missing_host() {
    let options = Options {
        strict_host: true,
        ..Options::default()
    };
    let (addr, _) = start(options).await;
    for (header, length, text) in [
        (
            "Host: other.example.com\r\n",
            "35",
            "<h1>Bad Request (Invalid host)</h1>",
        ),
        ("", "40", "<h1>Bad Request (Invalid host name)</h1>"),
    ] {
        let request = format!("GET {GET_ALL} HTTP/1.1\r\n{header}\r\n");
        let got = raw_http::send(addr, request.as_bytes()).await.response();
        assert_eq!(got.status_line, "HTTP/1.1 400 Bad Request");
        assert_eq!(got.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(got.header("content-length"), Some(length));
        assert_eq!(got.text(), text);
    }
}

#[tokio::test]
async fn a_self_host_sends_a_body_in_answer_to_a_head() {
    let (addr, _) = demo().await;
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    stream
        .write_all(&raw_http::request(addr, "HEAD", GET_ALL, &[], b""))
        .await
        .expect("it is open");
    let got = raw_http::read(&mut stream, false).await.response();
    assert_eq!(got.status_line, "HTTP/1.1 404 Not Found");
    assert_eq!(got.header("content-length"), Some("3"));
    assert_eq!((got.text().as_str(), got.complete), ("404", true));
}

#[tokio::test]
async fn http_1_0_is_answered_as_1_1_and_closed() {
    let (addr, _) = demo().await;
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    let request = format!("GET {GET_ALL} HTTP/1.0\r\nHost: {addr}\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it is open");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("it is closed in time")
        .expect("it is UTF-8");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("FollowMeNumbers,"), "{answer}");
}

#[tokio::test]
async fn takes_a_raw_backtick_in_the_path_and_a_raw_byte_in_the_query() {
    let (addr, handle) = demo().await;
    let add = "/addfollowme/DEMO-KEY/1003/30/a`b/2/15550111/Y?format=csv";
    assert_eq!(get(addr, add).await.status(), 200);
    let numbers = handle
        .numbers("DEMO-KEY", 1003)
        .expect("the account exists");
    assert_eq!(numbers[0].name.as_deref(), Some("a`b"));

    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    for _ in 0..2 {
        let mut bytes = format!("GET {GET_ALL}&FeatureName=caf").into_bytes();
        bytes.push(0xe9);
        bytes.extend_from_slice(format!(" HTTP/1.1\r\nHost: {addr}\r\n\r\n").as_bytes());
        stream.write_all(&bytes).await.expect("it is open");
        let got = raw_http::read(&mut stream, false).await.response();
        assert_eq!(got.status(), 200);
        assert!(got.text().ends_with(",caf\u{fffd}\n"), "{}", got.text());
    }
}

#[tokio::test]
async fn v4_trims_the_types_that_a_client_accepts_and_v3_does_not() {
    for (dialect, content_type) in [
        (Dialect::V4, "application/json; charset=utf-8"),
        (Dialect::V3, "text/csv"),
    ] {
        let (addr, _) = host(dialect).await;
        let accept = [("Accept", "text/csv, application/json")];
        let request = raw_http::request(addr, "GET", "/getfollowmes/DEMO-KEY/1001", &accept, b"");
        let got = raw_http::send(addr, &request).await.response();
        assert_eq!(got.header("content-type"), Some(content_type));
    }
}

#[tokio::test]
async fn a_jsv_body_is_read_as_leniently_as_by_the_framework() {
    // After `jsv_reader_v3` of the vectors, with the request's keys.
    let (addr, handle) = host(Dialect::V3).await;
    let index = "IndexOutOfRangeException";
    for (body, expected) in [
        ("{}", Ok((0, None, None))),
        ("{", Ok((0, None, None))),
        ("{IAccount:1,Name:x}", Ok((1, Some("x"), None))),
        ("{IAccount: 1 ,Name: x}", Ok((1, Some(" x"), None))),
        ("{IAccount:1, Name:x}", Ok((1, None, None))),
        ("{NAME:x,name:y}", Ok((0, Some("y"), None))),
        ("{Name:,Domain:y}", Ok((0, None, Some("y")))),
        ("{Name:\"\"}", Ok((0, Some(""), None))),
        ("{IAccount:abc,Name:x}", Ok((0, Some("x"), None))),
        ("{IAccount:99999999999,Name:x}", Ok((0, Some("x"), None))),
        ("{unknown:{a:1,b:[1,2]},Name:x}", Ok((0, Some("x"), None))),
        ("{Name:a[b,Domain:y}", Ok((0, Some("a[b"), Some("y")))),
        ("{Name:{b},Domain:y}", Ok((0, Some("{b}"), Some("y")))),
        ("{Name:a\"\"b,Domain:y}", Ok((0, Some("a\"\"b"), Some("y")))),
        (
            "{Name:\"a\"\"b\",Domain:y}",
            Ok((0, Some("a\"b"), Some("y"))),
        ),
        ("{Name:\"a\"b,Domain:y}", Ok((0, Some("a"), None))),
        ("{Name:\"a}b\"}", Ok((0, Some("a}b"), None))),
        ("{Name:\u{e9},Domain:y}", Ok((0, Some("\u{e9}"), Some("y")))),
        ("{IAccount:1;Name:x}", Ok((0, None, None))),
        ("{,Name:x}", Ok((0, None, None))),
        ("{Name:x,}", Err(index)),
        ("{Name}", Err(index)),
        ("Name:x", Err("SerializationException")),
    ] {
        // A predefined path names the exception; a route of v3 does not.
        let got = post(addr, "/jsv/reply/PortaFollowMe", "application/jsv", body).await;
        let bound = handle.requests().pop().and_then(|request| request.bound);
        match (expected, bound) {
            (Ok((account, name, domain)), Some(bound)) => {
                let read = (bound["IAccount"].as_i64(), bound["Name"].as_str());
                assert_eq!(read, (Some(account), name), "{body}");
                assert_eq!(bound["Domain"].as_str(), domain, "{body}");
            }
            (Err(exception), None) => {
                assert!(got.text().contains(exception), "{body}: {}", got.text());
            }
            (expected, bound) => panic!("{body}: expected {expected:?}, bound {bound:?}"),
        }
    }
}
