//! Answers of the upstream that are truncated, malformed, too large or odd.

use followme::simulator::{FaultKind, Route};
use tonic::Code;

use super::errors::{HEADER, csv, failing_reads, status};
use crate::support::{World, failure, list, stored_number};

#[tokio::test]
async fn an_answer_that_comes_in_small_pieces_is_an_answer() {
    let world = World::start().await;
    world.arm(
        FaultKind::Trickle {
            bytes_per: 7,
            every_ms: 0,
        },
        Route::GetAll,
    );
    assert_eq!(world.read(1001).await.numbers.len(), 3);
    world.assert_fired("trickle");
}

#[tokio::test]
async fn an_answer_that_the_service_never_writes_is_a_bad_response() {
    let header = HEADER.trim_end();
    for kind in [
        FaultKind::Html { status: 200 },
        FaultKind::NullResult,
        FaultKind::TruncatedQuietly { bytes: 0 },
        FaultKind::TruncatedQuietly { bytes: 10 },
        FaultKind::TruncatedQuietly { bytes: 300 },
        FaultKind::Duplicate,
        status(200, "application/json", "{}"),
        status(200, "text/plain", "404"),
        status(204, "text/html", ""),
        csv(""),
        csv(header),
        csv(HEADER),
        csv(&format!("{HEADER}[],,True,,0,\n[],,True,,0,\n")),
        csv("FollowMeinfo,success,License,ContentId,FeatureName\n,True,,0,\n"),
        csv("FollowMeNumbers,FollowMeinfo,License\n[],,\n"),
        csv("ResponseStatus\n{ErrorCode:X}\n"),
        csv(&format!("{HEADER}[{{name:x,,True,,0,\n")),
        csv(&format!("{HEADER}\"[{{name:x\",,True,,0,\n")),
        csv(&format!("{HEADER}[x],,True,,0,\n")),
        csv(&format!("{HEADER}{{}},,True,,0,\n")),
        csv(&format!("{HEADER}[],{{sequence:,True,,0,\n")),
        csv(&format!("{HEADER}\"[],,True,,0,\n")),
        csv(&format!("{HEADER}[],,Tr")),
        csv(&format!("{HEADER}[],")),
        csv(&format!("{HEADER}[]")),
    ] {
        let failed = failing_reads(&kind).await;
        assert_eq!(failed.code, Code::Internal, "{kind:?}");
        assert_eq!(failed.reason, "UPSTREAM_BAD_RESPONSE", "{kind:?}");
    }
}

#[tokio::test]
async fn no_truncated_answer_passes_for_another_list() {
    let world = World::start().await;
    let whole = world.read(1001).await;
    let (mut bytes, mut same) = (0, 0);
    // Until the cut is behind the last byte.
    while same < 20 {
        world.arm(FaultKind::TruncatedQuietly { bytes }, Route::GetAll);
        match world.list(list(1001)).await {
            Ok(answer) => {
                assert_eq!(answer, whole, "cut after {bytes}");
                same += 1;
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Internal, "cut after {bytes}");
                same = 0;
            }
        }
        bytes += 1;
    }
    assert_eq!(world.handle.fired_count("truncated_quietly"), bytes);
}

#[tokio::test]
async fn odd_but_well_formed_answers_are_accepted() {
    for body in [
        format!("\u{feff}{HEADER}[],,True,,0,\n"),
        format!("{HEADER}[],,True,,0,"),
        format!("{HEADER}[],,,,,\r\n"),
        "success,Extra,FollowMeinfo,FollowMeNumbers\nFalse,x,,[]\n".to_owned(),
        format!("{HEADER}\"[{{__type:\"\"a, b\"\",new:{{x:[1,2]}}}}]\",{{}},True,,0,\n"),
        format!("{HEADER}\"[{{i_account:1001,i_follow_me_number:0}}]\",,True,,0,\n"),
    ] {
        let world = World::start().await;
        world.arm(csv(&body), Route::GetAll);
        let answer = world.list(list(1001)).await;
        world.assert_fired("status");
        assert_eq!(answer.expect("it is a list").numbers, [], "{body}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    for sized in [true, false] {
        let world = World::configured(|config| {
            config.upstream.transport.max_answer_bytes = 2048;
        })
        .await;
        if sized {
            world.arm(csv(&"x".repeat(2049)), Route::GetAll);
        } else {
            let numbers = (1..40).map(|order| stored_number("Desk", "15550101", order));
            world.seed(1001, numbers.collect());
        }
        let failed = failure(world.list(list(1001)).await);
        assert_eq!(failed.code, Code::Internal);
        assert_eq!(failed.reason, "UPSTREAM_BAD_RESPONSE");
        assert_eq!(failed.meta("upstream_http_status"), Some("200"));
        assert!(failed.status.message().contains("max_answer_bytes"));
        assert_eq!(world.read(1002).await.numbers.len(), 1);
    }
}

#[tokio::test]
async fn a_head_that_cannot_be_parsed_is_a_bad_response_that_opens_no_breaker() {
    let world = World::configured(|config| config.upstream.breaker.failures = 2).await;
    let heads = [
        "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nX Field: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Field: \u{1}\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
    ];
    for text in heads.into_iter().cycle().take(6) {
        let text = text.to_owned();
        world.arm(FaultKind::Raw { text }, Route::GetAll);
        let failed = failure(world.list(list(1001)).await);
        assert_eq!(failed.code, Code::Internal);
        assert_eq!(failed.reason, "UPSTREAM_BAD_RESPONSE");
    }
    assert_eq!(world.handle.requests().len(), 6, "each is tried once");
    assert_eq!(world.read(1001).await.numbers.len(), 3);
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    for code in [301, 302, 303, 307, 308] {
        let world = World::start().await;
        let to = format!(
            "http://{}/getfollowmes/x/1?moved",
            world.handle.local_addr()
        );
        let text = format!(
            "HTTP/1.1 {code} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        world.arm(FaultKind::Raw { text }, Route::GetAll);
        let failed = failure(world.list(list(1001)).await);
        world.assert_fired("raw");
        assert_eq!(failed.code, Code::Internal);
        assert_eq!(failed.reason, "UPSTREAM_BAD_RESPONSE");
        assert_eq!(
            failed.meta("upstream_http_status"),
            Some(code.to_string().as_str())
        );
        assert_eq!(world.handle.requests().len(), 1);
    }
}
