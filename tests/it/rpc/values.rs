//! Values that meet the traps of the wire: each has to come back as it was sent, in its own field.

use followme::{
    domain::License,
    grpc::pb,
    simulator::{Dialect, Newline, Options, Settings},
    upstream::UnsafeValues,
};
use tonic::Code;

use crate::support::{
    ODD_TEXT, World, add, bound, delete, demo, failure, get, in_every_dialect, list, new_number,
    path, replace, settable, stored_number, update, with_metadata,
};

/// Names that a path cannot carry, or that something on the way changes, cuts or resolves.
const NAMES: [&str; 42] = [
    ODD_TEXT,
    ".",
    "..",
    "...",
    "../../deletefollowme",
    "a.csv",
    "a.json",
    "a.XML",
    "a.html",
    "a.plain",
    "a.markdown",
    ".csv",
    "*72#",
    "a+b",
    "a b",
    " a",
    "a ",
    " ",
    "50%",
    "100%25",
    "%2F",
    "%41",
    "%",
    "a?b=c&Name=d",
    "a&License=x",
    "a#b",
    "a/b/c",
    "/",
    "//",
    "a\\b",
    "a:b",
    "a;b",
    "a,b",
    "\"",
    "\"\"",
    "a\"b",
    "[{name:x}]",
    "{",
    "null",
    "True",
    "x",
    "\u{fffd}\u{feff}\u{200b}é\u{301}🎉",
];

in_every_dialect!(
    every_name_comes_back_from_an_add,
    every_name_comes_back_from_an_update,
    every_name_comes_back_from_a_replace_all,
    every_kind_of_redirect_number_comes_back,
    long_values_come_back,
    the_contents_of_lists_can_be_sent_back,
    a_license_of_every_character_works_and_is_never_shown,
    the_context_of_the_caller_reaches_upstream,
);

async fn every_name_comes_back_from_an_add(world: World) {
    for name in NAMES {
        let number = pb::FollowMeNumber {
            period_description: name.to_owned(),
            ..new_number(name, "15550120")
        };
        let answer = world.add(add(number)).await.expect("it is added");
        assert_eq!(answer.unapplied_fields, [""; 0], "{name}");
        let number = answer.number.expect("it is there");
        assert_eq!(
            (number.name.as_str(), number.period_description.as_str()),
            (name, name)
        );
        assert_eq!(number.redirect_number, "15550120");
    }
    assert_eq!(world.effects().len(), NAMES.len());
    assert_eq!(world.writes().len(), NAMES.len());
}

async fn every_name_comes_back_from_an_update(world: World) {
    let before = world.number(1001, 70001).await;
    for name in NAMES {
        let number = pb::FollowMeNumber {
            period_description: name.to_owned(),
            ..new_number(name, "")
        };
        let paths = ["name", "period_description"];
        let answer = world
            .update(update(70001, &paths, number))
            .await
            .expect("it is updated");
        assert_eq!(answer.unapplied_fields, [""; 0], "{name}");
        assert_eq!(
            settable(&answer.number.expect("it is there")),
            pb::FollowMeNumber {
                name: name.to_owned(),
                period_description: name.to_owned(),
                ..settable(&before)
            }
        );
    }
    assert_eq!(world.effects().len(), NAMES.len());
}

async fn every_name_comes_back_from_a_replace_all(world: World) {
    let numbers: Vec<pb::FollowMeNumber> = NAMES
        .into_iter()
        .zip(1..)
        .map(|(name, order)| pb::FollowMeNumber {
            order: Some(order),
            period_description: name.to_owned(),
            ..new_number(name, &format!("155501{order:02}"))
        })
        .collect();
    // The first three take the places of those that are there, by POST.
    let answer = world
        .replace_all(replace(1001, numbers))
        .await
        .expect("the list is replaced");
    for (number, name) in answer.numbers.iter().zip(NAMES) {
        assert_eq!(
            (number.name.as_str(), number.period_description.as_str()),
            (name, name)
        );
    }
    assert_eq!(answer.numbers.len(), NAMES.len());
    assert_eq!(answer.numbers, world.read(1001).await.numbers);
    assert!(
        answer
            .steps
            .iter()
            .all(|step| step.unapplied_fields.is_empty())
    );
}

