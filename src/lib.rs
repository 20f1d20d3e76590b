//! A typed gRPC facade for the PortaFollowMe (call forwarding) web service.

pub mod app;
pub mod config;
pub mod domain;
pub mod format;
pub mod grpc;
pub mod operations;
pub mod simulator;
pub mod telemetry;
pub mod upstream;
