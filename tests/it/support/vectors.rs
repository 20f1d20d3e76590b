//! The captured vectors: `tests/fixtures/vectors/*.json`, copied unchanged from the capture of
//! the real framework.

use std::path::Path;

use serde_json::Value;

/// The vectors of one file.
pub(crate) fn load(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/vectors")
        .join(file);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("can't read {}: {error}", path.display()));
    let mut file: Value = serde_json::from_str(&text).expect("a vector file is JSON");
    match file["vectors"].take() {
        Value::Array(vectors) => vectors,
        _ => panic!("no vectors in {}", path.display()),
    }
}

/// A member that must be a string.
pub(crate) fn str<'v>(vector: &'v Value, key: &str) -> &'v str {
    vector[key]
        .as_str()
        .unwrap_or_else(|| panic!("no string `{key}` in {vector}"))
}