async fn every_kind_of_redirect_number_comes_back(world: World) {
    for redirect_number in [
        "*72#",
        "#31#15550101",
        "15550102!",
        "1555.0103",
        "..",
        ".",
        "a.csv",
        "ext.a_b-c",
        "*",
        "#",
        "0",
    ] {
        let answer = world
            .add(add(new_number("Van", redirect_number)))
            .await
            .expect("it is added");
        let number = answer.number.expect("it is there");
        assert_eq!(number.redirect_number, redirect_number);
        assert_eq!(number.name, "Van");
        world
            .update(update(
                70001,
                &["redirect_number"],
                new_number("", redirect_number),
            ))
            .await
            .expect("it is updated");
        let number = world.number(1001, 70001).await;
        assert_eq!(number.redirect_number, redirect_number);
    }
    for domain in [
        "2001:db8::1",
        "[2001:db8::1]",
        "192.0.2.1",
        "a.csv",
        "PBX-1",
    ] {
        let number = pb::FollowMeNumber {
            domain: domain.to_owned(),
            keep_original_cld: Some(true),
            ..new_number("Van", "15550120")
        };
        let answer = world.add(add(number)).await.expect("it is added");
        assert_eq!(answer.number.expect("it is there").domain, domain);
    }
}

async fn long_values_come_back(world: World) {
    let label = "d".repeat(63);
    let number = pb::FollowMeNumber {
        domain: format!("{label}.{label}.{label}.{}", "d".repeat(61)),
        keep_original_cld: Some(true),
        ..new_number(&"日".repeat(128), &"1".repeat(64))
    };
    let answer = world.add(add(number.clone())).await.expect("it is added");
    let added = answer.number.expect("it is there");
    assert_eq!(
        (&added.name, &added.domain, &added.redirect_number),
        (&number.name, &number.domain, &number.redirect_number)
    );
    let id = added.number_id;
    let answer = world
        .update(update(id, &["name"], new_number(&"本".repeat(128), "")))
        .await
        .expect("it is updated");
    let updated = answer.number.expect("it is there");
    assert_eq!(
        (&updated.name, &updated.domain),
        (&"本".repeat(128), &number.domain)
    );

    // What fits no query goes by POST; an add has no such way.
    let long = pb::FollowMeNumber {
        period_description: "日".repeat(170),
        ..number.clone()
    };
    let paths = ["name", "period_description"];
    let answer = world
        .update(update(id, &paths, long.clone()))
        .await
        .expect("it is updated");
    let updated = answer.number.expect("it is there");
    assert_eq!(
        (&updated.name, &updated.period_description),
        (&long.name, &long.period_description)
    );
    let long = pb::FollowMeNumber {
        domain: number.domain,
        ..long
    };
    let writes = world.writes().len();
    let refused = failure(world.add(add(long)).await);
    assert_eq!(refused.code, Code::InvalidArgument);
    assert_eq!(
        refused.fields(),
        ["number.name", "number.domain", "number.period_description"]
    );
    assert_eq!(world.writes().len(), writes);
}

