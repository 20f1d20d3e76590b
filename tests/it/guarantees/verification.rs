//! Writes that meet a fault: each is verified by reading, and never sent twice.

use followme::{
    config::Config,
    simulator::{EffectKind, FaultKind, HangAt, Route, When},
};
use tonic::{Code, Status};

use crate::support::{Failure, SOON, World, add, delete, failure, new_number, update};

/// A single write, as a test sends it to account 1001.
#[derive(Debug, Clone, Copy)]
enum Write {
    Add,
    Update,
    Delete,
}

const WRITES: [Write; 3] = [Write::Add, Write::Update, Write::Delete];

impl Write {
    fn route(self) -> Route {
        match self {
            Self::Add => Route::Add,
            Self::Update => Route::Update,
            Self::Delete => Route::Delete,
        }
    }

    fn effect(self) -> EffectKind {
        match self {
            Self::Add => EffectKind::Add,
            Self::Update => EffectKind::Update,
            Self::Delete => EffectKind::Delete,
        }
    }

    async fn send(self, world: &World) -> Result<(), Status> {
        match self {
            Self::Add => world
                .add(add(new_number("Van", "15550121")))
                .await
                .map(drop),
            Self::Update => world
                .update(update(70001, &["name"], new_number("Van", "")))
                .await
                .map(drop),
            Self::Delete => world.delete(delete(70001)).await.map(drop),
        }
    }
}

fn soon(config: &mut Config) {
    config.upstream.write_timeout = SOON;
    config.operations.write_limit = 2 * SOON;
}

/// Sends a write into a fault. Checks that the fault acted and that the write went out once.
async fn send(write: Write, kind: &FaultKind) -> (World, Result<(), Status>) {
    let world = World::configured(soon).await;
    world.arm(kind.clone(), write.route());
    let result = write.send(&world).await;
    world.assert_fired(kind.name());
    assert_eq!(world.writes().len(), 1, "{write:?} {kind:?}");
    (world, result)
}

async fn fails(write: Write, kind: &FaultKind) -> Failure {
    let (world, result) = send(write, kind).await;
    assert_eq!(world.effects(), [], "{write:?} {kind:?}");
    failure(result)
}

fn exception(type_name: &str, when: When) -> FaultKind {
    FaultKind::Exception {
        type_name: type_name.to_owned(),
        when,
    }
}

