//! Hosts and hops that deviate from the request: values stored differently, writes done twice,
//! unrequested changes.

use followme::{
    grpc::pb,
    simulator::{Fault, FaultKind, Knobs, Options, Route, Unasked, UpdateAll, WriteAnswer},
};
use tonic::Code;

use super::{add_with_id, adds};
use crate::support::{World, add_to, demo, failure, new_number, replace, stored_number, update};

const NAME: &str = "A  long name of a desk";

fn add(number: pb::FollowMeNumber) -> pb::AddRequest {
    pb::AddRequest {
        request_id: "id-1".to_owned(),
        ..add_to(1003, number)
    }
}

fn posts(world: &World) -> usize {
    let writes = world.writes();
    writes.iter().filter(|write| write.method == "POST").count()
}

#[tokio::test]
async fn a_number_stored_differently_is_found_and_reported_and_never_repaired() {
    for write_answer in [WriteAnswer::List, WriteAnswer::Null, WriteAnswer::Changed] {
        for (knobs, name, redirect_number, differs, is_strict) in [
            (
                Knobs {
                    name_limit: Some(6),
                    ..Knobs::default()
                },
                NAME,
                "15550130",
                "name",
                false,
            ),
            (
                Knobs {
                    folds_blanks: true,
                    ..Knobs::default()
                },
                NAME,
                "15550130",
                "name",
                false,
            ),
            (
                Knobs {
                    drops_dashes: true,
                    ..Knobs::default()
                },
                "Desk",
                "1-555-0130",
                "redirect_number",
                true,
            ),
            (
                Knobs {
                    default_domain: Some("sip.example.com".to_owned()),
                    ..Knobs::default()
                },
                "Desk",
                "15550130",
                "domain",
                true,
            ),
        ] {
            let world = World::knobs(Knobs {
                write_answer,
                ..knobs
            })
            .await;
            let request = add(new_number(name, redirect_number));
            let first = world.add(request.clone()).await;
            let second = world.add(request).await;
            let id = world.read(1003).await.numbers[0].number_id;
            if is_strict {
                let (first, second) = (failure(first), failure(second));
                for failed in [&first, &second] {
                    assert_eq!(failed.reason, "FIELDS_NOT_APPLIED", "{differs}");
                    assert_eq!(failed.meta("unapplied_fields"), Some(differs));
                    let told = failed.meta("number_id");
                    assert_eq!(told, Some(id.to_string().as_str()));
                }
            } else {
                let first = first.unwrap_or_else(|status| panic!("{differs}: {status:?}"));
                assert_eq!(first.unapplied_fields, [differs]);
                assert_eq!(first.number.as_ref().expect("one").number_id, id);
                assert_eq!(first, second.expect("known"));
            }
            assert_eq!(adds(&world), 1, "{differs}");
            assert_eq!(posts(&world), 0, "{differs}");
        }
    }
}

#[tokio::test]
async fn two_equal_new_numbers_are_unknown_whatever_the_answer_names() {
    for write_answer in [WriteAnswer::List, WriteAnswer::Null, WriteAnswer::Changed] {
        let world = World::knobs(Knobs {
            write_answer,
            ..Knobs::default()
        })
        .await;
        world.arm(FaultKind::Doubled, Route::Add);
        for _ in 0..2 {
            let unknown = failure(world.add(add_with_id("id-1", "Desk")).await);
            assert_eq!(unknown.code, Code::Unknown, "{write_answer:?}");
            assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
            let ids: Vec<String> = world
                .read(1003)
                .await
                .numbers
                .iter()
                .map(|number| number.number_id.to_string())
                .collect();
            let told = unknown.meta("candidate_number_ids");
            assert_eq!(told, Some(ids.join(",").as_str()));
        }
        world.assert_fired("doubled");
        assert_eq!(adds(&world), 2);
    }
}

