//! `POST /UpdateFollowmeAll`: its bodies, and what the facade does about a route that nobody knows.

use followme::{
    grpc::pb::{
        self,
        replace_step::{Action, Outcome},
    },
    simulator::{
        Dialect, EffectKind, Fault, FaultKind, Knobs, Newline, Options, Received, Route,
        StoredNumber, UpdateAll as Scope, WriteAnswer,
    },
    upstream::{PostFormat, UpdateAll},
};
use tonic::Code;

use crate::support::{
    LICENSE, ODD_TEXT, World, demo, failure, new_number, path, replace, stored_number, update,
};

const HEADER: &str = "IAccount,IFollowMeNumber,TimeOut,Domain,Name,FollowMeOrder,RedirectNumber,\
                      KeepOriginalCld,KeepOriginalCLI,Active,Period,Period_desc,Status,\
                      isDeleteForward,License,ContentId,FeatureName\r\n";

/// A name that CSV carries and a path does not.
const PLAIN_TEXT: &str = "Mom & Dad / home, 日本, 100%";

/// Clears the domain of 70001, which no GET can do.
fn clear_domain() -> pb::UpdateRequest {
    update(70001, &["domain"], pb::FollowMeNumber::default())
}

/// Gives 70001 a domain, so that it can be cleared again.
fn give_domain(domain: &str) -> pb::UpdateRequest {
    let number = pb::FollowMeNumber {
        domain: domain.to_owned(),
        ..pb::FollowMeNumber::default()
    };
    update(70001, &["domain"], number)
}

fn posts(world: &World) -> Vec<Received> {
    let mut writes = world.writes();
    writes.retain(|request| request.method == "POST");
    writes
}

fn content_types(posts: &[Received]) -> Vec<&str> {
    posts
        .iter()
        .filter_map(|request| request.header("content-type"))
        .collect()
}

fn body(request: &Received) -> String {
    String::from_utf8(request.body.clone()).expect("a body is UTF-8")
}

async fn host(knobs: Knobs, dialect: Dialect, mode: UpdateAll) -> World {
    let options = Options {
        knobs,
        dialect,
        newline: Newline::CrLf,
        ..demo()
    };
    World::with(options, |config| config.upstream.update_all = mode).await
}

/// A host that takes the records of a CSV for the whole list.
async fn whole_list_host() -> World {
    let knobs = Knobs {
        update_all: Scope::List,
        reads_csv_bodies: Some(true),
        ..Knobs::default()
    };
    let world = host(knobs, Dialect::V3, UpdateAll::WholeList).await;
    // Quotes in a name or braces in a period would keep the list out of CSV, and so would an
    // integer that only some of the numbers have.
    let mut numbers = world.handle.numbers(LICENSE, 1001).expect("seeded");
    for (number, order) in numbers.iter_mut().zip(1..) {
        number.name = Some(PLAIN_TEXT.to_owned());
        number.period = Some("Always".to_owned());
        (number.order, number.timeout) = (Some(order), Some(20));
    }
    world.seed(1001, numbers);
    world
}

fn every() -> Knobs {
    Knobs {
        update_all: Scope::Every,
        ..Knobs::default()
    }
}

#[tokio::test]
async fn a_csv_body_has_the_columns_of_the_page_and_quotes_every_field() {
    let options = Options {
        dialect: Dialect::V4,
        newline: Newline::CrLf,
        ..demo()
    };
    let world = World::with(options, |config| {
        config.upstream.post_format = PostFormat::Csv;
    })
    .await;
    let number = pb::FollowMeNumber {
        domain: String::new(),
        ..new_number(PLAIN_TEXT, "")
    };
    let answer = world
        .update(update(70001, &["name", "domain"], number))
        .await
        .expect("it is updated");
    assert_eq!(answer.unapplied_fields, [""; 0]);
    let [post] = &posts(&world)[..] else {
        panic!("one POST");
    };
    assert_eq!(post.target, "/UpdateFollowmeAll?format=csv");
    assert_eq!(post.header("accept"), Some("text/csv"));
    assert_eq!(post.header("content-type"), Some("text/csv"));
    assert_eq!(
        post.header("content-length"),
        Some(post.body.len().to_string().as_str())
    );
    assert_eq!(post.header("transfer-encoding"), None);
    let record = [
        "1001", "70001", "20", "", PLAIN_TEXT, "1", "15550101", "N", "Y", "Y", "Always", "Always",
        "True", "False", "DEMO-KEY", "0", "",
    ];
    let record = format!("\"{}\"\r\n", record.join("\",\""));
    assert_eq!(body(post), format!("{HEADER}{record}"));
}

