//! `docs/security.md`: TLS, authentication, authorization, secrets; and that every configuration key
//! has an effect.

mod authentication;
mod authorization;
mod effects;
mod example;
mod exposure;
mod keys;
mod reload;
mod shown_by;
mod streams;
pub(crate) mod support;
mod tls;
