use super::*;
use crate::domain::AccountId;

fn number(id: i32, name: &str, redirect_number: &str) -> Number {
    Number {
        account_id: AccountId::new(1001).unwrap(),
        id: NumberId::new(id).unwrap(),
        follow_me_id: None,
        fields: fields(name, redirect_number),
        unreadable: Default::default(),
    }
}

fn fields(name: &str, redirect_number: &str) -> Fields {
    Fields {
        name: name.to_owned(),
        redirect_number: redirect_number.to_owned(),
        order: Some(1),
        ring_timeout: Some(20),
        active: "Y".to_owned(),
        ..Fields::default()
    }
}

fn list(numbers: Vec<Number>) -> List {
    List::new(numbers, None, 0)
}

fn id(id: i32) -> NumberId {
    NumberId::new(id).unwrap()
}

const ACKNOWLEDGED: Evidence = Evidence {
    acknowledged: true,
    named: None,
};

fn add(name: &str, redirect_number: &str) -> Expectation {
    let before = list(vec![number(1, "Old", "15550100")]);
    Expectation::add(&before, fields(name, redirect_number), FieldSet::all())
}

fn with(new: Vec<Number>) -> List {
    let mut numbers = vec![number(1, "Old", "15550100")];
    numbers.extend(new);
    list(numbers)
}

#[test]
fn an_add_is_found_by_its_redirect_number_domain_and_name() {
    let add = add("Desk", "15550101");
    let none = Evidence::default();
    assert_eq!(add.check(&with(vec![]), none), Verdict::NotApplied);
    let other = with(vec![number(2, "Other", "15550109")]);
    assert_eq!(add.check(&other, none), Verdict::NotApplied);
    let shown = with(vec![number(2, "Desk", "15550101")]);
    assert_eq!(add.check(&shown, none), Verdict::Applied(id(2)));
}

#[test]
fn two_equal_new_numbers_are_inconclusive_whatever_the_answer_names() {
    let twice = with(vec![
        number(2, "Desk", "15550101"),
        number(3, "Desk", "15550101"),
    ]);
    let named = Evidence {
        acknowledged: true,
        named: Some(id(2)),
    };
    for evidence in [Evidence::default(), ACKNOWLEDGED, named] {
        let verdict = add("Desk", "15550101").check(&twice, evidence);
        assert_eq!(verdict, Verdict::Inconclusive(vec![id(2), id(3)]));
    }
}

#[test]
fn a_host_that_stores_other_values_is_believed_only_where_upstream_says_done() {
    for (name, redirect_number, stored) in [
        (
            "A very long name",
            "15550101",
            number(2, "A very", "15550101"),
        ),
        (
            "Two  blanks",
            "15550101",
            number(2, "Two blanks", "15550101"),
        ),
        ("Desk", "1-555-0101", number(2, "Desk", "15550101")),
        ("A very long name", "*72", number(2, "A very", "72")),
    ] {
        let add = add(name, redirect_number);
        let list = with(vec![stored]);
        let verdict = add.check(&list, ACKNOWLEDGED);
        assert_eq!(verdict, Verdict::AppliedDifferently(id(2)), "{name}");
        let verdict = add.check(&list, Evidence::default());
        assert_eq!(verdict, Verdict::NotApplied, "{name}");
        // That is no proof: it can be this add's.
        assert_eq!(add.resembling(&list), [id(2)], "{name}");
    }
    // Somebody else's: neither is like ours.
    let list = with(vec![number(2, "Van", "15550109")]);
    let add = add("Desk", "15550101");
    assert_eq!(add.check(&list, ACKNOWLEDGED), Verdict::NotApplied);
    let named = Evidence {
        acknowledged: true,
        named: Some(id(2)),
    };
    let verdict = add.check(&list, named);
    assert_eq!(verdict, Verdict::AppliedDifferently(id(2)));
}

#[test]
fn a_default_domain_is_no_reason_to_add_again() {
    let mut stored = number(2, "Desk", "15550101");
    stored.fields.domain = "sip.example.com".to_owned();
    let list = with(vec![stored]);
    let verdict = add("Desk", "15550101").check(&list, ACKNOWLEDGED);
    assert_eq!(verdict, Verdict::AppliedDifferently(id(2)));
}