/// Makes upstream refuse the next POST before the service runs.
fn refuse_one_body(world: &World) {
    let refusal = FaultKind::Status {
        status: 400,
        reason: None,
        body: "ResponseStatus\n\"{ErrorCode:RequestBindingException,Message:x,Errors:[]}\"\n"
            .to_owned(),
        content_type: Some("text/csv".to_owned()),
    };
    world.arm(refusal, Route::UpdateAll);
}

#[tokio::test]
async fn json_is_the_first_body_format_on_every_host() {
    for dialect in [Dialect::V3, Dialect::AspNet, Dialect::V4] {
        let world = World::on(dialect, Newline::Lf).await;
        world.update(clear_domain()).await.expect("it is updated");
        let all = posts(&world);
        assert_eq!(content_types(&all), ["application/json"], "{dialect:?}");
        assert_eq!(all[0].target, "/UpdateFollowmeAll?format=csv");
        assert!(body(&all[0]).contains(LICENSE));
        assert_eq!(
            all[0].header("content-length"),
            Some(all[0].body.len().to_string().as_str())
        );
        assert_eq!(world.number(1001, 70001).await.domain, "");
    }
}

#[tokio::test]
async fn a_body_that_is_not_taken_is_followed_by_another_format_and_that_is_remembered() {
    let world = World::on(Dialect::V4, Newline::Lf).await;
    refuse_one_body(&world);
    world.update(clear_domain()).await.expect("it is updated");
    world.assert_fired("status");
    world
        .update(give_domain("pbx.example.com"))
        .await
        .expect("it is updated");
    world.update(clear_domain()).await.expect("it is updated");
    // A text that CSV does not carry goes by another format although CSV is remembered.
    let number = pb::FollowMeNumber {
        domain: "pbx.example.com".to_owned(),
        ..new_number("[Mom", "")
    };
    world
        .update(update(70001, &["name", "domain"], number))
        .await
        .expect("it is updated");
    world.update(clear_domain()).await.expect("it is updated");
    assert_eq!(
        content_types(&posts(&world)),
        [
            "application/json",
            "text/csv",
            "text/csv",
            "application/json"
        ]
    );
    assert_eq!(world.number(1001, 70001).await.name, "[Mom");
}

#[tokio::test]
async fn a_form_is_the_last_resort() {
    // v3 refuses a CSV body before the service runs.
    let world = World::start().await;
    refuse_one_body(&world);
    let failed = failure(world.update(clear_domain()).await);
    world.assert_fired("status");
    // A form cannot clear.
    assert_eq!(failed.reason, "FIELDS_NOT_APPLIED");
    let form = "application/x-www-form-urlencoded";
    let all = posts(&world);
    assert_eq!(content_types(&all), ["application/json", "text/csv", form]);
    let text = body(&all[2]);
    assert!(text.starts_with("IAccount=1001&IFollowMeNumber=70001&TimeOut=20&Name=Desk&"));
    assert!(text.ends_with("&Status=True&isDeleteForward=False&License=DEMO-KEY&ContentId=0"));
    assert!(!text.contains("Domain"));
}

#[tokio::test]
async fn no_other_kind_of_body_is_tried_after_an_answer_that_proves_nothing() {
    for kind in [
        FaultKind::Reset {
            when: followme::simulator::When::After,
        },
        FaultKind::Html { status: 500 },
        FaultKind::DefaultRecord {
            status: 400,
            when: followme::simulator::When::After,
        },
        FaultKind::Truncated { bytes: 20 },
    ] {
        let world = World::on(Dialect::V4, Newline::Lf).await;
        world.arm(kind.clone(), Route::UpdateAll);
        let answer = world.update(clear_domain()).await.expect("it is settled");
        world.assert_fired(kind.name());
        assert_eq!(answer.unapplied_fields, [""; 0], "{kind:?}");
        assert_eq!(posts(&world).len(), 1, "{kind:?}");
        let kinds: Vec<EffectKind> = world.effects().iter().map(|effect| effect.kind).collect();
        assert_eq!(kinds, [EffectKind::Update, EffectKind::Update], "{kind:?}");
    }
}

