//! Each reason of an error, through the wire, with the fault that causes it.

use std::{net::SocketAddr, time::Duration};

use followme::{
    grpc::pb,
    simulator::{Fault, FaultKind, HangAt, Route, Settings, When},
};
use tokio::net::TcpListener;
use tonic::Code;

use crate::{
    security::support::until,
    support::{
        Failure, LICENSE, SOON, World, add, delete, failure, get, list, new_number, replace,
        scratch, stored_number, update, with_metadata,
    },
};

pub(super) const HEADER: &str =
    "FollowMeNumbers,FollowMeinfo,success,License,ContentId,FeatureName\n";

pub(super) fn status(status: u16, content_type: &str, body: &str) -> FaultKind {
    FaultKind::Status {
        status,
        reason: None,
        body: body.to_owned(),
        content_type: Some(content_type.to_owned()),
    }
}

pub(super) fn csv(body: &str) -> FaultKind {
    status(200, "text/csv", body)
}

pub(super) fn exception(type_name: &str, when: When) -> FaultKind {
    FaultKind::Exception {
        type_name: type_name.to_owned(),
        when,
    }
}

/// Lets List and Get fail by one fault, and checks that both report it alike, as does a
/// write, which reads first.
pub(super) async fn failing_reads(kind: &FaultKind) -> Failure {
    // Only what is to time out is short: the rest has all the time of a busy machine.
    let patience = |config: &mut followme::config::Config| {
        if matches!(kind, FaultKind::Hang { .. }) {
            config.upstream.read_timeout = SOON;
        }
    };
    let world = World::configured(patience).await;
    world.arm(kind.clone(), Route::GetAll);
    let listed = failure(world.list(list(1001)).await);
    world.assert_fired(kind.name());

    let world = World::configured(patience).await;
    world.arm(kind.clone(), Route::GetAll);
    let added = failure(world.add(add(new_number("Van", "15550120"))).await);
    world.assert_fired(kind.name());
    assert_eq!(added.code, listed.code, "{kind:?}");
    assert_eq!(added.reason, listed.reason, "{kind:?}");
    assert_eq!(world.writes().len(), 0, "{kind:?}");

    let world = World::configured(patience).await;
    world.arm(kind.clone(), Route::GetOne);
    let got = failure(world.get(get(1001, 70001)).await);
    world.assert_fired(kind.name());
    assert_eq!(got.code, listed.code, "{kind:?}");
    if listed.reason != "ACCOUNT_NOT_FOUND" {
        assert_eq!(got.reason, listed.reason, "{kind:?}");
    }
    // One request each: nothing repeats a read by itself.
    assert_eq!(world.handle.requests().len(), 1, "{kind:?}");
    listed
}

#[tokio::test]
async fn an_upstream_that_does_not_listen_is_unavailable() {
    let gone = closed_port().await;
    let world = World::configured(|config| {
        config.upstream.transport.url = format!("http://{gone}/").parse().expect("a URL");
    })
    .await;
    for unavailable in [
        failure(world.list(list(1001)).await),
        failure(world.get(get(1001, 70001)).await),
        failure(world.add(add(new_number("Van", "15550120"))).await),
        failure(
            world
                .update(update(70001, &["name"], new_number("Van", "")))
                .await,
        ),
        failure(world.delete(delete(70001)).await),
        failure(
            world
                .replace_all(replace(1001, vec![new_number("Van", "15550120")]))
                .await,
        ),
    ] {
        assert_eq!(unavailable.code, Code::Unavailable);
        assert_eq!(unavailable.reason, "UPSTREAM_UNAVAILABLE");
        assert_eq!(unavailable.meta("upstream_http_status"), None);
    }
    assert_eq!(world.handle.requests().len(), 0);
}

async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("a bound listener has one")
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_read_is_unavailable() {
    let (before, after) = (When::Before, When::After);
    for kind in [
        FaultKind::Reset { when: before },
        FaultKind::Reset { when: after },
        FaultKind::Close { when: after },
        FaultKind::Truncated { bytes: 0 },
        FaultKind::Truncated { bytes: 100 },
    ] {
        let failed = failing_reads(&kind).await;
        assert_eq!(failed.code, Code::Unavailable, "{kind:?}");
        assert_eq!(failed.reason, "UPSTREAM_UNAVAILABLE", "{kind:?}");
    }
}

