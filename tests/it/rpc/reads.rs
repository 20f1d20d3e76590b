//! List and Get.

use followme::{
    grpc::pb,
    simulator::{FaultKind, Knobs, Odd, Route, Settings, StoredNumber},
    upstream::NullList,
};
use tonic::Code;

use crate::support::{LICENSE, World, failure, get, in_every_dialect, list, seconds};

in_every_dialect!(
    lists_the_numbers_of_an_account_in_order,
    gets_one_number_with_the_settings,
    an_account_without_numbers_has_an_empty_list,
);

async fn lists_the_numbers_of_an_account_in_order(world: World) {
    let answer = world.read(1001).await;
    let [desk, mobile, star] = &answer.numbers[..] else {
        panic!("three numbers: {answer:?}");
    };
    assert_eq!(
        *desk,
        pb::FollowMeNumber {
            account_id: 1001,
            number_id: 70001,
            follow_me_id: Some(5001),
            name: "Desk".to_owned(),
            redirect_number: "15550101".to_owned(),
            domain: "sip.example.com".to_owned(),
            order: Some(1),
            ring_timeout: seconds(20),
            active: Some(true),
            keep_original_cld: Some(false),
            caller_id_mode: pb::CallerIdMode::CallerNumberAndName.into(),
            period: "Always".to_owned(),
            period_description: "Always".to_owned(),
            status: Some(true),
            etag: desk.etag.clone(),
            ..pb::FollowMeNumber::default()
        }
    );
    assert_eq!(mobile.name, "Mobile, \"after hours\"");
    assert_eq!(mobile.period, "hr{6pm-8am}, wd{sa su}");
    assert_eq!(mobile.period_description, "Evenings: and weekends");
    assert_eq!(mobile.caller_id_mode(), pb::CallerIdMode::Forwarder);
    assert_eq!(mobile.keep_original_cld, None);
    assert_eq!(
        *star,
        pb::FollowMeNumber {
            account_id: 1001,
            number_id: 70003,
            follow_me_id: Some(5001),
            redirect_number: "*72".to_owned(),
            active: Some(false),
            status: Some(false),
            etag: star.etag.clone(),
            ..pb::FollowMeNumber::default()
        }
    );
    assert_eq!(
        answer.settings,
        Some(pb::FollowMeSettings {
            follow_me_id: Some(5001),
            sequence: pb::Sequence::Order.into(),
            sequence_text: "Order".to_owned(),
            ring_timeout: seconds(120),
            sip_status: Some(true),
        })
    );
    assert_eq!(answer.total_size, 3);
    assert_eq!(answer.next_page_token, "");
    for etag in answer
        .numbers
        .iter()
        .map(|number| &number.etag)
        .chain([&answer.list_etag])
    {
        assert_eq!(etag.len(), 35, "{etag}");
        assert!(etag.starts_with("v1."), "{etag}");
    }
    let [request] = &world.handle.requests()[..] else {
        panic!("one request");
    };
    assert_eq!(request.target, "/getfollowmes/DEMO-KEY/1001?format=csv");
    assert_eq!(request.header("accept"), Some("text/csv"));
}

async fn gets_one_number_with_the_settings(world: World) {
    let answer = world.get(get(1001, 70002)).await.expect("it is there");
    assert_eq!(answer.number, Some(world.number(1001, 70002).await));
    let settings = answer.settings.expect("the settings are there");
    assert_eq!(settings.sequence(), pb::Sequence::Order);
    let first = &world.handle.requests()[0];
    assert_eq!(first.target, "/getafollowme/DEMO-KEY/1001/70002?format=csv");
    assert_eq!(first.header("accept"), Some("text/csv"));
}

async fn an_account_without_numbers_has_an_empty_list(world: World) {
    let answer = world.read(1003).await;
    assert_eq!(answer.numbers, []);
    assert_eq!(answer.total_size, 0);
    assert_eq!(answer.next_page_token, "");
    assert!(answer.settings.is_some());
}

#[tokio::test]
async fn numbers_without_an_order_come_last_then_the_id_decides() {
    let world = World::start().await;
    let number = |id, order| StoredNumber {
        id,
        order,
        name: Some("n".to_owned()),
        ..StoredNumber::default()
    };
    world.seed(
        1001,
        vec![
            number(80005, None),
            number(80004, Some(2)),
            number(80003, Some(1)),
            number(80002, None),
            number(80001, Some(2)),
        ],
    );
    let ids: Vec<i32> = world
        .read(1001)
        .await
        .numbers
        .iter()
        .map(|number| number.number_id)
        .collect();
    assert_eq!(ids, [80003, 80001, 80004, 80002, 80005]);
}

#[tokio::test]
async fn etags_do_not_depend_on_how_the_numbers_are_listed() {
    let world = World::start().await;
    let before = world.read(1001).await;
    let mut numbers = world.handle.numbers(LICENSE, 1001).expect("seeded");
    numbers.reverse();
    world.handle.seed(
        LICENSE,
        1001,
        numbers.clone(),
        Settings {
            sip_status: false,
            ..Settings::default()
        },
    );
    assert_eq!(world.read(1001).await.list_etag, before.list_etag);
    numbers[0].name = Some("Another".to_owned());
    world.seed(1001, numbers);
    let after = world.read(1001).await;
    assert_ne!(after.list_etag, before.list_etag);
    assert_eq!(after.numbers[0].etag, before.numbers[0].etag);
    assert_ne!(after.numbers[2].etag, before.numbers[2].etag);
}

