//! A server in a process of its own, that tells through a file where it listens.

use crate::{Result, process};
use serde::de::DeserializeOwned;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Longest wait for a server to be ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; dropping it ends the process.
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts `command`, which has been told to write `ready_file`, and waits
    /// for what it writes there.
    ///
    /// # Errors
    /// If it does not start, or ends instead.
    pub async fn start<T: DeserializeOwned>(command: &mut Command, ready_file: &Path) -> Result<(Self, T)> {
        let read = || serde_json::from_slice(&std::fs::read(ready_file).ok()?).ok();
        Self::start_until(command, read).await
    }

    /// Starts `command`, and waits until `ready` tells something.
    ///
    /// # Errors
    /// If it does not start, or ends instead.
    pub async fn start_until<T>(
        command: &mut Command,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Result<(Self, T)> {
        // Whoever reads its end notices when this process is gone.
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("cannot start {:?}: {error}", command.get_program()))?;
        let mut server = Self { child };
        let since = Instant::now();
        loop {
            if let Some(ready) = ready() {
                return Ok((server, ready));
            }
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("{:?} ended: {status}", command.get_program()).into());
            }
            if since.elapsed() > PATIENCE {
                return Err(format!("{:?} is not ready after {PATIENCE:?}", command.get_program()).into());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time that the server has used.
    ///
    /// # Errors
    /// If it has ended.
    pub fn cpu_time(&self) -> Result<Duration> {
        process::cpu_time(self.child.id())
    }

    /// Its resident memory, in kB.
    ///
    /// # Errors
    /// If it has ended.
    pub fn memory_kb(&self) -> Result<f64> {
        process::memory_kb(self.child.id())
    }

    /// The most that it has had resident since [`Server::forget_peak`], in kB.
    ///
    /// # Errors
    /// If it has ended.
    pub fn peak_kb(&self) -> Result<f64> {
        process::peak_kb(self.child.id())
    }

    /// Begins anew with [`Server::peak_kb`].
    ///
    /// # Errors
    /// If it has ended.
    pub fn forget_peak(&self) -> Result<()> {
        process::forget_peak(self.child.id())
    }
}

impl Server {
    /// Ends the process at once, and waits until it has ended.
    pub fn kill(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The runtime on which servers run: tokio's own default.
///
/// # Errors
/// If the system gives no threads.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// A program of somebody else, that cannot tell when this process is gone: the
/// kernel ends it then (`setpriv` of util-linux asks for that, and becomes `program`).
///
/// # Errors
/// If `program` is not installed: with `remedy`.
pub fn foreign(program: &str, remedy: &str) -> Result<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian has some servers where only root looks.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    let found = found.ok_or_else(|| format!("`{program}` is not installed: run {remedy}"))?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(found);
    Ok(command)
}

/// Ends this process once the one that started it is gone, so that no server
/// is left behind by a benchmark that was interrupted.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_installed_says_what_to_run() {
        let error = foreign("no-such-server", "benches/install-peers").map(drop).unwrap_err();
        assert_eq!(error.to_string(), "`no-such-server` is not installed: run benches/install-peers");
    }

    #[tokio::test]
    async fn a_server_that_ends_before_it_is_ready_is_told_of() {
        let mut command = foreign("false", "nothing").unwrap();
        let error = Server::start_until(&mut command, || None::<()>).await.map(drop).unwrap_err();
        assert!(error.to_string().contains("ended"), "{error}");
    }
}
