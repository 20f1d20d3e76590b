//! What the facade tells of itself, and what it keeps to itself.

pub(crate) mod admin;
mod audit;
mod cost;
mod export;
mod logs;
mod metrics;
mod propagation;
mod receiver;
mod redaction;
mod spans;
mod suite;
