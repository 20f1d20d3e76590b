//! How values reach upstream: what is absent stays absent, and no text arrives changed.

use followme::{
    config::Config,
    grpc::pb,
    simulator::{Dialect, FaultKind, Newline, Options, Received, Route, StoredNumber},
    upstream::{PostFormat, UnsafeValues, UpdateAll},
};

use crate::support::{World, add, demo, failure, new_number, replace, stored_number, update};

const DIALECTS: [Dialect; 3] = [Dialect::V3, Dialect::V4, Dialect::AspNet];

/// The marks of text direction that living hosts drop from queries.
const MARKS: [char; 7] = [
    '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
];

fn query(request: &Received) -> &str {
    request
        .target
        .split_once('?')
        .map_or("", |(_, query)| query)
}

fn path(request: &Received) -> &str {
    request.target.split('?').next().unwrap_or_default()
}

fn body(request: &Received) -> String {
    String::from_utf8_lossy(&request.body).into_owned()
}

/// Checks that no request of the world has a mark of text direction in its query.
fn assert_no_mark_in_a_query(world: &World) {
    for request in world.handle.requests() {
        for mark in ["%E2%80%8E", "%E2%80%8F", "%E2%80%AA", "%E2%80%AE"] {
            assert!(!query(&request).contains(mark), "{}", request.target);
        }
    }
}

fn renamed(name: &str) -> pb::UpdateRequest {
    update(70001, &["name"], new_number(name, ""))
}

#[tokio::test]
async fn requests_ask_caches_to_stay_out() {
    let world = World::start().await;
    world.read(1001).await;
    world
        .add(add(new_number("Van", "15550121")))
        .await
        .expect("it is added");
    world
        .update(update(70001, &["domain"], pb::FollowMeNumber::default()))
        .await
        .expect("it is updated");
    let requests = world.handle.requests();
    assert!(requests.iter().any(|request| request.method == "POST"));
    for request in requests {
        assert_eq!(
            request.header("cache-control"),
            Some("no-cache"),
            "{}",
            request.target
        );
        assert_eq!(request.header("accept-encoding"), Some("identity"));
    }
}

#[tokio::test]
async fn a_charset_other_than_utf_8_is_never_read_silently() {
    for (content_type, name, is_read) in [
        ("text/csv", "Müller", true),
        ("text/csv; charset=utf-8", "Müller", true),
        (
            "text/csv; header=present; charset=\"UTF-8\"",
            "Müller",
            true,
        ),
        ("text/csv; charset=us-ascii", "Müller", true),
        ("text/csv;charset=windows-1252", "Mueller", true),
        ("text/csv; charset=windows-1252", "Müller", false),
        ("text/csv;CHARSET=ISO-8859-1", "Müller", false),
        (
            "text/csv; header=present; charset=\"utf-16\"",
            "Müller",
            false,
        ),
    ] {
        let world = World::start().await;
        let body = format!(
            "FollowMeNumbers,FollowMeinfo,success\n\
             \"[{{i_account:1001,i_follow_me_number:7,name:{name}}}]\",,True\n"
        );
        let text = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        world.arm(FaultKind::Raw { text }, Route::GetAll);
        let answer = world
            .list(pb::ListRequest {
                account_id: 1001,
                ..pb::ListRequest::default()
            })
            .await;
        world.assert_fired("raw");
        if is_read {
            assert_eq!(answer.expect("it is read").numbers[0].name, name);
        } else {
            let failed = failure(answer);
            assert_eq!(failed.reason, "UPSTREAM_BAD_RESPONSE", "{content_type}");
        }
    }
}

#[tokio::test]
async fn an_absent_order_or_ring_timeout_stays_absent_in_an_update() {
    for dialect in DIALECTS {
        for (order, timeout) in [(None, Some(20)), (Some(1), None), (None, None)] {
            for domain in [Some("sip.example.com".to_owned()), None] {
                let world = World::on(dialect, Newline::Lf).await;
                let number = StoredNumber {
                    id: 70001,
                    order,
                    timeout,
                    domain,
                    ..stored_number("Desk", "15550101", 1)
                };
                world.seed(1001, vec![number]);
                let answer = world.update(renamed("Van")).await.expect("it is updated");
                assert_eq!(answer.unapplied_fields, [""; 0]);
                let [write] = &world.writes()[..] else {
                    panic!("one write");
                };
                for (value, property) in [(order, "FollowMeOrder"), (timeout, "TimeOut")] {
                    // A placeholder in the path, which the empty query value takes away again.
                    let erased = query(write).contains(&format!("&{property}=&"))
                        || query(write).ends_with(&format!("&{property}="));
                    assert_eq!(erased, value.is_none(), "{}", write.target);
                }
                assert!(!path(write).split('/').any(|segment| segment == "0"));
                let stored = world.stored(1001, 70001);
                assert_eq!(
                    (stored.order, stored.timeout),
                    (order, timeout),
                    "{dialect:?}"
                );
                assert_eq!(stored.name.as_deref(), Some("Van"));
            }
        }
    }
}

