//! What the judge finds about numbers that a write is not about.

use super::*;

/// An update of `a` (1) that writes its name to `b` (2), too.
fn damaged(answer: Answer) -> History {
    let (before, after) = (state(&[(1, "a"), (2, "b")]), state(&[(1, "c"), (2, "c")]));
    let asked = Asked::Update(pb::UpdateRequest {
        number: Some(number(1, "c")),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["name".to_owned()],
        }),
        ..pb::UpdateRequest::default()
    });
    history(
        before.clone(),
        after.clone(),
        vec![call("update", 0, asked, [&before, &after], answer)],
        vec![
            change("update", EffectKind::Update, 1, "c"),
            change("update", EffectKind::Update, 2, "c"),
        ],
    )
}

#[test]
fn damage_beside_an_ok_is_found() {
    assert_false(&damaged(written(1, "c")), "is left");
    assert_true(&damaged(failed("UPSTREAM_WROTE_TOO_MUCH")));
    assert_true(&damaged(failed("OUTCOME_UNKNOWN")));
    let mut restored = damaged(written(1, "c"));
    restored
        .changes
        .push(change("update", EffectKind::Update, 2, "b"));
    restored.last = state(&[(1, "c"), (2, "b")]);
    restored.calls[0].after = restored.last.clone();
    assert_true(&restored);
}
