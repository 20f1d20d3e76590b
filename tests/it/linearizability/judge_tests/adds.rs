//! What the judge finds about adds.

use super::*;

#[test]
fn a_journal_that_forgets_forgets_no_unknown_add() {
    let mut history = added();
    history.forgets = true;
    history
        .changes
        .push(change("again", EffectKind::Add, 2, "a"));
    history.last = state(&[(1, "a"), (2, "a")]);
    history.calls[1].after = history.last.clone();
    for (index, tag) in ["c0n1", "c0n2"].into_iter().enumerate() {
        history.calls[index].tag = tag.to_owned();
        history.changes[index].tag = tag.to_owned();
    }
    assert_false(&history, "added twice");
    history.calls[0].answer = Answer::None;
    assert_true(&history);
}

#[test]
fn a_number_that_is_told_to_two_adds_is_found() {
    let mut history = added();
    history.calls[0].answer = written(1, "a");
    assert_true(&history);
    history.calls[1].intent = 1;
    history.lags = true;
    assert_false(&history, "told to two adds");
}

#[test]
fn an_add_that_brings_a_vanished_number_back_is_none_of_the_list() {
    let answer = failed("UPSTREAM_WROTE_TOO_MUCH");
    let mut history = replaced(answer, 3);
    history
        .changes
        .push(change("replace", EffectKind::Add, 4, "b"));
    history.last.insert(4, held("b"));
    history.calls[0].after = history.last.clone();
    assert_true(&history);
    history.calls[0].answer = failed("WRITE_NOT_DONE");
    assert_false(&history, "added twice");
}