#[tokio::test]
async fn one_kind_of_body_can_be_configured() {
    for (format, content_type) in [
        (PostFormat::Csv, "text/csv"),
        (PostFormat::Json, "application/json"),
        (PostFormat::Form, "application/x-www-form-urlencoded"),
    ] {
        let options = Options {
            dialect: Dialect::V4,
            ..demo()
        };
        let world = World::with(options, |config| config.upstream.post_format = format).await;
        let mut numbers = world.read(1001).await.numbers;
        numbers[0].name = PLAIN_TEXT.to_owned();
        let answer = world
            .replace_all(replace(1001, numbers))
            .await
            .expect("the list is replaced");
        assert_eq!(answer.numbers[0].name, PLAIN_TEXT, "{format:?}");
        assert_eq!(content_types(&posts(&world)), [content_type]);
    }
}

#[tokio::test]
async fn a_host_that_takes_no_body_at_all_is_updated_by_get() {
    let world = World::configured(|config| config.upstream.post_format = PostFormat::Csv).await;
    let mut numbers = world.read(1001).await.numbers;
    numbers[0].name = PLAIN_TEXT.to_owned();
    let answer = world
        .replace_all(replace(1001, numbers))
        .await
        .expect("the list is replaced");
    assert_eq!(answer.numbers[0].name, PLAIN_TEXT);
    let paths: Vec<String> = world
        .writes()
        .iter()
        .map(|write| path(write).split('/').nth(1).unwrap_or_default().to_owned())
        .collect();
    assert_eq!(paths, ["UpdateFollowmeAll", "updatefollowme"]);
    // What no GET can do is not done, and said.
    let failed = failure(world.update(clear_domain()).await);
    assert_eq!(failed.reason, "FIELDS_NOT_APPLIED");
}

#[tokio::test]
async fn off_means_query_values_only() {
    let world = host(Knobs::default(), Dialect::V4, UpdateAll::Off).await;
    let failed = failure(world.update(clear_domain()).await);
    assert_eq!(failed.reason, "FIELDS_NOT_APPLIED");
    let mut numbers = world.read(1001).await.numbers;
    numbers[0].name = ODD_TEXT.to_owned();
    numbers[2].period = "hr{9}".to_owned();
    let answer = world
        .replace_all(replace(1001, numbers))
        .await
        .expect("the list is replaced");
    assert_eq!(answer.numbers[0].name, ODD_TEXT);
    assert_eq!(answer.numbers[2].period, "hr{9}");
    assert_eq!(posts(&world).len(), 0);
}

#[tokio::test]
async fn a_host_that_writes_every_number_is_found_out_and_the_others_are_put_back() {
    for write_answer in [WriteAnswer::List, WriteAnswer::Null, WriteAnswer::Changed] {
        let knobs = Knobs {
            write_answer,
            ..every()
        };
        let world = host(knobs, Dialect::V3, UpdateAll::One).await;
        let others: Vec<StoredNumber> = [("b", 80002), ("c", 80003)]
            .into_iter()
            .zip(2..)
            .map(|((name, id), order)| StoredNumber {
                id,
                ..stored_number(name, "15550102", order)
            })
            .collect();
        let mut numbers = others.clone();
        numbers.push(StoredNumber {
            id: 70001,
            ..stored_number("Desk", "15550101", 1)
        });
        world.seed(1001, numbers);
        let failed = failure(world.update(clear_domain()).await);
        assert_eq!(failed.code, Code::Internal);
        assert_eq!(failed.reason, "UPSTREAM_WROTE_TOO_MUCH");
        assert_eq!(failed.meta("touched_number_ids"), Some("80002,80003"));
        assert_eq!(failed.meta("not_restored_number_ids"), None);
        for other in others {
            assert_eq!(world.stored(1001, other.id), other, "{write_answer:?}");
        }
        assert_eq!(world.number(1001, 70001).await.domain, "");

        // The route is not used any more, for any account.
        let before = posts(&world).len();
        world
            .update(give_domain("pbx.example.com"))
            .await
            .expect("a GET can do that");
        let failed = failure(world.update(clear_domain()).await);
        assert_eq!(failed.reason, "FIELDS_NOT_APPLIED");
        let mut numbers = world.read(1002).await.numbers;
        numbers[0].name = "Desk 2".to_owned();
        world
            .replace_all(replace(1002, numbers))
            .await
            .expect("a GET can do that");
        assert_eq!(posts(&world).len(), before);
    }
}

