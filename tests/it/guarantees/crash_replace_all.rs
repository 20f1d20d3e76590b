//! ReplaceAlls whose process is killed: the next one continues them, in every mode of
//! `UpdateFollowmeAll`, for a repeated call or for an operator.

use followme::{
    grpc::pb::{self, replace_step::Outcome},
    simulator::{Fault, FaultKind, Handle, Knobs, Route, UpdateAll as Scope, When},
};

use super::crash::{Crash, journal_command};
use crate::support::{LICENSE, failure, new_number, replace};

/// Makes the list one that CSV carries.
fn simplify(handle: &Handle) {
    let mut numbers = handle.numbers(LICENSE, 1001).expect("seeded");
    for (number, order) in numbers.iter_mut().zip(1..) {
        number.name = Some(format!("Number {order}"));
        number.period = Some("Always".to_owned());
        (number.order, number.timeout) = (Some(order), Some(20));
    }
    handle.seed(LICENSE, 1001, numbers, Default::default());
}

/// Renames the three numbers of account 1001, and adds one.
async fn rename_and_add(facade: &super::crash::Facade) -> pb::ReplaceAllRequest {
    let list = facade.client.clone().list(crate::support::list(1001)).await;
    let mut numbers = list.expect("a list").into_inner().numbers;
    for (number, name) in numbers.iter_mut().zip(["First", "Second", "Third"]) {
        number.name = name.to_owned();
        number.etag.clear();
    }
    numbers.push(new_number("New", "15550140"));
    pb::ReplaceAllRequest {
        request_id: "id-1".to_owned(),
        ..replace(1001, numbers)
    }
}

fn names(handle: &Handle) -> Vec<String> {
    let numbers = handle.numbers(LICENSE, 1001).expect("seeded");
    let mut names: Vec<String> = numbers.into_iter().filter_map(|one| one.name).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replace_all_by_single_updates_continues_in_the_next_process() {
    for when in [When::Before, When::After] {
        let name = format!("replace-off-{when:?}");
        let crash = Crash::with(&name, Knobs::default(), "update_all = \"off\"\n").await;
        let facade = crash.start().await;
        let request = rename_and_add(&facade).await;
        crash.hold(Route::Update, when, 1);
        facade.send_replace_all(request.clone());
        let facade = crash.restart_while_held(facade).await;
        let replaced = facade.replace_all(request).await.expect("it continues");
        assert_eq!(replaced.numbers.len(), 4, "{when:?}");
        assert_eq!(
            names(&crash.handle),
            ["First", "New", "Second", "Third"],
            "{when:?}"
        );
        assert_eq!(crash.adds(), 1, "{when:?}");
        let posts = crash.handle.requests();
        assert!(
            posts
                .iter()
                .all(|request| request.route != Some(Route::UpdateAll))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_list_that_was_posted_is_not_posted_again_by_the_next_process() {
    for when in [When::Before, When::After] {
        let name = format!("replace-whole-{when:?}");
        let knobs = Knobs {
            update_all: Scope::List,
            reads_csv_bodies: Some(true),
            ..Knobs::default()
        };
        let crash = Crash::with(&name, knobs, "update_all = \"whole-list\"\n").await;
        simplify(&crash.handle);
        let facade = crash.start().await;
        let request = rename_and_add(&facade).await;
        crash.hold(Route::UpdateAll, when, 0);
        facade.send_replace_all(request.clone());
        let facade = crash.restart_while_held(facade).await;
        if when == When::Before {
            let stopped = failure(facade.replace_all(request.clone()).await);
            assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
            let steps = stopped.incomplete().steps;
            let unknown = steps.iter().find(|step| step.outcome() == Outcome::Unknown);
            assert!(unknown.is_some(), "{steps:?}");
            assert_eq!(crash.adds(), 0);
            crash.handle.release();
            crash
                .handle
                .wait_until("the add", |_| crash.adds() == 1)
                .await;
        }
        let replaced = facade.replace_all(request).await.expect("it continues");
        assert_eq!(replaced.numbers.len(), 4, "{when:?}");
        assert_eq!(
            names(&crash.handle),
            ["First", "New", "Second", "Third"],
            "{when:?}"
        );
        assert_eq!(crash.adds(), 1, "{when:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_resumes_a_replace_all_of_the_process_before() {
    let crash = Crash::new("resume", Knobs::default()).await;
    let facade = crash.start().await;
    let numbers = [("A", "15550140"), ("B", "15550141"), ("C", "15550142")];
    let numbers = numbers.map(|(name, number)| new_number(name, number));
    let request = pb::ReplaceAllRequest {
        request_id: "id-1".to_owned(),
        ..replace(1003, numbers.into())
    };
    let hold = Fault::once(FaultKind::Hold { when: When::After });
    crash.handle.arm(hold.on(Route::Add).after(1));
    facade.send_replace_all(request.clone());
    let facade = crash.restart_while_held(facade).await;
    let (_, list) = journal_command(&crash, &["list"]).await;
    let mut words = list.split_whitespace();
    let is_id = |word: &&str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = words
        .find(is_id)
        .unwrap_or_else(|| panic!("it lists the record: {list}"));
    // The start resolves the step that was out.
    let answer = loop {
        let (done, answer) = journal_command(&crash, &["resume", id]).await;
        if done || !answer.contains("carries it out now") {
            break answer;
        }
    };
    assert!(answer.contains("done"), "{answer}");
    assert_eq!(crash.adds(), 3);
    let replaced = facade.replace_all(request).await.expect("it is known");
    assert_eq!(replaced.numbers.len(), 3);
    assert_eq!(crash.adds(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replace_all_continues_in_the_next_process_and_adds_nothing_twice() {
    let crash = Crash::new("replace", Knobs::default()).await;
    let facade = crash.start().await;
    let request = pb::ReplaceAllRequest {
        request_id: "id-1".to_owned(),
        ..replace(
            1003,
            vec![
                new_number("A", "15550140"),
                new_number("B", "15550141"),
                new_number("C", "15550142"),
            ],
        )
    };
    crash.hold(Route::Add, When::Before, 1);
    facade.send_replace_all(request.clone());
    let facade = crash.restart_while_held(facade).await;
    let stopped = failure(facade.replace_all(request.clone()).await);
    assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
    let steps = stopped.incomplete().steps;
    let unknown = steps.iter().find(|step| step.outcome() == Outcome::Unknown);
    assert_eq!(unknown.expect("one is unknown").index, 1);
    assert_eq!(crash.adds(), 1);
    crash.handle.release();
    crash.handle.wait_for_effects(2).await;
    let replaced = facade.replace_all(request).await.expect("goes on");
    assert_eq!(replaced.numbers.len(), 3);
    assert_eq!(crash.adds(), 3);
}
