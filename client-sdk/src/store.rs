//! What the worker writes and everybody else reads: the state behind one
//! atomic pointer, the status, the counters, and who follows which key.
//!
//! A read is one load of the pointer and one look-up in a persistent map; no
//! read waits for another or for the worker. There is one writer: the worker.

use crate::follow::Followers;
use crate::stats::Counters;
use crate::{Closed, Status};
use arc_swap::{ArcSwap, ArcSwapOption};
use confhub_proto::{Entry, Key, State};
use std::sync::Arc;
use tokio::sync::watch;

/// State, status and counters of one client.
#[derive(Debug)]
pub(crate) struct Store {
    state: ArcSwap<State>,
    status: watch::Sender<Status>,
    last_failure: ArcSwapOption<String>,
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
    pub(crate) fn new() -> Self {
        Self {
            state: ArcSwap::default(),
            status: watch::Sender::new(Status::Starting),
            last_failure: ArcSwapOption::empty(),
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

    /// Makes `state` the one that is read, then tells the followers of what
    /// changed. In this order: who is told must find it.
    pub(crate) fn publish(&self, state: Arc<State>, changed: &Changed) {
        self.state.store(Arc::clone(&state));
        if !changed.keys.is_empty() {
            self.followers.tell(&state, changed, &self.counters);
        }
    }

    /// A receiver of the status.
    pub(crate) fn watch_status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
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

    /// Why the last attempt failed, for the error of a `connect` that gives up.
    pub(crate) fn last_failure(&self) -> Option<Arc<String>> {
        self.last_failure.load_full()
    }

    pub(crate) fn set_last_failure(&self, failure: &str) {
        self.last_failure.store(Some(Arc::new(failure.to_owned())));
    }
}

/// What every handle that can read holds. When the last one is dropped, `stop`
/// is too, and so the worker hears of it.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) store: Arc<Store>,
    pub(crate) stop: watch::Sender<bool>,
}
