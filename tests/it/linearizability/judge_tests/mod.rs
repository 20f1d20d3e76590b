//! The judge finds what it is there for: each history here is true, and then one thing in it is not.

mod adds;
mod damage;
mod replace;

use std::sync::Arc;

use followme::{
    grpc::pb::{
        self,
        replace_step::{Action, Outcome},
    },
    simulator::EffectKind,
};
use tonic::Code;

use super::{
    judge::judge,
    log::{Answer, Asked, Call, Change, Failed, Held, History, Reply, Seen, State},
};
use crate::support::{new_number, seconds};
use replace::replaced;

const ACCOUNT: i32 = 1001;

fn number(id: i32, name: &str) -> pb::FollowMeNumber {
    pb::FollowMeNumber {
        number_id: id,
        ring_timeout: seconds(20),
        ..new_number(name, "15550101")
    }
}

fn held(name: &str) -> Held {
    Held::from(&number(0, name))
}

fn state(numbers: &[(i32, &str)]) -> State {
    numbers.iter().map(|(id, name)| (*id, held(name))).collect()
}

fn failed(reason: &str) -> Answer {
    Answer::Failed(Failed {
        code: Code::Aborted,
        reason: reason.to_owned(),
        incomplete: None,
    })
}

fn written(id: i32, name: &str) -> Answer {
    Answer::Ok(Reply::Written {
        id,
        held: held(name),
        unapplied: Vec::new(),
    })
}

fn call(tag: &str, intent: usize, asked: Asked, states: [&State; 2], answer: Answer) -> Call {
    Call {
        tag: tag.to_owned(),
        outside: false,
        intent,
        asked,
        seen: None,
        before: states[0].clone(),
        after: states[1].clone(),
        answer,
    }
}

fn change(tag: &str, kind: EffectKind, id: i32, name: &str) -> Change {
    Change {
        tag: tag.to_owned(),
        kind,
        id,
        after: (!name.is_empty()).then(|| held(name)),
    }
}

fn history(initial: State, last: State, calls: Vec<Call>, changes: Vec<Change>) -> History {
    History {
        seed: 0,
        account: ACCOUNT,
        initial,
        calls,
        changes,
        lags: false,
        forgets: false,
        last,
    }
}

#[track_caller]
fn assert_true(history: &History) {
    assert_eq!(judge(history).err(), None, "{history}");
}

#[track_caller]
fn assert_false(history: &History, rule: &str) {
    let problem = judge(history).expect_err("the judge finds it");
    assert!(problem.contains(rule), "{problem}");
}

/// An add whose outcome was unknown, and was had under its id.
fn added() -> History {
    let (none, one) = (state(&[]), state(&[(1, "a")]));
    let asked = Asked::Add(pb::AddRequest {
        account_id: ACCOUNT,
        number: Some(number(0, "a")),
        request_id: "id".to_owned(),
        ..pb::AddRequest::default()
    });
    let unknown = failed("OUTCOME_UNKNOWN");
    history(
        none.clone(),
        one.clone(),
        vec![
            call("first", 0, asked.clone(), [&none, &one], unknown),
            call("again", 0, asked, [&one, &one], written(1, "a")),
        ],
        vec![change("first", EffectKind::Add, 1, "a")],
    )
}

#[test]
fn a_second_add_of_one_id_is_found() {
    let mut history = added();
    assert_true(&history);
    let second = change("again", EffectKind::Add, 2, "a");
    history.changes.push(second);
    history.last = state(&[(1, "a"), (2, "a")]);
    history.calls[1].after = history.last.clone();
    assert_false(&history, "added twice");
}

#[test]
fn not_done_of_what_was_done_before_under_the_same_id_is_found() {
    for reason in ["NOT_SENT", "UPSTREAM_UNAVAILABLE", "WRITE_NOT_DONE"] {
        let mut history = added();
        history.calls[1].answer = failed(reason);
        assert_false(&history, "but done");
        // Without the id in common it says nothing of the other call.
        history.calls[1].intent = 1;
        assert_true(&history);
    }
}

#[test]
fn what_another_writer_deleted_since_is_not_held_against_an_answer() {
    let mut history = added();
    history.calls[0].answer = failed("WRITE_NOT_DONE");
    history.calls.truncate(1);
    assert_false(&history, "but done");
    let (one, none) = (state(&[(1, "a")]), state(&[]));
    let asked = Asked::Delete(pb::DeleteRequest {
        account_id: ACCOUNT,
        number_id: 1,
        ..pb::DeleteRequest::default()
    });
    let mut delete = call("delete", 1, asked, [&one, &none], Answer::None);
    history.calls.push(delete.clone());
    let change = change("delete", EffectKind::Delete, 1, "");
    history.changes.push(change);
    history.last = none;
    // Behind the facade's lock it could not come between.
    assert_false(&history, "but done");
    delete.outside = true;
    history.calls[1] = delete;
    assert_true(&history);
}

#[test]
fn what_a_host_makes_of_a_number_is_what_was_asked_and_another_number_is_not() {
    let mut history = added();
    let mut asked = number(0, "a");
    asked.redirect_number = "1555-0101".to_owned();
    for call in &mut history.calls {
        if let Asked::Add(add) = &mut call.asked {
            add.number = Some(asked.clone());
        }
    }
    assert_true(&history);
    asked.redirect_number = "1555-0102".to_owned();
    if let Asked::Add(add) = &mut history.calls[1].asked {
        add.number = Some(asked);
    }
    assert_false(&history, "OK, but not done");
}

