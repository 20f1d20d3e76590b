//! Add.

use followme::{
    grpc::pb,
    simulator::{EffectKind, FaultKind, Knobs, Route, When, WriteAnswer},
};
use tonic::Code;

use crate::{
    support::raw_http,
    support::{
        ODD_TEXT, World, add, add_to, bound, failure, full_number, in_every_dialect, new_number,
        path, seconds, settable, stored_number,
    },
};

in_every_dialect!(
    a_number_comes_back_as_it_was_added,
    absent_fields_take_their_defaults,
    an_add_is_one_request_that_carries_every_field,
);

async fn a_number_comes_back_as_it_was_added(world: World) {
    let answer = world.add(add(full_number())).await.expect("it is added");
    assert_eq!(answer.unapplied_fields, [""; 0]);
    let number = answer.number.expect("the number is there");
    assert_eq!(settable(&number), full_number());
    assert_eq!(number.account_id, 1001);
    assert_eq!(number.number_id, 70005);
    let list = world.read(1001).await;
    assert_eq!(list.list_etag, answer.list_etag);
    assert_eq!(list.numbers.len(), 4);
    assert!(list.numbers.contains(&number));
    assert_eq!(world.effects().len(), 1);
}

async fn absent_fields_take_their_defaults(world: World) {
    let number = new_number("Van", "15550121");
    let answer = world.add(add(number.clone())).await.expect("it is added");
    assert_eq!(
        settable(&answer.number.expect("the number is there")),
        pb::FollowMeNumber {
            order: Some(3),
            ring_timeout: seconds(30),
            active: Some(true),
            status: Some(false),
            ..number
        }
    );
    let [write] = &world.writes()[..] else {
        panic!("one write");
    };
    // Sent explicitly, never left to upstream.
    assert_eq!(
        path(write),
        "/addfollowme/DEMO-KEY/1001/30/Van/3/15550121/Y"
    );
}

async fn an_add_is_one_request_that_carries_every_field(world: World) {
    world.add(add(full_number())).await.expect("it is added");
    let [write] = &world.writes()[..] else {
        panic!("one write");
    };
    assert_eq!(
        path(write),
        "/addfollowme/DEMO-KEY/1001/25/pbx.example.com/x/7/15550120/N/Y"
    );
    assert_eq!(write.header("accept"), Some("text/csv"));
    for parameter in [
        "?format=csv&",
        "&Name=Mom%20%26%20Dad%20%2F%20%22home%22%2C%20%7Bx%7D%20%E6%97%A5%E6%9C%AC&",
        "&KeepOriginalCLI=I&",
        "&Period=hr%7B9am-5pm%7D%20wd%7Bmo-fr%7D%2C%20md%7B1%2015%7D&",
        "&Status=true",
    ] {
        assert!(write.target.contains(parameter), "{parameter}");
    }
    assert_eq!(bound(write, "Name"), Some(ODD_TEXT));
    assert_eq!(bound(write, "Period_desc"), Some(ODD_TEXT));
}

#[tokio::test]
async fn nine_values_when_domain_and_keep_original_cld_are_set_else_seven() {
    let world = World::start().await;
    for (domain, keep, values) in [
        ("", None, 7),
        ("pbx.example.com", None, 7),
        ("", Some(false), 7),
        ("pbx.example.com", Some(false), 9),
    ] {
        let number = pb::FollowMeNumber {
            domain: domain.to_owned(),
            keep_original_cld: keep,
            ..new_number("Van", "15550122")
        };
        let answer = world.add(add(number)).await.expect("it is added");
        let number = answer.number.expect("the number is there");
        assert_eq!(
            (number.domain.as_str(), number.keep_original_cld),
            (domain, keep)
        );
        assert_eq!(answer.unapplied_fields, [""; 0]);
        let writes = world.writes();
        let last = writes.last().expect("a write");
        assert_eq!(path(last).split('/').count() - 2, values);
    }
    assert_eq!(world.writes().len(), 4);
}

#[tokio::test]
async fn a_new_number_without_an_order_comes_last() {
    let world = World::start().await;
    world.seed(
        1001,
        vec![
            stored_number("a", "15550101", 12),
            stored_number("b", "15550102", 4),
        ],
    );
    let answer = world.add(add(new_number("Van", "15550121"))).await;
    let number = answer.expect("it is added").number.expect("it is there");
    assert_eq!(number.order, Some(13));

    world.seed(1001, vec![stored_number("a", "15550101", 32_767)]);
    let full = failure(world.add(add(new_number("Van", "15550121"))).await);
    assert_eq!(full.code, Code::InvalidArgument);
    assert_eq!(full.fields(), ["number.order"]);
    assert_eq!(world.effects().len(), 1);
}

