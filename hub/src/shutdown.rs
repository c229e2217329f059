//! How a hub is told to go, and in which order it does.
//!
//! The order, inside one deadline: `/readyz` and gRPC health say no, so that no
//! new client is sent here; every stream gets a goodbye and its status; no
//! connection is accepted any more and calls under way finish; the HTTP port
//! closes, which says no until then; the store is closed. A second signal ends
//! the process at once.

use std::io;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

/// Two signals within this time are one: tools that end a group of processes
/// signal the process and the group.
const ONE_SIGNAL: Duration = Duration::from_millis(250);

/// Listens for SIGTERM and SIGINT from now on; the future is ready at the first
/// one. The second ends the process.
///
/// # Errors
/// If the system does not allow it.
pub fn signals() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (first, told) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut first = Some(first);
        let mut told_at = Instant::now();
        loop {
            let (name, number) = tokio::select! {
                _ = terminate.recv() => ("SIGTERM", SignalKind::terminate().as_raw_value()),
                _ = interrupt.recv() => ("SIGINT", SignalKind::interrupt().as_raw_value()),
            };
            match first.take() {
                Some(first) => {
                    tracing::info!(signal = name, "shutting down; a second signal ends the process at once");
                    told_at = Instant::now();
                    let _ = first.send(());
                }
                None if told_at.elapsed() < ONE_SIGNAL => {}
                None => {
                    tracing::warn!(signal = name, "ending at once");
                    // As a shell tells of a process that a signal has ended.
                    std::process::exit(128 + number);
                }
            }
        }
    });
    Ok(async move {
        let _ = told.await;
    })
}
