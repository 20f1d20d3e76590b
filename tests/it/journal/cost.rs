//! What a write costs. Run it on a quiet machine:
//! `cargo test --profile quick --test it journal::cost -- --ignored --nocapture`

use std::time::{Duration, Instant};

use followme::journal::Journal;

use super::{body, claim_new, directory, in_file, write};

const WRITES: usize = 2000;

#[tokio::test]
#[ignore = "prints figures: see the head of the file"]
async fn two_commits_of_a_write() {
    let journal = Journal::open(&in_file(&directory())).await.unwrap();
    let mut took: Vec<Duration> = Vec::with_capacity(WRITES);
    for index in 0..WRITES {
        let started = Instant::now();
        let mut record = claim_new(&journal, &write(&index.to_string())).await;
        record.begin(&body(1)).await.unwrap();
        record.settle(&body(2)).await.unwrap();
        took.push(started.elapsed());
    }
    took.sort_unstable();
    let [median, p99] = [took[WRITES / 2], took[WRITES * 99 / 100]];
    println!("claim, begin and settle: median {median:?}, p99 {p99:?}");
}
