//! The set of entries of one view at one moment.

use crate::{Digest, Entry, Key, Update};
use foldhash::fast::RandomState;
use imbl::shared_ptr::DefaultSharedPtr;
use std::sync::Arc;

type Map = imbl::GenericHashMap<Key, Arc<Entry>, RandomState, DefaultSharedPtr>;

/// A set of entries by key, its digest and its size.
///
/// Cloning takes constant time and shares all entries: the map is persistent
/// (Bagwell's hash array mapped trie), so a reader keeps the state it looks at
/// while the next one is made beside it.
#[derive(Clone, Default)]
pub struct State {
    entries: Map,
    digest: Digest,
    bytes: usize,
}

impl State {
    /// The entry of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.entries.get(key)
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The digest, which names this state and is the cursor to resume from.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Sum of the sizes of all entries, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts an entry in the place of the one with its key, which is returned.
    pub fn put(&mut self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        self.digest += entry.digest();
        self.bytes += entry.size();
        let old = self.entries.insert(entry.key().clone(), entry);
        self.forget(old.as_deref());
        old
    }

    /// Removes the entry of `key`, which is returned.
    pub fn remove(&mut self, key: &str) -> Option<Arc<Entry>> {
        let old = self.entries.remove(key);
        self.forget(old.as_deref());
        old
    }

    fn forget(&mut self, old: Option<&Entry>) {
        if let Some(old) = old {
            self.digest -= old.digest();
            self.bytes -= old.size();
        }
    }

    /// The state after `update`, all of it at once.
    #[must_use]
    pub fn commit(&self, update: &Update) -> Self {
        let mut next = if update.reset { Self::default() } else { self.clone() };
        for key in &update.removes {
            next.remove(key.as_str());
        }
        for entry in &update.puts {
            next.put(Arc::clone(entry));
        }
        next
    }

    /// Keys in which `self` and `next` differ, in no order.
    pub fn changed_keys(&self, next: &Self) -> Vec<Key> {
        let differs = |entry: &&Arc<Entry>| {
            self.get(entry.key().as_str()).is_none_or(|old| old.digest() != entry.digest())
        };
        let gone = |entry: &&Arc<Entry>| next.get(entry.key().as_str()).is_none();
        let put = next.iter().filter(differs);
        let removed = self.iter().filter(gone);
        put.chain(removed).map(|entry| entry.key().clone()).collect()
    }
}

impl FromIterator<Arc<Entry>> for State {
    fn from_iter<I: IntoIterator<Item = Arc<Entry>>>(entries: I) -> Self {
        let mut state = Self::default();
        for entry in entries {
            state.put(entry);
        }
        state
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("entries", &self.len())
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
