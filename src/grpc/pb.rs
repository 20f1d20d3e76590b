//! The generated code of the contract, and the descriptors that reflection serves.
#![allow(
    missing_docs,
    clippy::all,
    reason = "generated, documented in the proto file; which lints it meets depends on the generator"
)]

tonic::include_proto!("porta.followme.v1");

/// The descriptor set of the contract, with everything that it imports.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/follow_me.binpb"));

pub use follow_me_service_server::SERVICE_NAME as SERVICE;
