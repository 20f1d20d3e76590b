//! Integration tests: one binary.

mod codecs;
mod vectors;
