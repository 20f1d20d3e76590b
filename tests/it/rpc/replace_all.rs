//! ReplaceAll.

use followme::{
    grpc::pb::{
        self,
        replace_step::{Action, Outcome},
    },
    simulator::{EffectKind, StoredNumber},
};
use tonic::Code;

use crate::support::{
    World, failure, full_number, in_every_dialect, new_number, replace, seconds, settable,
    stored_number,
};

/// What a step did: its position, action, number and outcome.
pub(super) fn steps(steps: &[pb::ReplaceStep]) -> Vec<(i32, Action, i32, Outcome)> {
    steps
        .iter()
        .map(|step| (step.index, step.action(), step.number_id, step.outcome()))
        .collect()
}

in_every_dialect!(
    a_list_becomes_the_desired_one,
    a_list_can_be_emptied,
    an_empty_account_can_be_filled,
);

async fn a_list_becomes_the_desired_one(world: World) {
    let before = world.read(1001).await;
    let desk = before.numbers[0].clone();
    let mobile = pb::FollowMeNumber {
        number_id: 70002,
        ..full_number()
    };
    let van = new_number("Van", "15550121");
    let answer = world
        .replace_all(replace(1001, vec![van.clone(), mobile, desk.clone()]))
        .await
        .expect("the list is replaced");
    assert_eq!(
        steps(&answer.steps),
        [
            (2, Action::Keep, 70001, Outcome::Done),
            (0, Action::Update, 70003, Outcome::Done),
            (1, Action::Update, 70002, Outcome::Done),
        ]
    );
    let [first, second, third] = &answer.numbers[..] else {
        panic!("three numbers: {answer:?}");
    };
    assert_eq!(*first, desk);
    assert_eq!(settable(second), full_number());
    // The third of the list was free, so it was matched; absent fields keep their values.
    assert_eq!(
        settable(third),
        pb::FollowMeNumber {
            active: Some(false),
            status: Some(false),
            ..van
        }
    );
    let now = world.read(1001).await;
    assert_eq!(now.numbers, answer.numbers);
    assert_eq!(now.list_etag, answer.list_etag);
    assert_eq!(now.settings, answer.settings);
    let kinds: Vec<EffectKind> = world.effects().iter().map(|effect| effect.kind).collect();
    assert_eq!(kinds, [EffectKind::Update, EffectKind::Update]);
}

async fn a_list_can_be_emptied(world: World) {
    let refused = failure(world.replace_all(replace(1001, Vec::new())).await);
    assert_eq!(refused.code, Code::InvalidArgument);
    assert_eq!(refused.fields(), ["numbers"]);
    assert!(refused.violation("numbers").contains("allow_empty"));
    assert_eq!(world.handle.requests().len(), 0);

    let answer = world
        .replace_all(pb::ReplaceAllRequest {
            allow_empty: true,
            ..replace(1001, Vec::new())
        })
        .await
        .expect("the list is emptied");
    assert_eq!(answer.numbers, []);
    assert_eq!(
        steps(&answer.steps),
        [70001, 70002, 70003].map(|id| (-1, Action::Delete, id, Outcome::Done))
    );
    assert_eq!(world.read(1001).await.numbers, []);
    // Two values each: delete_forward is not set.
    assert_eq!(
        world.write_paths(),
        [70001, 70002, 70003].map(|id| format!("GET /deletefollowme/DEMO-KEY/{id}"))
    );
}

async fn an_empty_account_can_be_filled(world: World) {
    let numbers = vec![
        new_number("a", "15550121"),
        pb::FollowMeNumber {
            order: Some(5),
            ..new_number("b", "15550122")
        },
        new_number("c", "15550123"),
    ];
    let answer = world
        .replace_all(replace(1003, numbers))
        .await
        .expect("the list is filled");
    let shown: Vec<_> = answer
        .numbers
        .iter()
        .map(|number| (number.name.as_str(), number.order, number.active))
        .collect();
    assert_eq!(
        shown,
        [
            ("b", Some(5), Some(true)),
            ("a", Some(6), Some(true)),
            ("c", Some(7), Some(true))
        ]
    );
    assert!(
        answer
            .numbers
            .iter()
            .all(|number| number.ring_timeout == seconds(30))
    );
    assert!(
        answer
            .steps
            .iter()
            .all(|step| step.action() == Action::Add && step.outcome() == Outcome::Done)
    );
}

