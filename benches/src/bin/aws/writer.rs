//! The foreign writer: AWS's own Python SDK, in a process of its own.

use crate::account::Account;
use crate::fill::Store;
use confhub_benches::Result;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What it runs.
const SCRIPT: &str = include_str!("writer.py");

/// Longest wait for one write.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes whose times nobody has asked for yet, at most.
const UNREAD: usize = 64;

/// A foreign writer of one tenant; dropping it ends the process.
pub(crate) struct Writer {
    child: Child,
    input: ChildStdin,
    times: mpsc::Receiver<Written>,
}

/// When a call began and returned, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) called: i128,
    pub(crate) returned: i128,
}

impl Writer {
    pub(crate) fn start(account: &Account, tenant: &str) -> Result<Self> {
        let mut child = Command::new(account.python())
            .args(["-c", SCRIPT, tenant])
            .envs(account.variables())
            .env("AWS_DEFAULT_REGION", account.setting("REGION")?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = child.stdin.take().zip(child.stdout.take()).ok_or("the writer has no pipes")?;
        let (send, times) = mpsc::channel(UNREAD);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
                let mut words = line.split(' ').map(str::parse);
                let (Some(Ok(called)), Some(Ok(returned))) = (words.next(), words.next()) else { return };
                if send.blocking_send(Written { called, returned }).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, input, times })
    }

    /// Writes a value, which is one line, and waits for the call's return.
    pub(crate) async fn write(&mut self, store: Store, key: &str, value: &str) -> Result<Written> {
        writeln!(self.input, "{} {key} {value}", store.name())?;
        self.input.flush()?;
        let written = timeout(PATIENCE, self.times.recv()).await?;
        Ok(written.ok_or("the foreign writer ended; what it said is above")?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
