//! What a reply to a write proves: that the service is done, that nothing ran, or neither.

use followme::{
    config::Config,
    simulator::{FaultKind, Route, When},
};
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{Failure, SOON, World, add, failure, new_number};

/// Gives up the verification of what stays unknown.
fn soon(config: &mut Config) {
    config.upstream.write_timeout = SOON;
    config.operations.write_limit = 2 * SOON;
}

fn status(status: u16, content_type: &str, body: &str) -> FaultKind {
    FaultKind::Status {
        status,
        reason: None,
        body: body.to_owned(),
        content_type: Some(content_type.to_owned()),
    }
}

/// A lone `ResponseStatus` behind the standard reason phrase of its status.
fn response_status(code: u16, error_code: &str) -> FaultKind {
    let body = format!("ResponseStatus\n\"{{ErrorCode:{error_code},Message:x,Errors:[]}}\"\n");
    status(code, "text/csv", &body)
}

fn page(code: u16) -> FaultKind {
    status(code, "text/html", "<html><body>gateway</body></html>")
}

/// Sends an add into a reply that comes in place of the effect. Returns how it failed, and how many
/// requests it took.
async fn fails(kind: FaultKind, edit: fn(&mut Config)) -> (Failure, usize) {
    let world = World::configured(edit).await;
    world.arm(kind.clone(), Route::Add);
    let result = world.add(add(new_number("Van", "15550121"))).await;
    world.assert_fired(kind.name());
    assert_eq!(world.writes().len(), 1, "{kind:?}");
    assert_eq!(world.effects(), [], "{kind:?}");
    (failure(result), world.handle.requests().len())
}

/// Sends an add into each of the replies, all at once.
async fn each_fails(
    kinds: Vec<FaultKind>,
    edit: fn(&mut Config),
) -> Vec<(FaultKind, Failure, usize)> {
    let mut tasks = JoinSet::new();
    for kind in kinds {
        tasks.spawn(async move {
            let (failed, requests) = fails(kind.clone(), edit).await;
            (kind, failed, requests)
        });
    }
    tasks.join_all().await
}

/// Replies that come while the service still runs.
fn of_a_gateway() -> Vec<FaultKind> {
    let mut kinds: Vec<_> = [
        300, 301, 302, 303, 307, 308, 408, 499, 502, 503, 504, 506, 507, 508, 509, 510, 511, 520,
        521, 522, 523, 524, 525, 526, 527, 529, 530, 561, 598, 599,
    ]
    .into_iter()
    .map(page)
    .collect();
    kinds.extend([
        page(200),
        page(203),
        page(205),
        page(206),
        page(226),
        status(200, "text/plain", "OK"),
        status(200, "text/csv", "FollowMeNumbers,success\n[],True\n"),
        status(
            502,
            "text/csv",
            "ResponseStatus,success\n{ErrorCode:SqlException},False\n",
        ),
        status(204, "text/csv", ""),
        status(200, "application/json", "{}"),
        status(200, "text/csv", "a,b\n1,2\n"),
        status(
            503,
            "text/plain",
            "upstream connect error or disconnect/reset before headers",
        ),
    ]);
    kinds
}

#[tokio::test]
async fn the_reply_of_a_gateway_leaves_an_add_unknown() {
    for (kind, failed, _) in each_fails(of_a_gateway(), soon).await {
        assert_eq!(failed.code, Code::Unknown, "{kind:?}");
        assert_eq!(failed.reason, "OUTCOME_UNKNOWN", "{kind:?}");
    }
}

#[tokio::test]
async fn without_a_gateway_every_http_answer_is_final() {
    for (kind, failed, _) in
        each_fails(of_a_gateway(), |config| config.upstream.gateway = false).await
    {
        assert_eq!(failed.code, Code::Aborted, "{kind:?}");
        assert_eq!(failed.reason, "WRITE_NOT_DONE", "{kind:?}");
    }
}

#[tokio::test]
async fn the_reply_of_the_service_is_final_whatever_its_status() {
    let when = When::Before;
    let record = |status| FaultKind::DefaultRecord { status, when };
    let mut kinds: Vec<_> = [
        400, 402, 404, 405, 407, 409, 410, 413, 414, 418, 421, 425, 429, 431, 451, 460, 494, 498,
        500, 501, 505,
    ]
    .into_iter()
    .map(page)
    .collect();
    kinds.extend([200, 302, 408, 499, 502, 503, 504, 511, 524, 530, 599].map(record));
    kinds.extend([
        response_status(503, "TimeoutException"),
        response_status(524, "SqlException"),
        response_status(408, "TimeoutException"),
    ]);
    for (kind, failed, requests) in each_fails(kinds, |_| {}).await {
        assert_ne!(failed.reason, "OUTCOME_UNKNOWN", "{kind:?}");
        // The list before, the write, and the list that proves that it was not done.
        assert!(requests >= 3, "{kind:?}");
    }
}

