//! Who may call, over what, and what they may; and that every key of the configuration does
//! something.

mod callers;
mod effects;
mod example;
mod exposure;
pub(crate) mod facade;
mod keys;
mod permits;
mod reload;
mod tls;
