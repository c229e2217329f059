//! One view: its present state, what changed lately, and who waits for more.

use super::frames::{Frames, encode};
use super::ring::{Position, Ring};
use confhub_proto::limits::FRAME_TARGET_BYTES;
use confhub_proto::{Cursor, Digest, Key, State, Update};
use slab::Slab;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::SystemTime;

/// Differences that are kept encoded while the state stays. Subscribers stand
/// at a few places; whoever stands elsewhere has its own encoded.
const KEPT_DIFFERENCES: usize = 64;

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

/// Small frames are kept for as long as the state stays. Large ones live as
/// long as somebody is sending them, so that a storm of newcomers shares them
/// and no copy of the state stays behind.
enum Encoded {
    Small(Frames),
    Large(Weak<[bytes::Bytes]>),
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
    /// These lead to the present state, which is at this position.
    Behind(Frames, Position),
    /// There will be no more.
    Ended(End),
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
        inner.ended = Some(end);
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
    pub fn snapshot(&self) -> Frames {
        self.lock().frames(None)
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
            return Pull::Behind(inner.frames(from), present);
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

    fn frames(&mut self, from: From) -> Frames {
        let kept = self.encoded.get(&from).and_then(|encoded| match encoded {
            Encoded::Small(frames) => Some(Arc::clone(frames)),
            Encoded::Large(frames) => frames.upgrade(),
        });
        if let Some(frames) = kept {
            return frames;
        }
        let changed = from.and_then(|position| self.ring.since(position));
        let update = match changed {
            Some(changed) => Update::difference(changed, &self.state, self.published),
            None => Update::reset(&self.state, self.published),
        };
        let frames = encode(&update);
        if self.encoded.len() < KEPT_DIFFERENCES {
            let bytes: usize = frames.iter().map(bytes::Bytes::len).sum();
            let large = bytes > FRAME_TARGET_BYTES;
            let kept = if large {
                Encoded::Large(Arc::downgrade(&frames))
            } else {
                Encoded::Small(Arc::clone(&frames))
            };
            self.encoded.insert(from, kept);
        }
        frames
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
