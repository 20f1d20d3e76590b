//! The body formats of `POST /UpdateFollowmeAll`: which is sent, and which follows a rejected one.

use followme::{
    grpc::pb,
    simulator::{Dialect, EffectKind, FaultKind, Knobs, Newline, Options, Route},
    upstream::{PostFormat, UpdateAll},
};

use super::collateral::{
    HEADER, PLAIN_TEXT, body, clear_domain, content_types, give_domain, host, posts,
};
use crate::support::{LICENSE, ODD_TEXT, World, demo, failure, new_number, path, replace, update};

#[tokio::test]
async fn a_csv_body_has_the_documented_columns_and_quotes_every_field() {
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
async fn a_rejected_body_format_is_followed_by_another_which_is_remembered() {
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
async fn no_other_body_format_is_tried_after_an_inconclusive_answer() {
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
async fn the_body_format_can_be_configured() {
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
async fn a_host_that_accepts_no_body_is_updated_by_get() {
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
async fn update_all_off_sends_query_values_only() {
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
