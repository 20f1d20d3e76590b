//! What JSV becomes in Rust types.

use std::{borrow::Cow, collections::BTreeMap};

use followme::format::jsv::{self, Kind, MAX_BYTES, MAX_DEPTH, from_str};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};

use super::Number;

/// The kind and the position of the error that reading `text` as `T` must give.
fn fault<T: DeserializeOwned>(text: &str) -> (Kind, Option<usize>) {
    match from_str::<T>(text) {
        Ok(_) => panic!("reads {text:?}"),
        Err(error) => (error.kind(), error.position()),
    }
}

#[test]
fn borrows_strings_unless_a_quote_is_doubled() {
    let borrowed = |text| matches!(jsv_text(text), Cow::Borrowed(_));
    assert!(borrowed("Home"));
    assert!(borrowed(r#""a,b""#));
    assert!(borrowed("{a:1,b:[2,3]}"));
    assert!(!borrowed(r#""a""b""#));
    assert_eq!(from_str::<&str>(r#""a,b""#).expect("borrows"), "a,b");
    assert_eq!(fault_borrowed(r#""a""b""#), Kind::InvalidValue);
}

fn jsv_text(text: &str) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    from_str::<Text>(text).expect(text).0
}

fn fault_borrowed(text: &str) -> Kind {
    from_str::<&str>(text).expect_err(text).kind()
}

#[test]
fn unescapes_doubled_quotes_only() {
    assert_eq!(jsv_text(r#""a""""b\n""#), "a\"\"b\\n");
    assert_eq!(jsv_text(r#""""""#), "\"");
    assert_eq!(jsv_text(r#""""#), "");
    assert_eq!(jsv_text(" null "), " null ");
}

#[test]
fn keeps_absent_null_and_empty_apart_where_the_type_can() {
    #[derive(Deserialize, Debug, PartialEq, Default)]
    #[serde(default)]
    struct Members<'a> {
        #[serde(borrow, deserialize_with = "jsv::text")]
        text: Option<Cow<'a, str>>,
        plain: String,
        option: Option<String>,
        number: Option<i32>,
        flag: Option<bool>,
    }
    let read = |text| from_str::<Members>(text).expect("well-formed");
    assert_eq!(read("{}"), Members::default());
    assert_eq!(
        read("{text:,plain:,option:,number:,flag:}"),
        Members {
            text: Some(Cow::Borrowed("")),
            ..Members::default()
        }
    );
    assert_eq!(
        read(r#"{text:"",plain:"",option:"",number:-7,flag:False}"#),
        Members {
            text: Some(Cow::Borrowed("")),
            plain: String::new(),
            option: Some(String::new()),
            number: Some(-7),
            flag: Some(false),
        }
    );
    assert_eq!(
        from_str::<Members>(r#"{number:""}"#).map_err(|error| error.kind()),
        Err(Kind::InvalidInteger)
    );
}

#[test]
fn reads_integers_as_strict_decimals() {
    assert_eq!(from_str::<i32>("-2147483648").expect("the least"), i32::MIN);
    assert_eq!(from_str::<i32>("007").expect("leading zeros"), 7);
    assert_eq!(from_str::<i32>(r#""7""#).expect("quoted"), 7);
    assert_eq!(
        from_str::<u64>("18446744073709551615").expect("the most"),
        u64::MAX
    );
    for text in [
        "", "-", "+7", " 7", "7 ", "1.5", "0x1", "1e3", "\u{0661}", "--7", "null",
    ] {
        assert_eq!(
            fault::<i32>(text),
            (Kind::InvalidInteger, Some(0)),
            "{text:?}"
        );
    }
    assert_eq!(
        fault::<i32>("2147483648"),
        (Kind::IntegerOutOfRange, Some(0))
    );
    assert_eq!(
        fault::<i32>("-2147483649"),
        (Kind::IntegerOutOfRange, Some(0))
    );
    assert_eq!(fault::<u32>("-7"), (Kind::IntegerOutOfRange, Some(0)));
    assert_eq!(fault::<i32>("{}"), (Kind::ExpectedScalar, Some(0)));
}

#[test]
fn reads_booleans_in_any_case() {
    for text in ["True", "true", "TRUE", r#""True""#] {
        assert!(from_str::<bool>(text).expect(text));
    }
    assert!(!from_str::<bool>("False").expect("False"));
    for text in ["", "1", "0", "Y", "yes", " True"] {
        assert_eq!(
            fault::<bool>(text),
            (Kind::InvalidBoolean, Some(0)),
            "{text:?}"
        );
    }
}

#[test]
fn reads_an_object_or_a_list_as_its_raw_text_when_a_string_is_asked() {
    let members: BTreeMap<&str, &str> =
        from_str(r#"{a:{b:"x,}",c:[1,,{}]},d:[],e:"{"}"#).expect("well-formed");
    assert_eq!(
        members,
        BTreeMap::from([("a", r#"{b:"x,}",c:[1,,{}]}"#), ("d", "[]"), ("e", "{")])
    );
    assert_eq!(fault::<String>("{a:[}"), (Kind::ExpectedSeparator, Some(4)));
    assert_eq!(fault::<String>("{a:1]"), (Kind::ExpectedSeparator, Some(4)));
}

#[test]
fn skips_unknown_keys_of_any_kind() {
    let text = r#"[{__type:"Porta.Sub, host",x:{y:[1,"]",{}],z:},name:Home,w:[]},{}]"#;
    let numbers: Vec<Number> = from_str(text).expect("well-formed");
    assert_eq!(numbers[0].name.as_deref(), Some("Home"));
    assert_eq!(numbers[1], Number::default());
}

#[test]
fn deserialize_any_sees_lists_objects_and_texts() {
    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(untagged)]
    enum Any {
        List(Vec<Any>),
        Object(BTreeMap<String, Any>),
        Text(String),
    }
    let text = |text: &str| Any::Text(text.to_owned());
    assert_eq!(
        from_str::<Any>("[1,,{a:True}]").expect("well-formed"),
        Any::List(vec![
            text("1"),
            text(""),
            Any::Object(BTreeMap::from([("a".to_owned(), text("True"))])),
        ])
    );
}

#[test]
fn reads_maps_tuples_newtypes_units_and_unit_variants() {
    #[derive(Deserialize, Debug, PartialEq)]
    enum Order {
        Random,
        Simultaneous,
    }
    #[derive(Deserialize, Debug, PartialEq)]
    struct Id(i64);
    type Everything = (BTreeMap<i32, Id>, [Order; 2], char, (), (u8, String));
    let value: Everything = (
        BTreeMap::from([(1, Id(-1)), (2, Id(i64::MAX))]),
        [Order::Random, Order::Simultaneous],
        ':',
        (),
        (255, String::new()),
    );
    let text = r#"[{1:-1,2:9223372036854775807},[Random,Simultaneous],":",,[255,""]]"#;
    assert_eq!(from_str::<Everything>(text).expect("can be read"), value);
    assert_eq!(
        fault::<Order>("Percentage"),
        (Kind::UnknownVariant, Some(0))
    );
    assert_eq!(fault::<(i32, i32)>("[1]"), (Kind::InvalidLength, Some(0)));
    assert_eq!(
        fault::<(i32, i32)>("[1,2,3]"),
        (Kind::InvalidLength, Some(5))
    );
}

#[test]
fn names_a_missing_or_duplicate_key() {
    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Pair {
        #[expect(dead_code, reason = "only its errors matter")]
        name: String,
    }
    assert_eq!(
        fault::<Vec<Pair>>("[{}]"),
        (Kind::MissingKey("name"), Some(1))
    );
    assert_eq!(
        fault::<Vec<Pair>>("[{name:a,name:b}]"),
        (Kind::DuplicateKey("name"), Some(1))
    );
    assert_eq!(
        fault::<Vec<Pair>>("[{nome:a}]"),
        (Kind::UnknownKey, Some(2))
    );
}

#[test]
fn bounds_depth_and_length() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let deepest = nested(MAX_DEPTH as usize);
    from_str::<IgnoredAny>(&deepest).expect("the deepest");
    from_str::<String>(&deepest).expect("the deepest");
    let deeper = nested(MAX_DEPTH as usize + 1);
    let expected = (Kind::TooDeep, Some(MAX_DEPTH as usize));
    assert_eq!(fault::<IgnoredAny>(&deeper), expected);
    assert_eq!(fault::<serde_json::Value>(&deeper), expected);
    assert_eq!(
        fault::<String>(&"{a:".repeat(1_000_000)),
        (Kind::TooDeep, Some(96))
    );

    // Depth is not length.
    let wide = format!("[{}[]]", "{a:[{}]},".repeat(1_000));
    assert_eq!(
        from_str::<Vec<IgnoredAny>>(&wide).expect("a list").len(),
        1_001
    );
    from_str::<serde_json::Value>(&wide).expect("a list");

    let longest = "x".repeat(MAX_BYTES);
    from_str::<&str>(&longest).expect("the longest");
    let longer = "x".repeat(MAX_BYTES + 1);
    assert_eq!(fault::<String>(&longer), (Kind::TooLong, Some(MAX_BYTES)));
}

#[test]
fn errors_show_the_position_and_never_the_text() {
    let secret = "s3cr3t";
    let list = from_str::<Vec<Number>>("[{i_account:s3cr3t}]").expect_err("no number");
    assert_eq!(list.to_string(), "invalid integer at byte 12");
    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Closed {}
    #[derive(Deserialize, Debug)]
    enum Never {}
    let errors = [
        list,
        from_str::<bool>(secret).expect_err("no boolean"),
        from_str::<char>(secret).expect_err("no character"),
        from_str::<std::net::IpAddr>(secret).expect_err("no address"),
        from_str::<Closed>("{s3cr3t:s3cr3t}").expect_err("an unknown key"),
        from_str::<Never>(secret).expect_err("no variant"),
        from_str::<serde_json::Number>(secret).expect_err("no number"),
    ];
    for error in errors {
        assert!(!error.to_string().contains(secret), "{error}");
        assert!(!format!("{error:?}").contains(secret), "{error:?}");
    }
}