#[tokio::test]
async fn a_read_that_takes_too_long_is_unavailable() {
    for at in [HangAt::BeforeHead, HangAt::MidHead, HangAt::MidBody] {
        let failed = failing_reads(&FaultKind::Hang { at }).await;
        assert_eq!(failed.code, Code::Unavailable, "{at:?}");
        assert_eq!(failed.reason, "UPSTREAM_TIMEOUT", "{at:?}");
    }
}

#[tokio::test]
async fn each_upstream_status_has_a_reason() {
    let text = |text: &str| text.to_owned();
    let record = format!("{HEADER},,False,,0,\n");
    let missing = || FaultKind::HttpError {
        status: 404,
        code: None,
        message: text("no account DEMO-KEY"),
        returned: false,
        when: When::Before,
    };
    let response_status = "ResponseStatus\n\"{ErrorCode:RequestBindingException,Message:\"\"DEMO-KEY, x\"\",Errors:[]}\"\n";
    for (kind, code, reason, status) in [
        (
            status(401, "text/csv", &record),
            Code::Internal,
            "UPSTREAM_DENIED",
            "401",
        ),
        (
            status(403, "text/html", "DEMO-KEY"),
            Code::Internal,
            "UPSTREAM_DENIED",
            "403",
        ),
        (
            exception("UnauthorizedAccessException", When::Before),
            Code::Internal,
            "UPSTREAM_DENIED",
            "403",
        ),
        (
            status(404, "text/plain", "404"),
            Code::Internal,
            "UPSTREAM_ROUTE_MISSING",
            "404",
        ),
        (missing(), Code::NotFound, "ACCOUNT_NOT_FOUND", "404"),
        (
            status(404, "text/html", "DEMO-KEY"),
            Code::Internal,
            "UPSTREAM_BAD_RESPONSE",
            "404",
        ),
        (
            exception("ArgumentException", When::Before),
            Code::FailedPrecondition,
            "UPSTREAM_REFUSED",
            "400",
        ),
        (
            exception("NotImplementedException", When::Before),
            Code::FailedPrecondition,
            "UPSTREAM_REFUSED",
            "405",
        ),
        (
            status(400, "text/csv", response_status),
            Code::FailedPrecondition,
            "UPSTREAM_REFUSED",
            "400",
        ),
        (
            status(409, "text/csv", &record),
            Code::FailedPrecondition,
            "UPSTREAM_REFUSED",
            "409",
        ),
        (
            status(400, "text/html", "DEMO-KEY"),
            Code::Internal,
            "UPSTREAM_BAD_RESPONSE",
            "400",
        ),
        (
            exception("NullReferenceException", When::Before),
            Code::Unavailable,
            "UPSTREAM_ERROR",
            "500",
        ),
        (
            FaultKind::Html { status: 503 },
            Code::Unavailable,
            "UPSTREAM_ERROR",
            "503",
        ),
        (
            status(502, "text/html", "DEMO-KEY"),
            Code::Unavailable,
            "UPSTREAM_ERROR",
            "502",
        ),
        (
            FaultKind::DefaultRecord {
                status: 500,
                when: When::After,
            },
            Code::Unavailable,
            "UPSTREAM_ERROR",
            "500",
        ),
    ] {
        let failed = failing_reads(&kind).await;
        assert_eq!(failed.code, code, "{kind:?}");
        assert_eq!(failed.reason, reason, "{kind:?}");
        assert_eq!(
            failed.meta("upstream_http_status"),
            Some(status),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_read_without_success_is_refused() {
    for kind in [
        FaultKind::NotSuccess { when: When::After },
        FaultKind::NullList,
        FaultKind::DefaultRecord {
            status: 200,
            when: When::After,
        },
    ] {
        let failed = failing_reads(&kind).await;
        assert_eq!(failed.code, Code::FailedPrecondition, "{kind:?}");
        assert_eq!(failed.reason, "UPSTREAM_REFUSED", "{kind:?}");
    }
    // The service knows neither this account nor the next License.
    let world = World::start().await;
    let failed = failure(world.list(list(1999)).await);
    assert_eq!(failed.reason, "UPSTREAM_REFUSED");
}

#[tokio::test]
async fn a_denied_license_of_the_caller_is_the_callers_error() {
    let own = |request| with_metadata(request, &[("x-porta-license", "OWN-KEY")]);
    let world =
        World::configured(|config| config.security.policy.anonymous.brings_license = true).await;
    let numbers = vec![stored_number("Own", "15550101", 1)];
    world
        .handle
        .seed("OWN-KEY", 1001, numbers, Settings::default());
    world.arm(
        exception("UnauthorizedAccessException", When::Before),
        Route::GetAll,
    );
    let denied = failure(world.list(own(list(1001))).await);
    world.assert_fired("exception");
    assert_eq!(denied.code, Code::PermissionDenied);
    assert_eq!(denied.reason, "UPSTREAM_DENIED");
    assert_eq!(denied.meta("upstream_http_status"), Some("403"));
    assert!(!format!("{denied:?}").contains("OWN-KEY"));
}

#[tokio::test]
async fn a_denied_write_is_denied_after_verification() {
    for (brought, code) in [(false, Code::Internal), (true, Code::PermissionDenied)] {
        let world =
            World::configured(|config| config.security.policy.anonymous.brings_license = brought)
                .await;
        world.arm(
            exception("UnauthorizedAccessException", When::Before),
            Route::Delete,
        );
        let mut request = tonic::Request::new(delete(70001));
        if brought {
            request = with_metadata(request.into_inner(), &[("x-porta-license", LICENSE)]);
        }
        let denied = failure(world.delete(request).await);
        world.assert_fired("exception");
        assert_eq!(denied.code, code);
        assert_eq!(denied.reason, "UPSTREAM_DENIED");
        assert_eq!(denied.meta("upstream_http_status"), Some("403"));
        assert_eq!(world.effects(), []);
    }
}

#[tokio::test]
async fn the_status_of_many_violations_stays_small() {
    let world = World::start().await;
    let bad = pb::FollowMeNumber {
        account_id: 7,
        number_id: -1,
        domain: "日".repeat(900),
        period: ";".repeat(500),
        period_description: "\n".repeat(500),
        caller_id_mode: 99,
        order: Some(-1),
        ring_timeout: Some(prost_types::Duration {
            seconds: i64::MIN,
            nanos: -1,
        }),
        ..new_number(&"\u{1}".repeat(900), &"@".repeat(900))
    };
    let many = failure(
        world
            .replace_all(replace(1001, vec![bad.clone(); 100]))
            .await,
    );
    assert_eq!(many.code, Code::InvalidArgument);
    assert!((1..=20).contains(&many.violations.len()));
    let count: usize = many
        .meta("violations")
        .expect("a count")
        .parse()
        .expect("a number");
    assert!(count >= 200, "{count}");
    assert!(many.status.message().contains("more violations"));

    // The fields are checked with the plan, once the list is known.
    let bad = pb::FollowMeNumber {
        account_id: 0,
        number_id: 0,
        ..bad
    };
    let many = failure(world.replace_all(replace(1001, vec![bad; 100])).await);
    assert_eq!(many.violations.len(), 20);
    assert_eq!(many.meta("violations"), Some("800"));
    assert_eq!(world.writes().len(), 0);
}

#[tokio::test]
async fn a_fault_on_one_account_does_not_affect_others() {
    let world = World::start().await;
    let fault = Fault::once(FaultKind::Html { status: 500 }).for_account(1002);
    world.handle.arm(fault);
    assert_eq!(world.read(1001).await.numbers.len(), 3);
    let failed = failure(world.list(list(1002)).await);
    assert_eq!(failed.reason, "UPSTREAM_ERROR");
    assert_eq!(world.read(1002).await.numbers.len(), 1);
}

#[tokio::test]
async fn a_panic_in_a_handler_is_internal_and_one_in_a_write_unknown() {
    // No file can say so, and no instant is so far away: to ask for it panics.
    let world = World::configured(|config| config.upstream.read_timeout = Duration::MAX).await;
    for _ in 0..2 {
        let failed = failure(world.list(list(1001)).await);
        assert_eq!(failed.code, Code::Internal);
        assert_eq!(failed.reason, "INTERNAL_ERROR");
    }
    assert!(world.handle.requests().is_empty());

    let audit = scratch().join("panic-audit");
    // What an earlier run left there is not the test's.
    let _ = std::fs::remove_file(&audit);
    let world = World::configured(|config| {
        config.upstream.write_timeout = Duration::MAX;
        config.audit.file = Some(audit.clone());
    })
    .await;
    let failed = failure(world.delete(delete(70001)).await);
    assert_eq!(failed.code, Code::Unknown);
    assert_eq!(failed.reason, "OUTCOME_UNKNOWN");
    assert!(world.writes().is_empty());
    // The account is not held up by what died.
    assert_eq!(world.read(1001).await.numbers.len(), 3);
    // A write that panics does not wait for its end line.
    let end = until("a begin has its end", async || {
        let lines = std::fs::read_to_string(&audit).expect("it was written");
        lines.lines().nth(1).map(str::to_owned)
    })
    .await;
    assert!(end.contains("\"unknown\""), "{end}");
}
