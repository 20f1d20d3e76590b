//! Every parser of foreign bytes, fed with bytes: of answers, of requests, of files.
//!
//! The corpus are the captured answers in `tests/fixtures/vectors`, which inputs edit. An input that
//! fails is printed with its seed; as a file in `__fuzz__/TARGET/corpus` beside this one it is
//! played first from then on. `cargo test` plays each target for a second. Longer:
//!
//! ```text
//! BOLERO_RANDOM_TEST_TIME_MS=600000 BOLERO_RANDOM_ITERATIONS=1000000000 \
//!     cargo test --release --test parsers upstream_body
//! ```

use std::{borrow::Cow, collections::BTreeMap};

use followme::{
    config::{Config, Environment, Flags},
    domain::{License, check_period},
    format::{csv::Reader, jsv},
    security::{Tokens, tls},
    simulator::{Newline, write_record},
};
use followme_fuzz::{WORLD, answers, bodies, edit, members};
use serde::de::IgnoredAny;

/// What the reader takes, the writer writes so that the reader takes it again.
#[test]
fn csv() {
    bolero::check!().for_each(|input: &[u8]| {
        let bytes = edit(bodies(), input);
        let mut reader = Reader::new();
        let Ok(table) = reader.read(&bytes) else {
            return;
        };
        let records: Vec<Vec<String>> = std::iter::once(table.header())
            .chain(table.records())
            .map(|record| record.iter().map(str::to_owned).collect())
            .collect();
        let mut text = String::new();
        for record in &records {
            write_record(&mut text, record, Newline::CrLf);
        }
        let mut again = Reader::new();
        let table = again
            .read(text.as_bytes())
            .expect("what was written is read");
        let read: Vec<Vec<&str>> = std::iter::once(table.header())
            .chain(table.records())
            .map(|record| record.iter().collect())
            .collect();
        assert_eq!(read, records);
    });
}

/// A text that is well-formed for one type is so for another that takes all its values.
#[test]
fn jsv_values() {
    let seeds = members();
    bolero::check!().for_each(|input: &[u8]| {
        let bytes = edit(&seeds, input);
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return;
        };
        let any = jsv::from_str::<IgnoredAny>(text).is_ok();
        if jsv::from_str::<BTreeMap<Cow<'_, str>, String>>(text).is_ok()
            || jsv::from_str::<Vec<String>>(text).is_ok()
        {
            assert!(any, "{text:?}");
        }
    });
}

#[test]
fn period() {
    let seeds = [
        &b"wd{mo-fr} hr{9am-5pm}, wd{Tue Thu} hr{10pm-6am}"[..],
        b"yr{2025-2026} mo{Nov-Feb} md{1 15-31} yd{1-366} min{0-59} sec{0}",
    ];
    let seeds = seeds.map(<[u8]>::to_vec);
    bolero::check!().for_each(|input: &[u8]| {
        if let Ok(text) = std::str::from_utf8(&edit(&seeds, input)) {
            let _ = check_period(text);
        }
    });
}

/// No line of a token file is shown in an error, and none is found that is not there.
#[test]
fn tokens() {
    let hash = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
    let seed = format!("# tokens\nportal {hash} 2027-01-31T00:00:00Z\n\nbatch {hash}\n");
    bolero::check!().for_each(|input: &[u8]| {
        let bytes = edit(&[seed.clone().into_bytes()], input);
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return;
        };
        match Tokens::parse(text) {
            Ok(tokens) => assert!(tokens.iter().count() <= text.lines().count()),
            Err(problems) => {
                assert!(
                    problems
                        .iter()
                        .all(|(line, _)| (1..=text.lines().count()).contains(line))
                );
            }
        }
    });
}

/// A License is taken whole, or not at all.
#[test]
fn license() {
    bolero::check!().for_each(|bytes: &[u8]| {
        if let Ok(text) = std::str::from_utf8(bytes)
            && let Ok(license) = License::new(text)
        {
            assert_eq!(license.expose(), text);
            let other = License::new("other").expect("it is one");
            assert_eq!(format!("{license:?}"), format!("{other:?}"));
        }
    });
}

