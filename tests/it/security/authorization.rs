//! Authorization: methods, accounts, Licenses, destinations, write rates.

use followme::{
    grpc::pb::{self, follow_me_service_client::FollowMeServiceClient},
    simulator::Settings,
};
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt as _;

use super::support::{Directory, Facade, token_line, with_token};
use crate::support::{
    add, add_to, delete, failure, get, list, new_number, replace, stored_number, update,
    with_metadata,
};

fn tokens(dir: &Directory, callers: &[&str]) {
    let lines: Vec<String> = callers
        .iter()
        .map(|caller| token_line(caller, caller, ""))
        .collect();
    dir.write("tokens", &lines.concat());
}

/// Starts with one caller, whose token is its name.
async fn portal(keys: &str) -> (Facade, FollowMeServiceClient<Channel>) {
    let toml = format!("tokens_file = \"{{dir}}/tokens\"\n[callers.portal]\n{keys}\n");
    let facade = Facade::with(&toml, |dir| tokens(dir, &["portal"])).await;
    let client = facade.client().await;
    (facade, client)
}

fn as_portal<T>(request: T) -> tonic::Request<T> {
    with_token(request, "portal")
}

/// Calls every method as the portal, and returns which were denied.
macro_rules! denied_methods {
    ($client:expr) => {{
        let mut denied = Vec::new();
        macro_rules! call {
            ($rpc:ident, $name:literal, $request:expr) => {
                if let Err(status) = $client.$rpc(as_portal($request)).await {
                    let details = status.get_error_details();
                    let reason = details.error_info().map(|info| info.reason.clone());
                    if reason.as_deref() == Some("METHOD_DENIED") {
                        assert_eq!(status.code(), Code::PermissionDenied);
                        denied.push($name);
                    }
                }
            };
        }
        call!(add, "Add", add(new_number("Van", "15550120")));
        call!(
            update,
            "Update",
            update(70001, &["name"], new_number("Van", ""))
        );
        call!(delete, "Delete", delete(70002));
        call!(get, "Get", get(1001, 70001));
        call!(list, "List", list(1001));
        call!(replace_all, "ReplaceAll", replace(1002, Vec::new()));
        denied
    }};
}

#[tokio::test]
async fn a_caller_is_limited_to_its_methods() {
    let (facade, mut client) = portal("methods = [\"List\", \"Get\"]").await;
    assert_eq!(
        denied_methods!(client),
        ["Add", "Update", "Delete", "ReplaceAll"]
    );
    assert_eq!(facade.handle.effects().len(), 0);
    let (_facade, mut client) = portal("methods = [\"*\"]").await;
    assert_eq!(denied_methods!(client), [""; 0]);
    let (facade, mut client) = portal("methods = []").await;
    assert_eq!(denied_methods!(client).len(), 6);
    assert_eq!(facade.handle.requests().len(), 0);
}

#[tokio::test]
async fn a_caller_is_limited_to_its_accounts() {
    let (facade, mut client) = portal("methods = [\"*\"]\naccounts = [1001, 1003]").await;
    client.list(as_portal(list(1001))).await.expect("a list");
    client
        .add(as_portal(add_to(1003, new_number("Van", "15550120"))))
        .await
        .expect("added");
    let asked = facade.handle.requests().len();
    let number = new_number("Van", "15550120");
    let renamed = pb::UpdateRequest {
        number: Some(pb::FollowMeNumber {
            account_id: 1002,
            number_id: 70004,
            ..number.clone()
        }),
        ..pb::UpdateRequest::default()
    };
    let deleted = pb::DeleteRequest {
        account_id: 1002,
        ..delete(70004)
    };
    for refused in [
        failure(client.list(as_portal(list(1002))).await),
        failure(client.get(as_portal(get(1002, 70004))).await),
        failure(client.add(as_portal(add_to(1002, number.clone()))).await),
        failure(client.update(as_portal(renamed)).await),
        failure(client.delete(as_portal(deleted)).await),
        failure(
            client
                .replace_all(as_portal(replace(1002, vec![number])))
                .await,
        ),
    ] {
        assert_eq!(refused.code, Code::PermissionDenied);
        assert_eq!(refused.reason, "ACCOUNT_DENIED");
        assert_eq!(refused.meta("account_id"), Some("1002"));
    }
    assert_eq!(facade.handle.requests().len(), asked);
}

