//! Update.

use followme::{
    grpc::pb,
    simulator::{Dialect, Newline, StoredNumber},
};
use tonic::Code;

use crate::support::{
    ODD_TEXT, World, bound, failure, full_number, in_every_dialect, new_number, path, seconds,
    settable, stored_number, update,
};

pub(super) const ALL: [&str; 11] = [
    "name",
    "redirect_number",
    "domain",
    "order",
    "ring_timeout",
    "active",
    "keep_original_cld",
    "caller_id_mode",
    "period",
    "period_description",
    "status",
];

in_every_dialect!(
    every_field_can_be_changed_at_once,
    only_the_named_fields_change,
    each_field_can_be_changed_alone,
    a_text_can_be_cleared,
);

async fn every_field_can_be_changed_at_once(world: World) {
    let answer = world
        .update(update(70002, &ALL, full_number()))
        .await
        .expect("it is updated");
    assert_eq!(answer.unapplied_fields, [""; 0]);
    let number = answer.number.expect("the number is there");
    assert_eq!(settable(&number), full_number());
    assert_eq!(number.number_id, 70002);
    let list = world.read(1001).await;
    assert_eq!(list.list_etag, answer.list_etag);
    assert!(list.numbers.contains(&number));
    let [write] = &world.writes()[..] else {
        panic!("one write");
    };
    assert_eq!(
        path(write),
        "/updatefollowme/DEMO-KEY/1001/70002/25/pbx.example.com/x/7/15550120/N"
    );
    assert_eq!(write.header("accept"), Some("text/csv"));
    assert!(write.target.contains("?format=csv&"));
    assert_eq!(bound(write, "Name"), Some(ODD_TEXT));
    assert_eq!(bound(write, "Period_desc"), Some(ODD_TEXT));
    assert_eq!(world.effects().len(), 1);
}

async fn only_the_named_fields_change(world: World) {
    let before = world.number(1001, 70002).await;
    let answer = world
        .update(update(70002, &["ring_timeout"], full_number()))
        .await
        .expect("it is updated");
    let expected = pb::FollowMeNumber {
        ring_timeout: seconds(25),
        ..settable(&before)
    };
    assert_eq!(answer.unapplied_fields, [""; 0]);
    assert_eq!(settable(&answer.number.expect("it is there")), expected);
    assert_eq!(settable(&world.number(1001, 70002).await), expected);
    let [write] = &world.writes()[..] else {
        panic!("one write");
    };
    // No domain: eight values.
    assert_eq!(path(write).split('/').count() - 2, 8);
}

async fn each_field_can_be_changed_alone(world: World) {
    for name in ALL {
        let before = world.stored(1001, 70001);
        let answer = world
            .update(update(
                70001,
                &[name],
                pb::FollowMeNumber {
                    // The seeded number has True.
                    status: Some(false),
                    ..full_number()
                },
            ))
            .await
            .expect("it is updated");
        assert_eq!(answer.unapplied_fields, [""; 0], "{name}");
        assert_ne!(world.stored(1001, 70001), before, "{name}");
    }
    assert_eq!(
        settable(&world.number(1001, 70001).await),
        pb::FollowMeNumber {
            status: Some(false),
            ..full_number()
        }
    );
    assert_eq!(world.effects().len(), ALL.len());
}

async fn a_text_can_be_cleared(world: World) {
    world.seed(1001, vec![stored_number("Desk", "15550101", 1)]);
    let id = world.read(1001).await.numbers[0].number_id;
    let answer = world
        .update(update(
            id,
            &["domain", "period", "period_description"],
            pb::FollowMeNumber::default(),
        ))
        .await
        .expect("it is updated");
    assert_eq!(answer.unapplied_fields, [""; 0]);
    let number = world.number(1001, id).await;
    assert_eq!(
        settable(&number),
        pb::FollowMeNumber {
            order: Some(1),
            ring_timeout: seconds(20),
            active: Some(true),
            keep_original_cld: Some(false),
            caller_id_mode: pb::CallerIdMode::CallerNumberAndName.into(),
            status: Some(false),
            ..new_number("Desk", "15550101")
        }
    );
    assert_eq!(answer.number, Some(number));
}

#[tokio::test]
async fn nine_values_when_there_is_a_domain_else_eight() {
    let world = World::start().await;
    for (id, values) in [(70001, 9), (70002, 8)] {
        world
            .update(update(id, &["name"], new_number("Van", "")))
            .await
            .expect("it is updated");
        let writes = world.writes();
        let last = writes.last().expect("a write");
        assert_eq!(path(last).split('/').count() - 2, values);
    }
}

