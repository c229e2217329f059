//! What the promises stand on: hubs to start, callers to call them, states to
//! wait for. No test sleeps: it waits for a state, with a bound.

mod caller;
pub mod golden;
mod hub;
mod process;
pub mod raw;
mod stream;

pub use caller::Caller;
pub use hub::Hub;
pub use process::{HubProcess, command, ended};
pub use stream::{Event, Stream};

use std::future::Future;
use std::time::Duration;

/// Longest wait for anything: far above what a loaded machine needs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `future`, but not forever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}
