//! What the worker writes and everybody else reads: the state behind one
//! atomic pointer, the status, the counters, and who follows which key.
//!
//! A read is one load of the pointer and one look-up in a persistent map; no
//! read waits for another or for the worker. There is one writer: the worker.

use crate::budget::{OverBudget, Share};
use crate::flags::FlagStore;
use crate::follow::Followers;
use crate::stats::Counters;
use crate::worker::cut;
use crate::{Closed, Failure, FailureKind, Status};
use arc_swap::{ArcSwap, ArcSwapOption};
use confhub_flags::HashVersion;
use confhub_proto::{Entry, Key, State};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;
use tokio::time::Instant;

/// State, status and counters of one client.
#[derive(Debug)]
pub(crate) struct Store {
    prefixes: Vec<String>,
    state: ArcSwap<State>,
    status: watch::Sender<Status>,
    /// When a hub published the state that was found on disk.
    saved: ArcSwapOption<SystemTime>,
    /// What the state takes, for as long as anybody can read it.
    pub(crate) share: Share,
    pub(crate) flags: FlagStore,
    pub(crate) followers: Followers,
    pub(crate) counters: Counters,
}

/// Which keys one commit changed.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) keys: Vec<Key>,
    pub(crate) reset: bool,
}

impl Store {
    /// A store of the view with these prefixes; none admit all keys.
    pub(crate) fn new(prefixes: Vec<String>, share: Share, flag_hash: HashVersion) -> Self {
        Self {
            prefixes,
            state: ArcSwap::default(),
            status: watch::Sender::new(Status::Starting { last: None }),
            saved: ArcSwapOption::empty(),
            share,
            flags: FlagStore::new(flag_hash),
            followers: Followers::default(),
            counters: Counters::default(),
        }
    }

    /// The state now, to keep.
    pub(crate) fn snapshot(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// One entry of the state now.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.state.load().get(key).map(Arc::clone)
    }

    /// Says so if somebody is going to wait for what will never come.
    pub(crate) fn warn_of(&self, key: &str) {
        if let Some(reason) = self.why_never(key) {
            tracing::warn!(key, reason, "this key can never have an entry here");
        }
    }

    fn why_never(&self, key: &str) -> Option<String> {
        match Key::new(key) {
            Err(error) => Some(error.to_string()),
            Ok(_) if self.prefixes.is_empty() => None,
            Ok(_) if self.prefixes.iter().any(|prefix| key.starts_with(prefix)) => None,
            Ok(_) => Some(format!("the client asks for keys with {} alone", self.prefixes.join(", "))),
        }
    }

    /// Makes `state` the one that is read, then tells the followers of what
    /// changed. In this order: who is told must find it.
    pub(crate) fn publish(&self, state: Arc<State>, changed: &Changed) {
        self.state.store(Arc::clone(&state));
        if !changed.keys.is_empty() {
            self.flags.follow(&state, changed);
            self.followers.tell(&state, changed, &self.counters);
        }
    }

    /// What of the state the program cannot use, at most so much of it: keys, and why,
    /// without values.
    pub(crate) fn problems(&self, most: usize) -> Vec<(String, String)> {
        let mut problems = self.flags.problems();
        if self.counters.rejected_values.get() > 0 {
            problems.extend(self.followers.problems());
        }
        problems.sort();
        problems.dedup_by(|(a, _), (b, _)| a == b);
        problems.truncate(most);
        problems.into_iter().map(|(key, reason)| (key, cut(reason))).collect()
    }

    /// Has a state from disk ready. It is shown to nobody before
    /// [`fall_back`](Self::fall_back), since there is no client yet.
    pub(crate) fn set_saved(&self, state: Arc<State>, hub_time: SystemTime) -> Result<(), OverBudget> {
        self.share.resize(state.bytes())?;
        self.state.store(state);
        self.saved.store(Some(Arc::new(hub_time)));
        Ok(())
    }

    /// Drops it again. False: there is none, or the program has it already.
    pub(crate) fn forget_saved(&self) -> bool {
        let mut forgotten = false;
        // Under the lock of the status, as `fall_back` is.
        self.change_status(|status| {
            forgotten = status.is_starting() && self.saved.swap(None).is_some();
            None
        });
        if forgotten {
            self.state.store(Arc::default());
            self.share.release();
        }
        forgotten
    }

    /// Lets the program start with the state from disk, if there is one and the
    /// hub was not faster after all.
    pub(crate) fn fall_back(&self) {
        self.change_status(|status| {
            let Status::Starting { last } = status else { return None };
            let hub_time = *self.saved.load_full()?;
            let Failure { kind, reason } = last.clone().unwrap_or_else(|| Failure {
                kind: FailureKind::Unreachable,
                reason: "the hub has not answered yet".into(),
            });
            tracing::warn!(%reason, "no hub: starting from the last good state on disk");
            Some(Status::Stale { since: Instant::now(), kind, reason, from_disk: Some(hub_time) })
        });
    }

    /// A receiver of the status.
    pub(crate) fn watch_status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Why the client has ended, if it has.
    pub(crate) fn closed(&self) -> Option<Closed> {
        match &*self.status.borrow() {
            Status::Closed { reason } => Some(reason.clone()),
            _ => None,
        }
    }

    /// Changes the status if `change` says that it did. A closed client stays
    /// closed.
    pub(crate) fn change_status(&self, change: impl FnOnce(&Status) -> Option<Status>) {
        self.status.send_if_modified(|status| {
            if status.is_closed() {
                return false;
            }
            let next = change(status);
            let changed = next.is_some();
            if let Some(next) = next {
                *status = next;
            }
            changed
        });
    }

    /// Ends: the status says why, and all that wait for a change are woken.
    pub(crate) fn close(&self, reason: Closed) {
        self.change_status(|_| Some(Status::Closed { reason }));
        self.followers.close();
    }

    /// Says that the state is not known to be the hub's, and why.
    pub(crate) fn failed(&self, kind: FailureKind, why: &str) {
        let failure = Failure { kind, reason: why.into() };
        self.change_status(|status| {
            let (since, from_disk) = match status {
                Status::Starting { last: Some(last) } if *last == failure => return None,
                Status::Starting { .. } => return Some(Status::Starting { last: Some(failure) }),
                Status::Ready { .. } => (Instant::now(), None),
                Status::Stale { kind, reason, .. } if *kind == failure.kind && **reason == *why => {
                    return None;
                }
                Status::Stale { since, from_disk, .. } => (*since, *from_disk),
                Status::Closed { .. } => return None,
            };
            Some(Status::Stale { since, kind, reason: failure.reason, from_disk })
        });
    }
}

/// What every handle that can read holds. When the last one is dropped, `stop`
/// is too, and so the worker hears of it.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) store: Arc<Store>,
    pub(crate) stop: watch::Sender<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    #[test]
    fn keys_that_can_never_have_an_entry_are_known() {
        let of = |prefixes| Store::new(prefixes, Budget::unlimited().share(), HashVersion::default());
        let (all, some) = (of(Vec::new()), of(vec!["a_".to_owned(), "b_".to_owned()]));
        assert!(all.why_never("a b").is_some_and(|reason| reason.contains("`a b`")));
        assert!(some.why_never("c_1").is_some_and(|reason| reason.contains("a_, b_")));
        assert!(all.why_never("c_1").is_none() && some.why_never("b_1").is_none());
    }
}
