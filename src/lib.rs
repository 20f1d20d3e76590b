//! A typed gRPC facade for the PortaFollowMe (call forwarding) web service.

pub mod domain;
pub mod format;
pub mod simulator;
