//! Hosts that change what they store, and lists that lag behind writes.

use super::*;

const ODD_ADD: &str =
    "/addfollowme/DEMO-KEY/1003/30/%20Night%20%20desk%20/2/1-555-0111/Y?format=csv";

async fn stored(knobs: Knobs) -> followme::simulator::StoredNumber {
    let (addr, handle) = demo_with(knobs).await;
    assert_eq!(get(addr, ODD_ADD).await.status(), 200);
    let numbers = handle.numbers("DEMO-KEY", 1003).expect("it exists");
    assert_eq!(handle.effects()[0].after.as_ref(), Some(&numbers[0]));
    numbers[0].clone()
}

#[tokio::test]
async fn a_host_stores_texts_as_they_come_unless_a_knob_normalises_them() {
    let number = stored(Knobs::default()).await;
    assert_eq!(number.name.as_deref(), Some(" Night  desk "));
    assert_eq!(number.redirect_number.as_deref(), Some("1-555-0111"));
    assert_eq!(number.domain, None);

    let number = stored(Knobs {
        folds_blanks: true,
        ..Knobs::default()
    })
    .await;
    assert_eq!(number.name.as_deref(), Some("Night desk"));

    let number = stored(Knobs {
        name_limit: Some(4),
        ..Knobs::default()
    })
    .await;
    assert_eq!(number.name.as_deref(), Some(" Nig"));

    let number = stored(Knobs {
        drops_dashes: true,
        ..Knobs::default()
    })
    .await;
    assert_eq!(number.redirect_number.as_deref(), Some("15550111"));

    let number = stored(Knobs {
        default_domain: Some("sip.example.com".to_owned()),
        ..Knobs::default()
    })
    .await;
    assert_eq!(number.domain.as_deref(), Some("sip.example.com"));
}

#[tokio::test]
async fn an_update_is_normalised_too() {
    let (addr, handle) = demo_with(Knobs {
        name_limit: Some(3),
        ..Knobs::default()
    })
    .await;
    let update = "/updatefollowme/DEMO-KEY/1001/70001/30/Reception/1/15550101/Y?format=csv";
    get(addr, update).await;
    let form = "License=DEMO-KEY&IAccount=1001&IFollowMeNumber=70002&Name=Mobile";
    update_all(addr, "application/x-www-form-urlencoded", form).await;
    let numbers = handle.numbers("DEMO-KEY", 1001).expect("it exists");
    assert_eq!(numbers[0].name.as_deref(), Some("Rec"));
    assert_eq!(numbers[1].name.as_deref(), Some("Mob"));
}

#[tokio::test]
async fn reads_lag_behind_a_write_by_a_number_of_reads() {
    let (addr, _) = demo_with(Knobs {
        lag_reads: 2,
        ..Knobs::default()
    })
    .await;
    assert!(
        get(addr, ADD).await.text().contains("name:Van"),
        "its own answer"
    );
    let mut shown = Vec::new();
    for _ in 0..3 {
        shown.push(get(addr, GET_ONE_LIST).await.text().contains("name:Van"));
        assert!(get(addr, GET_ALL).await.text().contains("name:Desk"));
    }
    assert_eq!(shown, [false, false, true]);
    let one = get(addr, "/getafollowme/DEMO-KEY/1002/70005?format=csv").await;
    assert!(one.text().contains("name:Van"));
}

#[tokio::test]
async fn reads_lag_behind_a_write_by_time() {
    let (addr, _) = demo_with(Knobs {
        lag_ms: 150,
        ..Knobs::default()
    })
    .await;
    let start = Instant::now();
    get(addr, ADD).await;
    while !get(addr, GET_ONE_LIST).await.text().contains("name:Van") {}
    assert!(start.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn update_all_can_say_success_and_do_nothing() {
    let (addr, handle) = demo_with(Knobs {
        update_all: UpdateAll::Nothing,
        ..Knobs::default()
    })
    .await;
    let form = "License=DEMO-KEY&IAccount=1001&IFollowMeNumber=70001&Name=Same";
    let got = update_all(addr, "application/x-www-form-urlencoded", form).await;
    assert!(got.text().contains(",True,DEMO-KEY"), "{}", got.text());
    assert_eq!(handle.effects(), []);
}