#[test]
fn two_new_numbers_on_such_a_host_are_inconclusive() {
    let list = with(vec![
        number(2, "A very", "15550101"),
        number(3, "Van", "15550109"),
    ]);
    let verdict = add("A very long name", "15550101").check(&list, ACKNOWLEDGED);
    assert_eq!(verdict, Verdict::NotApplied);
}

#[test]
fn as_many_equal_numbers_as_equal_adds_are_theirs() {
    let twice = with(vec![
        number(2, "Desk", "15550101"),
        number(3, "Desk", "15550101"),
    ]);
    let adds = [add("Desk", "15550101"), add("Desk", "15550101")];
    assert_eq!(
        check_all(&adds, &twice, Evidence::default()),
        [Verdict::Applied(id(2)), Verdict::Applied(id(3))]
    );
    let once = with(vec![number(2, "Desk", "15550101")]);
    assert_eq!(
        check_all(&adds, &once, Evidence::default()),
        [Verdict::Applied(id(2)), Verdict::NotApplied]
    );
}

fn rename() -> (List, Expectation) {
    let before = with(vec![number(2, "Desk", "15550101")]);
    let old = before.find(id(2)).unwrap().clone();
    let expectation = Expectation::update(&before, &old, fields("New", "15550101"));
    (before, expectation)
}

#[test]
fn an_update_shows_in_part_or_the_number_is_as_before() {
    let (before, update) = rename();
    let none = Evidence::default();
    assert_eq!(update.check(&before, none), Verdict::NotApplied);
    assert!(update.reads_as_before(&before));
    let after = with(vec![number(2, "New", "15550101")]);
    assert_eq!(update.check(&after, none), Verdict::Applied(id(2)));
    let theirs = with(vec![number(2, "Theirs", "15550101")]);
    let verdict = update.check(&theirs, none);
    assert_eq!(verdict, Verdict::Inconclusive(Vec::new()));
    assert!(!update.reads_as_before(&theirs));
    // As before in what this write changes, yet not the number of the baseline.
    let mut elsewhere = number(2, "Desk", "15550101");
    elsewhere.fields.ring_timeout = Some(55);
    let elsewhere = with(vec![elsewhere]);
    assert_eq!(update.check(&elsewhere, none), Verdict::NotApplied);
    assert!(!update.reads_as_before(&elsewhere));
}

#[test]
fn a_list_that_hides_more_than_the_baseline_proves_no_absence() {
    let (before, update) = rename();
    let hidden = List::new(vec![number(1, "Old", "15550100")], None, 1);
    let delete = Expectation::delete(&before, before.find(id(2)).unwrap());
    for expectation in [&update, &delete] {
        let verdict = expectation.check(&hidden, Evidence::default());
        assert_eq!(verdict, Verdict::Inconclusive(vec![id(2)]));
    }
    let verdict = add("Desk", "15550101").check(&hidden, Evidence::default());
    assert_eq!(verdict, Verdict::Inconclusive(Vec::new()));
}

#[test]
fn what_an_update_changed_unasked_is_unapplied_and_not_overwritten() {
    let (_, update) = rename();
    let mut now = fields("New", "15550101");
    now.period_description = "cut".to_owned();
    let only = |field| FieldSet::empty().union([field].into_iter().collect());
    assert_eq!(update.unapplied(&now), only(Field::PeriodDescription));
    assert_eq!(update.repairable(&now), FieldSet::empty());
    // A field that is empty now was emptied by the write.
    let mut emptied = fields("New", "15550101");
    emptied.active = String::new();
    assert_eq!(update.unapplied(&emptied), only(Field::Active));
    assert_eq!(update.repairable(&emptied), only(Field::Active));
}

#[test]
fn a_repair_writes_what_is_as_before_and_leaves_what_somebody_else_set() {
    let (_, mut update) = rename();
    update.target.period = "wd{tu}".to_owned();
    update.asked.insert(Field::Period);
    let now = fields("Theirs", "15550101");
    let repaired = update.repaired(&now);
    assert_eq!(repaired.name, "Theirs");
    assert_eq!(repaired.period, "wd{tu}");
}
