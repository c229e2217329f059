//! Waiting for one key to change.

use super::{FollowKey, Ticket};
use crate::stats::Counters;
use crate::store::Lease;
use crate::{Closed, Status};
use confhub_proto::{Digest, Entry};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
}

/// Rings when the key has changed. The entry itself is read from the store, where it
/// is before anybody is told of it: so a reader may be one change ahead of the bell.
#[derive(Debug, Default)]
struct Bell {
    ring: Notify,
    marks: Mutex<Marks>,
}

/// Which entry, by its digest; `None`: there is none.
type Mark = Option<Digest>;

/// Where the reader is, and what the bell has rung for.
#[derive(Debug, Default)]
struct Marks {
    /// What was returned last, or was there at the beginning.
    seen: Mark,
    /// The last change that the bell rang for, until one is returned.
    told: Option<Mark>,
}

impl Bell {
    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FollowKey for Bell {
    fn tell(&self, entry: Option<&Arc<Entry>>, counters: &Counters) {
        let mut marks = self.marks();
        let change = mark(entry);
        if marks.told.is_none() && marks.seen == change {
            return;
        }
        if marks.told.replace(change).is_some() {
            counters.merged.add_one();
        }
        drop(marks);
        self.ring.notify_one();
    }

    fn close(&self) {
        self.ring.notify_one();
    }
}

fn mark(entry: Option<&Arc<Entry>>) -> Mark {
    entry.map(|entry| entry.digest())
}

impl Watch {
    pub(crate) fn new(lease: Arc<Lease>, key: &str) -> Self {
        let (key, bell): (Arc<str>, Arc<Bell>) = (key.into(), Arc::default());
        let begin = || {
            bell.marks().seen = mark(lease.store.get(&key).as_ref());
            true
        };
        let ticket = lease.store.followers.add(&key, &bell, begin);
        Self { lease, key, bell, ticket }
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
            if let Some(entry) = self.take() {
                return Ok(entry);
            }
            if let Status::Closed { reason } = self.lease.store.status() {
                return Err(reason);
            }
            self.bell.ring.notified().await;
        }
    }

    /// The entry now, if it is another one than was seen.
    fn take(&self) -> Option<Option<Arc<Entry>>> {
        let mut marks = self.bell.marks();
        let entry = self.get();
        let now = mark(entry.as_ref());
        if now == marks.seen {
            return None;
        }
        marks.seen = now;
        // Ahead of the bell, with a change before that was not taken.
        if marks.told.take().is_some_and(|told| told != now) {
            self.lease.store.counters.merged.add_one();
        }
        Some(entry)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ticket.iter().for_each(|ticket| self.lease.store.followers.forget(ticket));
    }
}
