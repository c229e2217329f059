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
        hinted: HashSet<Address>,
    },
}

impl Pending {
    pub(super) fn hint(&mut self, addresses: impl IntoIterator<Item = Address>) {
        self.addresses.extend(addresses);
        if self.addresses.len() > PENDING_HINTS {
            self.addresses.clear();
            self.sweep();
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
        let hinted = std::mem::take(&mut self.addresses);
        if std::mem::take(&mut self.everything) {
            return Some(Job::Everything { asked: self.sweeps_asked, hinted });
        }
        (!hinted.is_empty()).then(|| Job::Some(hinted.into_iter().collect()))
    }

    /// Puts a job back that could not be done.
    pub(super) fn put_back(&mut self, job: Job) {
        match job {
            Job::Some(addresses) => self.hint(addresses),
            // Its number counts as answered by now: whoever asks next waits for another.
            Job::Everything { hinted, .. } => {
                self.sweep();
                self.hint(hinted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use confhub_proto::Key;

    fn addresses(count: usize) -> Vec<Address> {
        (0..count).map(|i| Address { service: None, key: Key::new(&format!("k{i}")).unwrap() }).collect()
    }

    #[test]
    fn requests_that_wait_share_one_reading_and_later_ones_do_not() {
        let mut pending = Pending::default();
        let first = pending.sweep();
        assert_eq!(pending.sweep(), first);
        assert_eq!(pending.take(), Some(Job::Everything { asked: first, hinted: HashSet::new() }));
        assert!(pending.sweep() > first);
    }

    #[test]
    fn a_request_is_never_answered_by_a_reading_before_it() {
        let mut pending = Pending::default();
        let first = pending.sweep();
        let job = pending.take().unwrap();
        pending.put_back(job);
        let second = pending.sweep();
        assert!(second > first, "the first reading failed");
        assert_eq!(pending.take(), Some(Job::Everything { asked: second, hinted: HashSet::new() }));

        pending.hint(addresses(PENDING_HINTS + 1));
        let third = pending.sweep();
        assert!(third > second, "too many hints make a sweep of their own");
        assert_eq!(pending.take(), Some(Job::Everything { asked: third, hinted: HashSet::new() }));
        assert!(pending.is_empty());
    }
}
