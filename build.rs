//! Compiles the proto files: code for `grpc::pb`, and the descriptor set that reflection serves.

use std::{env, fs, io, path::PathBuf};

use prost::Message as _;

const ROOT: &str = "proto";
const FILES: [&str; 1] = ["porta/followme/v1/follow_me.proto"];

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script where to write through the environment"
)]
fn main() -> io::Result<()> {
    for file in FILES {
        println!("cargo:rerun-if-changed={ROOT}/{file}");
    }
    // protox is a protobuf compiler in Rust: nothing has to be installed.
    let descriptors = protox::Compiler::new([ROOT])
        .and_then(|mut compiler| {
            compiler
                .include_source_info(true)
                .include_imports(true)
                .open_files(FILES)?;
            Ok(compiler.file_descriptor_set())
        })
        .map_err(io::Error::other)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    fs::write(out.join("follow_me.binpb"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)
}
