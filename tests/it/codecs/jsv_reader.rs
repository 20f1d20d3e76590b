//! Our reader beside the framework's own, text by text (`jsv_reader_v3.json`).
//!
//! Every text is in one of three groups: read alike (not listed), read differently on purpose, or
//! refused. A text that changes its group fails the test.

use std::borrow::Cow;
use std::collections::BTreeMap;

use followme::format::jsv::{self, Kind};
use serde_json::Value;

use crate::support::vectors;

/// Members as text, as the facade reads them.
type Members<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

/// Sound texts that the two read differently, and what ours reads in the first element.
///
/// The framework matches keys without case; turns an empty value into null, which the 3.9.x
/// writer means as an empty string; takes surrounding blanks, a plus sign and `1` for what they
/// seem to mean; and reads a number or a boolean that it can't read as its default, silently.
/// Ours keeps the text, and so the fault.
const READ_OTHERWISE: [(&str, &str, &str); 21] = [
    ("[{NAME:x}]", "NAME", "x"),
    ("[{Name:x,domain:y}]", "Name", "x"),
    ("[{ i_account:1}]", " i_account", "1"),
    ("[{i_account:1, name:x}]", " name", "x"),
    ("[{i_account: 1}]", "i_account", " 1"),
    ("[{i_account:1 }]", "i_account", "1 "),
    ("[{i_account: 7 }]", "i_account", " 7 "),
    ("[{i_account:+7}]", "i_account", "+7"),
    ("[{i_account:null}]", "i_account", "null"),
    ("[{i_account:abc,name:x}]", "i_account", "abc"),
    ("[{i_account:1.5,name:x}]", "i_account", "1.5"),
    (
        "[{i_account:99999999999,name:x}]",
        "i_account",
        "99999999999",
    ),
    ("[{name:}]", "name", ""),
    ("[{name:,domain:y}]", "name", ""),
    ("[{i_account:}]", "i_account", ""),
    ("[{i_account:\"\"}]", "i_account", ""),
    ("[{status:1}]", "status", "1"),
    ("[{status:Y}]", "status", "Y"),
    ("[{status:yes,name:x}]", "status", "yes"),
    ("[{status:}]", "status", ""),
    ("[{status: True}]", "status", " True"),
];

/// Broken texts, and why. The framework throws at some, and reads others in part or with
/// members lost: JSON instead of JSV, for one, as a list of empty objects.
const REFUSED: [(&str, Kind); 56] = [
    ("{}", Kind::ExpectedList),
    ("{i_account:1,name:x}", Kind::ExpectedList),
    (
        "[{i_account:1,name:x}, {i_account:2}]",
        Kind::ExpectedObject,
    ),
    ("[ {i_account:1} ]", Kind::ExpectedObject),
    ("[{\"name\":\"x\"}]", Kind::ExpectedKey),
    ("[{\"name\":x}]", Kind::ExpectedKey),
    ("[{name:\"x\",\"domain\":y}]", Kind::ExpectedKey),
    ("[{i_account:1,000}]", Kind::ExpectedColon),
    ("[{name:a:b,domain:y}]", Kind::SpecialInBare),
    ("[{name:a[b,domain:y}]", Kind::SpecialInBare),
    ("[{name:a]b,domain:y}]", Kind::ExpectedSeparator),
    ("[{name:a{b,domain:y}]", Kind::SpecialInBare),
    ("[{name:{b},domain:y}]", Kind::ExpectedColon),
    ("[{name:a\"b,domain:y}]", Kind::SpecialInBare),
    ("[{name:a\"\"b,domain:y}]", Kind::SpecialInBare),
    ("[{name:\"a\"b,domain:y}]", Kind::TextAfterQuote),
    ("[{name:\"a\",\"domain\":\"y\"}]", Kind::ExpectedKey),
    ("[{name:\"unterminated}]", Kind::UnterminatedQuote),
    ("[{name:x", Kind::UnexpectedEnd),
    ("[{name:x}", Kind::UnexpectedEnd),
    ("{name:x}]", Kind::ExpectedList),
    ("[name:x]", Kind::ExpectedObject),
    ("name:x", Kind::ExpectedList),
    ("x", Kind::ExpectedList),
    ("[x]", Kind::ExpectedObject),
    ("[x,y]", Kind::ExpectedObject),
    ("null", Kind::ExpectedList),
    ("\"[{name:x}]\"", Kind::ExpectedList),
    ("[null]", Kind::ExpectedObject),
    ("[{name:x},null]", Kind::ExpectedObject),
    ("[,]", Kind::ExpectedObject),
    ("[{name:x},]", Kind::ExpectedObject),
    ("[,{name:x}]", Kind::ExpectedObject),
    ("[{name:x}{name:y}]", Kind::ExpectedSeparator),
    ("[{name:x};{name:y}]", Kind::ExpectedSeparator),
    ("[[{name:x}]]", Kind::ExpectedObject),
    ("{", Kind::ExpectedList),
    ("[", Kind::UnexpectedEnd),
    ("}", Kind::TrailingText),
    ("]", Kind::TrailingText),
    ("[{}", Kind::UnexpectedEnd),
    ("[{name:x,}]", Kind::ExpectedKey),
    ("[{,name:x}]", Kind::ExpectedKey),
    ("[{name}]", Kind::ExpectedColon),
    ("[{name:x}]trailing", Kind::TrailingText),
    ("[{name:x}]\n", Kind::TrailingText),
    ("[{name:x}\n,{name:y}]", Kind::ExpectedSeparator),
    ("[\n{name:x},\n{name:y}\n]", Kind::ExpectedObject),
    ("[{name:a\nb}]", Kind::SpecialInBare),
    ("[{name:\\\"x\\\"}]", Kind::SpecialInBare),
    (
        "[{\"i_account\":1,\"name\":\"x\"},{\"i_account\":2,\"name\":\"y\"}]",
        Kind::ExpectedKey,
    ),
    ("[{\"i_account\": 1, \"name\": \"x\"}]", Kind::ExpectedKey),
    ("[{i_account:1,,name:x}]", Kind::ExpectedKey),
    ("[{i_account:1;name:x}]", Kind::SpecialInBare),
    (" [{name:x}]", Kind::ExpectedList),
    ("[{name:x}] ", Kind::TrailingText),
];

