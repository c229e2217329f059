//! How a hub is told to go, and in which order it does.
//!
//! The order, inside one deadline: `/readyz` and gRPC health say no, so that no
//! new client is sent here; every stream gets a goodbye and its status; no
//! connection is accepted any more and calls under way finish; the HTTP port
//! closes, which says no until then; the store is closed. A second signal ends
//! the process at once.

use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of a hub that was told twice.
const IMPATIENT: i32 = 130;

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
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            match first.take() {
                Some(first) => {
                    tracing::info!(signal = name, "shutting down; a second signal ends the process at once");
                    let _ = first.send(());
                }
                None => {
                    tracing::warn!(signal = name, "ending at once");
                    std::process::exit(IMPATIENT);
                }
            }
        }
    });
    Ok(async move {
        let _ = told.await;
    })
}
