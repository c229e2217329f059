//! The emulator: started, filled with the stack, ended in order.

use super::child::{self, Prints, Tail};
use super::python::Python;
use crate::cli::error::CliError;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

/// Longest wait until it serves; a machine under load takes a few seconds.
const START: Duration = Duration::from_secs(60);

/// Longest wait for the stack; it takes a few seconds.
const DEPLOY: Duration = Duration::from_secs(180);

/// Longest wait until it has ended: it gives itself five seconds.
const END: Duration = Duration::from_secs(8);

/// Longest line with which it says that it serves, in bytes.
const READY_BYTES: u64 = 4 * 1024;

/// Most bytes of settings: some thirty lines.
const SETTINGS_BYTES: usize = 64 * 1024;

/// A running emulator. It ends when this is dropped, or when the process ends in
/// whatever way: its standard input is then closed.
pub(super) struct Emulator {
    endpoint: String,
    child: Child,
    input: Option<ChildStdin>,
    tail: Tail,
}

#[derive(Deserialize)]
struct Ready {
    endpoint: String,
}

impl Emulator {
    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// If it cannot be run, ends, or does not serve in time.
    pub(super) async fn start(
        python: &Python,
        scripts: &Path,
        port: u16,
        region: &str,
        state: Option<&Path>,
    ) -> Result<Self, CliError> {
        let failed = |reason: String| CliError::Failed(format!("the emulator does not start: {reason}"));
        let mut command = child::python(python.program());
        command.arg(scripts.join("local/emulator.py"));
        command.args(["--until-stdin-closes", "--port", &port.to_string(), "--region", region]);
        if let Some(state) = state {
            command.arg("--state-dir").arg(state);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C is for this process, which ends the other in order.
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let mut tail = Tail::new(false);
        tail.follow(child.stderr.take());
        let input = child.stdin.take();
        let Some(out) = child.stdout.take() else { return Err(failed("it has no output".to_owned())) };
        let mut out = BufReader::new(out);
        let reason = match timeout(START, ready(&mut out)).await {
            Ok(Ok(ready)) => {
                // What else it prints is of interest only if it ends.
                tail.follow(Some(out));
                return Ok(Self { endpoint: ready.endpoint, child, input, tail });
            }
            Ok(Err(reason)) => reason,
            Err(_) => format!("it does not serve within {} s", START.as_secs()),
        };
        let _ = child.start_kill();
        Err(failed(tail.add_to(reason).await))
    }

    /// Where it is.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Puts the stack into it, or brings up to date the one that its state has.
    /// Returns the hub's settings, by their variables.
    ///
    /// # Errors
    /// If that fails or takes too long, or the emulator ends meanwhile.
    pub(super) async fn deploy(
        &mut self,
        python: &Python,
        scripts: &Path,
        account: &str,
        region: &str,
    ) -> Result<BTreeMap<String, String>, CliError> {
        let mut command = child::python(python.program());
        command.arg(scripts.join("local/stack.py"));
        command.args(["--endpoint", &self.endpoint, "--account", account, "--region", region]);
        let what = "the stack cannot be deployed";
        let deploying = child::finish(command, what, DEPLOY, Prints::Answer(SETTINGS_BYTES), false);
        let settings = tokio::select! {
            settings = deploying => settings?,
            ended = self.child.wait() => return Err(self.told(ended).await),
        };
        let settings = serde_json::from_slice(&settings);
        settings.map_err(|error| CliError::Failed(format!("{what}: its settings make no sense: {error}")))
    }

    /// Waits until it has ended by itself, which it should not.
    pub(super) async fn ended(&mut self) -> CliError {
        let ended = self.child.wait().await;
        self.told(ended).await
    }

    async fn told(&mut self, ended: std::io::Result<ExitStatus>) -> CliError {
        let reason = match ended {
            Ok(status) => format!("the emulator has ended with {status}"),
            Err(error) => format!("the emulator cannot be waited for: {error}"),
        };
        let tail = std::mem::replace(&mut self.tail, Tail::new(false));
        CliError::Failed(tail.add_to(reason).await)
    }

    /// Ends it, in order if it can.
    pub(super) async fn end(mut self) {
        drop(self.input.take());
        if timeout(END, self.child.wait()).await.is_err() {
            // It is waited for, so that nothing of it is left when this returns.
            let _ = self.child.kill().await;
        }
    }
}

async fn ready(out: &mut BufReader<ChildStdout>) -> Result<Ready, String> {
    let mut line = String::new();
    let read = out.take(READY_BYTES).read_line(&mut line).await;
    match read {
        Err(error) => Err(error.to_string()),
        Ok(0) => Err("it has ended".to_owned()),
        Ok(_) => {
            serde_json::from_str(&line).map_err(|_| "its first line does not say where it is".to_owned())
        }
    }
}
