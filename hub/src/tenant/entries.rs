//! All entries of a loaded tenant, as last read.

use super::View;
use crate::backend::{Full, Reading, Scope};
use crate::config::LimitSettings;
use crate::source::Address;
use confhub_proto::{Entry, Key, State};
use std::collections::HashMap;
use std::sync::Arc;

/// Entries of every service, from every backend.
#[derive(Default)]
pub(super) struct Entries {
    by_address: HashMap<Address, Arc<Entry>>,
    bytes: usize,
}

impl Entries {
    pub(super) fn get(&self, address: &Address) -> Option<&Arc<Entry>> {
        self.by_address.get(address)
    }

    pub(super) fn len(&self) -> usize {
        self.by_address.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes in what a backend holds, and returns the addresses that changed.
    /// Readings of one backend are made one after another, so a later one is
    /// never older. `owned` tells which keys are that backend's.
    pub(super) fn absorb(&mut self, reading: Reading, owned: impl Fn(&Key) -> bool) -> Vec<Address> {
        let mut changed = Vec::new();
        if reading.scope == Scope::All {
            let present: std::collections::HashSet<_> =
                reading.entries.iter().map(|(address, _)| address).collect();
            let gone = |address: &&Address| owned(&address.key) && !present.contains(address);
            let gone: Vec<_> = self.by_address.keys().filter(gone).cloned().collect();
            for address in gone {
                self.set(&address, None);
                changed.push(address);
            }
        }
        for (address, entry) in reading.entries {
            if self.set(&address, entry) {
                changed.push(address);
            }
        }
        changed
    }

    /// Whether that was a change.
    fn set(&mut self, address: &Address, entry: Option<Arc<Entry>>) -> bool {
        let digest = entry.as_ref().map(|entry| entry.digest());
        self.bytes += entry.as_ref().map_or(0, |entry| entry.size());
        let old = match entry {
            Some(entry) => self.by_address.insert(address.clone(), entry),
            None => self.by_address.remove(address),
        };
        self.bytes -= old.as_ref().map_or(0, |old| old.size());
        old.map(|old| old.digest()) != digest
    }

    pub(super) fn check(&self, limits: &LimitSettings) -> Result<(), Full> {
        Full::check((self.len(), limits.tenant_entries), (self.bytes, limits.tenant_bytes))
    }

    /// What `view` shows of a key that it admits: its service's entry if there
    /// is one, and otherwise the shared one.
    pub(super) fn visible(&self, view: &View, key: &Key) -> Option<&Arc<Entry>> {
        let at = |service| self.by_address.get(&Address { service, key: key.clone() });
        view.service().cloned().and_then(|service| at(Some(service))).or_else(|| at(None))
    }

    /// All that `view` shows.
    pub(super) fn state(&self, view: &View) -> State {
        let mut state = State::default();
        // Shared ones first, so that those of the service take their place.
        for of_service in [false, true] {
            let seen = self
                .by_address
                .iter()
                .filter(|(address, _)| address.service.is_some() == of_service && view.admits(address));
            for (_, entry) in seen {
                state.put(Arc::clone(entry));
            }
        }
        state
    }

    /// The state of `view` after the entries at `changed` did, and the keys of
    /// it that differ.
    pub(super) fn next_state(&self, view: &View, state: &State, changed: &[Address]) -> (State, Box<[Key]>) {
        let mut next = state.clone();
        let mut keys = Vec::new();
        for address in changed.iter().filter(|address| view.admits(address)) {
            let key = &address.key;
            let new = self.visible(view, key);
            let old = state.get(key.as_str());
            if new.map(|entry| entry.digest()) == old.map(|entry| entry.digest()) {
                continue;
            }
            match new {
                Some(entry) => next.put(Arc::clone(entry)),
                None => next.remove(key.as_str()),
            };
            keys.push(key.clone());
        }
        keys.sort_unstable();
        keys.dedup();
        (next, keys.into())
    }
}