fn refusal(reason: Option<&str>) -> FaultKind {
    FaultKind::Status {
        status: 400,
        reason: reason.map(str::to_owned),
        body: "ResponseStatus\n\"{ErrorCode:RequestBindingException,Message:x,Errors:[]}\"\n"
            .to_owned(),
        content_type: Some("text/csv".to_owned()),
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_or_malformed_is_verified() {
    let when = When::After;
    for write in WRITES {
        for kind in [
            FaultKind::Reset { when },
            FaultKind::Close { when },
            FaultKind::Truncated { bytes: 0 },
            FaultKind::Truncated { bytes: 100 },
            FaultKind::TruncatedQuietly { bytes: 0 },
            FaultKind::TruncatedQuietly { bytes: 100 },
            FaultKind::Html { status: 200 },
            FaultKind::Html { status: 500 },
            FaultKind::Html { status: 404 },
            FaultKind::NullResult,
            FaultKind::NullList,
            FaultKind::NotSuccess { when },
            FaultKind::Duplicate,
            FaultKind::Stale,
            FaultKind::DefaultRecord { status: 200, when },
            FaultKind::DefaultRecord { status: 500, when },
            FaultKind::DefaultRecord { status: 400, when },
            exception("NullReferenceException", when),
            exception("ArgumentException", when),
            exception("UnauthorizedAccessException", when),
            FaultKind::HttpError {
                status: 404,
                code: None,
                message: "gone".to_owned(),
                returned: false,
                when,
            },
            FaultKind::HttpError {
                status: 402,
                code: None,
                message: "pay".to_owned(),
                returned: true,
                when,
            },
            FaultKind::Hang {
                at: HangAt::BeforeHead,
            },
            FaultKind::Hang {
                at: HangAt::MidHead,
            },
            FaultKind::Hang {
                at: HangAt::MidBody,
            },
            FaultKind::Raw {
                text: "HTTP/1.1 302 Found\r\nLocation: /getfollowmes/x/1\r\n\
                       Content-Length: 0\r\nConnection: close\r\n\r\n"
                    .to_owned(),
            },
            FaultKind::Raw {
                text: "SSH-2.0-x\r\n".to_owned(),
            },
        ] {
            let (world, result) = send(write, &kind).await;
            assert!(result.is_ok(), "{write:?} {kind:?} {result:?}");
            let effects: Vec<EffectKind> =
                world.effects().iter().map(|effect| effect.kind).collect();
            assert_eq!(effects, [write.effect()], "{write:?} {kind:?}");
        }
    }
}

#[tokio::test]
async fn a_write_that_was_refused_and_not_done_is_refused() {
    let when = When::Before;
    for write in WRITES {
        for (kind, status) in [
            (FaultKind::NotSuccess { when }, None),
            (FaultKind::DefaultRecord { status: 200, when }, None),
            (exception("ArgumentException", when), Some("400")),
            (FaultKind::DefaultRecord { status: 409, when }, Some("409")),
            (
                FaultKind::HttpError {
                    status: 404,
                    code: None,
                    message: "no DEMO-KEY".to_owned(),
                    returned: false,
                    when,
                },
                Some("404"),
            ),
        ] {
            let failed = fails(write, &kind).await;
            assert_eq!(failed.code, Code::FailedPrecondition, "{write:?} {kind:?}");
            assert_eq!(failed.reason, "UPSTREAM_REFUSED", "{write:?} {kind:?}");
            assert_eq!(failed.meta("upstream_http_status"), status);
        }
    }
}

#[tokio::test]
async fn a_failed_write_verified_as_not_done_may_be_retried() {
    let when = When::Before;
    for write in WRITES {
        for (kind, status) in [
            (exception("NullReferenceException", when), "500"),
            (FaultKind::DefaultRecord { status: 503, when }, "503"),
            (
                FaultKind::Status {
                    status: 500,
                    reason: None,
                    body: "DEMO-KEY".to_owned(),
                    content_type: None,
                },
                "500",
            ),
        ] {
            let failed = fails(write, &kind).await;
            assert_eq!(failed.code, Code::Aborted, "{write:?} {kind:?}");
            assert_eq!(failed.reason, "WRITE_NOT_DONE", "{write:?} {kind:?}");
            assert_eq!(failed.meta("upstream_http_status"), Some(status));
        }
    }
}

#[tokio::test]
async fn a_reply_that_says_that_nothing_ran_is_confirmed_by_one_read() {
    for write in [Write::Add, Write::Delete] {
        for (kind, code, reason) in [
            (refusal(None), Code::FailedPrecondition, "UPSTREAM_REFUSED"),
            (
                FaultKind::Status {
                    status: 404,
                    reason: None,
                    body: "404".to_owned(),
                    content_type: Some("text/plain".to_owned()),
                },
                Code::Internal,
                "UPSTREAM_ROUTE_MISSING",
            ),
        ] {
            let (world, result) = send(write, &kind).await;
            let failed = failure(result);
            assert_eq!(failed.code, code, "{write:?} {kind:?}");
            assert_eq!(failed.reason, reason, "{write:?} {kind:?}");
            // The list before the write, the write, and the list after it.
            assert_eq!(world.handle.requests().len(), 3, "{write:?} {kind:?}");
        }
    }
    // Behind a reason phrase of its own it proves nothing.
    let (world, result) = send(Write::Add, &refusal(Some("ArgumentException"))).await;
    let failed = failure(result);
    assert_eq!(failed.reason, "UPSTREAM_REFUSED");
    assert_eq!(world.handle.requests().len(), 3);
}

#[tokio::test]
async fn an_update_that_did_not_run_uses_the_other_route() {
    let world = World::start().await;
    world.arm(refusal(None), Route::Update);
    Write::Update.send(&world).await.expect("it is updated");
    world.assert_fired("status");
    assert_eq!(world.number(1001, 70001).await.name, "Van");
    assert_eq!(world.effects().len(), 1);
}

#[tokio::test]
async fn a_write_that_may_still_take_effect_is_unknown() {
    for write in WRITES {
        for kind in [
            FaultKind::Reset { when: When::Before },
            FaultKind::Close { when: When::Before },
        ] {
            let failed = fails(write, &kind).await;
            assert_eq!(failed.code, Code::Unknown, "{write:?} {kind:?}");
            assert_eq!(failed.reason, "OUTCOME_UNKNOWN", "{write:?} {kind:?}");
        }
        // And it does take effect.
        let kind = FaultKind::Hold { when: When::Before };
        let (world, result) = send(write, &kind).await;
        assert_eq!(failure(result).reason, "OUTCOME_UNKNOWN", "{write:?}");
        assert_eq!(world.effects(), []);
        world.handle.release();
        world.handle.wait_for_effects(1).await;
        assert_eq!(world.writes().len(), 1);
    }
}

#[tokio::test]
async fn verification_finds_a_late_write() {
    for write in WRITES {
        let world = World::configured(|config| config.upstream.write_timeout = SOON).await;
        world.arm(FaultKind::Hold { when: When::Before }, write.route());
        let late = async {
            // The list, the write, and a first read that does not show it.
            world.handle.wait_for_requests(3).await;
            world.handle.release();
        };
        let (result, ()) = tokio::join!(write.send(&world), late);
        assert!(result.is_ok(), "{write:?} {result:?}");
        world.assert_fired("hold");
        assert_eq!(world.effects().len(), 1, "{write:?}");
        assert_eq!(world.writes().len(), 1, "{write:?}");
    }
}

#[tokio::test]
async fn verification_continues_while_reads_fail() {
    for write in WRITES {
        let world = World::configured(|config| config.upstream.read_timeout = SOON).await;
        world.arm(FaultKind::Reset { when: When::After }, write.route());
        for kind in [
            FaultKind::Html { status: 503 },
            FaultKind::NotSuccess { when: When::After },
            FaultKind::Close { when: When::After },
        ] {
            // Behind the read that comes before the write.
            world.handle.arm(
                followme::simulator::Fault::once(kind)
                    .on(Route::GetAll)
                    .after(1),
            );
        }
        let result = write.send(&world).await;
        assert!(result.is_ok(), "{write:?} {result:?}");
        for name in ["reset", "html", "not_success", "close"] {
            world.assert_fired(name);
        }
        assert_eq!(world.effects().len(), 1, "{write:?}");
        assert_eq!(world.writes().len(), 1, "{write:?}");
    }
}

#[tokio::test]
async fn a_write_that_no_read_can_verify_is_unknown() {
    for write in WRITES {
        let world = World::configured(soon).await;
        world.arm(FaultKind::Reset { when: When::After }, write.route());
        world.handle.arm(
            followme::simulator::Fault::once(FaultKind::Html { status: 503 })
                .on(Route::GetAll)
                .after(1)
                .times(1000),
        );
        let failed = failure(write.send(&world).await);
        world.assert_fired("reset");
        assert!(world.handle.fired_count("html") >= 1);
        assert_eq!(failed.code, Code::Unknown);
        assert_eq!(failed.reason, "OUTCOME_UNKNOWN");
        assert_eq!(world.effects().len(), 1, "{write:?}");
        assert_eq!(world.writes().len(), 1, "{write:?}");
    }
}
