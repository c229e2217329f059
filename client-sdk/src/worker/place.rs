//! Where the client is: whose state it has, which, and how it gets to the next.

use super::end::End;
use crate::credentials::{Marks, Token};
use crate::store::{Changed, Store};
use confhub_proto::{Cursor, Digest, Entry, Key, State, TenantId, Update};
use std::sync::Arc;
use std::time::SystemTime;

/// Whose state it is, in the words of the hub's Welcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) tenant: String,
    /// The service whose view it is; empty: shared entries alone.
    pub(crate) service: String,
}

/// A state and its place in the stream.
#[derive(Debug, Default)]
pub(crate) struct Place {
    pub(crate) state: Arc<State>,
    /// Where to resume; `None` asks for the whole state.
    pub(crate) cursor: Option<Cursor>,
    /// `None`: there is no state yet.
    pub(crate) origin: Option<Origin>,
    /// How the token of the stream names the origin.
    pub(crate) marks: Arc<Marks>,
    pub(crate) max_bytes: usize,
    /// Whose state it has to be, if the program has said so.
    pub(crate) expected: Option<TenantId>,
}

/// A state that is known to be the hub's, and when the hub published it.
#[derive(Debug)]
pub(crate) struct Good {
    pub(crate) origin: Origin,
    pub(crate) marks: Arc<Marks>,
    pub(crate) state: Arc<State>,
    pub(crate) hub_time: SystemTime,
}

impl Place {
    /// Whether this may be the state's origin.
    pub(super) fn admits(&self, origin: &Origin) -> bool {
        self.expected.as_ref().is_none_or(|tenant| tenant.as_str() == origin.tenant)
    }

    /// Takes note of whose stream this is. A state never becomes another's.
    pub(super) fn welcome(&mut self, origin: Origin, token: &Token) -> Result<(), End> {
        self.check(&origin)?;
        self.adopt(origin, token);
        Ok(())
    }

    /// Whether the state may be that of this stream.
    pub(super) fn check(&self, origin: &Origin) -> Result<(), End> {
        if let Some(expected) = self.expected.as_ref().filter(|_| !self.admits(origin)) {
            return Err(End::OtherTenant { asked: expected.clone(), named: origin.tenant.clone() });
        }
        match &self.origin {
            Some(known) if known != origin => Err(End::Moved),
            _ => Ok(()),
        }
    }

    /// Takes note of whose stream this is, which was [checked](Self::check).
    pub(super) fn adopt(&mut self, origin: Origin, token: &Token) {
        self.marks = Arc::new(Marks::of(token, &origin.tenant, &origin.service));
        self.origin = Some(origin);
    }

    /// The state after `update`, for which there is room. What is shown stays.
    pub(super) fn after(&self, update: &Update, store: &Store) -> Result<Arc<State>, End> {
        let next = self.state.commit(update);
        if next.digest() != update.commit.cursor {
            return Err(End::Diverged);
        }
        if next.bytes() > self.max_bytes {
            return Err(End::TooLarge { actual: next.bytes(), limit: self.max_bytes });
        }
        store.share.resize(next.bytes())?;
        Ok(Arc::new(next))
    }

    /// Whether an entry of `next` is older than the one that is held. A hub of which
    /// this is true knows less than the one that sent it.
    pub(super) fn goes_back(&self, next: &State) -> bool {
        let older = |own: &Arc<Entry>| {
            next.get(own.key().as_str()).is_some_and(|entry| entry.version() < own.version())
        };
        self.state.iter().any(older)
    }

    /// Goes to the state after `update`, all of it at once, and publishes it.
    pub(super) fn commit(&mut self, update: &Update, store: &Store) -> Result<(), End> {
        match self.after(update, store) {
            Ok(next) => {
                self.publish(next, update, store);
                Ok(())
            }
            Err(End::Diverged) => Err(self.diverged(store)),
            Err(end) => Err(end),
        }
    }

    /// Publishes the state [`after`](Self::after) `update`.
    pub(super) fn publish(&mut self, next: Arc<State>, update: &Update, store: &Store) {
        let (keys, superseded) = changes(&self.state, &next, update);
        let changed = Changed { keys, reset: update.reset };
        self.state = Arc::clone(&next);
        self.cursor = Some(next.digest());
        store.counters.updates.add_one();
        store.counters.entries.add(u64::try_from(changed.keys.len()).unwrap_or(u64::MAX));
        store.counters.superseded.add(superseded);
        if update.reset {
            store.counters.resets.add_one();
        }
        store.publish(next, &changed);
    }

    /// The state just committed, with whose it is.
    pub(super) fn good(&self, hub_time: SystemTime) -> Option<Good> {
        let origin = self.origin.clone()?;
        Some(Good { origin, marks: Arc::clone(&self.marks), state: Arc::clone(&self.state), hub_time })
    }

    /// Compares with the hub's own word on where this stream is. True: the
    /// state is current.
    pub(super) fn heartbeat(&mut self, hub: Digest, store: &Store) -> Result<bool, End> {
        match self.cursor {
            // The whole state was asked for and is still to come.
            None => Ok(false),
            Some(own) if own == hub => Ok(true),
            Some(_) => Err(self.diverged(store)),
        }
    }

    /// The state stays readable, but the next stream has to bring all of it.
    fn diverged(&mut self, store: &Store) -> End {
        self.cursor = None;
        store.counters.healed.add_one();
        End::Diverged
    }
}

/// Keys that `update` changed, without those that a merged difference only repeats;
/// and how many versions of them were written in between.
fn changes(old: &State, new: &State, update: &Update) -> (Vec<Key>, u64) {
    let mut keys = if update.reset {
        old.changed_keys(new)
    } else {
        update.puts.iter().map(|entry| entry.key()).chain(&update.removes).cloned().collect()
    };
    let mut superseded: u64 = 0;
    keys.retain(|key| {
        let (old, new) = (old.get(key.as_str()), new.get(key.as_str()));
        superseded = superseded.saturating_add(versions_between(old, new));
        old.map(|entry| entry.digest()) != new.map(|entry| entry.digest())
    });
    (keys, superseded)
}

/// Versions that were written between two of one entry. Those of another service's
/// entry count anew. Those of secrets do not count at all: some stores have moments
/// for them.
fn versions_between(old: Option<&Arc<Entry>>, new: Option<&Arc<Entry>>) -> u64 {
    match (old, new) {
        (Some(old), Some(new)) if old.service() == new.service() && !old.is_secret() && !new.is_secret() => {
            new.version().saturating_sub(old.version()).saturating_sub(1)
        }
        _ => 0,
    }
}
