//! Every text that the real framework wrote is read to what went in, and written back byte for
//! byte.

use followme::{
    format::{
        csv::{self, Reader},
        jsv,
    },
    simulator::{EmptyString, Newline},
};
use serde_json::Value;

use super::{COLUMNS, Info, Number, ToValue as _, text, write_answer};
use crate::support::vectors;

const NEWLINES: [(&str, Newline); 2] = [("csv_lf", Newline::Lf), ("csv_crlf", Newline::CrLf)];

/// What one vector says that the framework was given, and what it wrote.
struct Answer<'v> {
    numbers: Option<Vec<Number<'v>>>,
    info: Option<Info<'v>>,
    jsv_numbers: &'v str,
    jsv_info: &'v str,
    license: &'v str,
    feature_name: &'v str,
    vector: &'v Value,
}

impl Answer<'_> {
    /// Checks both directions of both formats; returns how many texts that were.
    fn check(&self, reader: &mut Reader, empty: EmptyString) -> usize {
        // Null is an empty field, and so an `Option`'s empty text.
        let read: Option<Vec<Number>> = jsv::from_str(self.jsv_numbers).expect(self.jsv_numbers);
        assert_eq!(read, self.numbers);
        assert_eq!(self.numbers.to_value().to_jsv(empty), self.jsv_numbers);
        let read: Option<Info> = jsv::from_str(self.jsv_info).expect(self.jsv_info);
        assert_eq!(read, self.info);
        assert_eq!(self.info.to_value().to_jsv(empty), self.jsv_info);

        let fields = [
            self.jsv_numbers,
            self.jsv_info,
            "True",
            self.license,
            "3",
            self.feature_name,
        ];
        for (key, newline) in NEWLINES {
            let body = vectors::str(self.vector, key);
            let table = reader.read(body.as_bytes()).expect(body);
            assert_eq!(table.header().iter().collect::<Vec<_>>(), COLUMNS);
            assert_eq!(table.len(), 1);
            let record = table.record(0).expect("one record");
            assert_eq!(record.iter().collect::<Vec<_>>(), fields);
            assert_eq!(write_answer(fields, newline), body);
        }
        2 + NEWLINES.len()
    }
}

#[test]
fn reads_and_writes_the_random_answers_of_the_real_framework() {
    let mut reader = Reader::new();
    let mut texts = 0;
    for vector in &vectors::load("jsv_random_corpus_v3.json") {
        let numbers = vector["numbers"].as_array();
        let info = vector["info_null"] == false;
        let answer = Answer {
            numbers: numbers.map(|numbers| numbers.iter().map(random_number).collect()),
            info: info.then(|| Info {
                sequence: text(vector, "info_sequence"),
                timeout: 1,
                ..Info::default()
            }),
            jsv_numbers: vector["jsv_numbers"].as_str().unwrap_or_default(),
            jsv_info: vector["jsv_info"].as_str().unwrap_or_default(),
            license: vector["License"].as_str().unwrap_or_default(),
            feature_name: vector["FeatureName"].as_str().unwrap_or_default(),
            vector,
        };
        texts += answer.check(&mut reader, EmptyString::Bare);
    }
    assert_eq!(texts, 1_600);
}

fn random_number(value: &Value) -> Number<'_> {
    let int = |key: &str| i32::try_from(value[key].as_i64().expect(key)).expect(key);
    Number {
        i_account: int("i_account"),
        i_follow_me_number: int("i_follow_me_number"),
        timeout: int("timeout"),
        timeout_specified: true,
        status: value["status"].as_bool().expect("status"),
        redirect_number: text(value, "redirect_number"),
        name: text(value, "name"),
        domain: text(value, "domain"),
        keep_original_cld: text(value, "keep_original_cld"),
        keep_original_cli: text(value, "keep_original_cli"),
        period: text(value, "period"),
        period_description: text(value, "period_description"),
        active: text(value, "active"),
        ..Number::default()
    }
}

#[test]
fn reads_and_writes_special_values_as_3_9_does() {
    assert_eq!(
        special_values("jsv_special_values_v3.json", EmptyString::Bare),
        332
    );
}

#[test]
fn reads_and_writes_special_values_as_the_last_v3_does() {
    assert_eq!(
        special_values("jsv_special_values_v3head.json", EmptyString::Quoted),
        332
    );
}