#[tokio::test]
async fn an_absent_order_or_ring_timeout_stays_absent_in_a_posted_number() {
    for format in [PostFormat::Json, PostFormat::Csv, PostFormat::Form] {
        let options = followme::simulator::Options {
            dialect: Dialect::V4,
            ..demo()
        };
        let world = World::with(options, |config| {
            config.upstream.post_format = format;
            // A path cannot say that a value is absent, so the number is posted.
            config.upstream.unsafe_values = UnsafeValues::Reject;
        })
        .await;
        let number = StoredNumber {
            id: 70001,
            order: None,
            timeout: None,
            // CSV does not carry the braces of other periods.
            period: Some("Always".to_owned()),
            ..stored_number("Desk", "15550101", 1)
        };
        world.seed(1001, vec![number]);
        world.update(renamed("Van")).await.expect("it is updated");
        let [write] = &world.writes()[..] else {
            panic!("one write");
        };
        assert_eq!(write.method, "POST", "{format:?}");
        assert!(!body(write).contains("TimeOut"), "{}", body(write));
        assert!(!body(write).contains("FollowMeOrder"), "{}", body(write));
        let stored = world.stored(1001, 70001);
        assert_eq!((stored.order, stored.timeout), (None, None));
        assert_eq!(stored.name.as_deref(), Some("Van"));
    }
}

#[tokio::test]
async fn texts_that_a_csv_reader_takes_apart_arrive_as_they_are_by_every_route() {
    let names = [
        "[Mom",
        "{a",
        "\"quoted\"",
        "x}",
        "}",
        "@{x}",
        "[]",
        "{}",
        "\"",
        "\"a\",\"b\"",
        "\"a\"\"b\"",
        "[\"a\":{b}]",
        "Mom's \"old\" [phone], {x}",
        "]]{[",
        "a,\"",
        "\"\"\"",
        "{name:x}",
        "a\\\"b",
    ];
    for dialect in DIALECTS {
        for format in [PostFormat::Auto, PostFormat::Csv] {
            let options = followme::simulator::Options { dialect, ..demo() };
            let world = World::with(options, |config| {
                config.upstream.post_format = format;
            })
            .await;
            for name in names {
                // By GET; by POST, since a ReplaceAll tries that first; and in a new number.
                world.update(renamed(name)).await.expect("it is updated");
                assert_eq!(world.stored(1001, 70001).name.as_deref(), Some(name));
                let mut numbers = world.read(1001).await.numbers;
                numbers[1].name = name.to_owned();
                numbers.truncate(2);
                numbers.push(new_number(name, "15550121"));
                world
                    .replace_all(replace(1001, numbers))
                    .await
                    .expect("the list is replaced");
                for number in world.read(1001).await.numbers {
                    assert_eq!(number.name, name, "{dialect:?} {format:?}");
                }
            }
            for request in world.writes() {
                let is_csv = request.header("content-type") == Some("text/csv");
                assert!(!is_csv, "{}", body(&request));
            }
        }
    }
}

#[tokio::test]
async fn a_text_with_direction_marks_goes_by_path_where_a_path_carries_it() {
    for mark in MARKS {
        let world = World::start().await;
        let name = format!("{mark}Mom");
        let added = world.add(add(new_number(&name, "15550121"))).await;
        assert_eq!(added.expect("it is added").unapplied_fields, [""; 0]);
        world.update(renamed(&name)).await.expect("it is updated");
        assert_eq!(world.stored(1001, 70001).name, Some(name));
        assert!(world.writes().iter().all(|write| write.method == "GET"));
        assert_no_mark_in_a_query(&world);
    }
}

