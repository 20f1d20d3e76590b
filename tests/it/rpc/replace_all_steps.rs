//! ReplaceAll whose steps fail, stay unknown or lose their answers.

use followme::{
    grpc::pb::{
        self,
        replace_step::{Action, Outcome},
    },
    simulator::{EffectKind, FaultKind, Options, Route, StoredNumber, When},
};
use tonic::Code;

use super::replace_all::steps;
use crate::support::{SOON, World, demo, failure, new_number, replace, stored_number};

#[tokio::test]
async fn a_failed_step_stops_the_plan_and_reports_its_progress() {
    let world = World::start().await;
    let before = world.read(1001).await;
    let numbers = vec![
        pb::FollowMeNumber {
            name: "Bus".to_owned(),
            // So that the same call can be made again.
            etag: String::new(),
            ..before.numbers[0].clone()
        },
        before.numbers[1].clone(),
        new_number("a", "*72"),
        new_number("b", "15550122"),
        new_number("c", "15550123"),
    ];
    world.handle.arm(
        followme::simulator::Fault::once(FaultKind::NotSuccess { when: When::Before })
            .on(Route::Add)
            .after(1),
    );
    let stopped = failure(world.replace_all(replace(1001, numbers.clone())).await);
    world.assert_fired("not_success");
    assert_eq!(stopped.code, Code::Aborted);
    assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
    let now = world.read(1001).await;
    assert_eq!(stopped.meta("etag"), Some(now.list_etag.as_str()));
    let incomplete = stopped.incomplete();
    assert_eq!(incomplete.list_etag, now.list_etag);
    assert_eq!(incomplete.omitted_steps, 0);
    // What is not done comes first.
    assert_eq!(
        steps(&incomplete.steps),
        [
            (4, Action::Add, 0, Outcome::Failed),
            (1, Action::Keep, 70002, Outcome::Done),
            (0, Action::Update, 70001, Outcome::Done),
            (2, Action::Update, 70003, Outcome::Done),
            (3, Action::Add, 70005, Outcome::Done),
        ]
    );
    assert_eq!(incomplete.steps[0].reason, "UPSTREAM_REFUSED");

    // The same call continues from there.
    let effects = world.effects().len();
    let answer = world
        .replace_all(replace(1001, numbers))
        .await
        .expect("the list is replaced");
    assert_eq!(answer.numbers.len(), 5);
    assert_eq!(world.effects().len(), effects + 1);
}

#[tokio::test]
async fn steps_after_a_failed_one_are_not_started() {
    let world = World::start().await;
    world.arm(FaultKind::NotSuccess { when: When::Before }, Route::Delete);
    let request = pb::ReplaceAllRequest {
        allow_empty: true,
        ..replace(1001, Vec::new())
    };
    let stopped = failure(world.replace_all(request).await);
    world.assert_fired("not_success");
    assert_eq!(
        steps(&stopped.incomplete().steps),
        [
            (-1, Action::Delete, 70001, Outcome::Failed),
            (-1, Action::Delete, 70002, Outcome::NotStarted),
            (-1, Action::Delete, 70003, Outcome::NotStarted),
        ]
    );
    assert_eq!(world.effects(), []);
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test]
async fn a_step_whose_outcome_is_unknown_stops_the_plan() {
    let world = World::with(Options { ..demo() }, |config| {
        config.operations.write_limit = SOON
    })
    .await;
    world.arm(FaultKind::Reset { when: When::Before }, Route::Add);
    let numbers = vec![new_number("a", "15550121"), new_number("b", "15550122")];
    let stopped = failure(world.replace_all(replace(1003, numbers)).await);
    world.assert_fired("reset");
    assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
    let incomplete = stopped.incomplete();
    assert_eq!(
        steps(&incomplete.steps),
        [
            (0, Action::Add, 0, Outcome::Unknown),
            (1, Action::Add, 0, Outcome::NotStarted),
        ]
    );
    assert_eq!(incomplete.steps[0].reason, "OUTCOME_UNKNOWN");
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test]
async fn steps_whose_answers_are_lost_are_verified_and_done_once() {
    let world = World::start().await;
    world.arm(FaultKind::Reset { when: When::After }, Route::Add);
    world.arm(FaultKind::Truncated { bytes: 30 }, Route::UpdateAll);
    world.arm(FaultKind::Html { status: 500 }, Route::Delete);
    world.seed(
        1001,
        vec![
            StoredNumber {
                id: 80001,
                ..stored_number("a", "15550101", 1)
            },
            StoredNumber {
                id: 80002,
                ..stored_number("b", "15550102", 2)
            },
        ],
    );
    // 80002 is matched by nothing only where every other number names an id.
    let number = pb::FollowMeNumber {
        number_id: 80001,
        ..new_number("A", "15550101")
    };
    world
        .replace_all(replace(1001, vec![number.clone()]))
        .await
        .expect("the list is replaced");
    world
        .replace_all(replace(1001, vec![number, new_number("c", "15550103")]))
        .await
        .expect("the list is replaced");
    for name in ["reset", "truncated", "html"] {
        world.assert_fired(name);
    }
    let kinds: Vec<EffectKind> = world.effects().iter().map(|effect| effect.kind).collect();
    assert_eq!(
        kinds,
        [EffectKind::Update, EffectKind::Delete, EffectKind::Add]
    );
    assert_eq!(world.read(1001).await.total_size, 2);
}

#[tokio::test]
async fn the_progress_of_a_long_plan_fits_a_status() {
    let world = World::start().await;
    world.handle.arm(
        followme::simulator::Fault::once(FaultKind::NotSuccess { when: When::Before })
            .on(Route::Add)
            .after(3),
    );
    let numbers = (0..100)
        .map(|index| new_number("n", &format!("{}", 15_550_100 + index)))
        .collect();
    let stopped = failure(world.replace_all(replace(1003, numbers)).await);
    let incomplete = stopped.incomplete();
    assert_eq!(incomplete.steps[0].outcome(), Outcome::Failed);
    assert_eq!(incomplete.steps[0].index, 3);
    let shown = i32::try_from(incomplete.steps.len()).expect("at most 100");
    assert_eq!(shown + incomplete.omitted_steps, 100);
    assert!(shown >= 20, "{shown}");
}
