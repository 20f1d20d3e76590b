//! What holds for every input.

use std::borrow::Cow;
use std::collections::BTreeMap;

use followme::{
    format::{csv::Reader, jsv},
    simulator::{EmptyString, Newline, Value, write_record},
};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::{Number, ToValue as _};

/// Any text, the characters that mean something to the formats being frequent.
fn any_text() -> impl Strategy<Value = String> {
    let special = prop::sample::select("\",:{}[]\r\n \t\\'".chars().collect::<Vec<_>>());
    vec(prop_oneof![special, any::<char>()], 0..24)
        .prop_map(|characters| characters.into_iter().collect())
}

/// Text made of the formats' own words, so that much of it is nearly well-formed.
fn near_text() -> impl Strategy<Value = String> {
    let words = [
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "\"",
        "\"\"",
        "\r\n",
        "\n",
        "name:",
        "i_account:",
        "status:",
        "a",
        "7",
        "True",
        "\u{e9}",
        "{}",
        "[]",
        "x:[",
        "},{",
        "\u{feff}",
    ];
    vec(prop::sample::select(words.to_vec()), 0..30).prop_map(|words| words.concat())
}

fn any_number() -> impl Strategy<Value = Number<'static>> {
    let text = || prop::option::of(any_text().prop_map(Cow::Owned));
    (any::<i32>(), any::<bool>(), text(), text(), text()).prop_map(
        |(i_account, status, name, period, active)| Number {
            i_account,
            status,
            name,
            period,
            active,
            ..Number::default()
        },
    )
}

fn empty_string() -> impl Strategy<Value = EmptyString> {
    prop_oneof![Just(EmptyString::Bare), Just(EmptyString::Quoted)]
}

fn newline() -> impl Strategy<Value = Newline> {
    prop_oneof![Just(Newline::Lf), Just(Newline::CrLf)]
}

/// Reads as every type of interest: none may panic.
fn read_as_everything(text: &str) {
    let _ = jsv::from_str::<IgnoredAny>(text);
    let _ = jsv::from_str::<String>(text);
    let _ = jsv::from_str::<serde_json::Value>(text);
    let _ = jsv::from_str::<Option<Vec<Number>>>(text);
    let _ = jsv::from_str::<Vec<BTreeMap<&str, Option<i64>>>>(text);
    let _ = jsv::from_str::<(bool, u8, char)>(text);
}

