//! What a tenant has in one backend: what is asked of it, and how it stands.
//!
//! Backends fail, and are read, apart: a slow sweep of one store does not hold
//! up a change in another.

use super::pending::Pending;
use crate::backend::{BackendError, Nature};
use crate::source::Address;
use confhub_proto::ServiceName;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// One backend's share of a tenant.
pub(super) struct Lane {
    pub(super) nature: Nature,
    /// Behind a lock of its own, so that whoever hands in hints waits for nobody.
    pending: Mutex<Pending>,
    /// The number of the last request up to which all are answered.
    pub(super) answered: watch::Sender<u64>,
    /// Why the last read failed; `None`: it did not.
    pub(super) failing: watch::Sender<Option<BackendError>>,
    /// What the last reading of everything found.
    pub(super) swept: Mutex<Option<Sweep>>,
    /// Services that are read although the store cannot list them.
    covered: Mutex<HashSet<ServiceName>>,
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
            swept: Mutex::new(None),
            covered: Mutex::new(HashSet::new()),
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
        !self.pending().expects(address) || self.failing.borrow().is_some()
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
