//! What the facade tells of itself, and what it keeps to itself.

pub(crate) mod admin;
mod audit;
mod audit_lines;
mod cost;
mod export;
mod faults;
mod logs;
mod metrics;
mod propagation;
mod receiver;
mod redaction;
mod spans;
mod suite;
