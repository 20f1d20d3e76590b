//! What the judge finds about a ReplaceAll.

use super::*;

/// A replace-all of `a` (1) and `b` (2) that renames the first, adds a third and deletes the second.
pub(super) fn replaced(answer: Answer, done: usize) -> History {
    let changes = [
        change("replace", EffectKind::Update, 1, "c"),
        change("replace", EffectKind::Add, 3, "d"),
        change("replace", EffectKind::Delete, 2, ""),
    ];
    let before = state(&[(1, "a"), (2, "b")]);
    let mut after = before.clone();
    for change in &changes[..done] {
        match &change.after {
            Some(held) => after.insert(change.id, held.clone()),
            None => after.remove(&change.id),
        };
    }
    let asked = Asked::ReplaceAll(pb::ReplaceAllRequest {
        account_id: ACCOUNT,
        numbers: vec![number(1, "c"), number(0, "d")],
        ..pb::ReplaceAllRequest::default()
    });
    history(
        before.clone(),
        after.clone(),
        vec![call("replace", 0, asked, [&before, &after], answer)],
        changes[..done].to_vec(),
    )
}

fn incomplete(outcomes: [Outcome; 3]) -> Answer {
    let steps = [
        (0, Action::Update, 1),
        (
            1,
            Action::Add,
            if outcomes[1] == Outcome::Done { 3 } else { 0 },
        ),
        (-1, Action::Delete, 2),
    ];
    Answer::Failed(Failed {
        code: Code::Aborted,
        reason: "REPLACE_INCOMPLETE".to_owned(),
        incomplete: Some(pb::ReplaceIncomplete {
            steps: steps
                .into_iter()
                .zip(outcomes)
                .map(|((index, action, number_id), outcome)| pb::ReplaceStep {
                    index,
                    action: action.into(),
                    number_id,
                    outcome: outcome.into(),
                    ..pb::ReplaceStep::default()
                })
                .collect(),
            ..pb::ReplaceIncomplete::default()
        }),
    })
}

#[test]
fn a_replace_all_that_does_not_end_in_the_desired_list_is_found() {
    let numbers = state(&[(1, "c"), (3, "d")]);
    let ok = |numbers: State| {
        Answer::Ok(Reply::Replaced {
            numbers,
            unapplied: false,
        })
    };
    assert_true(&replaced(ok(numbers.clone()), 3));
    assert_false(&replaced(ok(numbers), 2), "did not hold");
    let mut history = replaced(ok(state(&[])), 2);
    history.calls[0].answer = ok(history.last.clone());
    assert_false(&history, "not the desired one");
}

#[test]
fn an_incomplete_replace_all_that_does_not_say_what_is_missing_is_found() {
    use Outcome::{Done, Failed, NotStarted, Unknown};
    assert_true(&replaced(incomplete([Done, Failed, NotStarted]), 1));
    assert_true(&replaced(incomplete([Done, Done, NotStarted]), 2));
    assert_true(&replaced(incomplete([Done, Unknown, NotStarted]), 1));
    assert_true(&replaced(incomplete([Done, Unknown, NotStarted]), 2));
    let wrong = [
        (
            incomplete([Done, Done, NotStarted]),
            1,
            "DONE, but not done",
        ),
        (incomplete([Done, Done, Done]), 2, "DONE, but there"),
        (incomplete([NotStarted; 3]), 1, "not done, but done"),
        (
            incomplete([Done, Failed, NotStarted]),
            2,
            "not done, but done",
        ),
        (incomplete([Done, Done, Failed]), 3, "not done, but done"),
    ];
    for (answer, done, problem) in wrong {
        assert_false(&replaced(answer, done), problem);
    }
}

#[test]
fn an_incomplete_replace_all_that_leaves_a_step_out_is_found() {
    use Outcome::{Done, NotStarted};
    let mut history = replaced(incomplete([Done, NotStarted, NotStarted]), 1);
    let without = |history: &mut History, action: Action| {
        let Answer::Failed(failed) = &mut history.calls[0].answer else {
            return;
        };
        if let Some(incomplete) = &mut failed.incomplete {
            incomplete.steps.retain(|step| step.action() != action);
        }
    };
    without(&mut history, Action::Delete);
    assert_false(&history, "no step says what becomes of number 2");
    without(&mut history, Action::Add);
    assert_false(&history, "number 1 has 0 steps");
}
