//! One view: its present state, what changed lately, and who waits for more.
//!
//! Nearly everybody who pulls stands at the present or one step before it. These read
//! without a lock, so that many streams on many cores do not queue for their topic.

use super::frames::Frames;
use super::ring::{Position, Ring};
use super::waiting::{GroupWaker, Place, Waiting};
use arc_swap::ArcSwap;
use bytes::Bytes;
use confhub_proto::{Cursor, Digest, Key, State, Update};
use prometheus_client::metrics::counter::Counter;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::SystemTime;

/// Up to this size, in bytes, frames are kept for as long as the state stays. Larger
/// ones live as long as somebody is sending them, so that a storm of newcomers shares
/// them and no copy of the state stays behind.
const KEPT_BYTES: usize = 64 * 1024;

/// Bytes of all that is kept of one view: with small changes, what leads here from
/// each state that the ring knows, so that a storm of those who return has each
/// difference encoded once. What is beyond lives as long as somebody is sending it.
const KEPT_IN_ALL: usize = 4 * 1024 * 1024;

/// What a difference takes beside the entries in it, in bytes.
const AROUND: usize = 512;

/// A view that is published to subscribers.
pub struct Topic {
    present: ArcSwap<Present>,
    /// Held while `present` is replaced.
    past: Mutex<Past>,
    waiting: Waiting,
    encodings: Counter,
}

/// The state that was published last.
#[derive(Clone)]
struct Present {
    state: State,
    position: Position,
    published: SystemTime,
    /// What leads here from the position before, unless it is too large to be kept.
    step: Option<Step>,
    ended: Option<End>,
}

/// A difference that is encoded by whoever needs it first.
#[derive(Clone)]
struct Step {
    frames: Arc<Frames>,
    changed: Arc<[Key]>,
}

struct Past {
    ring: Ring,
    /// No more than the ring has states, and one from nothing.
    encoded: HashMap<From, Encoded>,
    /// Bytes of those that are kept, about.
    kept: usize,
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
    /// It is at the present state, which has this digest.
    Current(Digest),
    /// This one frame leads to the present state, which is at this position.
    Step(Bytes, Position),
    /// This leads to the present state, which is at this position.
    Behind(Arc<Frames>, Position),
    /// There will be no more.
    Ended(End),
}

impl Topic {
    /// A topic whose first state is this one.
    #[must_use]
    pub fn new(state: State, now: SystemTime) -> Self {
        let ring = Ring::default();
        let present = Present { state, position: ring.end(), published: now, step: None, ended: None };
        Self {
            present: ArcSwap::from_pointee(present),
            past: Mutex::new(Past { ring, encoded: HashMap::new(), kept: 0 }),
            waiting: Waiting::default(),
            encodings: Counter::default(),
        }
    }

    /// The same topic, whose updates are counted as they are encoded.
    #[must_use]
    pub fn counted(self, encodings: Counter) -> Self {
        Self { encodings, ..self }
    }

    /// Makes `next` the present state, which differs in `changed` at most, and
    /// wakes all who wait.
    pub fn publish(&self, next: State, changed: Box<[Key]>, now: SystemTime) {
        if changed.is_empty() {
            return;
        }
        {
            let mut past = locked(&self.past);
            let present = self.present.load();
            let changed: Arc<[Key]> = changed.into();
            past.ring.push(present.state.digest(), Arc::clone(&changed), now);
            past.forget();
            let kept = size(Some(changed.iter()), &next) <= KEPT_BYTES;
            self.present.store(Arc::new(Present {
                state: next,
                position: past.ring.end(),
                published: now,
                step: kept.then(|| Step { frames: Arc::default(), changed }),
                ended: present.ended,
            }));
        }
        self.waiting.wake();
    }

    /// Ends all subscriptions.
    pub fn end(&self, end: End) {
        {
            let _past = locked(&self.past);
            let mut present = Present::clone(&self.present.load());
            present.ended.get_or_insert(end);
            self.present.store(Arc::new(present));
        }
        self.waiting.wake();
    }

    /// The present state.
    #[must_use]
    pub fn state(&self) -> State {
        self.present.load().state.clone()
    }

    /// The position of the present state.
    #[must_use]
    pub fn position(&self) -> Position {
        self.present.load().position
    }

    /// The position of a state; `None`: it is not known, or no more.
    #[must_use]
    pub fn position_of(&self, cursor: Cursor) -> Option<Position> {
        self.find(&locked(&self.past), cursor)
    }

    /// When the state after that at `position` was published; `None`: there is none, or
    /// that is forgotten.
    #[must_use]
    pub fn followed_at(&self, position: Position) -> Option<SystemTime> {
        locked(&self.past).ring.followed_at(position)
    }

    /// Whether a subscriber can continue from `cursor`.
    #[must_use]
    pub fn knows(&self, cursor: Cursor) -> bool {
        self.find(&locked(&self.past), cursor).is_some()
    }

