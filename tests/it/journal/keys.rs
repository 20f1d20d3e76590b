//! What the file shows to who reads it, and what becomes of it when keys turn over.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use followme::journal::{
    Body, Claimed, Config, Journal, Keys, Location, NewWrite, OpenError, State, body::Origin,
};

use super::{body, claim_new, directory, in_file, resolve_and_continue, write};

fn keys(numbers: &[u8]) -> Option<Keys> {
    let lines: Vec<_> = numbers
        .iter()
        .map(|number| STANDARD.encode([*number; 32]))
        .collect();
    Some(Keys::parse(&lines.join("\n")).unwrap())
}

/// Returns whether a text stands in one of the files.
fn holds(config: &Config, text: &str) -> bool {
    let Location::File(path) = &config.location else {
        panic!("not in a file");
    };
    ["followme.sqlite3", "followme.sqlite3-wal"]
        .iter()
        .filter_map(|name| fs::read(path.with_file_name(name)).ok())
        .any(|bytes| {
            bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        })
}

const IN_BODY: &str = "a-text-that-stands-in-the-body";
const IN_KEY: &str = "a-request-id-that-nobody-reads";

fn telling() -> Body {
    Body {
        origin: Some(Origin {
            tenant: IN_BODY.to_owned(),
            ..Origin::default()
        }),
        ..body(1)
    }
}

fn named() -> NewWrite {
    let mut write = write(IN_KEY);
    write.caller = IN_KEY.to_owned();
    write
}

async fn open_with(config: &Config, numbers: Option<&[u8]>) -> Result<Journal, OpenError> {
    let keys = numbers.and_then(keys);
    Journal::open(&Config {
        keys,
        ..config.clone()
    })
    .await
}

#[tokio::test]
async fn names_are_hashed_and_bodies_encrypted() {
    for (numbers, readable) in [(None, true), (Some(&[1][..]), false)] {
        let config = in_file(&directory());
        let journal = open_with(&config, numbers).await.unwrap();
        let mut record = claim_new(&journal, &named()).await;
        record.begin(&telling()).await.unwrap();
        assert_eq!(holds(&config, IN_BODY), readable);
        assert!(!holds(&config, IN_KEY));
        // What is deleted is overwritten.
        record.forget().await.unwrap();
        journal.sweep().await;
        assert!(!holds(&config, IN_BODY));
    }
}

#[tokio::test]
async fn keys_turn_over_and_every_record_is_found() {
    let config = in_file(&directory());
    let journal = open_with(&config, None).await.unwrap();
    let mut record = claim_new(&journal, &named()).await;
    record.begin(&telling()).await.unwrap();
    record.settle(&telling()).await.unwrap();
    let mut record = claim_new(&journal, &write("open")).await;
    record.begin(&telling()).await.unwrap();
    drop((record, journal));
    // A key file where there was none, a second key before the first, the first taken out.
    for numbers in [&[1][..], &[2, 1], &[2], &[3, 2]] {
        let journal = open_with(&config, Some(numbers)).await.unwrap();
        journal.sweep().await;
        assert!(!holds(&config, IN_BODY), "{numbers:?}");
        let found = journal.claim(&named()).await.unwrap();
        assert!(
            matches!(&found, Claimed::Replay(body) if *body == telling()),
            "{numbers:?}: {found:?}"
        );
        let mut record = resolve_and_continue(&journal, &write("open")).await;
        assert_eq!(
            record.stored().await.unwrap(),
            (State::Unknown, Some(telling()))
        );
    }
}

#[tokio::test]
async fn a_key_that_does_not_open_the_journal_ends_the_start() {
    let config = in_file(&directory());
    drop(open_with(&config, Some(&[1])).await.unwrap());
    for numbers in [None, Some(&[2][..])] {
        let error = open_with(&config, numbers).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, OpenError::Key { .. }), "{text}");
        assert!(text.starts_with("journal.key_file: "), "{text}");
        assert!(text.contains("journal reset --forget-open"), "{text}");
    }
    open_with(&config, Some(&[2, 1])).await.unwrap();
}

#[test]
fn a_key_file_that_is_wrong_is_refused_without_showing_it() {
    let good = STANDARD.encode([1; 32]);
    Keys::parse(&format!("# the first\n\n{good}\n{good}\n")).unwrap();
    for (text, problem) in [
        ("", "must hold a base64 key"),
        ("# only a comment", "must hold a base64 key"),
        ("secret", "line 1 must be 32 bytes"),
        (&format!("{good}\nc2hvcnQ=\n"), "line 2 must be 32 bytes"),
    ] {
        let error = Keys::parse(text).unwrap_err();
        assert!(error.contains(problem), "{error}");
        assert!(!error.contains("secret") && !error.contains("c2hvcnQ"));
    }
    assert!(!format!("{:?}", Keys::parse(&good).unwrap()).contains(&good));
}