#[tokio::test]
async fn a_text_with_direction_marks_that_no_path_carries_goes_by_json() {
    for dialect in DIALECTS {
        for mark in MARKS {
            let world = World::on(dialect, Newline::Lf).await;
            let number = pb::FollowMeNumber {
                name: format!("{mark}Mom & Dad"),
                period_description: format!("always{mark}"),
                domain: "sip.example.com".to_owned(),
                ..new_number("", "15550121")
            };
            let added = world.add(add(number.clone())).await.expect("it is added");
            assert_eq!(added.unapplied_fields, [""; 0], "{dialect:?}");
            let fields = ["name", "period_description"];
            let updated = world.update(update(70001, &fields, number.clone())).await;
            assert_eq!(updated.expect("it is updated").unapplied_fields, [""; 0]);
            let id = added.number.expect("a number").number_id;
            for id in [70001, id] {
                let stored = world.stored(1001, id);
                assert_eq!(stored.name.as_ref(), Some(&number.name));
                assert_eq!(
                    stored.period_description.as_ref(),
                    Some(&number.period_description)
                );
            }
            let methods: Vec<_> = world
                .writes()
                .into_iter()
                .map(|write| write.method)
                .collect();
            assert_eq!(methods, ["GET", "POST", "POST"]);
            assert_no_mark_in_a_query(&world);
        }
    }
}

#[tokio::test]
async fn a_text_with_direction_marks_that_nothing_carries_is_refused_by_name() {
    let world = World::configured(|config| config.upstream.update_all = UpdateAll::Off).await;
    for number in [
        new_number("\u{200e}Mom & Dad", "15550121"),
        pb::FollowMeNumber {
            period_description: "\u{202e}always".to_owned(),
            ..new_number("Mom", "15550121")
        },
    ] {
        let field = if number.name == "Mom" {
            "period_description"
        } else {
            "name"
        };
        let violation = format!("number.{field}");
        let failed = failure(world.add(add(number.clone())).await);
        assert_eq!(failed.fields(), [&violation]);
        let failed = failure(world.update(update(70001, &[field], number)).await);
        assert_eq!(failed.fields(), [&violation]);
    }
    assert!(world.writes().is_empty());
}

#[tokio::test]
async fn an_add_whose_name_only_an_unreliable_post_could_carry_is_refused_before_anything_is_sent()
{
    for dialect in DIALECTS {
        // The other numbers can keep the whole list out of CSV, and v3 reads none.
        let whole_list = |config: &mut Config| config.upstream.update_all = UpdateAll::WholeList;
        // CSV does not carry braces.
        let csv = |config: &mut Config| config.upstream.post_format = PostFormat::Csv;
        let edits = [
            (whole_list as fn(&mut Config), "\u{200e}Mom & Dad"),
            (csv, "\u{200e}{Mom} & Dad"),
        ];
        for (edit, name) in edits {
            let options = Options { dialect, ..demo() };
            let world = World::with(options, edit).await;
            let failed = failure(world.add(add(new_number(name, "15550121"))).await);
            assert_eq!(failed.reason, "INVALID_REQUEST", "{dialect:?}");
            assert_eq!(failed.fields(), ["number.name"]);
            let mut numbers = world.read(1002).await.numbers;
            numbers.push(new_number(name, "15550122"));
            let failed = failure(world.replace_all(replace(1002, numbers)).await);
            assert_eq!(failed.fields(), ["numbers[1].name"], "{dialect:?}");
            let gets = world.writes();
            assert!(
                gets.iter().all(|write| write.method == "POST"),
                "{dialect:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_long_path_keeps_the_texts_that_only_it_can_carry() {
    let world = World::start().await;
    let number = pb::FollowMeNumber {
        name: format!("\u{200f}{}", "n".repeat(120)),
        domain: format!(
            "{}.example.com",
            ["d".repeat(60), "e".repeat(60), "f".repeat(60)].join(".")
        ),
        keep_original_cld: Some(true),
        ..new_number("", "15550121")
    };
    let added = world.add(add(number)).await.expect("it is added");
    assert_eq!(added.unapplied_fields, [""; 0]);
    let [write] = &world.writes()[..] else {
        panic!("one write");
    };
    assert!(path(write).contains("%E2%80%8Fnnn"), "{}", write.target);
    assert!(query(write).contains("Domain=ddd"), "{}", write.target);
}