#[tokio::test]
async fn numbers_are_matched_by_id_then_by_destination_then_by_position() {
    let world = World::start().await;
    let numbers = vec![
        // By position: what is left is the first.
        new_number("new", "15550199"),
        // By destination.
        pb::FollowMeNumber {
            active: Some(true),
            ..new_number("star", "*72")
        },
        // By id, although it now is another destination.
        pb::FollowMeNumber {
            number_id: 70002,
            ..new_number("moved", "15550101")
        },
        // An id that the list does not have is added.
        pb::FollowMeNumber {
            number_id: 79999,
            ..new_number("gone", "15550198")
        },
    ];
    let answer = world
        .replace_all(replace(1001, numbers))
        .await
        .expect("the list is replaced");
    assert_eq!(
        steps(&answer.steps),
        [
            (0, Action::Update, 70001, Outcome::Done),
            (1, Action::Update, 70003, Outcome::Done),
            (2, Action::Update, 70002, Outcome::Done),
            (3, Action::Add, 70005, Outcome::Done),
        ]
    );
    assert_eq!(world.effects().len(), 4);
}

#[tokio::test]
async fn updates_precede_adds_and_deletes_come_last() {
    let world = World::start().await;
    world.seed(
        1001,
        vec![
            stored_number("a", "15550101", 1),
            stored_number("b", "15550102", 2),
        ],
    );
    let ids: Vec<i32> = world
        .read(1001)
        .await
        .numbers
        .iter()
        .map(|number| number.number_id)
        .collect();
    let numbers = vec![
        new_number("c", "15550103"),
        pb::FollowMeNumber {
            number_id: ids[1],
            domain: "sip.example.com".to_owned(),
            ..new_number("B", "15550102")
        },
    ];
    world
        .replace_all(replace(1001, numbers.clone()))
        .await
        .expect("the list is replaced");
    let kinds: Vec<EffectKind> = world.effects().iter().map(|effect| effect.kind).collect();
    assert_eq!(kinds, [EffectKind::Update, EffectKind::Update]);

    // With nothing left to match, what is new is added before anything is deleted.
    world.seed(1001, vec![stored_number("a", "15550101", 1)]);
    let id = world.read(1001).await.numbers[0].number_id;
    let number = |index: i32, id| pb::FollowMeNumber {
        number_id: id,
        ..new_number("n", &format!("1555011{index}"))
    };
    let answer = world
        .replace_all(replace(1001, vec![number(1, 0), number(2, id)]))
        .await
        .expect("the list is replaced");
    assert_eq!(
        answer
            .steps
            .iter()
            .map(pb::ReplaceStep::action)
            .collect::<Vec<_>>(),
        [Action::Update, Action::Add]
    );
    let answer = world
        .replace_all(replace(1001, vec![number(2, id)]))
        .await
        .expect("the list is replaced");
    assert_eq!(
        answer
            .steps
            .iter()
            .map(|step| (step.index, step.action()))
            .collect::<Vec<_>>(),
        [(0, Action::Keep), (-1, Action::Delete)]
    );
}

#[tokio::test]
async fn an_absent_optional_keeps_the_value_and_an_empty_text_clears_it() {
    let world = World::start().await;
    world.seed(
        1001,
        vec![StoredNumber {
            id: 80001,
            status: true,
            ..stored_number("Desk", "15550101", 4)
        }],
    );
    let desired = pb::FollowMeNumber {
        number_id: 80001,
        ..new_number("Desk", "15550101")
    };
    let answer = world
        .replace_all(replace(1001, vec![desired]))
        .await
        .expect("the list is replaced");
    assert_eq!(
        settable(&answer.numbers[0]),
        pb::FollowMeNumber {
            order: Some(4),
            ring_timeout: seconds(20),
            active: Some(true),
            keep_original_cld: Some(false),
            caller_id_mode: pb::CallerIdMode::CallerNumberAndName.into(),
            status: Some(true),
            ..new_number("Desk", "15550101")
        }
    );
}

#[tokio::test]
async fn validate_only_shows_the_plan_and_writes_nothing() {
    let world = World::start().await;
    let before = world.read(1001).await;
    let numbers = vec![
        before.numbers[1].clone(),
        pb::FollowMeNumber {
            number_id: 70001,
            ..full_number()
        },
    ];
    let answer = world
        .replace_all(pb::ReplaceAllRequest {
            validate_only: true,
            ..replace(1001, numbers)
        })
        .await
        .expect("it is valid");
    assert_eq!(
        steps(&answer.steps),
        [
            (0, Action::Keep, 70002, Outcome::NotStarted),
            (1, Action::Update, 70001, Outcome::NotStarted),
            (-1, Action::Delete, 70003, Outcome::NotStarted),
        ]
    );
    assert_eq!(answer.numbers.len(), 2);
    assert_eq!(answer.numbers[0], before.numbers[1]);
    assert_eq!(settable(&answer.numbers[1]), full_number());
    assert_eq!(answer.list_etag, "");
    assert_eq!(world.writes().len(), 0);
}