#[tokio::test]
async fn a_response_status_of_the_service_s_own_error_proves_nothing_by_itself() {
    let mut kinds = Vec::new();
    for code in [400, 405, 500] {
        for error in [
            "SqlException",
            "ArgumentException",
            "SerializationException",
            "FormatException",
            "NotImplementedException",
            "Exception",
            "",
        ] {
            kinds.push(response_status(code, error));
        }
    }
    // The framework's codes, with the status of the other one.
    kinds.push(response_status(500, "RequestBindingException"));
    kinds.push(response_status(400, "HttpRequestValidationException"));
    for (kind, failed, requests) in each_fails(kinds, |_| {}).await {
        assert_ne!(failed.reason, "OUTCOME_UNKNOWN", "{kind:?}");
        assert!(requests >= 3, "{kind:?}: the list is read again");
    }
    let kinds = vec![
        response_status(400, "RequestBindingException"),
        response_status(500, "HttpRequestValidationException"),
    ];
    for (kind, _, requests) in each_fails(kinds.clone(), |_| {}).await {
        assert_eq!(requests, 3, "{kind:?}: one read confirms that nothing ran");
    }
    for (kind, _, requests) in each_fails(kinds, |config| config.upstream.gateway = false).await {
        assert_eq!(requests, 2, "{kind:?}: nothing ran");
    }
}

#[tokio::test]
async fn an_update_that_ran_is_not_sent_again_after_a_response_status() {
    for error in [
        "SqlException",
        "ArgumentException",
        "SerializationException",
    ] {
        let world = World::start().await;
        let body = format!("ResponseStatus\n\"{{ErrorCode:{error},Message:x,Errors:[]}}\"\n");
        let text = format!(
            "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/csv\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        world.arm(FaultKind::Raw { text }, Route::Add);
        world
            .add(add(new_number("Van", "15550121")))
            .await
            .expect("it was added");
        world.assert_fired("raw");
        assert_eq!(world.writes().len(), 1, "{error}");
        assert_eq!(world.effects().len(), 1, "{error}");
    }
}

/// Sends an add into a 503 that comes after the effect. Returns whether the reply was taken for the
/// proof that nothing ran.
async fn proves_that_nothing_ran(head: &str, body: &str) -> bool {
    let world = World::start().await;
    let length = body.len();
    let text =
        format!("HTTP/1.1 503 Service Unavailable\r\n{head}Content-Length: {length}\r\n\r\n{body}");
    world.arm(FaultKind::Raw { text }, Route::Add);
    let result = world.add(add(new_number("Van", "15550121"))).await;
    world.assert_fired("raw");
    let proves = world.handle.requests().len() == 2;
    assert_eq!(result.is_err(), proves, "{head}{body}");
    if proves {
        assert_eq!(failure(result).code, Code::Unavailable);
    }
    proves
}

#[tokio::test]
async fn only_the_page_of_http_sys_proves_by_a_503_that_nothing_ran() {
    const PAGE: &str = "<HTML><HEAD><TITLE>Service Unavailable</TITLE></HEAD>\
                        <BODY><h2>Service Unavailable</h2><p>HTTP Error 503.</p></BODY></HTML>";
    const SERVER: &str = "Server: Microsoft-HTTPAPI/2.0\r\n";
    const HTML: &str = "Content-Type: text/html; charset=us-ascii\r\n";
    const CLOSE: &str = "Connection: close\r\n";
    assert!(proves_that_nothing_ran(&format!("{HTML}{SERVER}{CLOSE}"), PAGE).await);
    for (head, body) in [
        // Self-hosted services send the header field on all their answers.
        (format!("{HTML}{SERVER}"), PAGE),
        (format!("{HTML}{SERVER}{CLOSE}"), "<html>Busy</html>"),
        (format!("Content-Type: text/plain\r\n{SERVER}{CLOSE}"), PAGE),
        (format!("{HTML}Server: awselb/2.0\r\n{CLOSE}"), PAGE),
        (format!("{HTML}{CLOSE}"), PAGE),
        (format!("{HTML}{SERVER}Connection: keep-alive\r\n"), PAGE),
    ] {
        assert!(!proves_that_nothing_ran(&head, body).await, "{head}{body}");
    }
}
