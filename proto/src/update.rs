//! What leads from one state to the next.

use crate::{Digest, Entry, Key, State};
use std::sync::Arc;
use std::time::SystemTime;

/// Changes that become visible together. A key is in `puts` or in `removes`,
/// never in both, and at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Replaces the whole state rather than changing it.
    pub reset: bool,
    /// Entries that are new or have changed.
    pub puts: Vec<Arc<Entry>>,
    /// Keys that are gone.
    pub removes: Vec<Key>,
    /// Where this leads.
    pub commit: Commit,
}

/// The end of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Digest of the state after the update.
    pub cursor: Digest,
    /// When the hub published it.
    pub hub_time: SystemTime,
}

impl Update {
    /// The update that leads from nothing to `state`, in the order of keys.
    #[must_use]
    pub fn reset(state: &State, hub_time: SystemTime) -> Self {
        let mut puts: Vec<_> = state.iter().cloned().collect();
        puts.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        Self { reset: true, puts, removes: Vec::new(), commit: Commit { cursor: state.digest(), hub_time } }
    }

    /// The update that leads to `state` from any earlier state which differs
    /// from it in `keys` at most. Changes of one key merge into the last, so
    /// this is also how a subscriber that lags is brought up in one step.
    #[must_use]
    pub fn difference<'a>(
        keys: impl IntoIterator<Item = &'a Key>,
        state: &State,
        hub_time: SystemTime,
    ) -> Self {
        let mut keys: Vec<_> = keys.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        let (mut puts, mut removes) = (Vec::new(), Vec::new());
        for key in keys {
            match state.get(key.as_str()) {
                Some(entry) => puts.push(Arc::clone(entry)),
                None => removes.push(key.clone()),
            }
        }
        Self { reset: false, puts, removes, commit: Commit { cursor: state.digest(), hub_time } }
    }

    /// The latest time at which one of the puts was written.
    #[must_use]
    pub fn source_time(&self) -> Option<SystemTime> {
        self.puts.iter().map(|entry| entry.modified()).max()
    }
}
