//! What changed lately: from each recent state, the keys that lead to the next.

use crate::limits::{RING_BYTES, RING_KEYS, RING_REVISIONS};
use confhub_proto::{Digest, Key};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

/// Counts the states of a topic.
pub type Position = u64;

/// What a revision takes beside its keys: in the ring, and where its state is found.
const REVISION_BYTES: usize = size_of::<Revision>() + size_of::<(Digest, Position)>();

/// A bounded memory of revisions. It holds keys, not values: a difference takes
/// its values from the present state.
#[derive(Debug, Default)]
pub(super) struct Ring {
    revisions: VecDeque<Revision>,
    /// Where each remembered state was last seen.
    positions: HashMap<Digest, Position>,
    /// The position of the front revision's state.
    first: Position,
    keys: usize,
    bytes: usize,
}

/// A state, and what leads from it to the next.
#[derive(Debug)]
struct Revision {
    from: Digest,
    changed: Arc<[Key]>,
    /// When the next state was published.
    next_at: SystemTime,
}

impl Revision {
    /// What it takes at most, in bytes: most keys are an entry's too.
    fn bytes(&self) -> usize {
        let keys: usize = self.changed.iter().map(|key| size_of::<Key>() + key.as_str().len()).sum();
        REVISION_BYTES + keys
    }
}

impl Ring {
    /// Remembers that changing these keys led from `from` to the next state, now.
    pub(super) fn push(&mut self, from: Digest, changed: Arc<[Key]>, now: SystemTime) {
        self.positions.insert(from, self.end());
        let revision = Revision { from, changed, next_at: now };
        self.keys += revision.changed.len();
        self.bytes += revision.bytes();
        self.revisions.push_back(revision);
        while self.revisions.len() > RING_REVISIONS || self.keys > RING_KEYS || self.bytes > RING_BYTES {
            self.forget_oldest();
        }
    }

    /// The position of the present state, which follows the last revision.
    pub(super) fn end(&self) -> Position {
        self.first + self.revisions.len() as Position
    }

    /// The position of an earlier state.
    pub(super) fn find(&self, digest: Digest) -> Option<Position> {
        self.positions.get(&digest).copied()
    }

    /// The keys that changed from `position` to the present, with repeats;
    /// `None` if that is forgotten.
    pub(super) fn since(&self, position: Position) -> Option<impl Iterator<Item = &Key>> {
        let skip = usize::try_from(position.checked_sub(self.first)?).ok()?;
        Some(self.revisions.iter().skip(skip).flat_map(|revision| revision.changed.iter()))
    }

    /// When the state after that at `position` was published; `None`: there is none, or
    /// that is forgotten.
    pub(super) fn followed_at(&self, position: Position) -> Option<SystemTime> {
        let index = usize::try_from(position.checked_sub(self.first)?).ok()?;
        self.revisions.get(index).map(|revision| revision.next_at)
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.revisions.pop_front() else { return };
        self.keys -= oldest.changed.len();
        self.bytes -= oldest.bytes();
        // The same state may have come again since.
        if self.positions.get(&oldest.from) == Some(&self.first) {
            self.positions.remove(&oldest.from);
        }
        self.first += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use confhub_proto::{Content, Entry, State};

    fn digest(version: u64) -> Digest {
        let content = Content { value: "v".into(), content_type: "t".into(), secret: false };
        let entry = Entry::new(Key::new("k").unwrap(), None, content, version, SystemTime::UNIX_EPOCH);
        State::from_iter([Arc::new(entry)]).digest()
    }

    fn keys(count: usize) -> Arc<[Key]> {
        (0..count).map(|i| Key::new(&format!("k{i}")).unwrap()).collect()
    }

    #[test]
    fn it_forgets_by_count_and_by_keys() {
        let mut ring = Ring::default();
        for version in 0..RING_REVISIONS as u64 + 10 {
            ring.push(digest(version), keys(1), SystemTime::UNIX_EPOCH);
        }
        assert!(ring.find(digest(9)).is_none() && ring.find(digest(10)) == Some(10));
        assert!(ring.since(9).is_none() && ring.since(10).is_some());
        ring.push(digest(5_000), keys(RING_KEYS), SystemTime::UNIX_EPOCH);
        assert_eq!(ring.revisions.len(), 1);
        ring.push(digest(5_001), keys(RING_KEYS + 1), SystemTime::UNIX_EPOCH);
        assert_eq!((ring.revisions.len(), ring.positions.len(), ring.keys, ring.bytes), (0, 0, 0, 0));
        assert!(ring.since(ring.end()).is_some_and(|mut keys| keys.next().is_none()));
    }

    #[test]
    fn it_forgets_by_bytes() {
        let mut ring = Ring::default();
        let long: Arc<[Key]> = (0..100).map(|i| Key::new(&format!("{i:0>255}")).unwrap()).collect();
        for version in 0..500 {
            ring.push(digest(version), Arc::clone(&long), SystemTime::UNIX_EPOCH);
            assert!(ring.bytes <= RING_BYTES);
        }
        assert!(ring.revisions.len() < 500 && ring.find(digest(499)).is_some());
        assert_eq!(ring.keys, ring.revisions.len() * 100);
    }

    #[test]
    fn a_state_that_comes_again_is_found_where_it_was_last() {
        let mut ring = Ring::default();
        for version in [1, 2, 1, 3] {
            ring.push(digest(version), keys(1), SystemTime::UNIX_EPOCH);
        }
        assert_eq!(ring.find(digest(1)), Some(2));
    }
}
