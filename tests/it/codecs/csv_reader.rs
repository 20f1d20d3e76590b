//! What the CSV reader accepts and what it refuses.

use followme::{
    format::csv::{Kind, MAX_BYTES, MAX_FIELDS, MAX_RECORDS, Reader},
    simulator::{Newline, write_record},
};

/// Reads a body to its records, the header record first.
fn read(body: &str) -> Vec<Vec<String>> {
    let mut reader = Reader::new();
    let table = reader.read(body.as_bytes()).expect(body);
    let own = |fields: &mut dyn Iterator<Item = &str>| fields.map(str::to_owned).collect();
    let mut records = vec![own(&mut table.header().iter())];
    records.extend(table.records().map(|record| own(&mut record.iter())));
    assert_eq!(table.len() + 1, records.len());
    assert_eq!(table.is_empty(), records.len() == 1);
    records
}

fn fault(body: impl AsRef<[u8]>) -> (Kind, usize) {
    let mut reader = Reader::new();
    let error = reader.read(body.as_ref()).expect_err("refused");
    (error.kind(), error.position())
}

#[test]
fn takes_both_newlines_a_missing_last_one_and_a_byte_order_mark() {
    let expected = vec![vec!["a", "b"], vec!["1", "x\r\ny"]];
    for body in [
        "a,b\n1,\"x\r\ny\"\n",
        "a,b\r\n1,\"x\r\ny\"\r\n",
        "a,b\r\n1,\"x\r\ny\"",
        "a,b\n1,\"x\r\ny\"\r",
        "\u{feff}a,b\n1,\"x\r\ny\"\n",
        "a,b\n1,\"x\r\ny\"\n\n",
        "a,b\r\n1,\"x\r\ny\"\r\n\r\n",
    ] {
        assert_eq!(read(body), expected, "{body:?}");
    }
}

#[test]
fn finds_columns_by_name_in_any_order() {
    let mut reader = Reader::new();
    let table = reader.read(b"b,extra,a\n2,x,1\n4,y,3\n").expect("a table");
    let a = table.column("a").expect("a column");
    let values: Vec<_> = table.records().map(|record| record.get(a)).collect();
    assert_eq!(values, [Some("1"), Some("3")]);
    assert_eq!(table.column("A"), None);
    assert_eq!(table.column("c"), None);
    assert!(table.record(2).is_none());
    assert_eq!(table.record(0).expect("a record").get(3), None);
}

#[test]
fn keeps_empty_fields_blanks_and_characters_outside_ascii() {
    assert_eq!(
        read("a,b,c\n,\"\", x \n\u{e9}\0,\u{1f600},\"\"\"\"\n"),
        vec![
            vec!["a", "b", "c"],
            vec!["", "", " x "],
            vec!["\u{e9}\0", "\u{1f600}", "\""]
        ]
    );
    assert_eq!(read("a,b\n,"), vec![vec!["a", "b"], vec!["", ""]]);
}

#[test]
fn refuses_an_empty_body() {
    for body in ["", "\n", "\r\n\r\n"] {
        assert_eq!(fault(body), (Kind::Empty, 0), "{body:?}");
    }
    assert_eq!(fault("\u{feff}"), (Kind::Empty, 3));
}

#[test]
fn refuses_what_is_not_utf_8() {
    assert_eq!(fault(b"a,b\n\xff,1\n"), (Kind::InvalidUtf8, 4));
    assert_eq!(fault(b"\xff\xfea\0"), (Kind::InvalidUtf8, 0));
}

#[test]
fn refuses_misplaced_quotes() {
    assert_eq!(fault("a,b\n1,\"x\n"), (Kind::UnclosedQuote, 6));
    assert_eq!(fault("a,b\n1,\"x\"\"\n"), (Kind::UnclosedQuote, 6));
    assert_eq!(fault("a,b\n1,\""), (Kind::UnclosedQuote, 6));
    assert_eq!(fault("a,b\n1,\"x\"y\n"), (Kind::TextAfterQuote, 9));
    assert_eq!(fault("a,b\n1,\"x\" \n"), (Kind::TextAfterQuote, 9));
    assert_eq!(fault("a,b\n\"1\"\"\"2,x\n"), (Kind::TextAfterQuote, 9));
    assert_eq!(fault("a,b\n1,x\"y\"\n"), (Kind::QuoteInBareField, 7));
    assert_eq!(fault("a,b\n1, \"y\"\n"), (Kind::QuoteInBareField, 7));
    assert_eq!(fault("a\"\n1\n"), (Kind::QuoteInBareField, 1));
}

