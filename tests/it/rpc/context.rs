//! The License, the session and the other context of a call, on their way to the upstream.

use followme::{
    domain::License,
    grpc::pb,
    simulator::{Options, Settings},
};
use tonic::Code;

use crate::support::{
    World, add, bound, delete, failure, get, in_every_dialect, list, new_number, path,
    stored_number, update, with_metadata,
};

in_every_dialect!(
    a_license_of_every_character_works_and_is_never_shown,
    the_context_of_the_caller_reaches_upstream,
);

async fn a_license_of_every_character_works_and_is_never_shown(world: World) {
    const KEY: &str = "a+b/c %d\"e&f=g#h?i..";
    let numbers = vec![stored_number("Desk", "15550101", 1)];
    world.handle.seed(KEY, 1009, numbers, Settings::default());
    let world = world.with_license(KEY).await;
    let id = world.read(1009).await.numbers[0].number_id;
    let one = world.get(get(1009, id)).await.expect("it is there");
    assert_eq!(one.number.expect("it is there").name, "Desk");
    let answer = world
        .add(pb::AddRequest {
            account_id: 1009,
            ..add(new_number("Van", "15550120"))
        })
        .await
        .expect("it is added");
    let added = answer.number.expect("it is there").number_id;
    // By GET, then by POST.
    for (name, field) in [("Bus", "name"), ("", "domain")] {
        let mut request = update(id, &[field], new_number(name, ""));
        request.number.get_or_insert_default().account_id = 1009;
        let answer = world.update(request).await.expect("it is updated");
        assert_eq!(answer.unapplied_fields, [""; 0]);
    }
    world
        .delete(pb::DeleteRequest {
            account_id: 1009,
            ..delete(added)
        })
        .await
        .expect("it is deleted");
    for request in world.handle.requests() {
        assert!(!request.target.contains(KEY));
        if request.method == "POST" {
            assert!(request.target.starts_with("/UpdateFollowmeAll?format=csv"));
        } else {
            assert_eq!(bound(&request, "License"), Some(KEY));
            assert_eq!(path(&request).split('/').nth(2), Some("x"));
        }
    }
    let missing = failure(world.list(list(1001)).await);
    let shown = format!("{:?}", missing.status);
    for form in [KEY, "a+b/c", "a%2Bb", "a\\+b"] {
        assert!(!shown.contains(form), "{shown}");
    }
}

async fn the_context_of_the_caller_reaches_upstream(world: World) {
    let request = with_metadata(
        list(1001),
        &[
            ("x-porta-content-id", "-7"),
            ("x-porta-feature-name", "a+b & c"),
        ],
    );
    world.list(request).await.expect("the list can be read");
    let mut request = with_metadata(list(1001), &[("x-porta-feature-name", "not this")]);
    request.metadata_mut().insert_bin(
        "x-porta-feature-name-bin",
        tonic::metadata::MetadataValue::from_bytes("日本/?".as_bytes()),
    );
    world.list(request).await.expect("the list can be read");
    let requests = world.handle.requests();
    assert_eq!(bound(&requests[0], "FeatureName"), Some("a+b & c"));
    let content_id = requests[0].bound.as_ref().expect("bound")["ContentId"].as_i64();
    assert_eq!(content_id, Some(-7));
    assert_eq!(bound(&requests[1], "FeatureName"), Some("日本/?"));
}

#[tokio::test]
async fn callers_bring_their_own_license_if_configured() {
    let own = |request| with_metadata(request, &[("x-porta-license", "OWN-KEY")]);
    let world = World::start().await;
    let refused = failure(world.list(own(list(1001))).await);
    assert_eq!(refused.code, Code::InvalidArgument);
    assert_eq!(refused.fields(), ["metadata.x-porta-license"]);
    assert!(!format!("{refused:?}").contains("OWN-KEY"));
    assert_eq!(world.handle.requests().len(), 0);

    let world =
        World::configured(|config| config.security.policy.anonymous.brings_license = true).await;
    world.handle.seed(
        "OWN-KEY",
        1001,
        vec![stored_number("Own", "15550101", 1)],
        Settings::default(),
    );
    let answer = world.list(own(list(1001))).await.expect("a list");
    assert_eq!(answer.numbers[0].name, "Own");
    assert_eq!(world.read(1001).await.numbers[0].name, "Desk");
    for bad in ["", &"k".repeat(257)] {
        let request = with_metadata(list(1001), &[("x-porta-license", bad)]);
        let refused = failure(world.list(request).await);
        assert_eq!(refused.fields(), ["metadata.x-porta-license"]);
    }

    let world = World::configured(|config| {
        config.security.policy.anonymous.brings_license = true;
        config.security.policy.anonymous.license = None;
    })
    .await;
    let refused = failure(world.list(list(1001)).await);
    assert_eq!(refused.fields(), ["metadata.x-porta-license"]);
    assert_eq!(world.handle.requests().len(), 0);
}

#[tokio::test]
async fn invalid_metadata_is_refused_with_all_other_violations() {
    let world = World::start().await;
    for (key, bad) in [
        ("x-porta-content-id", "seven".to_owned()),
        ("x-porta-content-id", "2147483648".to_owned()),
        ("x-porta-content-id", String::new()),
        ("x-porta-feature-name", "f".repeat(129)),
    ] {
        let request = with_metadata(list(0), &[(key, bad.as_str())]);
        let refused = failure(world.list(request).await);
        assert_eq!(refused.code, Code::InvalidArgument);
        assert_eq!(refused.fields(), [&format!("metadata.{key}"), "account_id"]);
    }
    assert_eq!(world.handle.requests().len(), 0);
}

#[tokio::test]
async fn the_configured_context_is_the_default() {
    let world = World::with(
        Options {
            accept_any_license: true,
            ..Options::default()
        },
        |config| {
            config.defaults.content_id = Some(42);
            config.defaults.feature_name = Some("FollowMe & more".to_owned());
            config.security.policy.anonymous.license = License::new("ANY").ok();
        },
    )
    .await;
    world
        .add(add(new_number("Van", "15550120")))
        .await
        .expect("it is added");
    let requests = world.handle.requests();
    assert!(requests.len() >= 2);
    for request in requests {
        assert!(
            request
                .target
                .contains("&ContentId=42&FeatureName=FollowMe%20%26%20more")
        );
    }
}
