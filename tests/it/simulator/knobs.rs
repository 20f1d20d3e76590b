//! The knobs.

use super::*;

#[tokio::test]
async fn update_all_can_write_every_number_of_the_account() {
    let (addr, handle) = demo_with(Knobs {
        update_all: UpdateAll::Every,
        ..Knobs::default()
    })
    .await;
    update_all(
        addr,
        "application/x-www-form-urlencoded",
        "License=DEMO-KEY&IAccount=1001&IFollowMeNumber=70001&Name=Same",
    )
    .await;
    let numbers = handle
        .numbers("DEMO-KEY", 1001)
        .expect("the account exists");
    assert!(
        numbers
            .iter()
            .all(|number| number.name.as_deref() == Some("Same"))
    );
    assert_eq!(handle.effects().len(), 3);
}

#[tokio::test]
async fn update_all_can_take_csv_records_as_the_whole_list() {
    let knobs = Knobs {
        update_all: UpdateAll::List,
        reads_csv_bodies: Some(true),
        ..Knobs::default()
    };
    let (addr, handle) = demo_with(knobs).await;
    let body = "License,IAccount,IFollowMeNumber,Name,RedirectNumber,TimeOut\n\
                DEMO-KEY,1001,70002,Kept,15550102,40\nDEMO-KEY,1001,0,New,15550103,20\n";
    let got = update_all(addr, "text/csv", body).await;
    assert_eq!(got.status(), 200);
    assert_eq!(ids(&handle, 1001), [70002, 70005]);
    let kinds: Vec<_> = handle
        .effects()
        .iter()
        .map(|effect| (effect.kind, effect.id))
        .collect();
    assert_eq!(
        kinds,
        [
            (EffectKind::Update, 70002),
            (EffectKind::Add, 70005),
            (EffectKind::Delete, 70001),
            (EffectKind::Delete, 70003),
        ]
    );
}

#[tokio::test]
async fn v4_reads_no_csv_body_when_the_knob_forbids_it() {
    let options = Options {
        dialect: Dialect::V4,
        seed_demo: true,
        knobs: Knobs {
            reads_csv_bodies: Some(false),
            ..Knobs::default()
        },
        ..Options::default()
    };
    let (addr, _) = start(options).await;
    let got = update_all(addr, "text/csv", "License,IAccount\nDEMO-KEY,1001\n").await;
    assert_eq!(got.status_line, "HTTP/1.1 400 Bad Request");
    assert!(
        got.text().contains("NotImplementedException"),
        "{}",
        got.text()
    );
}

#[tokio::test]
async fn reads_can_leave_success_false() {
    let (addr, _) = demo_with(Knobs {
        reads_say_success: false,
        ..Knobs::default()
    })
    .await;
    let read = get(addr, GET_ONE_LIST).await.text();
    assert!(
        read.contains("name:Reception") && read.contains(",False,DEMO-KEY"),
        "{read}"
    );
    assert!(get(addr, ADD).await.text().contains(",True,DEMO-KEY"));
}

#[tokio::test]
async fn writes_can_answer_without_a_list() {
    let (addr, _) = demo_with(Knobs {
        write_answer: WriteAnswer::Null,
        ..Knobs::default()
    })
    .await;
    let text = get(addr, ADD).await.text();
    assert!(
        text.starts_with(&format!("{HEADER},\"{{i_follow_me:")),
        "{text}"
    );
    assert!(get(addr, GET_ONE_LIST).await.text().contains("name:Van"));
}

#[tokio::test]
async fn writes_can_answer_with_only_the_number_concerned() {
    let knobs = Knobs {
        write_answer: WriteAnswer::Changed,
        ..Knobs::default()
    };
    let (addr, _) = demo_with(knobs).await;
    let text = get(addr, ADD).await.text();
    assert!(
        text.contains("name:Van") && !text.contains("name:Reception"),
        "{text}"
    );
    let text = get(addr, "/deletefollowme/DEMO-KEY/70004?format=csv")
        .await
        .text();
    assert!(text.starts_with(&format!("{HEADER}[],")), "{text}");
}

#[tokio::test]
async fn a_get_update_leaves_unseen_fields_unless_the_knob_blanks_them() {
    let update = "/updatefollowme/DEMO-KEY/1001/70001/30/Van/2/15550111/Y?format=csv";
    for (resets, period) in [(false, Some("Always")), (true, None)] {
        let knobs = Knobs {
            update_resets_unseen: resets,
            ..Knobs::default()
        };
        let (addr, handle) = demo_with(knobs).await;
        get(addr, update).await;
        let number = &handle
            .numbers("DEMO-KEY", 1001)
            .expect("the account exists")[0];
        assert_eq!(number.period.as_deref(), period);
        assert_eq!(number.status, !resets);
        assert_eq!(number.name.as_deref(), Some("Van"));
    }
}

#[tokio::test]
async fn get_handlers_can_ignore_what_only_the_query_carries() {
    let (addr, handle) = demo_with(Knobs {
        query_values: false,
        ..Knobs::default()
    })
    .await;
    get(addr, &format!("{ADD}&Period=Always&Name=Query")).await;
    let number = &handle
        .numbers("DEMO-KEY", 1002)
        .expect("the account exists")[1];
    assert_eq!(number.period, None);
    assert_eq!(
        number.name.as_deref(),
        Some("Query"),
        "a property of the path is still overridden"
    );
    let bound = handle.requests()[0]
        .bound
        .clone()
        .expect("the service was called");
    assert_eq!(
        bound["Period"], "Always",
        "the framework binds it all the same"
    );
}

#[tokio::test]
async fn a_four_value_delete_can_turn_forwarding_off() {
    for (forward, forwarding) in [
        (DeleteForward::Nothing, true),
        (DeleteForward::TurnsForwardingOff, false),
    ] {
        let (addr, handle) = demo_with(Knobs {
            delete_forward: forward,
            ..Knobs::default()
        })
        .await;
        get(addr, "/deletefollowme/DEMO-KEY/70004/1002/true?format=csv").await;
        let settings = &handle.accounts()["DEMO-KEY"][&1002].settings;
        assert_eq!(settings.forwarding, forwarding);
        assert_eq!(handle.effects()[0].kind, EffectKind::Delete);
    }
}

#[tokio::test]
async fn an_empty_list_can_be_null() {
    let target = "/getfollowmes/DEMO-KEY/1003?format=csv";
    let (addr, handle) = demo().await;
    assert!(
        get(addr, target)
            .await
            .text()
            .starts_with(&format!("{HEADER}[],"))
    );
    handle.set_knobs(Knobs {
        empty_list_is_null: true,
        ..Knobs::default()
    });
    assert!(
        get(addr, target)
            .await
            .text()
            .starts_with(&format!("{HEADER},\"{{"))
    );
}
