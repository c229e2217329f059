//! What a tenant has in one backend: what is asked of it, and how it stands.
//!
//! Backends fail, and are read, apart: a slow sweep of one store does not hold
//! up a change in another.

use super::pending::Pending;
use crate::backend::{BackendError, Nature};
use crate::source::Address;
use confhub_proto::ServiceName;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// One backend's share of a tenant.
pub(super) struct Lane {
    pub(super) nature: Nature,
    /// Behind a lock of its own, so that whoever hands in hints waits for nobody.
    pending: Mutex<Pending>,
    /// The number of the last request up to which all are answered.
    pub(super) answered: watch::Sender<u64>,
    /// Why the last reading of more than a few keys failed; `None`: it did not.
    failing: watch::Sender<Option<BackendError>>,
    /// The last reading of a few keys failed.
    unread: AtomicBool,
    /// What the last reading of everything found.
    pub(super) swept: Mutex<Option<Sweep>>,
    /// When that began.
    swept_at: Mutex<Option<Instant>>,
    /// Services that are read although the store cannot list them.
    covered: Mutex<HashSet<ServiceName>>,
    /// How many of them were asked for since the last reading of everything.
    asked: AtomicUsize,
}

/// What a reading of everything found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Entries there are.
    pub entries: usize,
    /// Those that no hint had told of: new ones,
    pub created: usize,
    /// changed ones,
    pub updated: usize,
    /// and ones that are gone.
    pub deleted: usize,
}

impl Lane {
    pub(super) fn new(nature: Nature) -> Self {
        Self {
            nature,
            pending: Mutex::new(Pending::new(nature.metered)),
            answered: watch::Sender::new(0),
            failing: watch::Sender::new(None),
            unread: AtomicBool::new(false),
            swept: Mutex::new(None),
            swept_at: Mutex::new(None),
            covered: Mutex::new(HashSet::new()),
            asked: AtomicUsize::new(0),
        }
    }

    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        lock(&self.pending)
    }

    pub(super) fn covered(&self) -> MutexGuard<'_, HashSet<ServiceName>> {
        lock(&self.covered)
    }

    /// Whether the entries of a service are read.
    pub(super) fn covers(&self, service: &ServiceName) -> bool {
        self.nature.lists_services || self.covered().contains(service)
    }

    /// Whether what is in memory is the latest that anybody here knows of.
    pub(super) fn knows(&self, address: &Address) -> bool {
        if !address.service.as_ref().is_none_or(|service| self.covers(service)) {
            return false;
        }
        // While the store does not answer, memory is the best there is.
        let unread =
            self.unread.load(Ordering::Relaxed) || (!self.nature.metered && self.failing.borrow().is_some());
        unread || !self.pending().expects(address)
    }

    /// Takes note of how the last reading went: one of more than a few keys, or one
    /// of a few.
    pub(super) fn failed(&self, wide: bool, error: Option<BackendError>) {
        if wide {
            self.failing.send_if_modified(|failing| {
                let news = error.is_some() || failing.is_some();
                *failing = error;
                news
            });
        } else {
            self.unread.store(error.is_some(), Ordering::Relaxed);
        }
    }

    /// Takes note that everything was read, from `began` on.
    pub(super) fn swept_at(&self, began: Instant) {
        *lock(&self.swept_at) = Some(began);
        self.asked.store(0, Ordering::Relaxed);
    }

    /// Whether everything was read within a time.
    pub(super) fn was_swept_within(&self, time: Duration) -> bool {
        lock(&self.swept_at).is_some_and(|began| began.elapsed() < time)
    }

    /// Counts a service that is asked for; false: there were `limit` already.
    pub(super) fn may_ask(&self, limit: usize) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) < limit
    }

    pub(super) fn swept(&self) -> Option<Sweep> {
        *lock(&self.swept)
    }

    /// Waits until a request is answered.
    ///
    /// # Errors
    /// If the store fails meanwhile; what was asked is still tried again.
    pub(super) async fn answer(&self, ticket: u64) -> Result<(), BackendError> {
        let (mut answered, mut failing) = (self.answered.subscribe(), self.failing.subscribe());
        failing.mark_unchanged();
        loop {
            tokio::select! {
                biased;
                _ = answered.wait_for(|answered| *answered >= ticket) => return Ok(()),
                failed = failing.changed() => {
                    if let (Ok(()), Some(error)) = (failed, failing.borrow_and_update().clone()) {
                        return Err(error);
                    }
                }
            }
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic half way can leave counts off, never the entries of another
    // tenant: going on is better than ending everyone.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