#[tokio::test]
async fn each_caller_has_its_license_or_brings_one_if_permitted() {
    let toml = "tokens_file = \"{dir}/tokens\"\n\
         [callers.plain]\nmethods = [\"*\"]\n\
         [callers.tenant]\nmethods = [\"*\"]\nlicense_file = \"{dir}/tenant\"\n\
         [callers.broker]\nmethods = [\"*\"]\ncaller_license = true\n";
    let facade = Facade::with(toml, |dir| {
        tokens(dir, &["plain", "tenant", "broker"]);
        dir.write("tenant", "TENANT-KEY\n");
    })
    .await;
    for (key, name) in [("TENANT-KEY", "Tenant"), ("BROKER-KEY", "Broker")] {
        let numbers = vec![stored_number(name, "15550140", 1)];
        facade.handle.seed(key, 1001, numbers, Settings::default());
    }
    let mut client = facade.client().await;
    for (caller, brought, name) in [
        ("plain", None, "Desk"),
        ("tenant", None, "Tenant"),
        ("broker", None, "Desk"),
        ("broker", Some("BROKER-KEY"), "Broker"),
    ] {
        let mut request = with_token(list(1001), caller);
        if let Some(key) = brought {
            let key = key.parse().expect("a value");
            request.metadata_mut().insert("x-porta-license", key);
        }
        let answer = client.list(request).await.expect("a list").into_inner();
        assert_eq!(answer.numbers[0].name, name, "{caller}");
    }
    let bearer = ("authorization", "Bearer tenant");
    let request = with_metadata(list(1001), &[bearer, ("x-porta-license", "BROKER-KEY")]);
    let refused = failure(client.list(request).await);
    assert_eq!(refused.fields(), ["metadata.x-porta-license"]);
}

const PREFIXES: &str = "methods = [\"*\"]\n\
     allowed_destinations = [\"1555\"]\ndenied_destinations = [\"1555019\"]";

fn denied<T: std::fmt::Debug>(answer: Result<T, tonic::Status>, field: &str) {
    let refused = failure(answer);
    assert_eq!(refused.code, Code::PermissionDenied);
    assert_eq!(refused.reason, "DESTINATION_DENIED");
    assert_eq!(refused.meta("field"), Some(field));
}

#[tokio::test]
async fn the_destination_policy_limits_adds() {
    let (facade, mut client) = portal(PREFIXES).await;
    for number in ["15550120", "+15550121", "1.555-0122"] {
        let request = add(new_number("Van", number));
        client.add(as_portal(request)).await.expect("added");
    }
    let effects = facade.handle.effects().len();
    for number in [
        "19005550100",
        "15550190",
        "+1555-0190",
        "*6715550120",
        "desk",
    ] {
        for validate_only in [true, false] {
            let request = pb::AddRequest {
                validate_only,
                ..add(new_number("Van", number))
            };
            denied(
                client.add(as_portal(request)).await,
                "number.redirect_number",
            );
        }
    }
    assert_eq!(facade.handle.effects().len(), effects);
}

#[tokio::test]
async fn the_destination_policy_limits_domains() {
    let at = |domain: &str| pb::FollowMeNumber {
        domain: domain.to_owned(),
        ..new_number("Van", "15550120")
    };
    for (policy, allowed, refused) in [
        // Where numbers are limited, a host that is not named is refused.
        (
            "allowed_destinations = [\"1555\"]",
            &[""][..],
            &["pbx.example.com", "192.0.2.7", "2001:db8::1"][..],
        ),
        (
            "allowed_destinations = [\"1555\"]\n\
             allowed_domains = [\"PBX.example.com\", \"*.voip.example.com\", \"192.0.2.7\"]\n\
             denied_domains = [\"bad.voip.example.com\"]",
            &[
                "",
                "pbx.example.com",
                "Pbx.Example.com",
                "a.voip.example.com",
                "192.0.2.7",
            ],
            &[
                "voip.example.com",
                "bad.voip.example.com",
                "BAD.voip.example.com",
                "192.0.2.8",
            ],
        ),
        (
            "denied_domains = [\"[2001:db8::1]\"]",
            &["", "pbx.example.com"],
            &["2001:db8::1", "2001:DB8:0::1", "[2001:db8::1]"],
        ),
        ("allowed_domains = []", &[""], &["pbx.example.com"]),
    ] {
        let (facade, mut client) = portal(&format!("methods = [\"*\"]\n{policy}")).await;
        for domain in refused {
            let request = as_portal(add(at(domain)));
            denied(client.add(request).await, "number.domain");
            let request = as_portal(update(70001, &["domain"], at(domain)));
            denied(client.update(request).await, "number.domain");
            let request = as_portal(replace(1001, vec![at(domain)]));
            denied(client.replace_all(request).await, "numbers[0].domain");
        }
        assert!(facade.handle.effects().is_empty(), "{policy}");
        for domain in allowed {
            let request = as_portal(add(at(domain)));
            client.add(request).await.expect("it is added");
        }
    }
}

