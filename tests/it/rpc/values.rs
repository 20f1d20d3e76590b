//! Values that are hard to carry on the wire: each comes back as it was sent, in its own field.

use followme::{
    grpc::pb,
    simulator::{Dialect, Newline},
    upstream::UnsafeValues,
};
use tonic::Code;

use crate::support::{
    ODD_TEXT, World, add, demo, failure, in_every_dialect, new_number, path, replace, settable,
    stored_number, update,
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
    // The first three replace those that are there, by POST.
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

    // What fits no query goes by POST; an add has no such route.
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
    // An update has another route.
    let answer = world
        .update(update(70001, &["name"], new_number("a/b", "")))
        .await
        .expect("it is updated");
    assert_eq!(answer.unapplied_fields, [""; 0]);
    let last = world.writes().pop().expect("a write");
    assert_eq!(path(&last), "/UpdateFollowmeAll");
}
