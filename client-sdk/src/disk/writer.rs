//! Writes states to disk beside the worker, which never waits for it.
//!
//! One write is in flight at most. At most one begins each second, or in twenty
//! times what the last one took, so that a large state on a slow disk is not
//! written all the time; of the states offered in between the latest is written.
//! The last one offered is written before the client's task ends. A disk that is
//! full or gone costs a warning and a count, nothing else: the state in memory is
//! what matters.

use super::{file, format};
use crate::limits;
use crate::store::Store;
use crate::view::View;
use crate::worker::Good;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

/// Places of those who write now, in the whole process.
static WRITES: Semaphore = Semaphore::const_new(limits::DISK_WRITES);

/// Takes states to be written.
#[derive(Debug)]
pub(crate) struct DiskWriter {
    latest: watch::Sender<Option<Arc<Good>>>,
    task: JoinHandle<()>,
}

impl DiskWriter {
    /// Starts the writer of one file.
    pub(crate) fn start(path: PathBuf, view: View, store: Arc<Store>) -> Self {
        let (latest, offered) = watch::channel(None);
        let task = tokio::spawn(write_all(path, Arc::new(view), store, offered));
        Self { latest, task }
    }

    /// Offers a state; an earlier one that is not being written yet is dropped.
    pub(crate) fn offer(&self, good: Good) {
        self.latest.send_replace(Some(Arc::new(good)));
    }

    /// Waits for the last state to be written, within a bound.
    pub(crate) async fn finish(self) {
        drop(self.latest);
        let limit = limits::DISK_CLOSE_TIMEOUT;
        if timeout(limit, self.task).await.is_err() {
            tracing::warn!(
                limit_ms = limit.as_millis(),
                "gave up waiting for the state to be written to disk"
            );
        }
    }
}

async fn write_all(
    path: PathBuf,
    view: Arc<View>,
    store: Arc<Store>,
    mut offered: watch::Receiver<Option<Arc<Good>>>,
) {
    // After the sender is gone this still returns what was not yet seen.
    while offered.changed().await.is_ok() {
        let Some(good) = offered.borrow_and_update().clone() else { continue };
        let began = Instant::now();
        write(path.clone(), Arc::clone(&view), good, &store).await;
        tokio::select! {
            () = sleep(pause(began.elapsed())) => {}
            // No pause before the last one.
            () = gone(offered.clone()) => {}
        }
    }
}

/// How long to pause after a write that took so long.
fn pause(took: Duration) -> Duration {
    limits::DISK_INTERVAL.max(took * limits::DISK_SHARE)
}

async fn write(path: PathBuf, view: Arc<View>, good: Arc<Good>, store: &Store) {
    // Never closed, so there is no error.
    let _place = WRITES.acquire().await;
    let shown = path.clone();
    let written = spawn_blocking(move || {
        let bytes = format::encode(&good, &view.service, &view.prefixes);
        file::replace(&path, &bytes)
    });
    match written.await.unwrap_or_else(|panicked| Err(std::io::Error::other(panicked))) {
        Ok(()) => store.counters.disk_writes.add_one(),
        Err(error) => {
            store.counters.disk_errors.add_one();
            tracing::warn!(path = %shown.display(), %error, "cannot write the state to disk; an older one stays");
        }
    }
}

/// Waits for the sender to be dropped.
async fn gone(mut offered: watch::Receiver<Option<Arc<Good>>>) {
    while offered.changed().await.is_ok() {
        offered.borrow_and_update();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_a_write_takes_the_rarer_it_is() {
        assert_eq!(pause(Duration::from_millis(1)), limits::DISK_INTERVAL);
        assert_eq!(pause(Duration::from_secs(3)), Duration::from_secs(60));
    }
}
