//! Who follows changes, and how they hear of them.
//!
//! Followers of one key ([`Watch`], [`Typed`]) are found by the key, so a commit
//! costs what its own keys' followers cost, however many others there are.
//! Followers of everything ([`ChangeStream`]) get the set of changed keys. Every
//! wake-up merges with the one that has not been taken yet: nobody has a queue,
//! nobody slows the worker, nothing is lost.

mod changes;
mod typed;
mod watch;

pub use changes::{ChangeStream, Changes};
pub use typed::{Loaded, Typed};
pub use watch::Watch;

use crate::stats::Counters;
use crate::store::Changed;
use changes::Pending;
use confhub_proto::{Entry, State};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A follower of one key.
pub(crate) trait FollowKey: Send + Sync {
    /// The entry changed; `None`: it is gone. Only the worker calls this, and
    /// in the order of commits.
    fn tell(&self, entry: Option<&Arc<Entry>>, counters: &Counters);

    /// There will be no more changes.
    fn close(&self);

    /// Why it cannot use the present entry, without its value.
    fn problem(&self) -> Option<String> {
        None
    }
}

/// All followers of one client.
#[derive(Default)]
pub(crate) struct Followers(Mutex<Registry>);

#[derive(Default)]
struct Registry {
    closed: bool,
    last_id: u64,
    by_key: HashMap<Arc<str>, Vec<Registered<dyn FollowKey>>>,
    of_all: Vec<Registered<Pending>>,
}

/// A follower and the number by which it is forgotten.
type Registered<F> = (u64, Arc<F>);

/// What a follower has to hand back to be forgotten.
#[derive(Debug)]
struct Ticket {
    id: u64,
    key: Option<Arc<str>>,
}

impl Followers {
    /// Adds a follower of `key`, if what it knows `is_current`: no change falls
    /// between that and the first one that is told. `None`: it is outdated.
    fn add<F: FollowKey + 'static>(
        &self,
        key: &Arc<str>,
        follower: &Arc<F>,
        is_current: impl FnOnce() -> bool,
    ) -> Option<Ticket> {
        let mut registry = self.lock();
        if !is_current() {
            return None;
        }
        let ticket = Ticket { id: registry.next_id(), key: Some(Arc::clone(key)) };
        if registry.closed {
            follower.close();
        } else {
            let all = registry.by_key.entry(Arc::clone(key)).or_default();
            all.push((ticket.id, Arc::clone(follower) as _));
        }
        Some(ticket)
    }

    /// Adds a follower of everything. No change falls between what `make` reads
    /// from the store and the first one that is told.
    fn add_to_all(&self, make: impl FnOnce() -> Arc<Pending>) -> (Arc<Pending>, Ticket) {
        let mut registry = self.lock();
        let pending = make();
        let ticket = Ticket { id: registry.next_id(), key: None };
        if registry.closed {
            pending.close();
        } else {
            registry.of_all.push((ticket.id, Arc::clone(&pending)));
        }
        (pending, ticket)
    }

    fn forget(&self, ticket: &Ticket) {
        let mut registry = self.lock();
        let Some(key) = &ticket.key else {
            registry.of_all.retain(|(id, _)| *id != ticket.id);
            return;
        };
        if let Some(followers) = registry.by_key.get_mut(key) {
            followers.retain(|(id, _)| *id != ticket.id);
            if followers.is_empty() {
                registry.by_key.remove(key);
            }
        }
    }

    /// Tells all whom it concerns. What followers do, such as parse a value,
    /// they do outside the lock.
    pub(crate) fn tell(&self, state: &Arc<State>, changed: &Changed, counters: &Counters) {
        let (by_key, of_all) = {
            let registry = self.lock();
            let of_all: Vec<_> = registry.of_all.iter().map(|(_, pending)| Arc::clone(pending)).collect();
            (registry.of_keys(changed), of_all)
        };
        for (entry_key, follower) in by_key {
            follower.tell(state.get(&entry_key), counters);
        }
        for pending in of_all {
            pending.add(state, changed, counters);
        }
    }

    /// The keys whose present entry somebody cannot use, and why, without values.
    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        let registry = self.lock();
        let all = registry.by_key.iter();
        let all = all.flat_map(|(key, all)| all.iter().map(move |(_, follower)| (key, follower)));
        all.filter_map(|(key, follower)| Some((key.to_string(), follower.problem()?))).collect()
    }

    /// Tells all that there is nothing more to come.
    pub(crate) fn close(&self) {
        let mut registry = self.lock();
        registry.closed = true;
        for (_, follower) in registry.by_key.drain().flat_map(|(_, followers)| followers) {
            follower.close();
        }
        for (_, pending) in registry.of_all.drain(..) {
            pending.close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn of_keys(&self, changed: &Changed) -> Vec<(Arc<str>, Arc<dyn FollowKey>)> {
        if self.by_key.is_empty() {
            return Vec::new();
        }
        let found = changed.keys.iter().filter_map(|key| self.by_key.get_key_value(key.as_str()));
        found
            .flat_map(|(key, all)| all.iter().map(|(_, follower)| (Arc::clone(key), Arc::clone(follower))))
            .collect()
    }
}

impl fmt::Debug for Followers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registry = self.lock();
        f.debug_struct("Followers")
            .field("keys", &registry.by_key.len())
            .field("of_all", &registry.of_all.len())
            .finish_non_exhaustive()
    }
}
