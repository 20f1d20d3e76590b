//! Integration tests: one binary.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod cli;
mod codecs;
mod config;
mod domain;
mod guarantees;
mod journal;
mod linearizability;
mod load;
mod reference;
mod resilience;
mod rpc;
mod security;
mod simulator;
mod support;
mod telemetry;
mod upstream;