#[test]
fn a_second_add_by_a_replace_all_is_found_unless_the_first_was_deleted() {
    let mut history = replaced(Answer::None, 3);
    history
        .changes
        .push(change("replace", EffectKind::Add, 4, "d"));
    history.last.insert(4, held("d"));
    history.calls[0].after = history.last.clone();
    assert_false(&history, "added twice");
    let deleted = change("replace", EffectKind::Delete, 3, "");
    history.changes.insert(3, deleted);
    history.last.remove(&3);
    history.calls[0].after = history.last.clone();
    assert_true(&history);
}

#[test]
fn an_ok_of_what_was_not_done_is_found() {
    let mut history = added();
    history.changes.clear();
    history.last.clear();
    for call in &mut history.calls {
        call.before.clear();
        call.after.clear();
    }
    assert_false(&history, "OK, but not done");
}

#[test]
fn an_ok_that_shows_what_never_was_is_found() {
    let mut history = added();
    history.calls[1].answer = written(1, "b");
    assert_false(&history, "never");
}

#[test]
fn every_reason_that_says_not_done_of_what_was_done_is_found() {
    for reason in [
        "NOT_SENT",
        "WRITE_NOT_DONE",
        "UPSTREAM_REFUSED",
        "UPSTREAM_UNAVAILABLE",
        "UPSTREAM_TIMEOUT",
        "UPSTREAM_ERROR",
        "OVERLOADED",
        "ETAG_MISMATCH",
        "NUMBER_NOT_FOUND",
        "INVALID_REQUEST",
    ] {
        let mut history = added();
        history.calls[0].answer = failed(reason);
        assert_false(&history, "but done");
    }
}

#[test]
fn reasons_that_say_nothing_contradict_nothing() {
    for answer in [
        Answer::None,
        failed("OUTCOME_UNKNOWN"),
        failed("WRITE_IN_PROGRESS"),
    ] {
        let mut history = added();
        history.calls[0].answer = answer.clone();
        assert_true(&history);
        history.changes.clear();
        history.last.clear();
        history.calls.truncate(1);
        history.calls[0].after.clear();
        assert_true(&history);
    }
}

#[test]
fn an_ok_of_a_delete_that_left_the_number_is_found() {
    let (one, none) = (state(&[(1, "a")]), state(&[]));
    let asked = Asked::Delete(pb::DeleteRequest {
        account_id: ACCOUNT,
        number_id: 1,
        ..pb::DeleteRequest::default()
    });
    let deleted = Answer::Ok(Reply::Deleted);
    let mut history = history(
        one.clone(),
        none.clone(),
        vec![call("delete", 0, asked, [&one, &none], deleted)],
        vec![change("delete", EffectKind::Delete, 1, "")],
    );
    assert_true(&history);
    history.changes.clear();
    history.last = one.clone();
    history.calls[0].after = one;
    assert_false(&history, "the number is there");
}

#[test]
fn a_list_that_never_was_is_found() {
    let one = state(&[(1, "a")]);
    let asked = Asked::List(pb::ListRequest::default());
    let listed = |list: &State| Answer::Ok(Reply::Listed(list.clone()));
    let mut history = history(
        one.clone(),
        one.clone(),
        vec![call("list", 0, asked, [&one, &one], listed(&one))],
        Vec::new(),
    );
    assert_true(&history);
    history.calls[0].answer = listed(&state(&[(1, "b")]));
    assert_false(&history, "did not hold");
}

/// Two updates of one number. The second has the etag of what the first left.
fn updated() -> History {
    let [a, b, c] = ["a", "b", "c"].map(|name| state(&[(1, name)]));
    let asked = |name: &str, etag: &str| {
        Asked::Update(pb::UpdateRequest {
            number: Some(number(1, name)),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["name".to_owned()],
            }),
            etag: etag.to_owned(),
            ..pb::UpdateRequest::default()
        })
    };
    let mut calls = vec![
        call("one", 0, asked("b", ""), [&a, &b], written(1, "b")),
        call("two", 1, asked("c", "etag"), [&b, &c], written(1, "c")),
    ];
    calls[1].seen = Some(seen(&b, "b"));
    history(
        a,
        c,
        calls,
        vec![
            change("one", EffectKind::Update, 1, "b"),
            change("two", EffectKind::Update, 1, "c"),
        ],
    )
}

fn seen(state: &State, name: &str) -> Arc<Seen> {
    Arc::new(Seen {
        numbers: vec![number(1, name)],
        list_etag: "etag".to_owned(),
        before: state.clone(),
        after: state.clone(),
    })
}

#[test]
fn a_lost_update_is_found() {
    let mut history = updated();
    assert_true(&history);
    history.calls[1].seen = Some(seen(&history.initial, "a"));
    assert_false(&history, "an update is lost");
}

#[test]
fn an_update_of_unknown_outcome_can_be_lost() {
    let mut history = updated();
    history.calls[1].seen = Some(seen(&history.initial, "a"));
    history.calls[0].answer = failed("OUTCOME_UNKNOWN");
    assert_true(&history);
}

#[test]
fn an_etag_that_is_said_not_to_match_and_does_is_found() {
    let mut history = updated();
    history.changes.truncate(1);
    history.last = state(&[(1, "b")]);
    history.calls[1].after = history.last.clone();
    history.calls[1].answer = failed("ETAG_MISMATCH");
    assert_false(&history, "nothing has changed");
    history.calls[1].seen = Some(seen(&history.initial, "a"));
    assert_true(&history);
}

#[test]
fn an_effect_of_no_call_and_a_gap_in_the_log_are_found() {
    let mut history = added();
    history.changes[0].tag = "nobody".to_owned();
    assert_false(&history, "an effect of no call");
    let mut history = added();
    history.last.clear();
    assert_false(&history, "the effects end in");
}
