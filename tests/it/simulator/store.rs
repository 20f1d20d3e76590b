//! What the service does to its store.

use super::*;

#[tokio::test]
async fn lists_the_demo_account() {
    let (addr, _) = demo().await;
    let got = get(addr, GET_ONE_LIST).await;
    assert_eq!(
        got.text(),
        format!(
            "{HEADER}\"[{{i_account:1002,redirect_number:15550110,i_follow_me:5002,\
             i_follow_meSpecified:True,i_follow_me_number:70004,name:Reception,\
             i_follow_orderSpecified:True,i_follow_order:1,timeout:30,timeoutSpecified:True,\
             active:Y,status:False}}]\",\"{{i_follow_me:5002,sequence:Order,timeout:120,\
             SipStatus:True}}\",True,DEMO-KEY,0,\n"
        )
    );
}

#[tokio::test]
async fn answers_an_add_with_the_new_list_and_records_its_effect() {
    let (addr, handle) = demo().await;
    let got = get(
        addr,
        &format!("{ADD}&ContentId=7&FeatureName=FM&KeepOriginalCLI=I"),
    )
    .await;
    let text = got.text();
    assert!(text.contains("i_follow_me_number:70005,name:Van"), "{text}");
    assert!(text.ends_with(",True,DEMO-KEY,7,FM\n"), "{text}");
    let effects = handle.effects();
    assert_eq!(effects.len(), 1);
    assert_eq!(
        (effects[0].kind, effects[0].account, effects[0].id),
        (EffectKind::Add, 1002, 70005)
    );
    assert_eq!(effects[0].request, handle.requests()[0].sequence);
    let after = effects[0].after.as_ref().expect("an add has an after");
    assert_eq!(after.keep_original_cli.as_deref(), Some("I"));
    assert_eq!(effects[0].before, None);
}

#[tokio::test]
async fn stores_a_timeout_or_order_of_zero_as_unset() {
    let (addr, _) = demo().await;
    let got = get(
        addr,
        "/addfollowme/DEMO-KEY/1003/0/Van/0/15550111/Y?format=csv",
    )
    .await;
    let unset = "i_follow_orderSpecified:False,i_follow_order:0,timeout:0,timeoutSpecified:False";
    assert!(got.text().contains(unset), "{}", got.text());
}

#[tokio::test]
async fn answers_false_and_no_list_for_an_unknown_license_account_or_number() {
    let (addr, handle) = demo().await;
    for target in [
        "/getfollowmes/NO-KEY/1001?format=csv",
        "/getfollowmes/DEMO-KEY/1009?format=csv",
        "/addfollowme/DEMO-KEY/1009/30/Van/2/15550111/Y?format=csv",
        "/updatefollowme/DEMO-KEY/1002/70001/30/Van/2/15550111/Y?format=csv",
        "/deletefollowme/DEMO-KEY/79999?format=csv",
    ] {
        let got = get(addr, target).await;
        assert!(
            got.text().starts_with(&format!("{HEADER},,False,")),
            "{target}: {}",
            got.text()
        );
    }
    assert_eq!(handle.effects(), []);
    assert_eq!(handle.numbers("DEMO-KEY", 1009), None);
}

#[tokio::test]
async fn deletes_any_number_of_the_license_whatever_account_is_named() {
    let (addr, handle) = demo().await;
    get(addr, "/deletefollowme/DEMO-KEY/70004/1001/true?format=csv").await;
    assert!(ids(&handle, 1002).is_empty());
    assert_eq!(handle.effects()[0].account, 1002);
}

#[tokio::test]
async fn a_four_value_delete_with_false_deletes_nothing() {
    let (addr, handle) = demo().await;
    let got = get(addr, "/deletefollowme/DEMO-KEY/70004/1002/false?format=csv").await;
    assert!(got.text().contains(",True,"), "{}", got.text());
    assert_eq!(ids(&handle, 1002), [70004]);
}

#[tokio::test]
async fn an_empty_string_in_json_clears_a_field_and_a_null_leaves_it() {
    let (addr, handle) = demo().await;
    let body = json!({
        "License": "DEMO-KEY", "IAccount": 1001, "IFollowMeNumber": 70001,
        "Domain": "", "Name": null, "TimeOut": 25, "Status": true,
    });
    update_all(addr, "application/json", &body.to_string()).await;
    let number = &handle
        .numbers("DEMO-KEY", 1001)
        .expect("the account exists")[0];
    assert_eq!(number.domain.as_deref(), Some(""));
    assert_eq!(number.name.as_deref(), Some("Desk"));
    assert_eq!(
        (number.timeout, number.order, number.status),
        (Some(25), None, true)
    );
}

#[tokio::test]
async fn creates_accounts_of_any_license_if_configured() {
    let (addr, handle) = start(Options {
        accept_any_license: true,
        ..Options::default()
    })
    .await;
    get(addr, "/addfollowme/ANY/1007/30/Van/2/15550111/Y?format=csv").await;
    assert_eq!(
        handle
            .numbers("ANY", 1007)
            .expect("the account exists")
            .len(),
        1
    );
}
