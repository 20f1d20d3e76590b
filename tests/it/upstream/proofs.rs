//! Replies that say that nothing ran, of a gateway that had passed the request on before: a repeated
//! request that a hop garbled, or that it sent to a host without the route.

use followme::{
    grpc::pb,
    simulator::{EffectKind, Fault, FaultKind, Route, When},
};
use tonic::Code;

use crate::support::{Failure, SOON, World, add_to, delete, failure, new_number, replace, update};

/// Status line, Content-Type and body of the replies.
fn replies() -> Vec<(&'static str, &'static str, String)> {
    let status = |code: &str| format!("ResponseStatus\n\"{{ErrorCode:{code},Message:x}}\"\n");
    vec![
        ("404 Not Found", "text/plain", "404".to_owned()),
        (
            "404 Not Found",
            "text/plain; charset=utf-8",
            "no such page".to_owned(),
        ),
        (
            "400 Bad Request",
            "text/csv",
            status("RequestBindingException"),
        ),
        (
            "500 Internal Server Error",
            "text/csv",
            status("HttpRequestValidationException"),
        ),
    ]
}

/// Makes a fault that sends a reply after the effect.
fn after_the_effect((line, content_type, body): &(&str, &str, String)) -> FaultKind {
    let length = body.len();
    FaultKind::Raw {
        text: format!(
            "HTTP/1.1 {line}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        ),
    }
}

fn kinds(world: &World) -> Vec<EffectKind> {
    world.effects().iter().map(|effect| effect.kind).collect()
}

#[tokio::test]
async fn a_write_that_ran_is_ok_although_its_reply_says_that_nothing_ran() {
    for reply in replies() {
        let world = World::start().await;
        for route in [Route::Add, Route::Update, Route::Delete] {
            world.arm(after_the_effect(&reply), route);
        }
        world
            .add(add_to(1003, new_number("Van", "15550121")))
            .await
            .unwrap_or_else(|error| panic!("{reply:?}: {error:?}"));
        let renamed = update(70001, &["name"], new_number("New", ""));
        world.update(renamed).await.expect("it is updated");
        world.delete(delete(70002)).await.expect("it is deleted");
        assert_eq!(world.handle.fired_count("raw"), 3);
        assert_eq!(
            kinds(&world),
            [EffectKind::Add, EffectKind::Update, EffectKind::Delete]
        );
    }
}

#[tokio::test]
async fn a_post_that_ran_is_not_sent_again_in_another_format() {
    for reply in replies() {
        let world = World::start().await;
        world.arm(after_the_effect(&reply), Route::UpdateAll);
        let cleared = update(70001, &["domain"], pb::FollowMeNumber::default());
        let updated = world.update(cleared).await.expect("it is updated");
        assert_eq!(updated.unapplied_fields, [""; 0], "{reply:?}");
        world.assert_fired("raw");
        let posts = world.writes();
        let posts = posts.iter().filter(|write| write.method == "POST");
        assert_eq!(posts.count(), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn a_step_that_ran_is_done_although_its_reply_says_that_nothing_ran() {
    for reply in replies() {
        let world = World::start().await;
        let mut numbers = world.read(1001).await.numbers;
        numbers[0].name = "First".to_owned();
        numbers.push(new_number("Van", "15550121"));
        for route in [Route::UpdateAll, Route::Add] {
            world.arm(after_the_effect(&reply), route);
        }
        let replaced = world
            .replace_all(replace(1001, numbers))
            .await
            .unwrap_or_else(|error| panic!("{reply:?}: {error:?}"));
        assert_eq!(replaced.numbers.len(), 4);
        let paths = world.write_paths();
        assert_eq!(paths.len(), 2, "{reply:?}: {paths:?}");
        assert_eq!(world.handle.fired_count("raw"), 2, "{paths:?}");
    }
}

/// Adds under a request id.
async fn add_with_id(world: &World) -> Result<pb::AddResponse, tonic::Status> {
    let request = pb::AddRequest {
        request_id: "id-1".to_owned(),
        ..add_to(1003, new_number("Van", "15550121"))
    };
    world.add(request).await
}

async fn unknown_until_read(reply: &(&'static str, &'static str, String)) -> (World, Failure) {
    let world = World::configured(|config| {
        config.operations.write_limit = 2 * SOON;
        config.upstream.breaker.failures = u32::MAX;
    })
    .await;
    world.arm(after_the_effect(reply), Route::Add);
    let reset = Fault::once(FaultKind::Reset { when: When::Before });
    world
        .handle
        .arm(reset.on(Route::GetAll).after(1).times(u32::MAX));
    let failed = failure(add_with_id(&world).await);
    world.handle.disarm_all();
    (world, failed)
}

#[tokio::test]
async fn without_a_read_such_a_reply_proves_nothing() {
    for reply in replies() {
        let (world, unknown) = unknown_until_read(&reply).await;
        assert_eq!(unknown.code, Code::Unknown, "{reply:?}");
        assert_eq!(unknown.reason, "OUTCOME_UNKNOWN", "{reply:?}");
        let added = add_with_id(&world).await.expect("it was added");
        assert_eq!(added.number.expect("a number").name, "Van");
        assert_eq!(kinds(&world), [EffectKind::Add]);
    }
}
