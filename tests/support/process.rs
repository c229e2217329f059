//! The program as a process: what an operator starts, and what a crash ends.

use super::hub::mint;
use super::{Caller, PATIENCE, soon};
use confhub::auth::{DevIssuer, Role};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, SystemTime};
use tokio::time::interval;

/// A running `confhub serve`, which dies with this.
pub struct HubProcess {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    folder: PathBuf,
    child: Child,
}

impl HubProcess {
    /// Starts the program on a folder and waits until it is ready.
    pub async fn start(folder: &Path) -> Self {
        Self::start_by(command(), folder, &[]).await
    }

    /// The same by a command of the test's own, which `serve` and its arguments
    /// are added to, and with further arguments.
    pub async fn start_by(mut command: Command, folder: &Path, more: &[&str]) -> Self {
        let ready = folder.join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let log = folder.join("hub.log");
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            // Not as a flag: a test may give one.
            .env("CONFHUB_LOG_FILTER", "warn")
            .args([Path::new("--data-dir"), folder, Path::new("--ready-file"), &ready])
            .args(more)
            .stdout(std::fs::File::create(folder.join("hub.out")).unwrap())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut tick = interval(Duration::from_millis(2));
        let wait = async {
            loop {
                if let Ok(text) = std::fs::read(&ready) {
                    return Some(serde_json::from_slice::<serde_json::Value>(&text).unwrap());
                }
                if child.try_wait().unwrap().is_some() {
                    return None;
                }
                tick.tick().await;
            }
        };
        let addresses = tokio::time::timeout(PATIENCE, wait).await.ok().flatten();
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let addresses = addresses.unwrap_or_else(|| panic!("the hub is not ready: {}", said()));
        let address = |name: &str| addresses[name].as_str().unwrap().parse().unwrap();
        Self { grpc: address("grpc"), http: address("http"), folder: folder.to_owned(), child }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// A token for every role of a tenant.
    pub fn token(&self, tenant: &str) -> String {
        let issuer = DevIssuer::open(&self.folder).unwrap();
        mint(&issuer, SystemTime::now(), tenant, None, &Role::ALL, Duration::from_secs(3_600))
    }

    pub async fn caller(&self, tenant: &str) -> Caller {
        Caller::connect(&self.endpoint(), &self.token(tenant)).await
    }

    /// kill -9, and waits until the process is gone.
    pub async fn kill(mut self) {
        self.child.kill().unwrap();
        self.ended().await;
    }

    /// Sends a signal, by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
        assert!(sent.unwrap().success(), "no process {}", self.id());
    }

    /// Waits until the process has ended, and says how.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut tick = interval(Duration::from_millis(2));
        soon("the hub's process to end", async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tick.tick().await;
            }
        })
        .await
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("hub.log")).unwrap()
    }
}

impl Drop for HubProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, with none of the tester's own settings.
pub fn command() -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_confhub")))
}

/// A command with none of the tester's own settings.
pub fn clean(mut command: Command) -> Command {
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "TMPDIR"));
    command.stdin(Stdio::null());
    command
}

/// Runs a command that ends by itself, within a bound.
pub async fn ended(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let id = child.id();
    let output: tokio::task::JoinHandle<io::Result<Output>> =
        tokio::task::spawn_blocking(move || child.wait_with_output());
    match tokio::time::timeout(PATIENCE, output).await {
        Ok(output) => output.unwrap().unwrap(),
        Err(_) => {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
            panic!("{command:?} did not end within {PATIENCE:?}")
        }
    }
}
