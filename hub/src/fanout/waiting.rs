//! Who waits for news of a topic.

use indexmap::IndexMap;
use slab::Slab;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Wakes several who lie beside each other, with one call. Ten thousand streams of a
/// hundred connections are so a hundred memory accesses away, and not ten thousand.
pub trait GroupWaker: Send + Sync {
    /// Wakes the members that have these bits.
    fn wake(&self, members: u64);
}

/// All who wait for one topic.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    alone: Slab<Option<Waker>>,
    /// By where their wakers are. Those who came after each other lie after each other.
    groups: IndexMap<usize, Group>,
}

struct Group {
    waker: Arc<dyn GroupWaker>,
    members: u64,
}

/// The place of one who waits.
pub(super) enum Place {
    /// It is woken by the waker that it has left.
    Alone(usize),
    /// It is woken with others.
    Member {
        /// What wakes its group.
        waker: Arc<dyn GroupWaker>,
        /// Its bit, which nobody else of the group has.
        bit: u64,
    },
}

impl Place {
    /// Whether it is woken without being asked whom to wake.
    pub(super) fn is_member(&self) -> bool {
        matches!(self, Self::Member { .. })
    }
}

impl Waiting {
    /// A place for one who has left no waker yet.
    pub(super) fn join(&self) -> Place {
        Place::Alone(self.lock().alone.insert(None))
    }

    /// A place in a group.
    pub(super) fn join_group(&self, waker: Arc<dyn GroupWaker>, bit: u64) -> Place {
        let mut inner = self.lock();
        let group = || Group { waker: Arc::clone(&waker), members: 0 };
        inner.groups.entry(address(&waker)).or_insert_with(group).members |= bit;
        Place::Member { waker, bit }
    }

    pub(super) fn leave(&self, place: &Place) {
        let mut inner = self.lock();
        // What wakes may own whatever it wakes: not dropped under the lock.
        match place {
            Place::Alone(place) => {
                let left = inner.alone.try_remove(*place);
                drop(inner);
                drop(left);
            }
            Place::Member { waker, bit } => {
                let address = address(waker);
                let left = inner.groups.get_mut(&address).is_some_and(|group| {
                    group.members &= !bit;
                    group.members == 0
                });
                let left = if left { inner.groups.swap_remove(&address) } else { None };
                drop(inner);
                drop(left);
            }
        }
    }

    /// Has `waker` called for one who is alone.
    pub(super) fn wait(&self, place: &Place, waker: &Waker) {
        let Place::Alone(place) = place else { return };
        let waker = Some(waker.clone());
        let former = self.lock().alone.get_mut(*place).map(|slot| std::mem::replace(slot, waker));
        drop(former);
    }

    /// Wakes all. Whoever is woken reads without this lock.
    pub(super) fn wake(&self) {
        let inner = self.lock();
        for Group { waker, members } in inner.groups.values() {
            waker.wake(*members);
        }
        for (_, waker) in &inner.alone {
            if let Some(waker) = waker {
                waker.wake_by_ref();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing under this lock stops half way: a poisoned one guards whole data.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a group's waker is: no other has that address while anybody holds it.
fn address(waker: &Arc<dyn GroupWaker>) -> usize {
    Arc::as_ptr(waker).cast::<()>().addr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct Woken(AtomicU64);

    impl GroupWaker for Woken {
        fn wake(&self, members: u64) {
            self.0.fetch_or(members, Ordering::SeqCst);
        }
    }

    #[test]
    fn members_are_woken_with_their_group_until_they_leave() {
        let waiting = Waiting::default();
        let groups: Vec<_> = (0..3).map(|_| Arc::new(Woken::default())).collect();
        let join = |group: usize, bit| waiting.join_group(Arc::clone(&groups[group]) as _, bit);
        let woken = || {
            groups.iter().for_each(|group| group.0.store(0, Ordering::SeqCst));
            waiting.wake();
            groups.iter().map(|group| group.0.load(Ordering::SeqCst)).collect::<Vec<_>>()
        };
        let places = [join(0, 1), join(1, 1), join(0, 4), join(2, 2)];
        assert_eq!(woken(), [5, 1, 2]);
        waiting.leave(&places[0]);
        waiting.leave(&places[1]);
        assert_eq!(woken(), [4, 0, 2]);
        waiting.leave(&places[2]);
        waiting.leave(&places[3]);
        assert_eq!(woken(), [0, 0, 0]);
        let inner = waiting.lock();
        assert!(inner.groups.is_empty(), "nothing is left of those who left");
        drop(inner);
        drop(places);
        assert!(groups.iter().all(|group| Arc::strong_count(group) == 1));
    }
}