#[tokio::test]
async fn an_unknown_sequence_is_other_with_its_text() {
    let world = World::start().await;
    for (text, sequence) in [
        (Some("Random"), pb::Sequence::Random),
        (Some("Simultaneous"), pb::Sequence::Simultaneous),
        (Some("Percentage, 50%"), pb::Sequence::Other),
        (None, pb::Sequence::Unspecified),
    ] {
        let settings = Settings {
            sequence: text.map(str::to_owned),
            ..Settings::default()
        };
        world.handle.seed(LICENSE, 1004, Vec::new(), settings);
        let settings = world.read(1004).await.settings.expect("they are there");
        assert_eq!(settings.sequence(), sequence);
        assert_eq!(settings.sequence_text, text.unwrap_or_default());
    }
}

#[tokio::test]
async fn an_unrecognized_value_is_shown_raw_and_fails_no_read() {
    let world = World::start().await;
    let odd = StoredNumber {
        id: 80001,
        redirect_number: Some("+1 (555) 0100".to_owned()),
        name: Some("tab\there, line\r\nbreak".to_owned()),
        order: Some(-3),
        timeout: Some(-1),
        active: Some("y".to_owned()),
        keep_original_cld: Some("maybe".to_owned()),
        keep_original_cli: Some("X".to_owned()),
        period: Some("{{{;".to_owned()),
        ..StoredNumber::default()
    };
    world.seed(1001, vec![odd]);
    let number = world.number(1001, 80001).await;
    let raw = |name: &str| number.unrecognized.get(name).map(String::as_str);
    assert_eq!(raw("i_follow_order"), Some("-3"));
    assert_eq!(raw("timeout"), Some("-1"));
    assert_eq!(raw("active"), Some("y"));
    assert_eq!(raw("keep_original_cld"), Some("maybe"));
    assert_eq!(raw("keep_original_cli"), Some("X"));
    assert_eq!(number.unrecognized.len(), 5);
    assert_eq!((number.order, number.ring_timeout), (None, None));
    assert_eq!((number.active, number.keep_original_cld), (None, None));
    assert_eq!(number.caller_id_mode(), pb::CallerIdMode::Unspecified);
    assert_eq!(number.redirect_number, "+1 (555) 0100");
    assert_eq!(number.name, "tab\there, line\r\nbreak");
    assert_eq!(number.period, "{{{;");
}

#[tokio::test]
async fn unidentified_elements_are_omitted_and_counted() {
    for odd in [Odd::Null, Odd::NoId, Odd::ZeroId] {
        let world = World::start().await;
        world.arm(FaultKind::OddElement { odd }, Route::GetAll);
        let answer = world.read(1001).await;
        world.assert_fired("odd_element");
        let ids: Vec<i32> = answer
            .numbers
            .iter()
            .map(|number| number.number_id)
            .collect();
        assert_eq!(ids, [70002, 70003], "{odd:?}");
        assert_eq!((answer.total_size, answer.unidentified_count), (2, 1));

        world.arm(FaultKind::OddElement { odd }, Route::GetOne);
        // It may be the number, of which a part was lost.
        let lost = failure(world.get(get(1001, 70001)).await);
        assert_eq!(lost.code, Code::Internal, "{odd:?}");
        assert_eq!(lost.reason, "UPSTREAM_BAD_RESPONSE", "{odd:?}");
    }
}

#[tokio::test]
async fn an_element_of_another_account_is_a_bad_response() {
    let world = World::start().await;
    let odd = Odd::OtherAccount;
    for route in [Route::GetAll, Route::GetOne] {
        world.arm(FaultKind::OddElement { odd }, route);
        let mixed = match route {
            Route::GetAll => failure(world.list(list(1001)).await),
            _ => failure(world.get(get(1001, 70001)).await),
        };
        assert_eq!(mixed.code, Code::Internal, "{route:?}");
        assert_eq!(mixed.reason, "UPSTREAM_BAD_RESPONSE", "{route:?}");
    }
    assert_eq!(world.handle.fired_count("odd_element"), 2);
    assert_eq!(world.read(1001).await.unidentified_count, 0);
}

#[tokio::test]
async fn a_ring_timeout_that_is_no_number_is_unrecognized() {
    let world = World::start().await;
    let odd = Odd::TextTimeout;
    world.arm(FaultKind::OddElement { odd }, Route::GetAll);
    let answer = world.read(1001).await;
    world.assert_fired("odd_element");
    assert_eq!(answer.numbers.len(), 3);
    assert_eq!(answer.numbers[0].ring_timeout, None);
    assert_eq!(answer.numbers[0].unrecognized["timeout"], "soon");
}