#[tokio::test]
async fn the_list_itself_is_checked_before_any_request() {
    let world = World::configured(|config| config.operations.max_numbers = 2).await;
    let number = |id| pb::FollowMeNumber {
        number_id: id,
        ..new_number("n", "15550121")
    };
    let refused = failure(
        world
            .replace_all(replace(1001, vec![number(0), number(0), number(0)]))
            .await,
    );
    assert_eq!(refused.fields(), ["numbers"]);
    assert!(refused.violation("numbers").contains("at most 2"));

    let refused = failure(
        world
            .replace_all(replace(-1, vec![number(70001), number(70001)]))
            .await,
    );
    assert_eq!(refused.fields(), ["account_id", "numbers[1].number_id"]);

    let other = pb::FollowMeNumber {
        account_id: 1002,
        ..number(-4)
    };
    let refused = failure(
        world
            .replace_all(replace(1001, vec![number(0), other]))
            .await,
    );
    assert_eq!(
        refused.fields(),
        ["numbers[1].account_id", "numbers[1].number_id"]
    );
    assert_eq!(world.handle.requests().len(), 0);
}

#[tokio::test]
async fn only_what_changes_is_checked_and_all_of_it_before_the_first_write() {
    let world = World::start().await;
    let mut numbers = world.read(1001).await.numbers;
    // The name of the third is empty, and stays.
    numbers[0].name = "n".repeat(129);
    numbers[1].period = "hr{25}".to_owned();
    numbers.push(pb::FollowMeNumber {
        ring_timeout: seconds(0),
        ..new_number("", "no number")
    });
    let refused = failure(world.replace_all(replace(1001, numbers)).await);
    assert_eq!(refused.code, Code::InvalidArgument);
    assert_eq!(
        refused.fields(),
        [
            "numbers[0].name",
            "numbers[1].period",
            "numbers[3].name",
            "numbers[3].redirect_number",
            "numbers[3].ring_timeout",
        ]
    );
    assert_eq!(world.writes().len(), 0);
}

#[tokio::test]
async fn an_invalid_value_is_refused_even_if_it_changes_nothing() {
    let world = World::start().await;
    let mut numbers = world.read(1001).await.numbers;
    numbers[0].ring_timeout = Some(prost_types::Duration {
        seconds: 20,
        nanos: 500_000_000,
    });
    numbers[2].ring_timeout = seconds(i64::MAX);
    numbers[2].caller_id_mode = 99;
    let refused = failure(world.replace_all(replace(1001, numbers)).await);
    assert_eq!(
        refused.fields(),
        [
            "numbers[0].ring_timeout",
            "numbers[2].ring_timeout",
            "numbers[2].caller_id_mode",
        ]
    );
}

#[tokio::test]
async fn an_order_that_cannot_be_sent_back_is_detected_before_the_first_write() {
    let world = World::start().await;
    world.seed(
        1001,
        vec![
            stored_number("a", "15550101", 1),
            stored_number("b", "15550102", -3),
        ],
    );
    let mut numbers = world.read(1001).await.numbers;
    for number in &mut numbers {
        number.name = "Bus".to_owned();
    }
    let refused = failure(world.replace_all(replace(1001, numbers.clone())).await);
    assert_eq!(refused.code, Code::FailedPrecondition);
    assert_eq!(refused.reason, "UNREADABLE_FIELD");
    assert_eq!(world.writes().len(), 0);
    numbers[1].order = Some(2);
    let answer = world
        .replace_all(replace(1001, numbers))
        .await
        .expect("the list is replaced");
    assert_eq!(answer.numbers[1].order, Some(2));
}

#[tokio::test]
async fn a_position_behind_the_last_is_refused() {
    let world = World::start().await;
    let numbers = vec![
        pb::FollowMeNumber {
            order: Some(32_767),
            ..new_number("a", "15550121")
        },
        new_number("b", "15550122"),
    ];
    let refused = failure(world.replace_all(replace(1003, numbers)).await);
    assert_eq!(refused.fields(), ["numbers[1].order"]);
    assert_eq!(world.writes().len(), 0);
}