#[tokio::test]
async fn what_cannot_be_put_back_is_named() {
    let world = World::knobs(every()).await;
    let mut numbers = world.read(1001).await.numbers;
    numbers[0].name = "Front desk".to_owned();
    let failed = failure(world.replace_all(replace(1001, numbers)).await);
    assert_eq!(failed.reason, "UPSTREAM_WROTE_TOO_MUCH");
    assert_eq!(failed.meta("touched_number_ids"), Some("70002,70003"));
    // They had no domain or no name, and no GET can clear one.
    assert_eq!(failed.meta("not_restored_number_ids"), Some("70002,70003"));
    let mobile = world.number(1001, 70002).await;
    assert_eq!(mobile.name, "Mobile, \"after hours\"");
    assert_eq!(mobile.redirect_number, "15550102");
}

#[tokio::test]
async fn a_replace_all_that_wrote_too_much_goes_on_under_its_id() {
    let world = World::knobs(every()).await;
    let stored = (1..=3).map(|order| StoredNumber {
        id: 80000 + order,
        ..stored_number("Desk", &format!("1555010{order}"), order)
    });
    world.seed(1001, stored.collect());
    let mut numbers = world.read(1001).await.numbers;
    for number in &mut numbers {
        number.name = format!("Desk {}", number.number_id);
    }
    let request = pb::ReplaceAllRequest {
        request_id: "id-1".to_owned(),
        ..replace(1001, numbers)
    };
    let failed = failure(world.replace_all(request.clone()).await);
    assert_eq!(failed.reason, "UPSTREAM_WROTE_TOO_MUCH");
    assert_eq!(failed.meta("request_id"), Some("id-1"));
    assert_eq!(world.stored(1001, 80002).name.as_deref(), Some("Desk"));
    // Not the first answer again: its other steps are still to be done.
    world.replace_all(request).await.expect("it goes on");
    for id in 80001..=80003 {
        let name = world.stored(1001, id).name;
        assert_eq!(name, Some(format!("Desk {id}")));
    }
}

#[tokio::test]
async fn a_change_of_another_number_by_somebody_else_is_not_blamed_on_the_route() {
    let world = World::on(Dialect::V4, Newline::Lf).await;
    world.arm(
        FaultKind::Hold {
            when: followme::simulator::When::After,
        },
        Route::UpdateAll,
    );
    let somebody_else = async {
        world.handle.wait_for_fired("hold", 1).await;
        let mut numbers = world.handle.numbers(LICENSE, 1001).expect("seeded");
        numbers[1].name = Some("Theirs".to_owned());
        world.seed(1001, numbers);
        world.handle.release();
    };
    let (answer, ()) = tokio::join!(world.update(clear_domain()), somebody_else);
    assert_eq!(answer.expect("it is updated").unapplied_fields, [""; 0]);
    assert_eq!(world.number(1001, 70002).await.name, "Theirs");
    // The route is still used.
    world
        .update(give_domain("pbx.example.com"))
        .await
        .expect("it is updated");
    world.update(clear_domain()).await.expect("it is updated");
}

#[tokio::test]
async fn a_host_that_takes_one_record_for_the_list_is_found_out_and_the_others_are_added_anew() {
    let knobs = Knobs {
        update_all: Scope::List,
        reads_csv_bodies: Some(true),
        ..Knobs::default()
    };
    let world = host(knobs, Dialect::V3, UpdateAll::One).await;
    world.seed(
        1001,
        vec![
            StoredNumber {
                id: 70001,
                ..stored_number("Desk", "15550101", 1)
            },
            StoredNumber {
                id: 80002,
                ..stored_number("b", "15550102", 2)
            },
        ],
    );
    let failed = failure(world.update(clear_domain()).await);
    assert_eq!(failed.reason, "UPSTREAM_WROTE_TOO_MUCH");
    assert_eq!(failed.meta("touched_number_ids"), Some("80002"));
    assert_eq!(failed.meta("not_restored_number_ids"), None);
    let now = world.read(1001).await;
    let names: Vec<&str> = now
        .numbers
        .iter()
        .map(|number| number.name.as_str())
        .collect();
    assert_eq!(names, ["Desk", "b"]);
}

