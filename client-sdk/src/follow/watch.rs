//! Waiting for one key to change.

use super::{FollowKey, Ticket};
use crate::stats::Counters;
use crate::store::Lease;
use crate::{Closed, Status};
use confhub_proto::{Digest, Entry};
use std::sync::Arc;
use tokio::sync::Notify;

/// Follows one key, which need not exist yet.
///
/// The latest entry wins: changes that come faster than they are taken merge
/// into one. A write that puts the same value again is a change, since the
/// version is another.
#[derive(Debug)]
pub struct Watch {
    lease: Arc<Lease>,
    key: Arc<str>,
    bell: Arc<Bell>,
    ticket: Option<Ticket>,
    /// The entry that was returned last, or was there at the beginning.
    seen: Option<Digest>,
}

/// Rings when the key has changed. The entry itself is read from the store.
#[derive(Debug, Default)]
struct Bell(Notify);

impl FollowKey for Bell {
    fn tell(&self, _: Option<&Arc<Entry>>, _: &Counters) {
        self.0.notify_one();
    }

    fn close(&self) {
        self.0.notify_one();
    }
}

impl Watch {
    pub(crate) fn new(lease: Arc<Lease>, key: &str) -> Self {
        let (key, bell) = (key.into(), Arc::default());
        let ticket = lease.store.followers.add(&key, &bell, || true);
        let seen = lease.store.get(&key).map(|entry| entry.digest());
        Self { lease, key, bell, ticket, seen }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The entry now, without waiting; `None` if there is none.
    #[must_use]
    pub fn get(&self) -> Option<Arc<Entry>> {
        self.lease.store.get(&self.key)
    }

    /// Waits for the next change and returns the entry, or `None` if it was
    /// removed. The entry that was there when the watch began is no change:
    /// see [`get`](Self::get).
    ///
    /// Cancel safe: nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// If the client is closed and all changes have been returned.
    pub async fn changed(&mut self) -> Result<Option<Arc<Entry>>, Closed> {
        loop {
            let entry = self.get();
            let now = entry.as_ref().map(|entry| entry.digest());
            if now != self.seen {
                self.seen = now;
                return Ok(entry);
            }
            if let Status::Closed { reason } = self.lease.store.status() {
                return Err(reason);
            }
            self.bell.0.notified().await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ticket.iter().for_each(|ticket| self.lease.store.followers.forget(ticket));
    }
}
