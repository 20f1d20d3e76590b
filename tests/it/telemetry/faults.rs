//! The faults that the search for the License arms.

use followme::simulator::{FaultKind, HangAt, Odd, Unasked, When};

use super::redaction::forms;

/// Every fault, with the License echoed in each encoding.
pub(super) fn faults(license: &str) -> Vec<FaultKind> {
    let (before, after) = (When::Before, When::After);
    let exception = |name: &str, when| FaultKind::Exception {
        type_name: name.to_owned(),
        when,
    };
    let mut faults = vec![
        exception("ArgumentException", before),
        exception("UnauthorizedAccessException", before),
        exception("NotImplementedException", before),
        exception(&format!("Bad{license}Exception"), after),
        FaultKind::Reset { when: before },
        FaultKind::Reset { when: after },
        FaultKind::Close { when: before },
        FaultKind::Truncated { bytes: 40 },
        FaultKind::TruncatedQuietly { bytes: 40 },
        FaultKind::Html { status: 200 },
        FaultKind::Html { status: 502 },
        FaultKind::NotSuccess { when: before },
        FaultKind::NotSuccess { when: after },
        FaultKind::NullList,
        FaultKind::DefaultRecord {
            status: 409,
            when: before,
        },
        FaultKind::NullResult,
        FaultKind::Hang {
            at: HangAt::BeforeHead,
        },
        FaultKind::Hang {
            at: HangAt::MidHead,
        },
        FaultKind::Hang {
            at: HangAt::MidBody,
        },
        FaultKind::Delay { ms: 1 },
        FaultKind::Hold { when: before },
        FaultKind::Trickle {
            bytes_per: 64,
            every_ms: 1,
        },
        FaultKind::HttpError {
            status: 404,
            code: None,
            message: format!("no account of {license}"),
            returned: false,
            when: before,
        },
        FaultKind::HttpError {
            status: 402,
            code: Some("Unpaid".to_owned()),
            message: license.to_owned(),
            returned: true,
            when: after,
        },
        FaultKind::ResponseStatus {
            error_code: "SqlException".to_owned(),
            message: format!("cannot use {license}"),
            reason: None,
            when: after,
        },
        FaultKind::Gateway {
            status: 524,
            when: after,
        },
        FaultKind::Gateway {
            status: 302,
            when: before,
        },
        FaultKind::HttpSys,
        FaultKind::Doubled,
        FaultKind::NoEffect,
        FaultKind::ChangesUnasked {
            field: Unasked::Name,
        },
        FaultKind::Stale,
        FaultKind::Duplicate,
        FaultKind::OddElement { odd: Odd::Null },
        FaultKind::OddElement {
            odd: Odd::OtherAccount,
        },
        FaultKind::OddElement {
            odd: Odd::TextTimeout,
        },
        FaultKind::Raw {
            text: format!("no HTTP but {license}\r\n\r\n"),
        },
        FaultKind::Raw {
            text: format!(
                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/{license}\r\nContent-Length: 0\r\n\r\n"
            ),
        },
        FaultKind::Raw {
            text: format!("HTTP/1.1 200 OK\r\nX-{license}: {license}\r\nContent-Length: 0\r\n\r\n"),
        },
    ];
    for echo in forms(license).into_iter().take(11) {
        let echo = String::from_utf8(echo).expect("it is text");
        for (status, content_type) in [
            (404, "text/plain"),
            (500, "text/csv"),
            (403, "text/html"),
            (200, "text/csv"),
            (200, "text/html"),
        ] {
            faults.push(FaultKind::Status {
                status,
                reason: Some(format!("no {}", echo.replace(['\r', '\n'], ""))),
                body: format!("ResponseStatus\n\"{{ErrorCode:E,Message:/getfollowmes/{echo}/1001?License={echo}}}\"\n"),
                content_type: Some(content_type.to_owned()),
            });
        }
    }
    faults
}
