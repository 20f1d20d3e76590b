//! Seeds, which are answers that were captured from the real framework, and edits of them.
//!
//! Random bytes are refused by the first check of a parser. An edited seed comes further.

use std::{fs, path::Path, sync::LazyLock};

use followme::format::csv::Reader;
use serde_json::Value;

static BODIES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(read_bodies);

/// Returns the captured bodies of CSV answers.
pub fn bodies() -> &'static [Vec<u8>] {
    &BODIES
}

/// Returns the captured bodies as whole answers.
pub fn answers() -> Vec<Vec<u8>> {
    let answer = |body: &Vec<u8>| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    bodies().iter().map(answer).collect()
}

/// Returns the fields of the captured bodies, which hold JSV.
pub fn members() -> Vec<Vec<u8>> {
    let mut members = Vec::new();
    for body in bodies() {
        let mut reader = Reader::new();
        if let Ok(table) = reader.read(body) {
            let fields = table.records().flat_map(|record| record.iter());
            members.extend(fields.map(|field| field.as_bytes().to_vec()));
        }
    }
    members
}

fn read_bodies() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/vectors");
    let mut bodies = Vec::new();
    for name in [
        "csv_responses_v3_lf",
        "csv_responses_v3_crlf",
        "csv_responses_v4",
    ] {
        let path = folder.join(name).with_extension("json");
        let text = fs::read_to_string(path).expect("the vectors are there");
        let file: Value = serde_json::from_str(&text).expect("JSON");
        let vectors = file["vectors"].as_array().expect("a list");
        let texts = vectors
            .iter()
            .filter_map(|vector| vector["response"]["body"].as_str());
        bodies.extend(texts.map(|text| text.as_bytes().to_vec()));
    }
    assert!(bodies.len() > 50, "the vectors have bodies");
    bodies
}

/// Edits a seed by an input: its first byte chooses the seed, and each further four are an edit.
/// Some inputs are returned as they are.
pub fn edit(seeds: &[Vec<u8>], input: &[u8]) -> Vec<u8> {
    let Some((&first, edits)) = input.split_first() else {
        return Vec::new();
    };
    if first < 16 {
        return edits.to_vec();
    }
    let mut bytes = seeds[usize::from(first) % seeds.len()].clone();
    for edit in edits.chunks_exact(4) {
        let position = usize::from(u16::from_le_bytes([edit[1], edit[2]]));
        let position = position % (bytes.len() + 1);
        // The characters that mean something to CSV and JSV, or any byte.
        let special = b"\",:{}[]\r\n \xff\0";
        let byte = special
            .get(usize::from(edit[3]))
            .copied()
            .unwrap_or(edit[3]);
        let end = (position + usize::from(edit[3] % 64)).min(bytes.len());
        match edit[0] % 5 {
            0 => bytes.insert(position, byte),
            1 if position < bytes.len() => bytes[position] = byte,
            2 => drop(bytes.drain(position..end)),
            3 => {
                let copy = bytes[position..end].to_vec();
                bytes.splice(position..position, copy);
            }
            _ => bytes.truncate(bytes.len().max(64).min(position.max(1))),
        }
    }
    bytes
}
