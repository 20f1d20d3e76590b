//! ReplaceAll beside concurrent changes: what it does not overwrite, and where it stops.

use followme::{
    grpc::pb::{self, replace_step::Outcome},
    simulator::{Fault, FaultKind, Knobs, Options, Route, UpdateAll as Scope, When},
    upstream::UpdateAll,
};

use super::{adds, changed_by_others, hold};
use crate::support::{LICENSE, SOON, World, demo, failure, new_number, replace};

/// Renames the first two numbers of account 1001; a concurrent writer changes the second while the
/// first is written.
async fn rename_two(etags: bool) -> (World, Result<pb::ReplaceAllResponse, tonic::Status>) {
    let world = World::start().await;
    let mut numbers = world.read(1001).await.numbers;
    for (number, name) in numbers.iter_mut().zip(["First", "Second"]) {
        number.name = name.to_owned();
        number.ring_timeout = None;
    }
    if !etags {
        for number in &mut numbers {
            number.etag.clear();
        }
    }
    let second = numbers[1].number_id;
    hold(&world, Route::UpdateAll, When::After);
    let others = async {
        world.handle.wait_for_fired("hold", 1).await;
        changed_by_others(&world, second, |number| number.timeout = Some(55));
        world.handle.release();
    };
    let (replaced, ()) = tokio::join!(world.replace_all(replace(1001, numbers)), others);
    assert_eq!(world.stored(1001, second).timeout, Some(55));
    (world, replaced)
}

#[tokio::test]
async fn an_absent_field_is_not_overwritten_with_a_stale_value() {
    let (_, replaced) = rename_two(false).await;
    let replaced = replaced.expect("it is replaced");
    assert_eq!(replaced.numbers[1].name, "Second");
    let timeout = replaced.numbers[1].ring_timeout.as_ref();
    assert_eq!(timeout.expect("one").seconds, 55);
}

#[tokio::test]
async fn a_stale_etag_of_a_number_stops_the_plan() {
    let (world, replaced) = rename_two(true).await;
    let stopped = failure(replaced);
    assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
    let steps = stopped.incomplete().steps;
    assert_eq!(steps[0].outcome(), Outcome::Failed);
    assert_eq!(steps[0].reason, "ETAG_MISMATCH");
    let names: Vec<String> = world
        .read(1001)
        .await
        .numbers
        .into_iter()
        .map(|number| number.name)
        .collect();
    assert_eq!(names[0], "First");
    assert_ne!(names[1], "Second");
}

#[tokio::test]
async fn a_number_that_is_kept_stops_the_plan_if_it_changed_or_vanished() {
    for vanishes in [false, true] {
        let world = World::start().await;
        let mut numbers = world.read(1001).await.numbers;
        numbers[0].name = "First".to_owned();
        numbers.push(new_number("Van", "15550121"));
        let kept = numbers[2].number_id;
        hold(&world, Route::UpdateAll, When::After);
        let others = async {
            world.handle.wait_for_fired("hold", 1).await;
            if vanishes {
                let mut left = world.handle.numbers(LICENSE, 1001).expect("seeded");
                left.retain(|number| number.id != kept);
                world.seed(1001, left);
            } else {
                changed_by_others(&world, kept, |number| number.timeout = Some(55));
            }
            world.handle.release();
        };
        let request = pb::ReplaceAllRequest {
            request_id: "id-1".to_owned(),
            ..replace(1001, numbers)
        };
        let (replaced, ()) = tokio::join!(world.replace_all(request.clone()), others);
        let stopped = failure(replaced);
        assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
        let steps = stopped.incomplete().steps;
        let failed = steps.iter().find(|step| step.outcome() == Outcome::Failed);
        assert_eq!(failed.expect("one failed").reason, "ETAG_MISMATCH");
        assert_eq!(adds(&world), 0, "nothing is written after that");
        // The same call does not continue over the change, either.
        let again = failure(world.replace_all(request).await);
        // A number that is gone cannot be asked for at all.
        let reason = if vanishes {
            "INVALID_REQUEST"
        } else {
            "ETAG_MISMATCH"
        };
        assert_eq!(again.reason, reason);
        assert_eq!(adds(&world), 0);
    }
}

#[tokio::test]
async fn an_etag_of_a_number_without_an_id_is_a_violation() {
    let world = World::start().await;
    let mut number = new_number("Desk", "15550130");
    number.etag = world.number(1001, 70001).await.etag;
    let refused = failure(world.replace_all(replace(1003, vec![number])).await);
    assert_eq!(refused.fields(), ["numbers[0].etag"]);
}

#[tokio::test]
async fn an_unknown_add_of_a_whole_list_post_is_not_sent_again() {
    for when in [When::Before, When::After] {
        let options = Options {
            knobs: Knobs {
                update_all: Scope::List,
                reads_csv_bodies: Some(true),
                ..Knobs::default()
            },
            ..demo()
        };
        let world = World::with(options, |config| {
            config.upstream.update_all = UpdateAll::WholeList;
            config.upstream.write_timeout = SOON;
            config.operations.write_limit = SOON;
        })
        .await;
        let request = pb::ReplaceAllRequest {
            request_id: "id-1".to_owned(),
            ..replace(1003, vec![new_number("A", "15550140")])
        };
        world.arm(FaultKind::Reset { when }, Route::UpdateAll);
        world.handle.arm(
            Fault::once(FaultKind::NullList)
                .on(Route::GetAll)
                .after(1)
                .times(1000),
        );
        let stopped = failure(world.replace_all(request.clone()).await);
        assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
        world.assert_fired("reset");
        world.handle.disarm_all();
        let again = world.replace_all(request).await;
        assert_eq!(world.writes().len(), 1, "{when:?}");
        if when == When::After {
            assert_eq!(again.expect("it is there").numbers.len(), 1);
        } else {
            let stopped = failure(again);
            assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
            let steps = stopped.incomplete().steps;
            assert_eq!(steps[0].outcome(), Outcome::Unknown);
        }
        assert!(adds(&world) <= 1);
    }
}

#[tokio::test]
async fn a_replace_all_that_continues_writes_again_what_somebody_else_changed() {
    let world = World::start().await;
    let mut numbers = world.read(1001).await.numbers;
    let first = numbers[0].number_id;
    numbers[0].name = "First".to_owned();
    numbers.push(new_number("New", "15550140"));
    let request = pb::ReplaceAllRequest {
        request_id: "id-1".to_owned(),
        ..replace(1001, numbers)
    };
    let refusal = FaultKind::NotSuccess { when: When::Before };
    world.arm(refusal, Route::Add);
    let stopped = failure(world.replace_all(request.clone()).await);
    assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
    world.assert_fired("not_success");
    assert_eq!(world.number(1001, first).await.name, "First");
    changed_by_others(&world, first, |number| {
        number.name = Some("Theirs".to_owned());
    });
    let replaced = world.replace_all(request).await.expect("it continues");
    assert_eq!(replaced.numbers[0].name, "First");
    assert_eq!(world.number(1001, first).await.name, "First");
    assert_eq!(adds(&world), 1);
}