#[tokio::test]
async fn the_whole_list_is_posted_as_one_csv() {
    let world = whole_list_host().await;
    let before = world.read(1001).await;
    let numbers = vec![
        new_number("Van", "15550121"),
        before.numbers[0].clone(),
        pb::FollowMeNumber {
            name: "Car".to_owned(),
            ..before.numbers[1].clone()
        },
        new_number("Bus", "15550122"),
    ];
    let answer = world
        .replace_all(replace(1001, numbers))
        .await
        .expect("the list is replaced");
    let actions: Vec<_> = answer
        .steps
        .iter()
        .map(|step| (step.index, step.action(), step.outcome()))
        .collect();
    assert_eq!(
        actions,
        [
            (1, Action::Keep, Outcome::Done),
            (0, Action::Update, Outcome::Done),
            (2, Action::Update, Outcome::Done),
            (3, Action::Add, Outcome::Done),
        ]
    );
    let [post] = &world.writes()[..] else {
        panic!("one POST");
    };
    let text = body(post);
    assert!(text.starts_with(HEADER));
    assert_eq!(text.matches("\"DEMO-KEY\"").count(), 4);
    let now = world.read(1001).await;
    assert_eq!(now.numbers, answer.numbers);
    assert_eq!(now.total_size, 4);
    assert_eq!(now.list_etag, answer.list_etag);

    // What is no longer in it is gone.
    let answer = world
        .replace_all(replace(1001, vec![now.numbers[1].clone()]))
        .await
        .expect("the list is replaced");
    assert_eq!(answer.numbers, [now.numbers[1].clone()]);
    assert_eq!(world.writes().len(), 2);

    // An empty list is no CSV: single deletes do it.
    world
        .replace_all(pb::ReplaceAllRequest {
            allow_empty: true,
            ..replace(1001, Vec::new())
        })
        .await
        .expect("the list is emptied");
    assert_eq!(world.read(1001).await.numbers, []);
    assert_eq!(posts(&world).len(), 2);
}

#[tokio::test]
async fn a_field_that_did_not_take_is_posted_with_the_whole_list_to_such_a_host() {
    let world = whole_list_host().await;
    let answer = world.update(clear_domain()).await.expect("it is updated");
    assert_eq!(answer.unapplied_fields, [""; 0]);
    assert_eq!(world.read(1001).await.total_size, 3);
    let [post] = &posts(&world)[..] else {
        panic!("one POST");
    };
    assert_eq!(body(post).matches("\"DEMO-KEY\"").count(), 3);
}

#[tokio::test]
async fn single_writes_do_what_a_whole_list_did_not() {
    // The framework's own reader drops all records but the first.
    let knobs = Knobs {
        reads_csv_bodies: Some(true),
        ..Knobs::default()
    };
    let world = host(knobs, Dialect::V4, UpdateAll::WholeList).await;
    let before = world.read(1001).await;
    let numbers = vec![
        pb::FollowMeNumber {
            name: "First".to_owned(),
            ..before.numbers[0].clone()
        },
        pb::FollowMeNumber {
            name: "Second".to_owned(),
            ..before.numbers[1].clone()
        },
        new_number("Third", "*72"),
        new_number("Fourth", "15550124"),
    ];
    let answer = world
        .replace_all(replace(1001, numbers))
        .await
        .expect("the list is replaced");
    let names: Vec<&str> = answer
        .numbers
        .iter()
        .map(|number| number.name.as_str())
        .collect();
    assert_eq!(names, ["First", "Second", "Fourth", "Third"]);
    assert!(
        answer
            .steps
            .iter()
            .all(|step| step.outcome() == Outcome::Done)
    );
    assert_eq!(answer.steps.len(), 4);
}

