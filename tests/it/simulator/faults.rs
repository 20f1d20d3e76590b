//! The faults, each seen on the wire.

use super::*;

#[tokio::test]
async fn delays_an_answer() {
    let (addr, handle) = demo_failing(FaultKind::Delay { ms: 60 }).await;
    let start = Instant::now();
    assert_eq!(get(addr, ADD).await.status(), 200);
    assert!(start.elapsed() >= Duration::from_millis(60));
    fired_once(&handle, "delay", true);
}

#[tokio::test]
async fn a_call_goes_on_when_its_client_has_gone() {
    let (addr, handle) = demo_failing(FaultKind::Hold { when: When::Before }).await;
    let mut stream = TcpStream::connect(addr)
        .await
        .expect("the simulator listens");
    stream
        .write_all(&raw_http::request(addr, "GET", ADD, &[], b""))
        .await
        .expect("it can be sent");
    handle.wait_for_fired("hold", 1).await;
    drop(stream);
    assert_eq!(handle.effects(), []);
    handle.release();
    handle.wait_for_effects(1).await;
    fired_once(&handle, "hold", true);
}

#[tokio::test]
async fn holds_an_answer_after_the_effect() {
    let (addr, handle) = demo_failing(FaultKind::Hold { when: When::After }).await;
    let call = tokio::spawn(get(addr, ADD));
    handle.wait_for_fired("hold", 1).await;
    assert_eq!(handle.effects().len(), 1);
    assert!(!call.is_finished());
    handle.release();
    assert!(
        call.await
            .expect("the call ends")
            .text()
            .contains("name:Van")
    );
}

#[tokio::test]
async fn answers_a_status_of_its_own_before_the_effect() {
    let (addr, handle) = demo_failing(FaultKind::Status {
        status: 503,
        reason: Some("Gone Fishing".to_owned()),
        body: "later".to_owned(),
        content_type: Some("text/plain".to_owned()),
    })
    .await;
    let got = get(addr, ADD).await;
    assert_eq!(got.status_line, "HTTP/1.1 503 Gone Fishing");
    assert_eq!(
        (got.header("content-type"), got.text().as_str()),
        (Some("text/plain"), "later")
    );
    fired_once(&handle, "status", false);
}

#[tokio::test]
async fn throws_an_exception_before_or_after_the_effect() {
    for (when, added) in [(When::Before, false), (When::After, true)] {
        let type_name = "NullReferenceException".to_owned();
        let (addr, handle) = demo_failing(FaultKind::Exception { type_name, when }).await;
        let got = get(addr, ADD).await;
        assert_eq!(got.status_line, "HTTP/1.1 500 NullReferenceException");
        assert_eq!(got.header("connection"), Some("close"));
        assert_eq!(got.text(), format!("{HEADER},,False,,0,\n"));
        fired_once(&handle, "exception", added);
    }
}

#[tokio::test]
async fn throws_an_http_error() {
    let (addr, handle) = demo_failing(FaultKind::HttpError {
        status: 404,
        code: None,
        message: "no such account".to_owned(),
        returned: false,
        when: When::Before,
    })
    .await;
    assert_eq!(
        get(addr, ADD).await.status_line,
        "HTTP/1.1 404 no such account"
    );
    fired_once(&handle, "http_error", false);
}

#[tokio::test]
async fn resets_a_connection_before_or_after_the_effect() {
    for (when, added) in [(When::Before, false), (When::After, true)] {
        let (addr, handle) = demo_failing(FaultKind::Reset { when }).await;
        let got = raw_http::get(addr, ADD).await;
        assert!(matches!(got, Ending::Reset), "{got:?}");
        fired_once(&handle, "reset", added);
    }
}

#[tokio::test]
async fn closes_a_connection_before_or_after_the_effect() {
    for (when, added) in [(When::Before, false), (When::After, true)] {
        let (addr, handle) = demo_failing(FaultKind::Close { when }).await;
        let got = raw_http::get(addr, ADD).await;
        assert!(
            matches!(&got, Ending::Closed(bytes) if bytes.is_empty()),
            "{got:?}"
        );
        fired_once(&handle, "close", added);
    }
}

