//! The JSV that the simulator writes.

use followme::simulator::{EmptyString, Value};

#[test]
fn writes_empty_strings_in_both_forms() {
    let tags = vec!["", "x"];
    let value = Value::Object(vec![("name", "".into()), ("tags", tags.into())]);
    assert_eq!(value.to_jsv(EmptyString::Bare), r#"{name:,tags:["",x]}"#);
    assert_eq!(
        value.to_jsv(EmptyString::Quoted),
        r#"{name:"",tags:["",x]}"#
    );
}

#[test]
fn leaves_null_members_out_and_writes_null_elements_as_empty_objects() {
    let write = |value: &Value| value.to_jsv(EmptyString::Bare);
    let members = vec![
        ("a", Value::Null),
        ("b", true.into()),
        ("c", Value::Null),
        ("d", "".into()),
    ];
    assert_eq!(write(&Value::Object(members)), "{b:True,d:}");
    assert_eq!(write(&Value::Object(vec![("a", Value::Null)])), "{}");
    assert_eq!(write(&vec![None, Some(1), None].into()), "[{},1,{}]");
    assert_eq!(write(&Value::Null), "");
}

#[test]
fn quotes_a_string_that_holds_a_special_character() {
    for (text, expected) in [
        ("a,b", "\"a,b\""),
        ("a\"b", "\"a\"\"b\""),
        ("a\nb", "\"a\nb\""),
        ("a\tb 'c\\", "a\tb 'c\\"),
        ("null", "null"),
    ] {
        assert_eq!(Value::from(text).to_jsv(EmptyString::Bare), expected);
    }
}