#[tokio::test]
async fn a_plus_is_stripped_unless_the_configuration_keeps_it() {
    let world = World::start().await;
    let answer = world.add(add(new_number("Van", "+15550121"))).await;
    let number = answer.expect("it is added").number.expect("it is there");
    assert_eq!(number.redirect_number, "15550121");

    let world = World::configured(|config| config.operations.rules.strip_plus = false).await;
    let answer = world.add(add(new_number("Van", "+15550121"))).await;
    let number = answer.expect("it is added").number.expect("it is there");
    assert_eq!(number.redirect_number, "+15550121");
}

#[tokio::test]
async fn the_default_ring_timeout_is_configured() {
    let world = World::configured(|config| config.operations.rules.default_ring_timeout = 55).await;
    let answer = world.add(add(new_number("Van", "15550121"))).await;
    let number = answer.expect("it is added").number.expect("it is there");
    assert_eq!(number.ring_timeout, seconds(55));
}

#[tokio::test]
async fn output_only_fields_are_ignored() {
    let world = World::start().await;
    let number = pb::FollowMeNumber {
        account_id: 1001,
        follow_me_id: Some(-4),
        etag: "x".repeat(5000),
        unrecognized: [("timeout".to_owned(), "soon".to_owned())].into(),
        ..new_number("Van", "15550121")
    };
    let answer = world.add(add(number)).await.expect("it is added");
    let number = answer.number.expect("the number is there");
    assert_eq!(number.follow_me_id, Some(5001));
    assert_eq!(number.unrecognized.len(), 0);
}

#[tokio::test]
async fn validate_only_shows_what_would_be_added_and_writes_nothing() {
    let world = World::start().await;
    let answer = world
        .add(pb::AddRequest {
            validate_only: true,
            ..add(new_number("Van", "+15550121"))
        })
        .await
        .expect("it is valid");
    let number = answer.number.expect("the number is there");
    assert_eq!(
        number,
        pb::FollowMeNumber {
            account_id: 1001,
            redirect_number: "15550121".to_owned(),
            order: Some(3),
            ring_timeout: seconds(30),
            active: Some(true),
            ..new_number("Van", "")
        }
    );
    assert_eq!(answer.list_etag, "");
    assert_eq!(world.writes().len(), 0);

    let refused = failure(
        world
            .add(pb::AddRequest {
                validate_only: true,
                ..add(new_number("", "15550121"))
            })
            .await,
    );
    assert_eq!(refused.fields(), ["number.name"]);
}

#[tokio::test]
async fn the_new_id_is_found_whatever_the_answer_holds() {
    for write_answer in [WriteAnswer::List, WriteAnswer::Null, WriteAnswer::Changed] {
        let world = World::knobs(Knobs {
            write_answer,
            ..Knobs::default()
        })
        .await;
        // The twin that is there already is not taken for the new one.
        for id in [70005, 70006] {
            let answer = world.add(add(new_number("Twin", "15550123"))).await;
            let number = answer.expect("it is added").number.expect("it is there");
            assert_eq!(number.number_id, id, "{write_answer:?}");
        }
        // The first number of an account.
        let answer = world.add(add_to(1003, new_number("Van", "15550121"))).await;
        let number = answer.expect("it is added").number.expect("it is there");
        assert_eq!((number.account_id, number.number_id), (1003, 70007));
        assert_eq!(number.order, Some(1));
        assert_eq!(world.writes().len(), 3);
        assert_eq!(world.effects().len(), 3);
    }
}

#[tokio::test]
async fn fields_that_a_host_ignores_in_the_query_are_repaired() {
    let world = World::knobs(Knobs {
        query_values: false,
        ..Knobs::default()
    })
    .await;
    let answer = world.add(add(full_number())).await.expect("it is added");
    assert_eq!(answer.unapplied_fields, [""; 0]);
    let number = answer.number.expect("the number is there");
    assert_eq!(settable(&number), full_number());
    assert_eq!(world.number(1001, 70005).await, number);
    let kinds: Vec<EffectKind> = world.effects().iter().map(|effect| effect.kind).collect();
    assert_eq!(kinds, [EffectKind::Add, EffectKind::Update]);
}

#[tokio::test]
async fn two_numbers_that_may_be_the_new_one_leave_the_outcome_unknown() {
    let world = World::knobs(Knobs {
        write_answer: WriteAnswer::Null,
        ..Knobs::default()
    })
    .await;
    world.arm(FaultKind::Hold { when: When::After }, Route::Add);
    let somebody_else = async {
        world.handle.wait_for_fired("hold", 1).await;
        let target = "/addfollowme/DEMO-KEY/1001/30/Van/3/15550121/Y?format=csv";
        raw_http::get(world.handle.local_addr(), target)
            .await
            .response();
        world.handle.release();
    };
    let (answer, ()) = tokio::join!(world.add(add(new_number("Van", "15550121"))), somebody_else);
    let unknown = failure(answer);
    assert_eq!(unknown.code, Code::Unknown);
    assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    assert_eq!(unknown.meta("candidate_number_ids"), Some("70005,70006"));
}