#[tokio::test]
async fn truncates_a_body_of_announced_length() {
    let (addr, handle) = demo_failing(FaultKind::Truncated { bytes: 100 }).await;
    let got = get(addr, ADD).await;
    let length: usize = got
        .header("content-length")
        .expect("a length")
        .parse()
        .expect("a number");
    assert!(length > 100 && !got.complete);
    assert_eq!(got.body.len(), 100);
    fired_once(&handle, "truncated", true);
}

#[tokio::test]
async fn truncates_a_body_without_a_sign() {
    let (addr, handle) = demo_failing(FaultKind::TruncatedQuietly { bytes: 100 }).await;
    let got = get(addr, ADD).await;
    assert!(got.complete);
    assert_eq!(got.body.len(), 100);
    fired_once(&handle, "truncated_quietly", true);
}

#[tokio::test]
async fn answers_an_html_page() {
    let (addr, handle) = demo_failing(FaultKind::Html { status: 200 }).await;
    let got = get(addr, ADD).await;
    assert_eq!(
        (got.status(), got.header("content-type")),
        (200, Some("text/html"))
    );
    assert!(got.text().starts_with("<!doctype html>"));
    fired_once(&handle, "html", true);
}

#[tokio::test]
async fn answers_not_success_before_or_after_the_effect() {
    for (when, added) in [(When::Before, false), (When::After, true)] {
        let (addr, handle) = demo_failing(FaultKind::NotSuccess { when }).await;
        let text = get(addr, ADD).await.text();
        assert!(text.starts_with(&format!("{HEADER},")), "{text}");
        assert!(text.contains(",False,DEMO-KEY"), "{text}");
        fired_once(&handle, "not_success", added);
    }
}

#[tokio::test]
async fn answers_a_null_list() {
    let (addr, handle) = demo_failing(FaultKind::NullList).await;
    let text = get(addr, ADD).await.text();
    assert!(
        text.starts_with(&format!("{HEADER},\"{{")) && text.contains(",True,"),
        "{text}"
    );
    fired_once(&handle, "null_list", true);
}

#[tokio::test]
async fn answers_the_default_record_with_a_status() {
    for (when, added) in [(When::Before, false), (When::After, true)] {
        let (addr, handle) = demo_failing(FaultKind::DefaultRecord { status: 409, when }).await;
        let got = get(addr, ADD).await;
        assert_eq!(got.status_line, "HTTP/1.1 409 Conflict");
        assert_eq!(got.text(), format!("{HEADER},,False,,0,\n"));
        fired_once(&handle, "default_record", added);
    }
}

#[tokio::test]
async fn answers_nothing_with_success() {
    let (addr, handle) = demo_failing(FaultKind::NullResult).await;
    let got = get(addr, ADD).await;
    assert_eq!(
        (got.status(), got.header("content-type"), got.body.len()),
        (200, None, 0)
    );
    fired_once(&handle, "null_result", true);
}

/// Sends an add and reads until `enough` has come and then nothing more for a while.
async fn read_until_silent(addr: SocketAddr, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr)
        .await
        .expect("the simulator listens");
    stream
        .write_all(&raw_http::request(addr, "GET", ADD, &[], b""))
        .await
        .expect("it can be sent");
    let mut bytes = Vec::new();
    loop {
        let silence = enough(&bytes);
        let limit = if silence {
            Duration::from_millis(100)
        } else {
            PATIENCE
        };
        match tokio::time::timeout(limit, stream.read_buf(&mut bytes)).await {
            Ok(read) => assert!(read.expect("no reset") > 0, "the connection stays open"),
            Err(_) => {
                assert!(silence, "bytes come in time");
                return bytes;
            }
        }
    }
}

#[tokio::test]
async fn hangs_before_within_and_behind_the_head() {
    let (addr, handle) = demo_failing(FaultKind::Hang {
        at: HangAt::BeforeHead,
    })
    .await;
    assert_eq!(read_until_silent(addr, |_| true).await, b"");
    fired_once(&handle, "hang", true);

    let (addr, handle) = demo_failing(FaultKind::Hang {
        at: HangAt::MidHead,
    })
    .await;
    let bytes = read_until_silent(addr, |bytes| bytes.len() >= 24).await;
    assert!(bytes.starts_with(b"HTTP/1.1 200 OK\r\n") && bytes.len() == 24);
    fired_once(&handle, "hang", true);

    let (addr, handle) = demo_failing(FaultKind::Hang {
        at: HangAt::MidBody,
    })
    .await;
    let head = |bytes: &[u8]| bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let enough = |bytes: &[u8]| head(bytes).is_some_and(|end| bytes.len() > end + 200);
    let text = String::from_utf8(read_until_silent(addr, enough).await).expect("UTF-8");
    assert!(
        text.contains("FollowMeNumbers") && !text.contains("SipStatus"),
        "{text}"
    );
    fired_once(&handle, "hang", true);
}

