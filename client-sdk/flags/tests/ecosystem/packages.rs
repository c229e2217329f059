//! Published packages of the ecosystem, each pinned, fetched on first use and kept below
//! `target/`: those of Rust with cargo, of Python with pip, of JavaScript with npm.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The folder of these tests.
pub fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ecosystem")
}

/// The folder of a package of `crates/Cargo.toml`.
pub fn krate(name: &str) -> PathBuf {
    static FOLDERS: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    let folders = FOLDERS.get_or_init(|| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["metadata", "--format-version", "1", "--locked", "--manifest-path"]);
        let said = output(cargo.arg(here().join("crates/Cargo.toml")));
        let metadata: Value = serde_json::from_str(&said).expect("cargo answers in JSON");
        let packages = metadata["packages"].as_array().expect("packages").iter();
        let folder = |package: &Value| {
            let manifest = Path::new(package["manifest_path"].as_str()?);
            Some((package["name"].as_str()?.to_owned(), manifest.parent()?.to_owned()))
        };
        packages.filter_map(folder).collect()
    });
    folders.get(name).unwrap_or_else(|| panic!("no package {name}")).clone()
}

/// A file of flagd's testbed.
pub fn testbed(path: &str) -> String {
    read(&krate("open-feature-flagd").join("flagd-testbed").join(path))
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs a command and gives what it prints.
pub fn output(command: &mut Command) -> String {
    let ran = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{command:?}: {}\n{said}", ran.status);
    String::from_utf8(ran.stdout).expect("text")
}
