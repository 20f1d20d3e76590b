//! The upstream's CSV dialect (docs/upstream/wire.md 2): a strict reader over the csv crate's core,
//! and a writer whose bytes are those of the framework.
//!
//! ```
//! use followme::format::csv::{Field, Newline, Reader, write_record};
//!
//! let mut body = String::new();
//! write_record(&mut body, ["success", "FeatureName"].map(Field::Text), Newline::CrLf);
//! write_record(&mut body, [Field::Text("True"), Field::Text("a,b")], Newline::CrLf);
//! assert_eq!(body, "success,FeatureName\r\nTrue,\"a,b\"\r\n");
//!
//! let mut reader = Reader::new();
//! let table = reader.read(body.as_bytes())?;
//! let feature = table.column("FeatureName").and_then(|at| table.record(0)?.get(at));
//! assert_eq!(feature, Some("a,b"));
//! # Ok::<(), followme::format::csv::Error>(())
//! ```

mod error;
mod read;
mod write;

pub use error::{Error, Kind};
pub use read::{MAX_BYTES, MAX_FIELDS, MAX_RECORDS, Reader, Record, Table};
pub use write::{Field, Newline, write_record};
