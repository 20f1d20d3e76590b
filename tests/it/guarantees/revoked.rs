//! Rights that a reload takes away: from a write that waits for its account, and between two steps.

use followme::{
    grpc::pb::{self, follow_me_service_client::FollowMeServiceClient},
    simulator::{Fault, FaultKind, Route, When},
};
use serde_json::Value;
use tonic::{Request, transport::Channel};

use super::add_with_id;
use crate::{
    security::support::{Facade, token_line, until, with_token},
    support::{add_to, failure, new_number, replace},
    telemetry::admin::page,
};

/// The keys of the portal, and what else: all that it may do.
const ALL: &str = "methods = [\"*\"]\n";

/// What takes the rights away, and the reason that the write gets.
const REVOKED: [(&str, &str, &str); 3] = [
    ("", "methods = [\"List\", \"Delete\"]\n", "METHOD_DENIED"),
    ("read_only = true\n", ALL, "READ_ONLY"),
    (
        "",
        "methods = [\"*\"]\nallowed_destinations = [\"1999\"]\n",
        "DESTINATION_DENIED",
    ),
];

async fn portal() -> (Facade, FollowMeServiceClient<Channel>) {
    let facade = Facade::with(&toml("", ALL), |dir| {
        dir.write("tokens", &token_line("portal", "portal", ""));
    })
    .await;
    let client = facade.client().await;
    (facade, client)
}

fn toml(global: &str, keys: &str) -> String {
    format!(
        "admin_listen = \"127.0.0.1:0\"\ntokens_file = \"{{dir}}/tokens\"\n{global}\
         [callers.portal]\n{keys}"
    )
}

fn as_portal<T>(request: T) -> Request<T> {
    with_token(request, "portal")
}

/// Waits until an add to another account is answered with a reason; "" for OK.
async fn wait_for_policy(client: &FollowMeServiceClient<Channel>, reason: &str) {
    until("the policy is reloaded", || async {
        let add = add_to(1002, new_number("Other", "15550150"));
        let now = match client.clone().add(as_portal(add)).await {
            Ok(_) => String::new(),
            Err(status) => failure::<()>(Err(status)).reason,
        };
        (now == reason).then_some(())
    })
    .await;
}

fn hold(facade: &Facade, when: When) {
    let hold = Fault::once(FaultKind::Hold { when }).on(Route::Add);
    facade.handle.arm(hold.for_account(1003));
}

fn names(facade: &Facade) -> Vec<String> {
    let numbers = facade.handle.numbers(crate::support::LICENSE, 1003);
    let names = numbers.unwrap_or_default().into_iter();
    names.filter_map(|number| number.name).collect()
}

#[tokio::test]
async fn a_write_that_waits_for_its_account_is_authorized_again() {
    for (global, keys, reason) in REVOKED {
        let (facade, client) = portal().await;
        hold(&facade, When::Before);
        let add = |id: &str, name: &str| {
            let mut client = client.clone();
            let request = as_portal(add_with_id(id, name));
            tokio::spawn(async move { client.add(request).await })
        };
        let first = add("id-1", "First");
        facade.handle.wait_for_fired("hold", 1).await;
        let second = add("id-2", "Second");
        let admin = facade.admin.expect("it is configured");
        until("the second waits", || async {
            let (_, text) = page(admin, "/inflight").await;
            let shown: Value = serde_json::from_str(&text).expect("JSON");
            let calls = shown["calls"].as_array().map_or(0, Vec::len);
            (calls == 2).then_some(())
        })
        .await;
        facade.dir.configure(&toml(global, keys));
        wait_for_policy(&client, reason).await;
        facade.handle.release();
        first.await.expect("no panic").expect("it had begun");
        let refused = failure(second.await.expect("no panic"));
        assert_eq!(refused.reason, reason);
        assert_eq!(names(&facade), ["First"], "{reason}");
    }
}

#[tokio::test]
async fn a_replace_all_is_authorized_again_at_each_step() {
    for (global, keys, reason) in REVOKED {
        let (facade, client) = portal().await;
        hold(&facade, When::After);
        let numbers = [("A", "15550140"), ("B", "15550141")];
        let numbers = numbers.map(|(name, number)| new_number(name, number));
        let request = pb::ReplaceAllRequest {
            request_id: "id-1".to_owned(),
            ..replace(1003, numbers.into())
        };
        let send = || {
            let mut client = client.clone();
            let request = as_portal(request.clone());
            tokio::spawn(async move { client.replace_all(request).await })
        };
        let first = send();
        facade.handle.wait_for_fired("hold", 1).await;
        facade.dir.configure(&toml(global, keys));
        wait_for_policy(&client, reason).await;
        facade.handle.release();
        let stopped = failure(first.await.expect("no panic"));
        assert_eq!(stopped.reason, "REPLACE_INCOMPLETE");
        let steps = stopped.incomplete().steps;
        assert!(steps.iter().any(|step| step.reason == reason), "{steps:?}");
        assert_eq!(names(&facade), ["A"], "{reason}");
        // With its rights again, it continues.
        facade.dir.configure(&toml("", ALL));
        wait_for_policy(&client, "").await;
        send().await.expect("no panic").expect("it continues");
        assert_eq!(names(&facade), ["A", "B"], "{reason}");
    }
}

#[tokio::test]
async fn a_repeated_id_of_a_finished_write_is_answered_when_read_only() {
    let (facade, mut client) = portal().await;
    let add = || as_portal(add_with_id("id-1", "First"));
    let added = client.add(add()).await.expect("added").into_inner();
    facade.dir.configure(&toml("read_only = true\n", ALL));
    wait_for_policy(&client, "READ_ONLY").await;
    let again = client.add(add()).await.expect("known").into_inner();
    assert_eq!(again, added);
    assert_eq!(names(&facade), ["First"]);
}