#[test]
fn agrees_with_the_real_reader_or_refuses() {
    let otherwise: BTreeMap<_, _> = READ_OTHERWISE
        .iter()
        .map(|&(t, k, v)| (t, (k, v)))
        .collect();
    let refused: BTreeMap<_, _> = REFUSED.into_iter().collect();
    let mut faults = Vec::new();
    let vectors = vectors::load("jsv_reader_v3.json");
    for vector in &vectors {
        let text = vectors::str(vector, "text");
        let read = jsv::from_str::<Option<Vec<Members>>>(text);
        let fault = match (read, refused.get(text), otherwise.get(text)) {
            (Err(error), Some(kind), None) if error.kind() == *kind => None,
            (Err(error), ..) => Some(format!("refused: {error} {:?}", error.kind())),
            (Ok(read), None, Some((key, value))) => {
                let first = read.iter().flatten().next();
                let found = first.and_then(|members| members.get(*key)).map(|v| &**v);
                (found != Some(*value)).then(|| format!("reads {read:?}"))
            }
            (Ok(read), None, None) => {
                (!same(read.as_deref(), &vector["result"])).then(|| format!("reads {read:?}"))
            }
            (Ok(read), ..) => Some(format!("should be refused, reads {read:?}")),
        };
        faults.extend(fault.map(|fault| format!("{text:?}: {fault}; real {}", vector["result"])));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(vectors.len(), 111);
}

/// Compares the members of a number; the framework's result leaves out defaults.
fn same(ours: Option<&[Members]>, real: &Value) -> bool {
    let Some(ours) = ours else {
        return real.is_null();
    };
    let Some(real) = real.as_array() else {
        return false;
    };
    ours.len() == real.len()
        && ours.iter().zip(real).all(|(ours, real)| {
            ["i_account", "name", "domain", "status"].iter().all(|key| {
                let real = match &real[key] {
                    Value::Null => None,
                    Value::Bool(true) => Some("True".to_owned()),
                    Value::String(text) => Some(text.clone()),
                    number => Some(number.to_string()),
                };
                let ours = ours.get(*key).map(|text| match &**text {
                    text if text.eq_ignore_ascii_case("true") => "True".to_owned(),
                    text => text.to_owned(),
                });
                ours == real || (ours.as_deref() == Some("0") && real.is_none())
            })
        })
}