proptest! {
    #[test]
    fn numbers_survive_jsv_inside_csv(
        numbers in vec(any_number(), 0..4),
        license in any_text(),
        empty in empty_string(),
        newline in newline(),
    ) {
        let list = numbers.to_value().to_jsv(empty);
        let mut body = String::new();
        write_record(&mut body, ["FollowMeNumbers", "License"], newline);
        write_record(&mut body, [&list, &license], newline);

        let mut reader = Reader::new();
        let table = reader.read(body.as_bytes()).expect("what we write can be read");
        prop_assert_eq!(table.len(), 1);
        let record = table.record(0).expect("one record");
        prop_assert_eq!(record.get(1), Some(&*license));
        let read: Vec<Number> = jsv::from_str(record.get(0).expect("a list")).expect("JSV");
        prop_assert_eq!(read, numbers);
    }

    #[test]
    fn strings_survive_lists_and_objects(
        texts in vec(any_text(), 0..6),
        empty in empty_string(),
    ) {
        let value = |text: &String| Value::Text(text.clone());
        let list = Value::List(texts.iter().map(value).collect()).to_jsv(empty);
        prop_assert_eq!(&jsv::from_str::<Vec<String>>(&list).expect("a list"), &texts);
        let members = ["a", "b", "c", "d", "e", "f"].into_iter().zip(texts.iter().map(value));
        let object = Value::Object(members.collect()).to_jsv(empty);
        let read: BTreeMap<String, String> = jsv::from_str(&object).expect("an object");
        prop_assert!(read.values().eq(texts.iter()));
    }

    #[test]
    fn raw_text_parses_to_the_same_value(numbers in vec(any_number(), 0..3)) {
        let text = vec![numbers.clone(), numbers.clone()].to_value().to_jsv(EmptyString::Bare);
        let raw: Vec<&str> = jsv::from_str(&text).expect("lists as text");
        prop_assert_eq!(raw.len(), 2);
        for list in raw {
            prop_assert_eq!(&jsv::from_str::<Vec<Number>>(list).expect("a list"), &numbers);
        }
    }

    #[test]
    fn every_truncation_of_jsv_is_refused(numbers in vec(any_number(), 1..3)) {
        let text = numbers.to_value().to_jsv(EmptyString::Bare);
        for (end, _) in text.char_indices() {
            let cut = &text[..end];
            prop_assert!(jsv::from_str::<Vec<Number>>(cut).is_err(), "{:?}", cut);
            prop_assert!(jsv::from_str::<Vec<IgnoredAny>>(cut).is_err(), "{:?}", cut);
            // The empty text is an empty string; a longer cut is no string either.
            prop_assert_eq!(jsv::from_str::<String>(cut).is_err(), end > 0, "{:?}", cut);
        }
    }

    /// CSV has no end mark: a cut can be seen unless it leaves whole records or falls into the
    /// last field. Every other field is whole or the body is refused.
    #[test]
    fn no_truncation_of_csv_gives_other_fields_than_the_last(
        first in any_text(),
        last in any_text(),
        newline in newline(),
    ) {
        let mut body = String::new();
        write_record(&mut body, ["a", "b"], newline);
        let header = body.len();
        write_record(&mut body, [&first, &last], newline);
        let mut reader = Reader::new();
        for (end, _) in body.char_indices().filter(|&(end, _)| end > header) {
            if let Ok(table) = reader.read(&body.as_bytes()[..end]) {
                let record = table.record(0).expect("part of a record is not none");
                prop_assert_eq!(record.get(0), Some(&*first));
                prop_assert!(last.starts_with(record.get(1).expect("two fields")));
            }
        }
    }

    #[test]
    fn jsv_never_panics(text in any_text()) {
        read_as_everything(&text);
    }

    #[test]
    fn nearly_well_formed_jsv_never_panics(text in near_text()) {
        read_as_everything(&text);
        read_as_everything(&format!("[{{{text}}}]"));
    }

    /// A text that is read as ignored is read as raw text as well, whole: the two must not
    /// disagree on where a value ends.
    #[test]
    fn structure_does_not_depend_on_the_type(text in near_text()) {
        let text = format!("[{text}]");
        let raw = jsv::from_str::<&str>(&text);
        prop_assert_eq!(jsv::from_str::<IgnoredAny>(&text).is_ok(), raw.is_ok());
        prop_assert_eq!(jsv::from_str::<Vec<IgnoredAny>>(&text).is_ok(), raw.is_ok());
        if let Ok(raw) = raw {
            prop_assert_eq!(raw, &text);
        }
    }

    #[test]
    fn csv_never_panics_on_any_bytes(body in vec(any::<u8>(), 0..200)) {
        let _ = Reader::new().read(&body);
    }

    /// A reader is used again after whatever it was given before.
    #[test]
    fn what_is_accepted_is_read_as_the_csv_crate_reads_it(
        before in prop_oneof![Just(String::new()), near_text()],
        body in near_text(),
    ) {
        let mut reader = Reader::new();
        let _ = reader.read(before.as_bytes());
        let Ok(table) = reader.read(body.as_bytes()) else {
            prop_assert!(Reader::new().read(body.as_bytes()).is_err());
            return Ok(());
        };
        let read: Vec<Vec<&str>> = std::iter::once(table.header())
            .chain(table.records())
            .map(|record| record.iter().collect())
            .collect();
        let mut oracle = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(body.as_bytes());
        let expected: Vec<csv::StringRecord> = oracle
            .records()
            .collect::<Result<_, _>>()
            .expect("the csv crate accepts it");
        let expected: Vec<Vec<&str>> = expected.iter().map(|record| record.iter().collect()).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn csv_that_is_read_can_be_written_and_read_again(body in near_text()) {
        let mut reader = Reader::new();
        let Ok(table) = reader.read(body.as_bytes()) else {
            return Ok(());
        };
        let records: Vec<Vec<String>> = std::iter::once(table.header())
            .chain(table.records())
            .map(|record| record.iter().map(str::to_owned).collect())
            .collect();
        let mut written = String::new();
        for record in &records {
            write_record(&mut written, record, Newline::Lf);
        }
        let table = reader.read(written.as_bytes()).expect("what we write can be read");
        let again: Vec<Vec<String>> = std::iter::once(table.header())
            .chain(table.records())
            .map(|record| record.iter().map(str::to_owned).collect())
            .collect();
        prop_assert_eq!(again, records);
    }
}

/// Why the csv crate does not read answers: a cut body would pass for a shorter one.
#[test]
fn the_csv_crate_accepts_bodies_that_are_refused() {
    for (body, field) in [
        ("a,b\r\n1,\"x", "x"),
        ("a,b\r\n1,x\"y\r\n", "x\"y"),
        ("a,b\r\n1,\"x\"y\r\n", "xy"),
    ] {
        assert!(Reader::new().read(body.as_bytes()).is_err(), "{body}");
        let mut lenient = csv::Reader::from_reader(body.as_bytes());
        let record = lenient.records().next().expect("a record");
        assert_eq!(&record.expect("accepted")[1], field, "{body}");
    }
}