#[tokio::test]
async fn an_update_that_changes_nothing_is_not_sent() {
    let world = World::start().await;
    let before = world.read(1001).await;
    for number in before.numbers.clone() {
        let id = number.number_id;
        let named: Vec<&str> = ALL
            .into_iter()
            .filter(|name| match *name {
                // The third has no name, order or ring timeout.
                "name" => !number.name.is_empty(),
                "order" => number.order.is_some(),
                "ring_timeout" => number.ring_timeout.is_some(),
                "keep_original_cld" => number.keep_original_cld.is_some(),
                "caller_id_mode" => number.caller_id_mode != 0,
                _ => true,
            })
            .collect();
        let answer = world
            .update(update(id, &named, number.clone()))
            .await
            .expect("nothing is to be done");
        assert_eq!(answer.number, Some(number));
        assert_eq!(answer.list_etag, before.list_etag);
    }
    assert_eq!(world.writes().len(), 0);
}

#[tokio::test]
async fn validate_only_shows_the_merged_number_and_writes_nothing() {
    let world = World::start().await;
    let before = world.number(1001, 70001).await;
    let answer = world
        .update(pb::UpdateRequest {
            validate_only: true,
            ..update(70001, &["name"], full_number())
        })
        .await
        .expect("it is valid");
    let number = answer.number.expect("the number is there");
    assert_eq!(
        settable(&number),
        pb::FollowMeNumber {
            name: ODD_TEXT.to_owned(),
            ..settable(&before)
        }
    );
    assert_eq!(answer.list_etag, "");
    assert_eq!(world.writes().len(), 0);
}

#[tokio::test]
async fn a_number_that_the_account_does_not_have_is_not_found() {
    let world = World::start().await;
    for id in [70004, 70999] {
        let missing = failure(world.update(update(id, &["name"], full_number())).await);
        assert_eq!(missing.code, Code::NotFound);
        assert_eq!(missing.reason, "NUMBER_NOT_FOUND");
        assert_eq!(missing.meta("number_id"), Some(id.to_string().as_str()));
    }
    assert_eq!(world.writes().len(), 0);
}

#[tokio::test]
async fn unrecognized_values_are_sent_back_raw() {
    let world = World::start().await;
    let odd = StoredNumber {
        id: 80001,
        redirect_number: Some("+1 (555) 0100/1".to_owned()),
        name: Some("line\r\nbreak \u{1f600}".to_owned()),
        domain: Some("Not a host, %41".to_owned()),
        order: Some(40_000),
        timeout: Some(99_999),
        active: Some("maybe".to_owned()),
        keep_original_cld: Some("y".to_owned()),
        keep_original_cli: Some("X".to_owned()),
        period: Some("{{{; 100%".to_owned()),
        period_description: Some("a\tb".to_owned()),
        status: true,
    };
    for (dialect, newline) in [
        (Dialect::V3, Newline::Lf),
        (Dialect::V4, Newline::CrLf),
        (Dialect::AspNet, Newline::CrLf),
    ] {
        let world = World::on(dialect, newline).await;
        world.seed(1001, vec![odd.clone()]);
        let answer = world
            .update(update(80001, &["name"], new_number("Van", "")))
            .await
            .expect("it is updated");
        assert_eq!(answer.unapplied_fields, [""; 0]);
        assert_eq!(
            world.stored(1001, 80001),
            StoredNumber {
                name: Some("Van".to_owned()),
                ..odd.clone()
            },
            "{dialect:?}"
        );
    }
    drop(world);
}

#[tokio::test]
async fn an_order_that_cannot_be_sent_back_must_be_given() {
    let world = World::start().await;
    world.seed(
        1001,
        vec![StoredNumber {
            id: 80001,
            order: Some(-3),
            ..stored_number("a", "15550101", 1)
        }],
    );
    let refused = failure(
        world
            .update(update(80001, &["name"], new_number("Van", "")))
            .await,
    );
    assert_eq!(refused.code, Code::FailedPrecondition);
    assert_eq!(refused.reason, "UNREADABLE_FIELD");
    assert!(refused.status.message().contains("order"));
    assert_eq!(world.writes().len(), 0);
    let number = pb::FollowMeNumber {
        order: Some(2),
        ..new_number("Van", "")
    };
    let answer = world
        .update(update(80001, &["name", "order"], number))
        .await;
    let number = answer.expect("it is updated").number.expect("it is there");
    assert_eq!((number.name.as_str(), number.order), ("Van", Some(2)));
    assert_eq!(number.unrecognized.len(), 0);
}

