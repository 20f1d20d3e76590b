//! Update at hosts that reset or ignore fields: what is repaired and what is reported.

use followme::{
    grpc::pb,
    simulator::{FaultKind, Knobs, Options, Route, StoredNumber, When, WriteAnswer},
    upstream::{PostFormat, UpdateAll},
};
use tonic::Code;

use super::update::ALL;
use crate::{
    support::raw_http,
    support::{
        LICENSE, World, demo, failure, full_number, new_number, settable, stored_number, update,
    },
};

#[tokio::test]
async fn fields_that_upstream_resets_are_repaired() {
    for write_answer in [WriteAnswer::List, WriteAnswer::Null, WriteAnswer::Changed] {
        let world = World::knobs(Knobs {
            update_resets_unseen: true,
            write_answer,
            ..Knobs::default()
        })
        .await;
        let before = world.stored(1001, 70001);
        let answer = world
            .update(update(70001, &["name"], new_number("Van", "")))
            .await
            .expect("it is updated");
        assert_eq!(answer.unapplied_fields, [""; 0]);
        let expected = StoredNumber {
            name: Some("Van".to_owned()),
            ..before
        };
        assert_eq!(world.stored(1001, 70001), expected);
    }
}

#[tokio::test]
async fn fields_that_upstream_resets_are_repaired_by_post_where_it_ignores_the_query() {
    let world = World::knobs(Knobs {
        update_resets_unseen: true,
        query_values: false,
        ..Knobs::default()
    })
    .await;
    let before = StoredNumber {
        id: 80001,
        ..stored_number("Desk", "15550101", 1)
    };
    world.seed(1001, vec![before.clone()]);
    let answer = world
        .update(update(80001, &["name"], new_number("Van", "")))
        .await
        .expect("it is updated");
    assert_eq!(answer.unapplied_fields, [""; 0]);
    let expected = StoredNumber {
        name: Some("Van".to_owned()),
        ..before
    };
    assert_eq!(world.stored(1001, 80001), expected);
}

#[tokio::test]
async fn values_over_a_placeholder_arrive_also_where_other_query_values_are_ignored() {
    let world = World::knobs(Knobs {
        query_values: false,
        ..Knobs::default()
    })
    .await;
    let before = StoredNumber {
        id: 80001,
        ..stored_number("Mom/Dad", "*72#", 1)
    };
    world.seed(1001, vec![before.clone()]);
    let answer = world
        .update(update(80001, &["order"], full_number()))
        .await
        .expect("it is updated");
    assert_eq!(answer.unapplied_fields, [""; 0]);
    let expected = StoredNumber {
        order: Some(7),
        ..before
    };
    assert_eq!(world.stored(1001, 80001), expected);
}

#[tokio::test]
async fn fields_that_a_host_ignores_in_the_query_are_repaired() {
    let world = World::knobs(Knobs {
        query_values: false,
        ..Knobs::default()
    })
    .await;
    let answer = world
        .update(update(70002, &ALL, full_number()))
        .await
        .expect("it is updated");
    assert_eq!(answer.unapplied_fields, [""; 0]);
    assert_eq!(
        settable(&answer.number.expect("it is there")),
        full_number()
    );
    assert_eq!(settable(&world.number(1001, 70002).await), full_number());
}

#[tokio::test]
async fn fields_that_were_not_applied_are_reported() {
    let world = World::with(
        Options {
            knobs: Knobs {
                query_values: false,
                ..Knobs::default()
            },
            ..demo()
        },
        |config| config.upstream.update_all = UpdateAll::Off,
    )
    .await;
    let number = pb::FollowMeNumber {
        name: "Plain".to_owned(),
        ..full_number()
    };
    let answer = world
        .update(update(70002, &ALL, number))
        .await
        .expect("it is updated in part");
    assert_eq!(
        answer.unapplied_fields,
        [
            "keep_original_cld",
            "caller_id_mode",
            "period",
            "period_description",
            "status"
        ]
    );
    let number = answer.number.expect("it is there");
    assert_eq!(number, world.number(1001, 70002).await);
    assert_eq!((number.name.as_str(), number.order), ("Plain", Some(7)));
    assert_eq!(number.period, "hr{6pm-8am}, wd{sa su}");
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test]
async fn a_form_cannot_clear_a_text() {
    let world = World::configured(|config| config.upstream.post_format = PostFormat::Form).await;
    let answer = world
        .update(update(
            70002,
            &["period_description"],
            pb::FollowMeNumber::default(),
        ))
        .await
        .expect("it is updated in part");
    assert_eq!(answer.unapplied_fields, ["period_description"]);
    let number = answer.number.expect("it is there");
    assert_eq!(number.period_description, "Evenings: and weekends");

    // Where a call goes matters too much to be a remark.
    let failed = failure(
        world
            .update(update(70001, &["domain"], pb::FollowMeNumber::default()))
            .await,
    );
    assert_eq!(failed.code, Code::FailedPrecondition);
    assert_eq!(failed.reason, "FIELDS_NOT_APPLIED");
    assert_eq!(failed.meta("number_id"), Some("70001"));
    assert_eq!(failed.meta("unapplied_fields"), Some("domain"));
}

#[tokio::test]
async fn a_number_deleted_concurrently_has_vanished() {
    let world = World::start().await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::Update);
    let somebody_else = async {
        world.handle.wait_for_fired("hold", 1).await;
        let target = "/deletefollowme/DEMO-KEY/70001?format=csv";
        raw_http::get(world.handle.local_addr(), target)
            .await
            .response();
        world.handle.release();
    };
    let (answer, ()) = tokio::join!(
        world.update(update(70001, &["name"], new_number("Van", ""))),
        somebody_else
    );
    let vanished = failure(answer);
    assert_eq!(vanished.code, Code::Aborted);
    assert_eq!(vanished.reason, "NUMBER_VANISHED");
    assert_eq!(vanished.meta("number_id"), Some("70001"));
}

#[tokio::test]
async fn a_concurrent_change_of_another_field_is_kept() {
    let world = World::start().await;
    world.arm(FaultKind::Hold { when: When::After }, Route::Update);
    let somebody_else = async {
        world.handle.wait_for_fired("hold", 1).await;
        let mut numbers = world.handle.numbers(LICENSE, 1001).expect("seeded");
        numbers[0].period = Some("hr{1}".to_owned());
        world.seed(1001, numbers);
        world.handle.release();
    };
    let (answer, ()) = tokio::join!(
        world.update(update(70001, &["order"], full_number())),
        somebody_else
    );
    let answer = answer.expect("it is updated");
    assert_eq!(answer.unapplied_fields, [""; 0]);
    assert_eq!(world.stored(1001, 70001).period.as_deref(), Some("hr{1}"));
    assert_eq!(world.writes().len(), 1);
}