/// Every file is a configuration, or errors that each have a text.
#[test]
fn configuration() {
    let path = std::env::temp_dir().join(format!("followme-fuzz-{}.toml", std::process::id()));
    let flags = Flags {
        config: Some(path.clone()),
        ..Flags::default()
    };
    let example = include_bytes!("../../deploy/followme.example.toml").to_vec();
    bolero::check!().for_each(|input: &[u8]| {
        let bytes = edit(std::slice::from_ref(&example), input);
        std::fs::write(&path, &bytes).expect("the file for tests can be written");
        match Config::load(&flags, &Environment::default()) {
            Ok(config) => {
                let printed = config.redacted();
                std::fs::write(&path, &printed).expect("the file for tests can be written");
                let again =
                    Config::load(&flags, &Environment::default()).expect("what is printed is read");
                assert_eq!(again.redacted(), printed);
            }
            Err(errors) => {
                assert!(!errors.is_empty());
                assert!(errors.iter().all(|error| !error.problem.is_empty()));
            }
        }
    });
    let _ = std::fs::remove_file(&path);
}

#[test]
fn certificates() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let pem = tls::Pem {
            certificate: bytes.to_vec(),
            key: bytes.to_vec().into(),
            client_ca: Some(bytes.to_vec()),
            require_client_certificate: true,
        };
        let _ = tls::Config::new(&pem);
    });
}

/// Whatever upstream writes, the call ends, nothing panics, and no list holds a foreign number.
#[test]
fn upstream_answer() {
    let seeds = answers();
    bolero::check!().for_each(|input: &[u8]| {
        if let Ok(list) = WORLD.list(&edit(&seeds, input)) {
            assert!(list.numbers.iter().all(|number| number.account_id == 1001));
        }
    });
}

/// As above, for bodies of answers that are otherwise good.
#[test]
fn upstream_body() {
    bolero::check!().for_each(|input: &[u8]| {
        let bytes = edit(bodies(), input);
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            bytes.len()
        )
        .into_bytes();
        answer.extend_from_slice(&bytes);
        if let Ok(list) = WORLD.list(&answer) {
            assert!(list.numbers.iter().all(|number| number.account_id == 1001));
        }
    });
}

/// Whatever the metadata of a call holds, the call ends and nothing panics. Of each line the first
/// byte chooses the key, and the rest is the value.
#[test]
fn metadata() {
    const KEYS: [&str; 12] = [
        "authorization",
        "baggage",
        "grpc-encoding",
        "grpc-timeout",
        "traceparent",
        "tracestate",
        "x-porta-content-id",
        "x-porta-content-id-bin",
        "x-porta-feature-name",
        "x-porta-feature-name-bin",
        "x-porta-license",
        "x-porta-license-bin",
    ];
    bolero::check!().for_each(|bytes: &[u8]| {
        let mut metadata = http::HeaderMap::new();
        for line in bytes.split(|byte| *byte == b'\n') {
            if let Some((first, value)) = line.split_first()
                && let Ok(value) = http::HeaderValue::from_bytes(value)
            {
                metadata.append(KEYS[usize::from(*first) % KEYS.len()], value);
            }
        }
        let _ = WORLD.list_with(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", metadata);
    });
}

/// Whatever a client writes, the connection ends and nothing panics.
#[test]
fn http2() {
    bolero::check!().for_each(|bytes: &[u8]| WORLD.send(bytes));
}

/// As above, with frames behind a good preface: the headers of a List and its message, edited.
#[test]
fn http2_frames() {
    let path = b"/porta.followme.v1.FollowMeService/List";
    // Literal fields without indexing (RFC 7541 6.2.2), whose names are in the static table.
    let mut block = b"\x83\x86".to_vec();
    for (index, value) in [
        (4, &path[..]),
        (1, b"localhost"),
        (15 + 16, b"application/grpc"),
    ] {
        block.extend(if index < 15 {
            vec![index]
        } else {
            vec![0x0f, index - 15]
        });
        block.push(u8::try_from(value.len()).expect("it is short"));
        block.extend_from_slice(value);
    }
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).expect("it is short");
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
        frame.extend_from_slice(payload);
        frame
    };
    let headers = frame(1, 4, 1, &block);
    let data = frame(0, 1, 1, b"\0\0\0\0\x03\x08\xe9\x07");
    let seed = [headers, data].concat();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // The seed is a call.
    WORLD.ask(&[&preface[..], &seed].concat());
    bolero::check!().for_each(|input: &[u8]| {
        let frames = edit(std::slice::from_ref(&seed), input);
        WORLD.send(&[&preface[..], &frames].concat());
    });
}
