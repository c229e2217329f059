//! A state as programs read it.

use confhub_proto::{Cursor, Entry, State};
use std::sync::Arc;

/// All entries of a client's view at one moment. It never changes, and cloning
/// costs nothing.
#[derive(Debug, Clone)]
pub struct Snapshot(pub(crate) Arc<State>);

impl Snapshot {
    /// The entry of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.0.get(key)
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.0.iter()
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The digest, which names this state. Two views with the same digest have
    /// the same entries, whichever hubs they came from.
    #[must_use]
    pub fn digest(&self) -> Cursor {
        self.0.digest()
    }
}