#[tokio::test]
async fn a_whole_list_that_is_refused_is_done_by_single_writes() {
    // v3 reads no CSV body.
    let world = host(Knobs::default(), Dialect::V3, UpdateAll::WholeList).await;
    let mut numbers = world.read(1002).await.numbers;
    numbers.push(new_number("Van", "15550121"));
    let answer = world
        .replace_all(replace(1002, numbers))
        .await
        .expect("the list is replaced");
    assert_eq!(answer.numbers.len(), 2);
    let effects: Vec<EffectKind> = world.effects().iter().map(|effect| effect.kind).collect();
    assert_eq!(effects, [EffectKind::Add]);
}

#[tokio::test]
async fn a_whole_list_whose_answer_is_lost_is_settled_by_reading() {
    let world = whole_list_host().await;
    let before = world.read(1001).await;
    world.handle.arm(
        Fault::once(FaultKind::Reset {
            when: followme::simulator::When::After,
        })
        .on(Route::UpdateAll),
    );
    let numbers = vec![new_number("Van", "15550121"), before.numbers[0].clone()];
    let answer = world
        .replace_all(replace(1001, numbers))
        .await
        .expect("the list is replaced");
    world.assert_fired("reset");
    assert_eq!(answer.numbers.len(), 2);
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test]
async fn a_collateral_change_behind_a_lost_answer_is_found_by_the_next_call() {
    let options = Options {
        knobs: every(),
        ..demo()
    };
    let world = World::with(options, |config| {
        config.upstream.write_timeout = crate::support::SOON;
        config.operations.write_limit = crate::support::SOON;
    })
    .await;
    let others: Vec<StoredNumber> = [("b", 80002), ("c", 80003)]
        .into_iter()
        .zip(2..)
        .map(|((name, id), order)| StoredNumber {
            id,
            ..stored_number(name, &format!("1555010{order}"), order)
        })
        .collect();
    let mut numbers = others.clone();
    numbers.push(StoredNumber {
        id: 70001,
        ..stored_number("Desk", "15550101", 1)
    });
    world.seed(1001, numbers);
    let request = pb::UpdateRequest {
        request_id: "id-1".to_owned(),
        ..clear_domain()
    };
    let when = followme::simulator::When::After;
    world.arm(FaultKind::Reset { when }, Route::UpdateAll);
    let reads_fail = async {
        world.handle.wait_for_fired("reset", 1).await;
        world.handle.arm(
            Fault::once(FaultKind::NullList)
                .on(Route::GetAll)
                .times(1000),
        );
    };
    let (unknown, ()) = tokio::join!(world.update(request.clone()), reads_fail);
    assert_eq!(failure(unknown).reason, "OUTCOME_UNKNOWN");
    world.handle.disarm_all();
    for _ in 0..2 {
        let failed = failure(world.update(request.clone()).await);
        assert_eq!(failed.reason, "UPSTREAM_WROTE_TOO_MUCH");
        assert_eq!(failed.meta("touched_number_ids"), Some("80002,80003"));
        assert_eq!(failed.meta("not_restored_number_ids"), None);
    }
    for other in others {
        assert_eq!(world.stored(1001, other.id), other);
    }
}

#[tokio::test]
async fn an_equal_value_that_somebody_set_on_another_number_is_left() {
    let world = World::start().await;
    let mut numbers = world.read(1001).await.numbers;
    for number in &mut numbers {
        number.etag.clear();
    }
    numbers[0].ring_timeout = crate::support::seconds(41);
    world.arm(
        FaultKind::Hold {
            when: followme::simulator::When::After,
        },
        Route::UpdateAll,
    );
    let somebody_else = async {
        world.handle.wait_for_fired("hold", 1).await;
        let mut numbers = world.handle.numbers(LICENSE, 1001).expect("seeded");
        numbers[1].timeout = Some(41);
        world.seed(1001, numbers);
        world.handle.release();
    };
    numbers[1].ring_timeout = None;
    let (replaced, ()) = tokio::join!(world.replace_all(replace(1001, numbers)), somebody_else);
    replaced.expect("it is replaced");
    assert_eq!(world.stored(1001, 70002).timeout, Some(41));
    // The route is still used.
    let before = posts(&world).len();
    world.update(clear_domain()).await.expect("it is updated");
    world
        .update(give_domain("pbx.example.com"))
        .await
        .expect("it is updated");
    world.update(clear_domain()).await.expect("it is updated");
    assert!(posts(&world).len() > before);
}