    /// The present state as one update from nothing.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Frames> {
        self.difference(None).0
    }

    /// Opens a place among those who wait. The subscriber stands at `cursor` if
    /// that is known, and otherwise at nothing.
    pub(super) fn join(&self, cursor: Option<Cursor>) -> (Place, From) {
        let from = cursor.and_then(|cursor| self.find(&locked(&self.past), cursor));
        (self.waiting.join(), from)
    }

    /// Opens a place in a group. Whoever takes it has to look once more after this.
    pub(super) fn join_group(&self, waker: Arc<dyn GroupWaker>, bit: u64) -> Place {
        self.waiting.join_group(waker, bit)
    }

    pub(super) fn leave(&self, place: &Place) {
        self.waiting.leave(place);
    }

    /// Has `waker` called whenever there is something new from now on. Whoever waits
    /// has to look once more after this.
    pub(super) fn wait(&self, place: &Place, waker: &Waker) {
        self.waiting.wait(place, waker);
    }

    /// The one frame that leads from `from` to the present, if that is one step.
    pub(super) fn step(&self, from: From) -> Option<(Bytes, Position)> {
        let present = self.present.load();
        let step = present.step_from(from).filter(|_| present.ended.is_none())?;
        self.make_step(step, &present);
        Some((step.frames.only()?, present.position))
    }

    /// What leads from `from` to the present.
    pub(super) fn pull(&self, from: From) -> Pull {
        let present = self.present.load();
        if let Some(end) = present.ended {
            return Pull::Ended(end);
        }
        if from == Some(present.position) {
            return Pull::Current(present.state.digest());
        }
        if let Some(step) = present.step_from(from) {
            self.make_step(step, &present);
            return match step.frames.only() {
                Some(frame) => Pull::Step(frame, present.position),
                None => Pull::Behind(Arc::clone(&step.frames), present.position),
            };
        }
        let (frames, position) = self.difference(from);
        Pull::Behind(frames, position)
    }

    /// The present state, if it is another than that at `from`, and its position.
    pub(super) fn pull_state(&self, from: From) -> Result<Option<(State, Position)>, End> {
        let present = self.present.load();
        match present.ended {
            Some(end) => Err(end),
            None if from == Some(present.position) => Ok(None),
            None => Ok(Some((present.state.clone(), present.position))),
        }
    }

    fn find(&self, past: &Past, cursor: Cursor) -> From {
        let present = self.present.load();
        if cursor == present.state.digest() { Some(present.position) } else { past.ring.find(cursor) }
    }

    /// What leads from `from` to the present, shared with all others who ask for it
    /// while the state stays. It is encoded outside the lock.
    fn difference(&self, from: From) -> (Arc<Frames>, Position) {
        let mut past = locked(&self.past);
        // Not replaced while the past is held.
        let present = self.present.load_full();
        // Those whose place is forgotten start at nothing, all together.
        let from = from.filter(|position| past.ring.since(*position).is_some());
        let shared = past.encoded.get(&from).and_then(|encoded| match encoded {
            Encoded::Kept(frames) => Some(Arc::clone(frames)),
            Encoded::Passing(frames) => frames.upgrade(),
        });
        let frames = shared.unwrap_or_else(|| past.share(from, &present));
        drop(past);
        self.make(&frames, || {
            // What has come since is in it too, and does no harm.
            let past = locked(&self.past);
            let changed: Option<Vec<_>> = past.changed(from).map(|keys| keys.into_iter().cloned().collect());
            drop(past);
            match &changed {
                Some(changed) => Update::difference(changed, &present.state, present.published),
                None => Update::reset(&present.state, present.published),
            }
        });
        (frames, present.position)
    }

    fn make_step(&self, step: &Step, present: &Present) {
        self.make(&step.frames, || {
            Update::difference(step.changed.iter(), &present.state, present.published)
        });
    }

    fn make(&self, frames: &Frames, update: impl FnOnce() -> Update) {
        frames.make(|| {
            self.encodings.inc();
            update()
        });
    }
}

impl Present {
    /// What leads here from `from`, if that is the position before.
    fn step_from(&self, from: From) -> Option<&Step> {
        self.step.as_ref().filter(|_| from.is_some_and(|from| from + 1 == self.position))
    }
}

impl Past {
    /// Makes room for the frames that start at `from`.
    fn share(&mut self, from: From, present: &Present) -> Arc<Frames> {
        let frames = Arc::new(Frames::default());
        let size = size(self.changed(from), &present.state);
        let encoded = if size <= KEPT_BYTES && self.kept + size + AROUND <= KEPT_IN_ALL {
            self.kept += size + AROUND;
            Encoded::Kept(Arc::clone(&frames))
        } else {
            Encoded::Passing(Arc::downgrade(&frames))
        };
        self.encoded.insert(from, encoded);
        frames
    }

    /// Lets go of what leads to a state that is no more.
    fn forget(&mut self) {
        // With its room: a storm may have left much of it.
        self.encoded = HashMap::new();
        self.kept = 0;
    }

    /// The keys that changed since; `None`: all of them may have.
    fn changed(&self, from: From) -> Option<HashSet<&Key>> {
        from.and_then(|position| self.ring.since(position)).map(Iterator::collect)
    }
}

/// About how many bytes a difference has; `None`: all of `state`.
fn size<'a>(changed: Option<impl IntoIterator<Item = &'a Key>>, state: &State) -> usize {
    let size = |key: &Key| state.get(key.as_str()).map_or(key.as_str().len(), |entry| entry.size());
    changed.map_or(state.bytes(), |changed| changed.into_iter().map(size).sum())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here stops half way: a poisoned lock guards whole data.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