#[tokio::test]
async fn trickles_an_answer() {
    let kind = FaultKind::Trickle {
        bytes_per: 200,
        every_ms: 5,
    };
    let (addr, handle) = demo_failing(kind).await;
    let start = Instant::now();
    let got = get(addr, ADD).await;
    assert!(got.complete && got.text().contains("name:Van"));
    let pieces = u32::try_from(got.body.len() / 200).expect("a small number");
    assert!(start.elapsed() >= Duration::from_millis(5) * pieces);
    fired_once(&handle, "trickle", true);
}

#[tokio::test]
async fn shows_a_stale_list() {
    let (addr, handle) = demo_failing(FaultKind::Stale).await;
    let text = get(addr, ADD).await.text();
    assert!(
        text.contains("name:Reception") && !text.contains("name:Van"),
        "{text}"
    );
    fired_once(&handle, "stale", true);
}

#[tokio::test]
async fn shows_one_element_twice() {
    let (addr, handle) = demo_failing(FaultKind::Duplicate).await;
    let text = get(addr, ADD).await.text();
    assert_eq!(
        text.matches("i_follow_me_number:70005").count(),
        2,
        "{text}"
    );
    fired_once(&handle, "duplicate", true);
}

#[tokio::test]
async fn shows_odd_elements() {
    for (odd, shown) in [
        (Odd::Null, "\n\"[{},{i_account"),
        (Odd::NoId, "i_follow_meSpecified:True,name:Reception"),
        (Odd::ZeroId, "i_follow_me_number:0,name:Reception"),
        (Odd::OtherAccount, "[{i_account:1003,"),
        (Odd::TextTimeout, "timeout:soon,"),
    ] {
        let (addr, handle) = demo_failing(FaultKind::OddElement { odd }).await;
        let text = get(addr, ADD).await.text();
        assert!(text.contains(shown), "{odd:?}: {text}");
        fired_once(&handle, "odd_element", true);
    }
}

#[tokio::test]
async fn sends_raw_bytes_for_an_answer() {
    let text = "HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nhi".to_owned();
    let (addr, handle) = demo_failing(FaultKind::Raw { text }).await;
    let got = get(addr, ADD).await;
    assert_eq!(
        (got.status_line.as_str(), got.text().as_str()),
        ("HTTP/1.1 299 Odd", "hi")
    );
    fired_once(&handle, "raw", true);
}

#[tokio::test]
async fn a_fault_hits_its_route_and_account_after_the_skipped_calls_and_is_spent() {
    let (addr, handle) = demo().await;
    let fault = Fault::once(FaultKind::DefaultRecord {
        status: 500,
        when: When::Before,
    })
    .on(Route::GetAll)
    .for_account(1002)
    .after(1)
    .times(2);
    handle.arm(fault);
    let mut statuses = Vec::new();
    for target in [
        ADD,
        GET_ALL,
        GET_ONE_LIST,
        GET_ONE_LIST,
        GET_ALL,
        GET_ONE_LIST,
        GET_ONE_LIST,
    ] {
        statuses.push(get(addr, target).await.status());
    }
    assert_eq!(statuses, [200, 200, 200, 500, 200, 500, 200]);
    let hit: Vec<u64> = handle.fired().iter().map(|fired| fired.request).collect();
    assert_eq!(hit, [4, 6]);
    assert_eq!(handle.armed(), []);
}

#[tokio::test]
async fn disarmed_faults_do_not_fire() {
    let (addr, handle) = demo_failing(FaultKind::Html { status: 500 }).await;
    handle.disarm_all();
    assert_eq!(get(addr, GET_ALL).await.status(), 200);
    assert_eq!(handle.fired(), []);
}