#[tokio::test]
async fn the_mask_is_required_known_and_names_only_present_fields() {
    let world = World::start().await;
    let no_mask = pb::UpdateRequest {
        update_mask: None,
        ..update(70001, &[], full_number())
    };
    let refused = failure(world.update(no_mask).await);
    assert_eq!(refused.fields(), ["update_mask"]);
    for path in [
        "",
        "number",
        "numberId.x",
        "etag.x",
        "ringTimeout",
        "number.name",
        "name.x",
        "日",
    ] {
        let refused = failure(world.update(update(70001, &[path], full_number())).await);
        assert_eq!(refused.code, Code::InvalidArgument);
        assert_eq!(refused.fields(), ["update_mask"], "{path}");
    }
    let absent = [
        "order",
        "ring_timeout",
        "active",
        "keep_original_cld",
        "caller_id_mode",
        "status",
    ];
    let refused = failure(
        world
            .update(update(70001, &absent, pb::FollowMeNumber::default()))
            .await,
    );
    assert_eq!(
        refused.fields(),
        absent.map(|field| format!("number.{field}"))
    );
    let refused = failure(
        world
            .update(update(70001, &["name"], new_number("", "")))
            .await,
    );
    assert_eq!(refused.fields(), ["number.name"]);
    // Fields that the mask does not name are not checked.
    let number = new_number("Van", "not a number");
    assert!(world.update(update(70001, &["name"], number)).await.is_ok());
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test]
async fn paths_that_cannot_be_set_are_ignored() {
    const READ_BACK: [&str; 6] = [
        "account_id",
        "number_id",
        "follow_me_id",
        "etag",
        "unrecognized",
        "unrecognized.status",
    ];
    let world = World::start().await;
    let read = world.number(1001, 70001).await;
    // A mask of nothing else changes nothing.
    for paths in READ_BACK
        .iter()
        .map(std::slice::from_ref)
        .chain([&READ_BACK[..]])
    {
        let mut request = update(70001, paths, read.clone());
        request.number.get_or_insert_default().follow_me_id = Some(1);
        let answer = world.update(request).await.expect("nothing is refused");
        assert_eq!(answer.number.as_ref(), Some(&read), "{paths:?}");
        assert!(!answer.list_etag.is_empty());
    }
    assert!(world.writes().is_empty());
    // With others, those are changed.
    let paths = [&READ_BACK[..], &["name"]].concat();
    let mut number = read.clone();
    number.name = "Front".to_owned();
    let answer = world.update(update(70001, &paths, number.clone())).await;
    assert_eq!(
        answer.expect("it is updated").number.expect("one").name,
        "Front"
    );
    // The etag is still checked.
    let stale = failure(world.update(update(70001, &["etag"], number.clone())).await);
    assert_eq!(stale.reason, "ETAG_MISMATCH");
    // What names another number than the request does is no no-op.
    let mut request = update(70001, &["etag", "name"], number.clone());
    request.etag = world.number(1001, 70001).await.etag;
    let refused = failure(world.update(request).await);
    assert_eq!(refused.fields(), ["number.etag"]);
    for (account_id, number_id) in [(0, 70001), (1001, 0), (1001, -1)] {
        let mut request = update(70001, &["account_id", "number_id"], number.clone());
        let sent = request.number.get_or_insert_default();
        (sent.account_id, sent.number_id) = (account_id, number_id);
        let refused = failure(world.update(request).await);
        assert_eq!(refused.code, Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_path_in_another_case_is_told_its_name() {
    let world = World::start().await;
    for (path, name) in [
        ("redirectNumber", "redirect_number"),
        ("RingTimeout", "ring_timeout"),
        ("number.periodDescription", "period_description"),
        ("keep-original-cld", "keep_original_cld"),
        ("followMeId", "follow_me_id"),
    ] {
        let refused = failure(world.update(update(70001, &[path], full_number())).await);
        assert_eq!(refused.code, Code::InvalidArgument);
        let text = refused.violation("update_mask");
        assert!(text.ends_with(&format!(": write \"{name}\"")), "{text}");
    }
    assert!(world.handle.requests().is_empty());
}

#[tokio::test]
async fn too_many_paths_are_one_violation() {
    let world = World::start().await;
    let paths = vec!["no_such_field"; 40_000];
    let refused = failure(world.update(update(70001, &paths, full_number())).await);
    assert_eq!(refused.meta("violations"), Some("1"));
    assert_eq!(refused.fields(), ["update_mask"]);
}

#[tokio::test]
async fn a_request_without_a_number_names_what_is_missing() {
    let world = World::start().await;
    let refused = failure(world.update(pb::UpdateRequest::default()).await);
    assert_eq!(refused.code, Code::InvalidArgument);
    assert_eq!(
        refused.fields(),
        ["number.account_id", "number.number_id", "update_mask"]
    );
    assert_eq!(world.handle.requests().len(), 0);
}

#[tokio::test]
async fn many_unknown_mask_paths_give_a_short_status() {
    let world = World::start().await;
    let long = "\u{10ffff}".repeat(1000);
    let paths = vec![long.as_str(); 60];
    let refused = failure(world.update(update(70001, &paths, full_number())).await);
    assert_eq!(refused.code, Code::InvalidArgument);
    assert_eq!(refused.meta("violations"), Some("60"));
}
