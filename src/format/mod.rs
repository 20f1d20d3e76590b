//! The two text formats of the upstream: its CSV dialect ([`csv`]) and JSV ([`jsv`]).
//!
//! An answer is one CSV header record and one CSV data record; two of the fields hold JSV
//! (docs/upstream/wire.md 2). Reading goes CSV first, then JSV on the fields concerned. Both readers
//! are strict about structure and lenient about content: a broken answer is refused as a whole, an
//! odd value in a sound answer is left to the caller.
//!
//! Imports nothing of ours. No error of this module repeats any input text: answers echo the
//! License, which is a secret.

pub mod csv;
pub mod jsv;
