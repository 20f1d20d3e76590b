//! Integration tests: one binary.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod certificates;
mod cli;
mod codecs;
mod config;
mod figures;
mod histories;
mod journal;
mod raw;
mod reference;
mod rpc_add;
mod rpc_delete;
mod rpc_errors;
mod rpc_reads;
mod rpc_replace_all;
mod rpc_settle;
mod rpc_update;
mod rpc_values;
mod security;
mod simulator;
mod simulator_vectors;
mod support;
mod telemetry;
mod trace;
mod update_all;
mod vectors;
mod worst_day;
mod writes;