#[test]
fn refuses_records_of_another_width_and_blank_lines() {
    let kind = |found| Kind::FieldCount { expected: 2, found };
    assert_eq!(fault("a,b\n1\n"), (kind(1), 4));
    assert_eq!(fault("a,b\r\n1,2\r\n1,2,3\r\n"), (kind(3), 10));
    assert_eq!(fault("a,b\n1,2\n  \n"), (kind(1), 8));
    assert_eq!(fault("a,b\n\n1,2\n"), (Kind::BlankLine, 4));
    assert_eq!(fault("a,b\r\n\r\n1,2\r\n"), (Kind::BlankLine, 5));
    assert_eq!(fault("\na,b\n1,2\n"), (Kind::BlankLine, 0));
}

#[test]
fn refuses_duplicate_columns() {
    assert_eq!(fault("a,b,a\n1,2,3\n"), (Kind::DuplicateColumn, 0));
    assert_eq!(fault("a,,b,\n"), (Kind::DuplicateColumn, 0));
}

#[test]
fn bounds_fields_records_and_bytes() {
    let names = |count: usize| {
        (0..count)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(read(&names(MAX_FIELDS))[0].len(), MAX_FIELDS);
    assert_eq!(fault(names(MAX_FIELDS + 1)).0, Kind::TooManyFields);
    assert_eq!(read(&"x\n".repeat(MAX_RECORDS + 1)).len(), MAX_RECORDS + 1);
    assert_eq!(
        fault("x\n".repeat(MAX_RECORDS + 2)),
        (Kind::TooManyRecords, 2 * (MAX_RECORDS + 1))
    );
    assert_eq!(read(&"x".repeat(MAX_BYTES))[0][0].len(), MAX_BYTES);
    assert_eq!(fault("x".repeat(MAX_BYTES + 1)), (Kind::TooLong, MAX_BYTES));
}

#[test]
fn is_reusable_after_an_error_and_after_another_body() {
    let mut reader = Reader::new();
    for body in ["a,b\n1,\"x\n", "a,b\n1\n", "", "c\n1\n2\n3\n"] {
        let _ = reader.read(body.as_bytes());
        let table = reader.read(b"a,b\n1,2\n").expect("a table");
        assert_eq!(table.header().iter().collect::<Vec<_>>(), ["a", "b"]);
        let record = table.record(0).expect("a record");
        assert_eq!(record.iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(table.len(), 1);
    }
    reader.read(b"a\"b,c\n").expect_err("a misplaced quote");
    let error = reader
        .read(b"")
        .expect_err("nothing is left of the last body");
    assert_eq!(error.kind(), Kind::Empty);
}

#[test]
fn can_be_kept_in_a_pool_that_threads_share() {
    fn is_send<T: Send>() {}
    is_send::<Reader>();
}

#[test]
fn errors_show_the_position_and_never_the_text() {
    let mut reader = Reader::new();
    let error = reader.read(b"a,b\n1,\"s3cr3t").expect_err("unclosed");
    assert_eq!(error.to_string(), "unclosed quote at byte 6");
    let error = reader.read(b"s3cr3t,s3cr3t").expect_err("twice");
    assert!(!format!("{error} {error:?}").contains("s3cr3t"));
    let table = reader.read(b"a,b\n1,s3cr3t").expect("a table");
    let shown = format!("{table:?} {:?}", table.record(0));
    assert!(!shown.contains("s3cr3t"), "{shown}");
    assert!(!format!("{reader:?}").contains("s3cr3t"));
}

#[test]
fn quotes_a_field_that_holds_a_sign_of_csv() {
    let mut out = String::new();
    write_record(&mut out, ["", " ", "a\rb", "a;b'"], Newline::CrLf);
    write_record(&mut out, ["a,b", "a\"b", "a\nb", ""], Newline::Lf);
    assert_eq!(out, ", ,\"a\rb\",a;b'\r\n\"a,b\",\"a\"\"b\",\"a\nb\",\n");
}
