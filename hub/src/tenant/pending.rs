//! What the owner has been asked to read again.

use crate::limits::PENDING_HINTS;
use crate::source::Address;
use std::collections::HashSet;

/// Hints merge here until the owner comes to read them.
#[derive(Debug, Default)]
pub(super) struct Pending {
    addresses: HashSet<Address>,
    everything: bool,
    /// Counts the requests to read everything.
    sweeps_asked: u64,
}

/// What to read next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// These addresses.
    Some(Vec<Address>),
    /// Everything.
    Everything {
        /// This answers all requests up to this one.
        asked: u64,
        /// What was hinted beside.
        hinted: Vec<Address>,
    },
}

impl Pending {
    pub(super) fn hint(&mut self, addresses: impl IntoIterator<Item = Address>) {
        self.addresses.extend(addresses);
        if self.addresses.len() > PENDING_HINTS {
            self.sweep();
            self.addresses.clear();
        }
    }

    /// Asks to read everything, and returns the number of the request. All
    /// requests that wait are answered by one reading.
    pub(super) fn sweep(&mut self) -> u64 {
        if !self.everything {
            self.everything = true;
            self.sweeps_asked += 1;
        }
        self.sweeps_asked
    }

    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && !self.everything
    }

    pub(super) fn take(&mut self) -> Option<Job> {
        let addresses: Vec<_> = self.addresses.drain().collect();
        if std::mem::take(&mut self.everything) {
            return Some(Job::Everything { asked: self.sweeps_asked, hinted: addresses });
        }
        (!addresses.is_empty()).then_some(Job::Some(addresses))
    }

    /// Puts a job back that could not be done.
    pub(super) fn put_back(&mut self, job: Job) {
        match job {
            Job::Some(addresses) => self.hint(addresses),
            Job::Everything { hinted, .. } => {
                self.everything = true;
                self.hint(hinted);
            }
        }
    }
}