#[tokio::test]
async fn an_unrequested_change_of_an_update_is_reported_and_not_overwritten() {
    let (field, name) = (Unasked::Name, "name");
    for write_answer in [WriteAnswer::List, WriteAnswer::Null, WriteAnswer::Changed] {
        let world = World::knobs(Knobs {
            write_answer,
            ..Knobs::default()
        })
        .await;
        world.arm(FaultKind::ChangesUnasked { field }, Route::Update);
        let number = pb::FollowMeNumber {
            order: Some(9),
            ..Default::default()
        };
        let updated = world.update(update(70001, &["order"], number)).await;
        world.assert_fired("changes_unasked");
        let updated = updated.unwrap_or_else(|status| panic!("{name}: {status:?}"));
        assert_eq!(updated.unapplied_fields, [name], "{write_answer:?}");
    }
}

#[tokio::test]
async fn an_unrequested_change_of_a_strict_field_fails_the_call() {
    let world = World::start().await;
    let field = Unasked::Active;
    world.arm(FaultKind::ChangesUnasked { field }, Route::Update);
    let failed = world
        .update(update(70001, &["name"], new_number("Van", "")))
        .await;
    let failed = failure(failed);
    world.assert_fired("changes_unasked");
    assert_eq!(failed.reason, "FIELDS_NOT_APPLIED");
    assert_eq!(failed.meta("unapplied_fields"), Some("active"));
}

#[tokio::test]
async fn a_step_that_update_followme_all_ignores_uses_the_other_route() {
    let options = Options {
        knobs: Knobs {
            update_all: UpdateAll::Nothing,
            ..Knobs::default()
        },
        ..demo()
    };
    let world = World::with(options, |_| {}).await;
    let mut numbers = world.read(1001).await.numbers;
    numbers[0].name = "Van".to_owned();
    let replaced = world.replace_all(replace(1001, numbers)).await;
    let replaced = replaced.expect("it is replaced");
    assert_eq!(replaced.numbers[0].name, "Van");
    assert!(
        replaced
            .steps
            .iter()
            .all(|step| step.unapplied_fields.is_empty())
    );
    assert_eq!(posts(&world), 1);
    assert_eq!(world.writes().len(), 2);
}

#[tokio::test]
async fn an_update_waits_for_a_list_that_lags() {
    let world = World::knobs(Knobs {
        write_answer: WriteAnswer::Null,
        lag_reads: 2,
        ..Knobs::default()
    })
    .await;
    let updated = world
        .update(update(70001, &["name"], new_number("Van", "")))
        .await
        .expect("updated");
    assert_eq!(updated.unapplied_fields, [""; 0]);
    assert_eq!(updated.number.expect("one").name, "Van");
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test]
async fn an_absent_order_or_ring_timeout_stays_absent() {
    let world = World::start().await;
    let mut number = stored_number("Desk", "15550101", 1);
    number.order = None;
    number.timeout = None;
    world.seed(1001, vec![number]);
    let id = world.read(1001).await.numbers[0].number_id;
    let updated = world
        .update(update(id, &["name"], new_number("Van", "")))
        .await
        .expect("updated");
    assert_eq!(updated.unapplied_fields, [""; 0]);
    let number = updated.number.expect("one");
    assert_eq!((number.order, number.ring_timeout), (None, None));
    for write in world.writes() {
        assert!(!write.target.contains("/0/"), "{}", write.target);
    }
}

#[tokio::test]
async fn a_fault_of_another_write_names_no_candidate_twice() {
    let world = World::start().await;
    let fault = Fault::once(FaultKind::Doubled).on(Route::Add);
    world.handle.arm(fault);
    let stopped = failure(
        world
            .replace_all(replace(1003, vec![new_number("A", "15550140")]))
            .await,
    );
    world.assert_fired("doubled");
    assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
    let steps = stopped.incomplete().steps;
    assert_eq!(steps[0].outcome(), pb::replace_step::Outcome::Unknown);
}
