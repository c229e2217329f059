//! All entries of a loaded tenant, as last read.

use super::View;
use crate::backend::{self, Action, Full, Nature, Reading, Scope};
use crate::config::LimitSettings;
use crate::source::Address;
use confhub_proto::{Entry, Key, ServiceName, State};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How far a reading can be trusted.
pub(super) struct Trust<'a> {
    /// What the store promises.
    pub(super) nature: Nature,
    /// Which keys are the backend's.
    pub(super) owned: &'a dyn Fn(&Key) -> bool,
    /// What other readings have changed since this one began: either may have
    /// read it later.
    pub(super) touched: &'a HashSet<Address>,
}

enum Verdict {
    Newer,
    Older,
    Unsure,
}

impl Trust<'_> {
    /// Whether `new` was written after `held`, which differs from it.
    fn of(&self, address: &Address, held: Option<&Entry>, new: Option<&Entry>) -> Verdict {
        let touched = self.touched.contains(address);
        match (held, new) {
            // Versions of such a store never go back.
            (Some(held), Some(new)) if self.nature.consistent => match touched {
                true if new.version() <= held.version() => Verdict::Unsure,
                _ => Verdict::Newer,
            },
            // A key that was made again counts its versions from 1: time goes first.
            (Some(held), Some(new)) => {
                let order = |entry: &Entry| (entry.modified(), entry.version());
                if order(new) < order(held) { Verdict::Older } else { Verdict::Newer }
            }
            _ if touched => Verdict::Unsure,
            _ => Verdict::Newer,
        }
    }
}

/// What a reading has done.
#[derive(Debug, Default)]
pub(super) struct Absorbed {
    /// What is different now, and how.
    pub(super) changed: Vec<(Address, Change)>,
    /// What must be read again to tell what is there.
    pub(super) doubtful: Vec<Address>,
    /// What is in this store though the key belongs to another.
    pub(super) strangers: Vec<Address>,
}

/// How an entry came to differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// It was not there.
    Created,
    /// It was another.
    Updated,
    /// It is gone.
    Deleted,
}

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

    /// All of such keys, of every service.
    pub(super) fn of(&self, wanted: impl Fn(&Key) -> bool) -> Vec<Arc<Entry>> {
        let entries = self.by_address.iter().filter(|(address, _)| wanted(&address.key));
        entries.map(|(_, entry)| Arc::clone(entry)).collect()
    }

    /// How many there are of such keys.
    pub(super) fn count(&self, of: impl Fn(&Key) -> bool) -> usize {
        self.by_address.keys().filter(|address| of(&address.key)).count()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes in what a backend holds. A reading is the truth, as it was read
    /// after everything that is held; where that is not sure, `trust` says so,
    /// and nothing older takes the place of what is newer.
    pub(super) fn absorb(&mut self, reading: Reading, trust: &Trust<'_>) -> Absorbed {
        let mut absorbed = Absorbed::default();
        self.remove_unlisted(&reading, trust, &mut absorbed);
        for (address, entry) in reading.entries {
            if !(trust.owned)(&address.key) {
                absorbed.strangers.push(address);
                continue;
            }
            let held = self.by_address.get(&address);
            let change = match (held, &entry) {
                (None, None) => continue,
                (Some(held), Some(new)) if held.digest() == new.digest() => continue,
                (None, Some(_)) => Change::Created,
                (Some(_), Some(_)) => Change::Updated,
                (Some(_), None) => Change::Deleted,
            };
            match trust.of(&address, held.map(|held| &**held), entry.as_deref()) {
                Verdict::Newer => {
                    self.set(&address, entry);
                    absorbed.changed.push((address, change));
                }
                Verdict::Older => {}
                Verdict::Unsure => absorbed.doubtful.push(address),
            }
        }
        absorbed
    }

    /// Removes what a reading speaks of and does not list.
    fn remove_unlisted(&mut self, reading: &Reading, trust: &Trust<'_>, absorbed: &mut Absorbed) {
        let spoken_of = |address: &Address| match &reading.scope {
            Scope::Listed => false,
            Scope::Service(service) => address.service.as_ref() == Some(service),
            Scope::All => true,
        };
        if reading.scope == Scope::Listed {
            return;
        }
        let present: HashSet<_> = reading.entries.iter().map(|(address, _)| address).collect();
        let gone = self.by_address.keys().filter(|address| {
            spoken_of(address) && (trust.owned)(&address.key) && !present.contains(address)
        });
        for address in gone.cloned().collect::<Vec<_>>() {
            // A store that answers from before may not list what is new.
            if !trust.nature.consistent || trust.touched.contains(&address) {
                absorbed.doubtful.push(address);
            } else {
                self.set(&address, None);
                absorbed.changed.push((address, Change::Deleted));
            }
        }
    }

    fn set(&mut self, address: &Address, entry: Option<Arc<Entry>>) {
        self.bytes += entry.as_ref().map_or(0, |entry| entry.size());
        let old = match entry {
            Some(entry) => self.by_address.insert(address.clone(), entry),
            None => self.by_address.remove(address),
        };
        self.bytes -= old.as_ref().map_or(0, |old| old.size());
    }

    /// The services that have entries of their own.
    pub(super) fn services(&self) -> HashSet<ServiceName> {
        self.by_address.keys().filter_map(|address| address.service.clone()).collect()
    }

    pub(super) fn check(&self, limits: &LimitSettings) -> Result<(), Full> {
        Full::check((self.len(), limits.tenant_entries), (self.bytes, limits.tenant_bytes))
    }

    /// The same with changes that are to be made. What makes the tenant no larger is
    /// always allowed.
    pub(super) fn check_with(&self, limits: &LimitSettings, changes: &[backend::Change]) -> Result<(), Full> {
        let (mut entries, mut bytes) = (self.len(), self.bytes);
        for change in changes {
            let held = self.get(&change.address).map(|held| held.size());
            let (gone, added) = match &change.action {
                Action::Put(content) => (held, Some(content.size_of(&change.address.key))),
                Action::Delete => (held, None),
                // How large an earlier version was is not known here.
                Action::Restore(_) => (None, held.is_none().then_some(0)),
            };
            entries = entries + usize::from(added.is_some()) - usize::from(gone.is_some());
            bytes = bytes + added.unwrap_or_default() - gone.unwrap_or_default();
        }
        let limit = |grows: bool, limit: usize| if grows { limit } else { usize::MAX };
        Full::check(
            (entries, limit(entries > self.len(), limits.tenant_entries)),
            (bytes, limit(bytes > self.bytes, limits.tenant_bytes)),
        )
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
    pub(super) fn next_state(
        &self,
        view: &View,
        state: &State,
        changed: &[(Address, Change)],
    ) -> (State, Box<[Key]>) {
        let mut next = state.clone();
        let mut keys = Vec::new();
        for (address, _) in changed.iter().filter(|(address, _)| view.admits(address)) {
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
