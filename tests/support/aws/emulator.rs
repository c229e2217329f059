//! The emulator, as a process that ends with this one.

use super::super::soon;
use serde::Deserialize;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// A running emulator.
pub struct Emulator {
    pub endpoint: String,
    /// `None`: it is somebody else's.
    child: Option<Child>,
}

#[derive(Deserialize)]
struct Ready {
    endpoint: String,
}

impl Emulator {
    /// The one that `CONFHUB_TEST_AWS_ENDPOINT` names, or a new one.
    pub async fn start() -> Self {
        match std::env::var("CONFHUB_TEST_AWS_ENDPOINT") {
            Ok(endpoint) if !endpoint.is_empty() => Self { endpoint, child: None },
            _ => Self::start_own().await,
        }
    }

    /// A new one, which the test may stop.
    pub async fn start_own() -> Self {
        soon("the emulator", tokio::task::spawn_blocking(spawn)).await.unwrap()
    }

    /// Lets it do nothing until [`Emulator::resume`]: connections stay open, and
    /// nothing answers.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let id = self.child.as_ref().expect("the emulator is this test's own").id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn() -> Emulator {
    let mut child = Command::new(python())
        .arg(infra().join("local/emulator.py"))
        // It ends when its input does, and that is when this process ends.
        .args(["--port", "0", "--until-stdin-closes"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Ready = serde_json::from_str(&line).expect("the emulator says where it is");
    Emulator { endpoint: ready.endpoint, child: Some(child) }
}

/// The folder with the emulator and the stack.
pub(super) fn infra() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra")
}

/// A Python that has the emulator, made on first use below `target/`.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        if let Some(python) = std::env::var_os("CONFHUB_TEST_AWS_PYTHON") {
            return python.into();
        }
        let program = Path::new(env!("CARGO_BIN_EXE_confhub"));
        let cache = program.parent().unwrap().parent().unwrap().join("aws-emulator");
        // With the tester's own ways to the package index.
        let mut prepare = Command::new(program);
        prepare.args(["aws", "local", "--prepare", "--output", "text", "--cache"]).arg(cache);
        let ran = prepare.stdin(Stdio::null()).output().unwrap();
        assert!(ran.status.success(), "no Python for the emulator: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap().trim().into()
    })
}
