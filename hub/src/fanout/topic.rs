//! One view: its present state, what changed lately, and who waits for more.

use super::frames::Frames;
use super::ring::{Position, Ring};
use confhub_proto::{Cursor, Digest, Key, State, Update};
use slab::Slab;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::SystemTime;

/// Differences that are shared while the state stays, beside the two that nearly
/// everybody asks for: from nothing, and from the state before. Whoever stands
/// elsewhere has its own encoded.
const SHARED_DIFFERENCES: usize = 64;

/// Up to this size, in bytes, frames are kept for as long as the state stays;
/// with the number above, 4 MiB a view. Larger ones live as long as somebody is
/// sending them, so that a storm of newcomers shares them and no copy of the
/// state stays behind.
const KEPT_BYTES: usize = 64 * 1024;

/// A view that is published to subscribers.
pub struct Topic {
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    /// When the present state was published.
    published: SystemTime,
    ring: Ring,
    encoded: HashMap<From, Encoded>,
    waiting: Slab<Option<Waker>>,
    ended: Option<End>,
}

/// Where an update starts: at nothing (a reset), or at an earlier state.
pub(super) type From = Option<Position>;

enum Encoded {
    Kept(Arc<Frames>),
    Passing(Weak<Frames>),
}

/// Why a topic ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The hub is shutting down.
    Drain,
    /// The tenant has grown over its limits and cannot be served.
    TooLarge,
}

/// What a subscriber finds.
pub(super) enum Pull {
    /// It is at the present state, which has this digest, and will be woken.
    Current(Digest),
    /// This leads to the present state, which is at this position.
    Behind(Difference, Position),
    /// There will be no more.
    Ended(End),
}

/// What leads to the state that was present when it was asked for. It is encoded
/// by who takes it, not under the topic's lock.
pub(super) struct Difference {
    frames: Arc<Frames>,
    /// `None`: the frames are made.
    update: Option<Recipe>,
}

struct Recipe {
    state: State,
    published: SystemTime,
    /// `None`: everything.
    changed: Option<Vec<Key>>,
}

impl Difference {
    pub(super) fn frames(self) -> Arc<Frames> {
        if let Some(Recipe { state, published, changed }) = self.update {
            self.frames.make(|| match &changed {
                Some(changed) => Update::difference(changed, &state, published),
                None => Update::reset(&state, published),
            });
        }
        self.frames
    }
}

impl Topic {
    /// A topic whose first state is this one.
    #[must_use]
    pub fn new(state: State, now: SystemTime) -> Self {
        let inner = Inner {
            state,
            published: now,
            ring: Ring::default(),
            encoded: HashMap::new(),
            waiting: Slab::new(),
            ended: None,
        };
        Self { inner: Mutex::new(inner) }
    }

    /// Makes `next` the present state, which differs in `changed` at most, and
    /// wakes all who wait.
    pub fn publish(&self, next: State, changed: Box<[Key]>, now: SystemTime) {
        if changed.is_empty() {
            return;
        }
        let mut inner = self.lock();
        let from = inner.state.digest();
        inner.ring.push(from, changed);
        inner.state = next;
        inner.published = now;
        inner.encoded.clear();
        wake(inner);
    }

    /// Ends all subscriptions.
    pub fn end(&self, end: End) {
        let mut inner = self.lock();
        inner.ended.get_or_insert(end);
        wake(inner);
    }

    /// The present state.
    #[must_use]
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Whether a subscriber can continue from `cursor`.
    #[must_use]
    pub fn knows(&self, cursor: Cursor) -> bool {
        self.lock().find(cursor).is_some()
    }

    /// The present state as one update from nothing.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Frames> {
        let difference = self.lock().difference(None);
        difference.frames()
    }

    /// Opens a place among those who wait. The subscriber stands at `cursor` if
    /// that is known, and otherwise at nothing.
    pub(super) fn join(&self, cursor: Option<Cursor>) -> (usize, From) {
        let mut inner = self.lock();
        let from = cursor.and_then(|cursor| inner.find(cursor));
        (inner.waiting.insert(None), from)
    }

    pub(super) fn leave(&self, place: usize) {
        self.lock().waiting.try_remove(place);
    }

    /// What leads from `from` to the present. If nothing does, `waker` is
    /// called when something will: there is no gap between the two.
    pub(super) fn pull(&self, place: usize, from: From, waker: &Waker) -> Pull {
        let mut inner = self.lock();
        if let Some(end) = inner.ended {
            return Pull::Ended(end);
        }
        let present = inner.ring.end();
        if from != Some(present) {
            return Pull::Behind(inner.difference(from), present);
        }
        if let Some(slot) = inner.waiting.get_mut(place) {
            match slot {
                Some(known) => known.clone_from(waker),
                None => *slot = Some(waker.clone()),
            }
        }
        Pull::Current(inner.state.digest())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here stops half way: a poisoned lock guards whole data.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn find(&self, cursor: Cursor) -> From {
        if cursor == self.state.digest() { Some(self.ring.end()) } else { self.ring.find(cursor) }
    }

    fn difference(&mut self, from: From) -> Difference {
        let shared = self.encoded.get(&from).and_then(|encoded| match encoded {
            Encoded::Kept(frames) => Some(Arc::clone(frames)),
            Encoded::Passing(frames) => frames.upgrade(),
        });
        let frames = shared.unwrap_or_else(|| self.share(from));
        let update = (!frames.are_made()).then(|| Recipe {
            state: self.state.clone(),
            published: self.published,
            changed: self.changed(from).map(|changed| changed.cloned().collect()),
        });
        Difference { frames, update }
    }

    /// Makes room for the frames that start at `from`.
    fn share(&mut self, from: From) -> Arc<Frames> {
        let frames = Arc::new(Frames::default());
        let asked_by_many = from.is_none_or(|position| position + 1 == self.ring.end());
        if asked_by_many || self.encoded.len() < SHARED_DIFFERENCES {
            let encoded = if self.size(from) <= KEPT_BYTES {
                Encoded::Kept(Arc::clone(&frames))
            } else {
                Encoded::Passing(Arc::downgrade(&frames))
            };
            self.encoded.insert(from, encoded);
        }
        frames
    }

    /// The keys that changed since; `None`: all of them may have.
    fn changed(&self, from: From) -> Option<impl Iterator<Item = &Key>> {
        from.and_then(|position| self.ring.since(position))
    }

    /// About how many bytes the difference has.
    fn size(&self, from: From) -> usize {
        let size = |key: &Key| self.state.get(key.as_str()).map_or(key.as_str().len(), |entry| entry.size());
        self.changed(from).map_or(self.state.bytes(), |changed| changed.map(size).sum())
    }
}

/// Wakes outside the lock: whoever is woken wants it at once.
fn wake(mut inner: MutexGuard<'_, Inner>) {
    let wakers: Vec<_> = inner.waiting.iter_mut().filter_map(|(_, slot)| slot.take()).collect();
    drop(inner);
    for waker in wakers {
        waker.wake();
    }
}
