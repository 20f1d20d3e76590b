//! The upstream client through the wire: what its replies prove, and how values are carried.

mod outcomes;
mod proofs;
mod values;
