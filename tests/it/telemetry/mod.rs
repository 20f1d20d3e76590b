//! `docs/observability.md`: logs, audit log, traces, metrics, admin pages; and that no secret leaks.

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
mod stalled;
mod suite;
