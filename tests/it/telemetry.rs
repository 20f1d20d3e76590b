//! What the facade tells of itself, and what it keeps to itself.

pub(crate) mod admin;
mod audit;
mod canary;
mod cost;
mod export;
mod logs;
mod metrics;
mod receiver;
mod spans;
mod suite;
