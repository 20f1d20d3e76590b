//! `upstream.update_all = "whole-list"`: a ReplaceAll as one POST, and what it leaves to single writes.

use followme::{
    grpc::pb::{
        self,
        replace_step::{Action, Outcome},
    },
    simulator::{Dialect, EffectKind, Fault, FaultKind, Knobs, Route, UpdateAll as Scope},
    upstream::UpdateAll,
};

use super::collateral::{HEADER, PLAIN_TEXT, body, clear_domain, host, posts};
use crate::support::{LICENSE, World, new_number, replace};

/// A host that takes the records of a CSV for the whole list.
async fn whole_list_host() -> World {
    let knobs = Knobs {
        update_all: Scope::List,
        reads_csv_bodies: Some(true),
        ..Knobs::default()
    };
    let world = host(knobs, Dialect::V3, UpdateAll::WholeList).await;
    // Quotes in a name or braces in a period would keep the list out of CSV, and so would an
    // integer that only some of the numbers have.
    let mut numbers = world.handle.numbers(LICENSE, 1001).expect("seeded");
    for (number, order) in numbers.iter_mut().zip(1..) {
        number.name = Some(PLAIN_TEXT.to_owned());
        number.period = Some("Always".to_owned());
        (number.order, number.timeout) = (Some(order), Some(20));
    }
    world.seed(1001, numbers);
    world
}

#[tokio::test]
async fn the_whole_list_is_posted_as_one_csv() {
    let world = whole_list_host().await;
    let before = world.read(1001).await;
    let numbers = vec![
        new_number("Van", "15550121"),
        before.numbers[0].clone(),
        pb::FollowMeNumber {
            name: "Car".to_owned(),
            ..before.numbers[1].clone()
        },
        new_number("Bus", "15550122"),
    ];
    let answer = world
        .replace_all(replace(1001, numbers))
        .await
        .expect("the list is replaced");
    let actions: Vec<_> = answer
        .steps
        .iter()
        .map(|step| (step.index, step.action(), step.outcome()))
        .collect();
    assert_eq!(
        actions,
        [
            (1, Action::Keep, Outcome::Done),
            (0, Action::Update, Outcome::Done),
            (2, Action::Update, Outcome::Done),
            (3, Action::Add, Outcome::Done),
        ]
    );
    let [post] = &world.writes()[..] else {
        panic!("one POST");
    };
    let text = body(post);
    assert!(text.starts_with(HEADER));
    assert_eq!(text.matches("\"DEMO-KEY\"").count(), 4);
    let now = world.read(1001).await;
    assert_eq!(now.numbers, answer.numbers);
    assert_eq!(now.total_size, 4);
    assert_eq!(now.list_etag, answer.list_etag);

    // What is no longer in it is gone.
    let answer = world
        .replace_all(replace(1001, vec![now.numbers[1].clone()]))
        .await
        .expect("the list is replaced");
    assert_eq!(answer.numbers, [now.numbers[1].clone()]);
    assert_eq!(world.writes().len(), 2);

    // An empty list is no CSV: single deletes do it.
    world
        .replace_all(pb::ReplaceAllRequest {
            allow_empty: true,
            ..replace(1001, Vec::new())
        })
        .await
        .expect("the list is emptied");
    assert_eq!(world.read(1001).await.numbers, []);
    assert_eq!(posts(&world).len(), 2);
}

#[tokio::test]
async fn repair_posts_the_whole_list_if_configured() {
    let world = whole_list_host().await;
    let answer = world.update(clear_domain()).await.expect("it is updated");
    assert_eq!(answer.unapplied_fields, [""; 0]);
    assert_eq!(world.read(1001).await.total_size, 3);
    let [post] = &posts(&world)[..] else {
        panic!("one POST");
    };
    assert_eq!(body(post).matches("\"DEMO-KEY\"").count(), 3);
}

#[tokio::test]
async fn single_writes_finish_what_a_whole_list_post_left() {
    // The framework's own reader drops all records but the first.
    let knobs = Knobs {
        reads_csv_bodies: Some(true),
        ..Knobs::default()
    };
    let world = host(knobs, Dialect::V4, UpdateAll::WholeList).await;
    let before = world.read(1001).await;
    let numbers = vec![
        pb::FollowMeNumber {
            name: "First".to_owned(),
            ..before.numbers[0].clone()
        },
        pb::FollowMeNumber {
            name: "Second".to_owned(),
            ..before.numbers[1].clone()
        },
        new_number("Third", "*72"),
        new_number("Fourth", "15550124"),
    ];
    let answer = world
        .replace_all(replace(1001, numbers))
        .await
        .expect("the list is replaced");
    let names: Vec<&str> = answer
        .numbers
        .iter()
        .map(|number| number.name.as_str())
        .collect();
    assert_eq!(names, ["First", "Second", "Fourth", "Third"]);
    assert!(
        answer
            .steps
            .iter()
            .all(|step| step.outcome() == Outcome::Done)
    );
    assert_eq!(answer.steps.len(), 4);
}

#[tokio::test]
async fn a_refused_whole_list_is_done_by_single_writes() {
    // v3 reads no CSV body.
    let world = host(Knobs::default(), Dialect::V3, UpdateAll::WholeList).await;
    let mut numbers = world.read(1002).await.numbers;
    numbers.push(new_number("Van", "15550121"));
    let answer = world
        .replace_all(replace(1002, numbers))
        .await
        .expect("the list is replaced");
    assert_eq!(answer.numbers.len(), 2);
    let effects: Vec<EffectKind> = world.effects().iter().map(|effect| effect.kind).collect();
    assert_eq!(effects, [EffectKind::Add]);
}

#[tokio::test]
async fn a_whole_list_whose_answer_is_lost_is_verified_by_reading() {
    let world = whole_list_host().await;
    let before = world.read(1001).await;
    world.handle.arm(
        Fault::once(FaultKind::Reset {
            when: followme::simulator::When::After,
        })
        .on(Route::UpdateAll),
    );
    let numbers = vec![new_number("Van", "15550121"), before.numbers[0].clone()];
    let answer = world
        .replace_all(replace(1001, numbers))
        .await
        .expect("the list is replaced");
    world.assert_fired("reset");
    assert_eq!(answer.numbers.len(), 2);
    assert_eq!(world.writes().len(), 1);
}
