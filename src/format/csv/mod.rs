//! A strict reader of the upstream's CSV dialect (docs/upstream/wire.md 2), over the csv crate's
//! core.
//!
//! ```
//! use followme::format::csv::Reader;
//!
//! let mut reader = Reader::new();
//! let table = reader.read(b"success,FeatureName\r\nTrue,\"a,b\"\r\n")?;
//! let feature = table.column("FeatureName").and_then(|at| table.record(0)?.get(at));
//! assert_eq!(feature, Some("a,b"));
//! # Ok::<(), followme::format::csv::Error>(())
//! ```

mod error;
mod read;

pub use error::{Error, Kind};
pub use read::{MAX_BYTES, MAX_FIELDS, MAX_RECORDS, Reader, Record, Table};
