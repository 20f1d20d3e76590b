//! Hops in front of the service, and effects that come late, twice or not at all.

use super::*;

#[tokio::test]
async fn a_gateway_answers_its_own_page_while_the_service_runs_or_not() {
    for (status, line, header, body) in [
        (
            200,
            "200 OK",
            ("content-type", "text/html"),
            "<!doctype html>",
        ),
        (
            302,
            "302 Found",
            ("location", "https://login.example.com/"),
            "<!doctype html>",
        ),
        (408, "408 Request Time-out", ("server", "nginx"), "<html>"),
        (
            499,
            "499 Client Closed Request",
            ("server", "nginx"),
            "<html>",
        ),
        (
            503,
            "503 Service Unavailable",
            ("server", "envoy"),
            "upstream connect error or disconnect/reset before headers",
        ),
        (520, "520 ", ("server", "cloudflare"), "error code: 520"),
        (522, "522 ", ("server", "cloudflare"), "error code: 522"),
        (524, "524 ", ("server", "cloudflare"), "error code: 524"),
        (
            598,
            "598 Network read timeout error",
            ("server", "proxy"),
            "",
        ),
        (
            599,
            "599 Network connect timeout error",
            ("server", "proxy"),
            "",
        ),
    ] {
        for (when, added) in [(When::Before, false), (When::After, true)] {
            let (addr, handle) = demo_failing(FaultKind::Gateway { status, when }).await;
            let got = get(addr, ADD).await;
            assert_eq!(got.status_line, format!("HTTP/1.1 {line}"));
            assert_eq!(got.header(header.0), Some(header.1));
            assert!(got.text().starts_with(body), "{}", got.text());
            fired_once(&handle, "gateway", added);
        }
    }
}

#[tokio::test]
async fn an_effect_comes_late_after_a_gateway_answered_or_the_connection_ended() {
    let when = When::Late { ms: 20 };
    for kind in [
        FaultKind::Gateway { status: 504, when },
        FaultKind::Reset { when },
        FaultKind::Close { when },
        FaultKind::DefaultRecord { status: 500, when },
    ] {
        let name = kind.name();
        let (addr, handle) = demo_failing(kind).await;
        let _ = raw_http::get(addr, ADD).await;
        assert_eq!(handle.effects(), [], "{name}: not yet");
        handle.wait_for_effects(1).await;
        fired_once(&handle, name, true);
    }
}

#[tokio::test]
async fn http_sys_refuses_a_request_that_the_service_does_not_get() {
    let (addr, handle) = demo_failing(FaultKind::HttpSys).await;
    let got = get(addr, ADD).await;
    assert_eq!(got.status_line, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(got.header("server"), Some("Microsoft-HTTPAPI/2.0"));
    assert_eq!(got.header("connection"), Some("close"));
    assert!(got.text().contains("<h2>Service Unavailable</h2>"));
    fired_once(&handle, "http_sys", false);
}

#[tokio::test]
async fn throws_after_the_effect_as_a_lone_response_status() {
    for (error_code, status, reason, line) in [
        ("SqlException", 500, None, "500 Internal Server Error"),
        ("ArgumentException", 400, None, "400 Bad Request"),
        ("SerializationException", 400, Some("Odd"), "400 Odd"),
    ] {
        let (addr, handle) = demo_failing(FaultKind::ResponseStatus {
            error_code: error_code.to_owned(),
            message: "no".to_owned(),
            reason: reason.map(str::to_owned),
            when: When::After,
        })
        .await;
        let got = get(addr, ADD).await;
        assert_eq!(got.status(), status);
        assert_eq!(got.status_line, format!("HTTP/1.1 {line}"));
        assert_eq!(
            got.text(),
            format!("ResponseStatus\n\"{{ErrorCode:{error_code},Message:no,Errors:[]}}\"\n")
        );
        fired_once(&handle, "response_status", true);
    }
}

#[tokio::test]
async fn a_hop_in_front_doubles_a_get_that_writes() {
    let (addr, handle) = demo_failing(FaultKind::Doubled).await;
    let text = get(addr, ADD).await.text();
    assert_eq!(text.matches("name:Van").count(), 2, "{text}");
    let effects = handle.effects();
    assert_eq!(
        effects.iter().map(|effect| effect.kind).collect::<Vec<_>>(),
        [EffectKind::Add, EffectKind::Add]
    );
    assert_eq!(effects[0].request, effects[1].request);
    assert_eq!(handle.fired_count("doubled"), 1);
}

#[tokio::test]
async fn a_write_says_success_and_does_nothing() {
    let (addr, handle) = demo_failing(FaultKind::NoEffect).await;
    let text = get(addr, ADD).await.text();
    assert!(text.contains(",True,DEMO-KEY"), "{text}");
    assert!(text.contains("name:Reception") && !text.contains("name:Van"));
    fired_once(&handle, "no_effect", false);
}

#[tokio::test]
async fn an_update_changes_a_field_unasked() {
    let update = "/updatefollowme/DEMO-KEY/1001/70001/30/Main%20desk/1/15550101/Y?format=csv";
    for (field, expected) in [
        (Unasked::Name, "Main"),
        (Unasked::Domain, "Main desk"),
        (Unasked::Order, "Main desk"),
        (Unasked::Period, "Main desk"),
        (Unasked::Active, "Main desk"),
    ] {
        let (addr, handle) = demo_failing(FaultKind::ChangesUnasked { field }).await;
        assert!(
            get(addr, update)
                .await
                .text()
                .contains(&format!("name:{expected},"))
        );
        let number = handle.numbers("DEMO-KEY", 1001).expect("it exists")[0].clone();
        assert_eq!(number.domain.is_none(), field == Unasked::Domain);
        assert_eq!(
            number.order,
            Some(if field == Unasked::Order { 2 } else { 1 })
        );
        assert_eq!(number.period.is_none(), field == Unasked::Period);
        let active = if field == Unasked::Active { "N" } else { "Y" };
        assert_eq!(number.active.as_deref(), Some(active));
        assert_eq!(
            handle.effects()[0].after,
            Some(number),
            "the effect tells it"
        );
        assert_eq!(handle.fired_count("changes_unasked"), 1);
    }
}

#[tokio::test]
async fn a_hop_in_front_writes_standard_reason_phrases() {
    let exception = || {
        Fault::once(FaultKind::Exception {
            type_name: "NullReferenceException".to_owned(),
            when: When::After,
        })
    };
    let (addr, handle) = demo_with(Knobs {
        standard_reasons: true,
        ..Knobs::default()
    })
    .await;
    handle.arm(exception());
    let line = get(addr, ADD).await.status_line;
    assert_eq!(line, "HTTP/1.1 500 Internal Server Error");
    handle.set_knobs(Knobs::default());
    handle.arm(exception());
    let line = get(addr, ADD).await.status_line;
    assert_eq!(line, "HTTP/1.1 500 NullReferenceException");
}