fn special_values(file: &str, empty: EmptyString) -> usize {
    let mut reader = Reader::new();
    let check = |vector: &Value| {
        let value = vector["value"].as_str().unwrap_or_default();
        Answer {
            numbers: Some(vec![Number {
                i_account: 1001,
                i_follow_me_number: 7,
                name: text(vector, "value"),
                timeout: 30,
                timeout_specified: true,
                ..Number::default()
            }]),
            info: Some(Info {
                sequence: text(vector, "value"),
                timeout: 1,
                ..Info::default()
            }),
            jsv_numbers: vectors::str(vector, "jsv_list_cell_unquoted"),
            jsv_info: vectors::str(vector, "jsv_info_cell_unquoted"),
            license: value,
            feature_name: value,
            vector,
        }
        .check(&mut reader, empty)
    };
    vectors::load(file).iter().map(check).sum()
}

/// The bodies of the three hosts; `null` (no body), `string` (no CSV) and `add8` (an error) are
/// checked one by one below.
#[test]
fn reads_and_writes_the_answers_of_the_real_hosts() {
    let hosts = [
        ("csv_responses_v3_lf.json", Newline::Lf, EmptyString::Bare),
        (
            "csv_responses_v3_crlf.json",
            Newline::CrLf,
            EmptyString::Bare,
        ),
        ("csv_responses_v4.json", Newline::CrLf, EmptyString::Quoted),
    ];
    let mut reader = Reader::new();
    for (file, newline, empty) in hosts {
        let mut checked = 0;
        for vector in &vectors::load(file) {
            let name = vectors::str(vector, "name");
            if ["null", "string", "add8"].contains(&name) {
                continue;
            }
            checked += 1;
            let body = vectors::str(&vector["response"], "body");
            let table = reader.read(body.as_bytes()).expect(name);
            assert_eq!(table.header().iter().collect::<Vec<_>>(), COLUMNS, "{name}");
            assert_eq!(table.len(), 1, "{name}");
            let record = table.record(0).expect(name);
            let fields: [&str; 6] = std::array::from_fn(|at| record.get(at).expect(name));
            assert_eq!(write_answer(fields, newline), body, "{name}");
            rewrites(fields[0], fields[1], empty, name);
        }
        assert_eq!(checked, 24, "{file}");
    }
}

/// Reads a list and an info field to values, and writes the values as they were.
fn rewrites(numbers: &str, info: &str, empty: EmptyString, name: &str) {
    if !numbers.is_empty() {
        let read: Vec<Number> = jsv::from_str(numbers).expect(name);
        // Only the list knows that a null element was null: `{}` reads as a number of defaults.
        let read: Vec<_> = read
            .into_iter()
            .map(|number| (number != Number::default()).then_some(number))
            .collect();
        let written = read.to_value().to_jsv(empty);
        // `sub`@v4 is an element of a derived type; its name and its own member are not ours.
        let derived = r#"__type:"Porta.SubNumber, porta-host4",extra:x,"#;
        assert_eq!(written, numbers.replace(derived, ""), "{name}");
    }
    if !info.is_empty() {
        let read: Info = jsv::from_str(info).expect(name);
        assert_eq!(read.to_value().to_jsv(empty), info, "{name}");
    }
}

/// Checks the three answers that are not the response class.
#[test]
fn distinguishes_the_other_answers_of_the_real_hosts() {
    let vectors = vectors::load("csv_responses_v4.json");
    let body = |name: &str| {
        let vector = vectors.iter().find(|vector| vector["name"] == name);
        vectors::str(&vector.expect(name)["response"], "body").as_bytes()
    };
    let mut reader = Reader::new();
    let kind = |error: csv::Error| error.kind();
    assert_eq!(
        reader.read(body("null")).map_err(kind).err(),
        Some(csv::Kind::Empty)
    );
    assert_eq!(
        reader.read(body("string")).map_err(kind).err(),
        Some(csv::Kind::QuoteInBareField)
    );

    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct ResponseStatus {
        error_code: String,
        message: String,
    }
    let table = reader.read(body("add8")).expect("add8 is CSV");
    assert_eq!(table.column("ResponseStatus"), Some(0));
    let field = table
        .record(0)
        .and_then(|record| record.get(0))
        .expect("one field");
    let status: ResponseStatus = jsv::from_str(field).expect("the field is JSV");
    assert_eq!(status.error_code, "ArgumentException");
    assert_eq!(
        status.message,
        "Could not find property KeepupdateAccountsOriginalCld on PortaFollowMe"
    );
}