#[tokio::test]
async fn an_update_may_leave_a_forbidden_destination_and_not_introduce_one() {
    let (facade, mut client) = portal(PREFIXES).await;
    let mut premium = stored_number("Premium", "19005550100", 1);
    premium.domain = Some("pbx.example.com".to_owned());
    facade
        .handle
        .seed("DEMO-KEY", 1001, vec![premium], Settings::default());
    let id = facade.handle.numbers("DEMO-KEY", 1001).expect("seeded")[0].id;
    // What is there already may stay, also where the caller says it again.
    let same = pb::FollowMeNumber {
        domain: "pbx.example.com".to_owned(),
        ..new_number("Renamed", "19005550100")
    };
    let request = update(id, &["name", "redirect_number", "domain"], same);
    client.update(as_portal(request)).await.expect("updated");
    let field = "number.redirect_number";
    for (number, domain) in [("19005550101", "pbx.example.com"), ("19005550100", "")] {
        for validate_only in [true, false] {
            let changed = pb::FollowMeNumber {
                domain: domain.to_owned(),
                ..new_number("Renamed", number)
            };
            let request = pb::UpdateRequest {
                validate_only,
                ..update(id, &["redirect_number", "domain"], changed)
            };
            denied(client.update(as_portal(request)).await, field);
        }
    }
    let request = update(id, &["redirect_number"], new_number("", "15550120"));
    client.update(as_portal(request)).await.expect("updated");
    let request = update(id, &["redirect_number"], new_number("", "19005550100"));
    denied(client.update(as_portal(request)).await, field);
}

#[tokio::test]
async fn a_replace_all_may_keep_a_forbidden_destination_and_not_introduce_one() {
    let (facade, mut client) = portal(PREFIXES).await;
    facade.handle.seed(
        "DEMO-KEY",
        1001,
        vec![
            stored_number("Premium", "19005550100", 1),
            stored_number("Desk", "15550101", 2),
        ],
        Settings::default(),
    );
    let stored = |name: &str, number: &str| pb::FollowMeNumber {
        domain: "sip.example.com".to_owned(),
        ..new_number(name, number)
    };
    let premium = || stored("Premium, renamed", "19005550100");
    let desk = || stored("Desk", "15550101");
    let request = replace(1001, vec![premium(), desk(), new_number("Van", "15550120")]);
    client.replace_all(as_portal(request)).await.expect("done");
    let effects = facade.handle.effects().len();
    for (numbers, field) in [
        (
            vec![premium(), desk(), new_number("Van", "19005550101")],
            "numbers[2].redirect_number",
        ),
        (
            vec![premium(), desk(), new_number("Van", "15550120"), premium()],
            "numbers[3].redirect_number",
        ),
    ] {
        for validate_only in [true, false] {
            let request = pb::ReplaceAllRequest {
                validate_only,
                ..replace(1001, numbers.clone())
            };
            denied(client.replace_all(as_portal(request)).await, field);
        }
    }
    assert_eq!(facade.handle.effects().len(), effects);
}

#[tokio::test]
async fn the_write_rate_limit_holds_per_caller_and_account() {
    let (facade, mut client) = portal("methods = [\"*\"]\nwrites_per_minute = 2").await;
    let rename = |name: &str| as_portal(update(70001, &["name"], new_number(name, "")));
    for name in ["a", "b"] {
        client.update(rename(name)).await.expect("updated");
    }
    let effects = facade.handle.effects().len();
    let refused = failure(client.update(rename("c")).await);
    assert_eq!(refused.code, Code::ResourceExhausted);
    assert_eq!(refused.reason, "WRITE_RATE");
    let details = refused.status.get_error_details();
    let wait = details.retry_info().and_then(|info| info.retry_delay);
    let wait = wait.expect("when to try again").as_secs();
    assert!((20..=30).contains(&wait), "{wait}");
    assert_eq!(facade.handle.effects().len(), effects);
    // What writes nothing is no write, and another account is another matter.
    let request = pb::AddRequest {
        validate_only: true,
        ..add(new_number("Van", "15550120"))
    };
    client.add(as_portal(request)).await.expect("checked");
    client.list(as_portal(list(1001))).await.expect("a list");
    let request = add_to(1003, new_number("Van", "15550120"));
    client.add(as_portal(request)).await.expect("added");
}

#[tokio::test]
async fn a_request_id_is_scoped_to_its_caller() {
    let toml = "tokens_file = \"{dir}/tokens\"\n\
         [callers.a]\nmethods = [\"*\"]\n[callers.b]\nmethods = [\"*\"]\n";
    let facade = Facade::with(toml, |dir| tokens(dir, &["a", "b"])).await;
    let mut client = facade.client().await;
    let request = || pb::AddRequest {
        request_id: "one".to_owned(),
        ..add_to(1003, new_number("Van", "15550120"))
    };
    for (caller, effects) in [("a", 1), ("a", 1), ("b", 2)] {
        let answer = client.add(with_token(request(), caller)).await;
        answer.expect("added");
        assert_eq!(facade.handle.effects().len(), effects);
    }
}
