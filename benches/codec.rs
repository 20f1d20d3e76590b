//! The time to parse one answer and to write its CSV. Prints nanoseconds per operation, the best of a
//! few rounds: other load on the machine only adds time.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops at what can't be measured"
)]

use std::borrow::Cow;
use std::hint::black_box;
use std::time::Instant;

use followme::format::{csv::Reader, jsv};
use serde::Deserialize;

const ROUNDS: u32 = 10;
const OPERATIONS: u32 = 500;

#[derive(Deserialize)]
#[expect(dead_code, reason = "the benchmark only reads it")]
struct Number<'a> {
    i_account: i32,
    #[serde(borrow)]
    redirect_number: Cow<'a, str>,
    i_follow_me: i32,
    #[serde(rename = "i_follow_meSpecified")]
    i_follow_me_specified: bool,
    i_follow_me_number: i32,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "i_follow_orderSpecified")]
    i_follow_order_specified: bool,
    i_follow_order: i32,
    #[serde(borrow)]
    domain: Cow<'a, str>,
    timeout: i32,
    #[serde(rename = "timeoutSpecified")]
    timeout_specified: bool,
    #[serde(borrow)]
    keep_original_cld: Cow<'a, str>,
    #[serde(borrow)]
    keep_original_cli: Cow<'a, str>,
    #[serde(borrow)]
    period: Cow<'a, str>,
    #[serde(borrow)]
    period_description: Cow<'a, str>,
    #[serde(borrow)]
    active: Cow<'a, str>,
    status: bool,
}

/// Returns a list as the framework writes it.
fn list(count: u32) -> String {
    let number = |id: u32| {
        format!(
            "{{i_account:1001,redirect_number:155501001{:02},i_follow_me:77,\
             i_follow_meSpecified:True,i_follow_me_number:{},name:\"Mobile, work\",\
             i_follow_orderSpecified:True,i_follow_order:{id},domain:sip.example.com,timeout:30,\
             timeoutSpecified:True,keep_original_cld:Y,keep_original_cli:N,\
             period:\"wd{{mo-fr}} hr{{9am-5pm}}\",period_description:Working hours,active:Y,\
             status:True}}",
            id % 100,
            70_000 + id
        )
    };
    format!(
        "[{}]",
        (1..=count).map(number).collect::<Vec<_>>().join(",")
    )
}

fn answer(list: &str) -> String {
    let names = [
        "FollowMeNumbers",
        "FollowMeinfo",
        "success",
        "License",
        "ContentId",
        "FeatureName",
    ];
    let info = "{i_follow_me:77,sequence:Order,timeout:120,SipStatus:True}";
    let fields = [list, info, "True", "DEMO-KEY", "5", "FollowMe"];
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in [names, fields] {
        writer.write_record(record).expect("memory");
    }
    String::from_utf8(writer.into_inner().expect("memory")).expect("UTF-8")
}

fn measure<T>(name: &str, mut operation: impl FnMut() -> T) {
    let round = || {
        let start = Instant::now();
        for _ in 0..OPERATIONS {
            black_box(operation());
        }
        start.elapsed() / OPERATIONS
    };
    let best = std::iter::repeat_with(round).take(ROUNDS as usize).min();
    let best = best.unwrap_or_default().as_nanos();
    println!("{name:<48} {best:>8} ns");
}

fn main() {
    let (list_of_three, list_of_hundred) = (list(3), list(100));
    let body = answer(&list_of_three);
    println!("an answer with 3 numbers has {} bytes", body.len());

    let fields = |reader: &mut Reader| {
        let table = reader.read(body.as_bytes()).expect("an answer");
        let record = table.record(0).expect("a record");
        record.get(0).map_or(0, str::len)
    };
    let mut reader = Reader::new();
    measure("csv: read 3 numbers, reader reused", || fields(&mut reader));
    measure("csv: read 3 numbers, new reader", || {
        fields(&mut Reader::new())
    });
    measure("csv: write 3 numbers", || answer(&list_of_three));
    for (count, list) in [(3, &list_of_three), (100, &list_of_hundred)] {
        measure(&format!("jsv: read {count} numbers"), || {
            jsv::from_str::<Vec<Number>>(list).expect("a list").len()
        });
    }
}