async fn the_contents_of_lists_can_be_sent_back(world: World) {
    let before = world.read(1001).await;
    let answer = world
        .replace_all(replace(1001, before.numbers.clone()))
        .await
        .expect("nothing is to be done");
    assert_eq!(answer.numbers, before.numbers);
    assert_eq!(answer.list_etag, before.list_etag);
    assert_eq!(world.effects(), []);
    assert_eq!(world.write_paths(), [""; 0]);
}

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
async fn what_looks_like_html_is_refused_by_asp_net_in_an_add_and_carried_by_json_in_an_update() {
    let world = World::on(Dialect::AspNet, Newline::CrLf).await;
    for text in ["<b", "a </b>", "<!--", "<?x", "&#65;"] {
        let number = pb::FollowMeNumber {
            period_description: text.to_owned(),
            ..new_number(text, "15550120")
        };
        let refused = failure(world.add(add(number.clone())).await);
        assert_eq!(refused.code, Code::InvalidArgument);
        assert_eq!(refused.reason, "INVALID_REQUEST");
        assert_eq!(
            refused.fields(),
            ["number.name", "number.period_description"]
        );
        let refused = failure(
            world
                .add(add(pb::FollowMeNumber {
                    period_description: String::new(),
                    ..number.clone()
                }))
                .await,
        );
        assert_eq!(refused.fields(), ["number.name"], "{text}");

        let paths = ["name", "period_description"];
        let answer = world
            .update(update(70001, &paths, number))
            .await
            .expect("it is updated");
        assert_eq!(answer.unapplied_fields, [""; 0]);
        let number = answer.number.expect("it is there");
        assert_eq!(
            (number.name.as_str(), number.period_description.as_str()),
            (text, text)
        );
    }
    // It is sent back with what else changes, too.
    let answer = world
        .update(update(70001, &["order"], crate::support::full_number()))
        .await
        .expect("it is updated");
    assert_eq!(answer.unapplied_fields, [""; 0]);
    // `<` alone is no HTML.
    let answer = world
        .add(add(new_number("a < b & c", "15550120")))
        .await
        .expect("it is added");
    assert_eq!(answer.number.expect("it is there").name, "a < b & c");
    for dialect in [Dialect::V3, Dialect::V4] {
        let world = World::on(dialect, Newline::Lf).await;
        let answer = world.add(add(new_number("<b>", "15550120"))).await;
        assert_eq!(
            answer.expect("it is added").number.expect("there").name,
            "<b>"
        );
    }
}

#[tokio::test]
async fn odd_contents_can_be_sent_back_too() {
    let world = World::start().await;
    let mut numbers = Vec::new();
    for (index, name) in NAMES.into_iter().enumerate() {
        let mut number = stored_number(name, name, 3);
        number.domain = Some(name.to_owned());
        number.period = Some(format!("{name};"));
        number.active = Some("maybe".to_owned());
        number.keep_original_cli = Some(String::new());
        number.timeout = (index % 2 == 0).then_some(0);
        number.order = (index % 3 == 0).then_some(-4);
        numbers.push(number);
    }
    numbers.push(stored_number("", "", 40_000));
    numbers.push(stored_number("line\r\nbreak\t", "+1 (555) 0100", 40_000));
    world.seed(1001, numbers);
    let before = world.read(1001).await;
    assert_eq!(before.numbers.len(), NAMES.len() + 2);
    let answer = world
        .replace_all(replace(1001, before.numbers.clone()))
        .await
        .expect("nothing is to be done");
    assert_eq!(answer.numbers, before.numbers);
    assert_eq!(world.write_paths(), [""; 0]);
}

#[tokio::test]
async fn values_that_a_path_cannot_carry_can_be_refused_instead() {
    let world = World::with(demo(), |config| {
        config.upstream.unsafe_values = UnsafeValues::Reject;
    })
    .await;
    for (field, number) in [
        ("number.name", new_number("a/b", "15550120")),
        ("number.redirect_number", new_number("Van", "*72#")),
        (
            "number.domain",
            pb::FollowMeNumber {
                domain: "2001:db8::1".to_owned(),
                keep_original_cld: Some(true),
                ..new_number("Van", "15550120")
            },
        ),
    ] {
        let refused = failure(world.add(add(number)).await);
        assert_eq!(refused.code, Code::InvalidArgument);
        assert_eq!(refused.reason, "INVALID_REQUEST");
        assert_eq!(refused.fields(), [field]);
    }
    assert_eq!(world.writes().len(), 0);
    // What no path carries anyway goes by query as ever.
    let number = pb::FollowMeNumber {
        period_description: ODD_TEXT.to_owned(),
        ..new_number("Van", "15550120")
    };
    let answer = world.add(add(number)).await.expect("it is added");
    assert_eq!(answer.unapplied_fields, [""; 0]);
    // An update has another way.
    let answer = world
        .update(update(70001, &["name"], new_number("a/b", "")))
        .await
        .expect("it is updated");
    assert_eq!(answer.unapplied_fields, [""; 0]);
    let last = world.writes().pop().expect("a write");
    assert_eq!(path(&last), "/UpdateFollowmeAll");
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