#[tokio::test]
async fn a_number_that_the_account_does_not_have_is_not_found() {
    let world = World::start().await;
    // The second is another account's.
    for id in [70999, 70004] {
        let missing = failure(world.get(get(1001, id)).await);
        assert_eq!(missing.code, Code::NotFound);
        assert_eq!(missing.reason, "NUMBER_NOT_FOUND");
        assert_eq!(missing.meta("number_id"), Some(id.to_string().as_str()));
    }
}

#[tokio::test]
async fn pages_together_are_the_whole_list() {
    let world = World::start().await;
    let page = |size, token: &str| pb::ListRequest {
        account_id: 1001,
        page_size: size,
        page_token: token.to_owned(),
    };
    let first = world.list(page(2, "")).await.expect("a page");
    assert_eq!(first.numbers.len(), 2);
    assert_eq!(first.total_size, 3);
    let second = world
        .list(page(2, &first.next_page_token))
        .await
        .expect("a page");
    assert_eq!(second.numbers.len(), 1);
    assert_eq!(second.numbers[0].number_id, 70003);
    assert_eq!(second.next_page_token, "");
    assert_eq!(second.list_etag, first.list_etag);
    let all = world.list(page(3, "")).await.expect("a page");
    assert_eq!(all.next_page_token, "");

    world.seed(1001, world.handle.numbers(LICENSE, 1002).expect("seeded"));
    let changed = failure(world.list(page(2, &first.next_page_token)).await);
    assert_eq!(changed.code, Code::Aborted);
    assert_eq!(changed.reason, "LIST_CHANGED");
    assert_eq!(
        changed.meta("etag"),
        Some(world.read(1001).await.list_etag.as_str())
    );
}

#[tokio::test]
async fn an_invalid_page_is_refused_before_any_request() {
    let world = World::start().await;
    let etag = "0".repeat(32);
    for token in [
        "x".to_owned(),
        "-".to_owned(),
        format!("-{etag}"),
        format!("-1-{etag}"),
        format!("99999999999999999999999-{etag}"),
        format!("2-{}", &etag[1..]),
        format!("2-{etag}0"),
        format!("2-{}g", &etag[1..]),
        "é".repeat(3000),
    ] {
        let refused = failure(
            world
                .list(pb::ListRequest {
                    page_token: token.clone(),
                    ..list(1001)
                })
                .await,
        );
        assert_eq!(refused.code, Code::InvalidArgument, "{token}");
        assert_eq!(refused.fields(), ["page_token"], "{token}");
    }
    let refused = failure(
        world
            .list(pb::ListRequest {
                page_size: -1,
                page_token: "x".to_owned(),
                account_id: 0,
            })
            .await,
    );
    assert_eq!(refused.fields(), ["account_id", "page_size", "page_token"]);
    assert_eq!(world.handle.requests().len(), 0);
}

#[tokio::test]
async fn ids_that_are_not_positive_never_reach_upstream() {
    let world = World::start().await;
    for id in [0, -1, i32::MIN] {
        for refused in [
            failure(world.list(list(id)).await),
            failure(world.get(get(id, 70001)).await),
            failure(world.get(get(1001, id)).await),
            failure(world.get(get(id, id)).await),
        ] {
            assert_eq!(refused.code, Code::InvalidArgument);
            assert_eq!(refused.reason, "INVALID_REQUEST");
        }
    }
    assert_eq!(world.handle.requests().len(), 0);
}

#[tokio::test]
async fn reads_do_not_need_the_service_to_say_success() {
    let world = World::knobs(Knobs {
        reads_say_success: false,
        ..Knobs::default()
    })
    .await;
    assert_eq!(world.read(1001).await.numbers.len(), 3);
    assert_eq!(world.read(1003).await.numbers.len(), 0);
    assert!(world.get(get(1001, 70001)).await.is_ok());
}

#[tokio::test]
async fn an_empty_list_field_is_no_list_unless_the_configuration_says_so() {
    let knobs = || Knobs {
        empty_list_is_null: true,
        ..Knobs::default()
    };
    let world = World::knobs(knobs()).await;
    let refused = failure(world.list(list(1003)).await);
    assert_eq!(refused.code, Code::FailedPrecondition);
    assert_eq!(refused.reason, "UPSTREAM_REFUSED");
    let refused = failure(world.get(get(1003, 70001)).await);
    assert_eq!(refused.reason, "UPSTREAM_REFUSED");

    let options = followme::simulator::Options {
        knobs: knobs(),
        ..crate::support::demo()
    };
    let world = World::with(options, |config| {
        config.upstream.null_list = NullList::Empty;
    })
    .await;
    assert_eq!(world.read(1003).await.numbers, []);
    let missing = failure(world.get(get(1003, 70001)).await);
    assert_eq!(missing.code, Code::NotFound);
    // Without success=True it is no list under any configuration.
    let unsuccessful = Knobs {
        reads_say_success: false,
        ..knobs()
    };
    world.handle.set_knobs(unsuccessful);
    let refused = failure(world.list(list(1003)).await);
    assert_eq!(refused.reason, "UPSTREAM_REFUSED");
}
