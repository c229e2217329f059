//! A stream of what changed, for programs that follow many keys.

use super::Ticket;
use crate::limits;
use crate::stats::Counters;
use crate::store::{Changed, Lease};
use confhub_proto::{Cursor, Key, State};
use futures_util::Stream;
use futures_util::task::AtomicWaker;
use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// What changed since the last item.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Keys whose entries are new, changed or gone; each once, in no order.
    pub keys: Vec<Key>,
    /// Where the changes led. The client may be further already.
    pub cursor: Cursor,
    /// The whole state was replaced; `keys` are those in which it differs.
    pub reset: bool,
}

/// Changes of all keys, from the moment it was made.
///
/// A reader that lags gets the changes of several commits as one item, so
/// nothing is lost and nothing piles up. Ends when the client is closed.
#[derive(Debug)]
pub struct ChangeStream {
    lease: Arc<Lease>,
    pending: Arc<Pending>,
    ticket: Ticket,
}

/// What one reader has not taken yet.
#[derive(Debug)]
pub(crate) struct Pending {
    changes: Mutex<Unread>,
    waker: AtomicWaker,
}

#[derive(Debug)]
struct Unread {
    keys: Keys,
    reset: bool,
    closed: bool,
    /// The state up to which the reader has taken the changes.
    base: Arc<State>,
    /// The state after the last change; `None`: all is read.
    latest: Option<Arc<State>>,
}

/// Which keys have changed since.
#[derive(Debug)]
enum Keys {
    /// These.
    Some(HashSet<Key>),
    /// Too many to hold: those in which the state differs from the base.
    Many,
}

impl Pending {
    fn new(base: Arc<State>) -> Self {
        let keys = Keys::Some(HashSet::new());
        let unread = Unread { keys, reset: false, closed: false, base, latest: None };
        Self { changes: Mutex::new(unread), waker: AtomicWaker::new() }
    }

    /// Adds what one commit changed, and the state it led to.
    pub(super) fn add(&self, state: &Arc<State>, changed: &Changed, counters: &Counters) {
        self.with(|unread| {
            if unread.latest.is_some() {
                counters.merged.add_one();
            } else if unread.base.digest() == state.digest() {
                // The reader began with this state, before it was told of it.
                return;
            }
            if let Keys::Some(keys) = &mut unread.keys {
                if keys.len() + changed.keys.len() <= limits::PENDING_KEYS {
                    keys.extend(changed.keys.iter().cloned());
                } else {
                    unread.keys = Keys::Many;
                }
            }
            unread.latest = Some(Arc::clone(state));
            unread.reset |= changed.reset;
        });
        self.waker.wake();
    }

    pub(super) fn close(&self) {
        self.with(|unread| unread.closed = true);
        self.waker.wake();
    }

    fn with<R>(&self, act: impl FnOnce(&mut Unread) -> R) -> R {
        act(&mut self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what there is.
    fn take(&self) -> Poll<Option<Changes>> {
        let taken = self.with(|unread| {
            let Some(latest) = unread.latest.take() else {
                return if unread.closed { Poll::Ready(None) } else { Poll::Pending };
            };
            let keys = std::mem::replace(&mut unread.keys, Keys::Some(HashSet::new()));
            let base = std::mem::replace(&mut unread.base, Arc::clone(&latest));
            Poll::Ready(Some((keys, base, latest, std::mem::take(&mut unread.reset))))
        });
        // The comparison of two large states happens outside the lock.
        taken.map(|taken| {
            let (keys, base, latest, reset) = taken?;
            let keys = match keys {
                Keys::Some(keys) => keys.into_iter().collect(),
                Keys::Many => base.changed_keys(&latest),
            };
            Some(Changes { keys, cursor: latest.digest(), reset })
        })
    }
}

impl ChangeStream {
    pub(crate) fn new(lease: Arc<Lease>) -> Self {
        let make = || Arc::new(Pending::new(lease.store.snapshot()));
        let (pending, ticket) = lease.store.followers.add_to_all(make);
        Self { lease, pending, ticket }
    }

    /// The next changes; `None` once the client is closed.
    ///
    /// Cancel safe: nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Changes> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for ChangeStream {
    type Item = Changes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Changes>> {
        // First registered, then looked: a change in between wakes.
        self.pending.waker.register(cx.waker());
        self.pending.take()
    }
}

impl Drop for ChangeStream {
    fn drop(&mut self) {
        self.lease.store.followers.forget(&self.ticket);
    }
}