#[tokio::test]
async fn a_concurrent_add_is_not_mistaken_for_ours() {
    let world = World::start().await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::Add);
    let somebody_else = async {
        world.handle.wait_for_fired("hold", 1).await;
        let target = "/addfollowme/DEMO-KEY/1001/30/Other/3/15550199/Y?format=csv";
        raw_http::get(world.handle.local_addr(), target)
            .await
            .response();
        world.handle.release();
    };
    let (answer, ()) = tokio::join!(world.add(add(new_number("Van", "15550121"))), somebody_else);
    let number = answer.expect("it is added").number.expect("it is there");
    assert_eq!(number.number_id, 70006);
    assert_eq!(number.name, "Van");
    assert_eq!(world.read(1001).await.total_size, 5);
}

#[tokio::test]
async fn all_violations_are_reported_at_once_before_any_request() {
    let world = World::start().await;
    let number = pb::FollowMeNumber {
        account_id: 1002,
        number_id: 70001,
        name: "n".repeat(129),
        redirect_number: "sip:15550100@pbx.example.com".to_owned(),
        domain: "pbx.example.com:5060".to_owned(),
        order: Some(32_768),
        ring_timeout: Some(prost_types::Duration {
            seconds: 3,
            nanos: 500_000_000,
        }),
        caller_id_mode: 17,
        period: "hr{13am}".to_owned(),
        period_description: "d".repeat(513),
        ..pb::FollowMeNumber::default()
    };
    let refused = failure(world.add(add_to(0, number)).await);
    assert_eq!(refused.code, Code::InvalidArgument);
    assert_eq!(refused.reason, "INVALID_REQUEST");
    assert_eq!(
        refused.fields(),
        [
            "account_id",
            "number.account_id",
            "number.number_id",
            "number.name",
            "number.redirect_number",
            "number.domain",
            "number.order",
            "number.ring_timeout",
            "number.caller_id_mode",
            "number.period",
            "number.period_description",
        ]
    );
    assert_eq!(refused.meta("violations"), Some("11"));
    assert!(
        refused
            .violation("number.redirect_number")
            .contains("domain")
    );
    assert!(refused.status.message().contains("10 more"));

    let refused = failure(
        world
            .add(pb::AddRequest {
                account_id: 1001,
                ..pb::AddRequest::default()
            })
            .await,
    );
    assert_eq!(refused.fields(), ["number"]);
    assert_eq!(world.handle.requests().len(), 0);
}

#[tokio::test]
async fn each_rule_of_a_field_holds_at_its_boundary() {
    let world = World::start().await;
    let ok = || new_number("Van", "15550121");
    let bad = [
        ("name", new_number("", "15550121")),
        ("name", new_number("a\nb", "15550121")),
        ("name", new_number(&"日".repeat(129), "15550121")),
        ("redirect_number", new_number("Van", "")),
        ("redirect_number", new_number("Van", "+")),
        ("redirect_number", new_number("Van", "1555 0121")),
        ("redirect_number", new_number("Van", "1555/0121")),
        (
            "redirect_number",
            new_number("Van", "15550121@pbx.example.com"),
        ),
        ("redirect_number", new_number("Van", &"1".repeat(65))),
        (
            "domain",
            pb::FollowMeNumber {
                domain: "not a host".to_owned(),
                ..ok()
            },
        ),
        (
            "order",
            pb::FollowMeNumber {
                order: Some(0),
                ..ok()
            },
        ),
        (
            "ring_timeout",
            pb::FollowMeNumber {
                ring_timeout: seconds(0),
                ..ok()
            },
        ),
        (
            "ring_timeout",
            pb::FollowMeNumber {
                ring_timeout: seconds(3601),
                ..ok()
            },
        ),
        (
            "ring_timeout",
            pb::FollowMeNumber {
                ring_timeout: seconds(i64::MAX),
                ..ok()
            },
        ),
        (
            "period",
            pb::FollowMeNumber {
                period: format!("{:513}", "hr{9}"),
                ..ok()
            },
        ),
        (
            "period",
            pb::FollowMeNumber {
                period: "md{32}".to_owned(),
                ..ok()
            },
        ),
        (
            "period_description",
            pb::FollowMeNumber {
                period_description: "tab\t".to_owned(),
                ..ok()
            },
        ),
    ];
    for (field, number) in bad {
        let refused = failure(world.add(add(number)).await);
        assert_eq!(refused.code, Code::InvalidArgument);
        assert_eq!(refused.fields(), [format!("number.{field}")]);
    }
    assert_eq!(world.handle.requests().len(), 0);
    let longest = pb::FollowMeNumber {
        name: "日".repeat(128),
        redirect_number: format!("+{}", "1".repeat(64)),
        order: Some(32_766),
        ring_timeout: seconds(3600),
        ..ok()
    };
    world
        .add(add(longest))
        .await
        .expect("each is at its border");
    assert_eq!(world.effects().len(), 1);
}
