//! Programs that are run: within a bound, with the end of what they say kept for
//! whoever has to find out why they failed.

use crate::cli::error::CliError;
use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How much of the end is kept, in bytes.
const TAIL_BYTES: usize = 4 * 1024;

/// How many lines of the end are told.
const TAIL_LINES: usize = 12;

/// Longest wait for what a program that has ended still had to say.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A call of Python that nothing in the caller's environment leads astray.
pub(super) fn python(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What a program prints on standard output.
#[derive(Debug, Clone, Copy)]
pub(super) enum Prints {
    /// What was asked for, of at most so many bytes.
    Answer(usize),
    /// How far it is, as on standard error.
    Progress,
}

/// Runs a program to its end and returns its answer. What else it says is passed
/// on to standard error if `aloud`, and its end told if it fails.
///
/// # Errors
/// If it cannot be run, fails, answers too much, or takes too long.
pub(super) async fn finish(
    mut command: Command,
    what: &str,
    limit: Duration,
    prints: Prints,
    aloud: bool,
) -> Result<Vec<u8>, CliError> {
    let failed = |reason: String| CliError::Failed(format!("{what}: {reason}"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| {
        failed(format!("cannot run `{}`: {error}", command.as_std().get_program().display()))
    })?;
    let mut tail = Tail::new(aloud);
    tail.follow(child.stderr.take());
    let most = match prints {
        Prints::Answer(most) => most,
        Prints::Progress => {
            tail.follow(child.stdout.take());
            0
        }
    };
    let mut answer = Vec::new();
    let run = async {
        if let Some(out) = child.stdout.take() {
            let most = u64::try_from(most).unwrap_or(u64::MAX);
            out.take(most.saturating_add(1)).read_to_end(&mut answer).await?;
        }
        child.wait().await
    };
    let ended = timeout(limit, run).await;
    if ended.is_err() {
        let _ = child.start_kill();
    }
    let reason = match ended {
        // Whoever is no longer listened to may have ended for it.
        _ if answer.len() > most => format!("it prints more than {most} bytes"),
        Ok(Ok(status)) if status.success() => return Ok(answer),
        Ok(Ok(status)) => format!("it has ended with {status}"),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it has not ended within {} s", limit.as_secs()),
    };
    Err(failed(tail.add_to(reason).await))
}

/// The end of what a program says.
pub(super) struct Tail {
    aloud: bool,
    kept: Arc<Mutex<VecDeque<u8>>>,
    readings: JoinSet<()>,
}

impl Tail {
    /// Of a program that has said nothing yet; `aloud` passes on what it says.
    pub(super) fn new(aloud: bool) -> Self {
        Self { aloud, kept: Arc::default(), readings: JoinSet::new() }
    }

    /// Reads what there is to read, until its end.
    pub(super) fn follow(&mut self, said: Option<impl AsyncRead + Unpin + Send + 'static>) {
        let (aloud, kept) = (self.aloud, Arc::clone(&self.kept));
        self.readings.spawn(async move {
            let Some(mut said) = said else { return };
            let mut part = [0; 1_024];
            while let Ok(read @ 1..) = said.read(&mut part).await {
                let part = part.get(..read).unwrap_or_default();
                if aloud {
                    // Standard error that takes nothing leaves nobody to tell.
                    let _ = std::io::stderr().write_all(part);
                }
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(part);
                let over = kept.len().saturating_sub(TAIL_BYTES);
                kept.drain(..over);
            }
        });
    }

    /// The reason, and below it the last lines.
    pub(super) async fn add_to(self, reason: String) -> String {
        let Self { kept, readings, .. } = self;
        // Somebody else may hold the other end: what came until now is enough.
        let _ = timeout(LAST_WORDS, readings.join_all()).await;
        let kept: Vec<u8> = kept.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        match last_lines(&String::from_utf8_lossy(&kept)) {
            last if last.is_empty() => reason,
            last => format!("{reason}; the last that it says:\n{last}"),
        }
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    let last: Vec<_> = lines.iter().skip(from).map(|line| format!("  {line}")).collect();
    last.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = python(Path::new("/bin/sh"));
        command.args(["-c", script]);
        command
    }

    async fn run(script: &str) -> Result<Vec<u8>, CliError> {
        finish(shell(script), "the test", Duration::from_secs(20), Prints::Answer(100), false).await
    }

    #[tokio::test]
    async fn what_fails_tells_its_last_lines_and_no_more() {
        assert_eq!(run("echo out; echo err >&2").await.unwrap(), b"out\n");
        let error = run("seq 1 10000 >&2; exit 3").await.unwrap_err().to_string();
        assert!(error.starts_with("the test: it has ended with exit status: 3"), "{error}");
        assert!(error.contains("  10000") && !error.contains("9988"), "{error}");
        let loud = finish(shell("echo why; exit 1"), "it", Duration::from_secs(20), Prints::Progress, false);
        assert!(loud.await.unwrap_err().to_string().contains("  why"));
        let error = run("yes").await.unwrap_err().to_string();
        assert!(error.contains("more than 100 bytes"), "{error}");
        let nowhere = python(Path::new("/no/such/python"));
        let error =
            finish(nowhere, "the test", Duration::from_secs(20), Prints::Progress, false).await.unwrap_err();
        assert!(error.to_string().contains("cannot run `/no/such/python`"), "{error}");
    }

    #[tokio::test]
    async fn what_does_not_end_is_ended() {
        let slow = finish(
            shell("echo why >&2; exec sleep 100"),
            "it",
            Duration::from_secs(1),
            Prints::Progress,
            false,
        );
        let error = slow.await.unwrap_err().to_string();
        assert!(error.contains("within 1 s") && error.contains("why"), "{error}");
    }
}
