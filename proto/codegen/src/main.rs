//! Writes `proto/src/gen` from the `.proto` files.
//!
//! `cargo run -p confhub-proto-codegen` writes; with `--check` it compares and
//! fails if what is checked in is out of date. The generated code is checked in
//! so that nobody who builds the hub or the SDK pays for a protobuf compiler;
//! the compiler itself is `protox`, so no `protoc` has to be installed.

use prost_build::{Service, ServiceGenerator};
use protox::prost::Message;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The files, each with the package that it is of.
const PROTOS: [(&str, &str); 2] =
    [("confhub/v1/confhub.proto", "confhub.v1"), ("flagd/sync/v1/sync.proto", "flagd.sync.v1")];

/// Answered by the hub's own streaming body, which shares encoded frames
/// between streams; a generated server would encode every frame per stream.
const SHARED_FRAMES: [&str; 2] = ["Subscribe", "GetSnapshot"];

/// Its methods are all answered so, or not at all.
const SHARED_WHOLE: &str = "FlagSyncService";

fn main() -> ExitCode {
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => {
            eprintln!("unknown argument `{other}`; usage: confhub-proto-codegen [--check]");
            return ExitCode::from(2);
        }
    };
    match run(check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(check: bool) -> Result<(), Box<dyn Error>> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let checked_in = proto.join("src/gen");
    let fresh = tempfile::tempdir()?;
    for (file, package) in PROTOS {
        generate(&proto.join("proto"), file, package, fresh.path())?;
    }
    let generated = PROTOS.map(|(_, package)| [format!("{package}.rs"), format!("{package}.bin")]);
    for name in generated.iter().flatten() {
        let (from, to) = (fresh.path().join(name), checked_in.join(name));
        if !check {
            fs::create_dir_all(&checked_in)?;
            fs::copy(&from, &to)?;
        } else if fs::read(&from)? != fs::read(&to).unwrap_or_default() {
            return Err(
                format!("{} is out of date: run `cargo run -p confhub-proto-codegen`", to.display()).into()
            );
        }
    }
    Ok(())
}

fn generate(include: &Path, file: &str, package: &str, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut compiler = protox::Compiler::new([include])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_file(PathBuf::from(file))?;
    let with_comments = compiler.file_descriptor_set();

    let mut config = prost_build::Config::new();
    config
        .bytes([".confhub.v1.Entry.value", ".confhub.v1.Content.value"])
        .out_dir(out)
        .service_generator(Box::new(SharedFrames::new()));
    // Values and tokens must not reach a log through `{:?}`.
    config.skip_debug([".confhub.v1.Entry", ".confhub.v1.Content"]);
    config.compile_fds(with_comments)?;

    let code = out.join(format!("{package}.rs"));
    let formatted = std::process::Command::new("rustfmt").args(["--edition", "2024"]).arg(&code).status()?;
    if !formatted.success() {
        return Err("rustfmt failed on the generated code".into());
    }

    // Reflection serves this one; comments would only make it larger.
    let mut compiler = protox::Compiler::new([include])?;
    compiler.include_imports(true).open_file(PathBuf::from(file))?;
    fs::write(out.join(format!("{package}.bin")), compiler.file_descriptor_set().encode_to_vec())?;
    Ok(())
}

/// Generates clients for every method, and servers for those that are not
/// answered with shared frames.
struct SharedFrames {
    client: Box<dyn ServiceGenerator>,
    server: Box<dyn ServiceGenerator>,
}

impl SharedFrames {
    fn new() -> Self {
        let builder = || tonic_prost_build::configure().build_transport(false);
        Self {
            client: builder()
                .build_server(false)
                .client_mod_attribute(".", "#[cfg(feature = \"client\")]")
                .service_generator(),
            server: builder()
                .build_client(false)
                .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
                .service_generator(),
        }
    }
}

impl ServiceGenerator for SharedFrames {
    fn generate(&mut self, service: Service, buf: &mut String) {
        let mut served = service.clone();
        served.methods.retain(|method| !SHARED_FRAMES.contains(&method.proto_name.as_str()));
        let is_whole = service.proto_name == SHARED_WHOLE;
        self.client.generate(service, buf);
        if is_whole {
            return;
        }
        self.server.generate(served, buf);
    }

    fn finalize(&mut self, buf: &mut String) {
        self.client.finalize(buf);
        self.server.finalize(buf);
    }
}
