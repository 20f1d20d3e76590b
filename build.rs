//! Compiles the proto files: code for `grpc::pb`, and the descriptor set that reflection serves.
//! Finds the commit that is built.

use std::{env, fs, io, path::PathBuf, process::Command};

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
    println!("cargo:rustc-env=BUILD_COMMIT={}", commit());
    tonic_prost_build::configure()
        .codec_path("crate::grpc::codec::LimitedCodec")
        .compile_fds(descriptors)
}

/// Returns the commit of the variable `BUILD_COMMIT`, else that of the working tree, else `unknown`. A debug
/// build does not ask git: it would be built anew after every commit.
#[expect(
    clippy::disallowed_methods,
    reason = "cargo and packagers configure a build script through the environment"
)]
fn commit() -> String {
    println!("cargo:rerun-if-env-changed=BUILD_COMMIT");
    if let Ok(commit) = env::var("BUILD_COMMIT") {
        return commit;
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let found = is_release
        .then(|| {
            // The log of HEAD changes with every commit and checkout.
            println!(
                "cargo:rerun-if-changed={}",
                git(&["rev-parse", "--git-path", "logs/HEAD"])?
            );
            git(&["rev-parse", "--short=12", "HEAD"])
        })
        .flatten();
    found.unwrap_or_else(|| "unknown".to_owned())
}
