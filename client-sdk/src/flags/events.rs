//! What happens to flags, in OpenFeature's words.

use super::Flags;
use crate::{Closed, FailureKind, Status};
use confhub_flags::{Faults, FlagName, FlagSet};
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// What has happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FlagEvent {
    /// The flags are the hub's, for the first time or again. (`PROVIDER_READY`)
    Ready,
    /// Flags that are new, gone, or may evaluate to something else.
    /// (`PROVIDER_CONFIGURATION_CHANGED`)
    #[non_exhaustive]
    ConfigurationChanged {
        /// Which, each once.
        flags: BTreeSet<FlagName>,
    },
    /// The flags are the last good ones: the hub cannot be reached. Evaluation goes on,
    /// and so does the client's trying. (`PROVIDER_STALE`)
    #[non_exhaustive]
    Stale {
        /// Why, for programs.
        kind: FailureKind,
        /// Why, for people.
        reason: Arc<str>,
    },
    /// Flags that somebody has stored badly. Each stays what it was before, and all
    /// others go on. (`PROVIDER_ERROR`)
    #[non_exhaustive]
    Error {
        /// What is wrong, of each entry that is bad now and was not, or not like this.
        faults: Vec<Arc<Faults>>,
    },
    /// The client has ended for good; evaluation goes on with the last flags. Nothing
    /// comes after it. (`PROVIDER_ERROR` with the code `PROVIDER_FATAL`)
    #[non_exhaustive]
    Fatal {
        /// Why.
        reason: Closed,
    },
}

/// What happens to the flags of a client, from the moment it was made: first how they
/// stand then, and each change from there.
///
/// A reader that lags gets several changes as one, so nothing is lost and nothing piles
/// up: it holds the flags that it was told of last, and is told what differs.
pub struct FlagEvents {
    flags: Flags,
    changes: watch::Receiver<()>,
    status: watch::Receiver<Status>,
    /// What the reader knows.
    known: Arc<FlagSet>,
    /// What came with the event before.
    next: Option<FlagEvent>,
    told: Told,
}

/// How the client stands, as far as the reader was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Ready,
    Stale,
    End,
}

impl FlagEvents {
    pub(super) fn new(flags: Flags) -> Self {
        let store = &flags.lease.store;
        // Followed first and read then: a change in between is told.
        let (changes, status) = (store.flags.changes.subscribe(), store.watch_status());
        let known = flags.snapshot();
        Self { flags, changes, status, known, next: None, told: Told::Nothing }
    }

    /// The next event; `None` once the program has closed the client, or after
    /// [`FlagEvent::Fatal`].
    ///
    /// Cancel safe: nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<FlagEvent> {
        loop {
            if self.told == Told::End {
                return None;
            }
            // Marked as seen before it is looked at: what comes after wakes.
            self.changes.mark_unchanged();
            let status = self.status.borrow_and_update().clone();
            // What changed comes first: the state is there before the status says so.
            if let Some(event) = self.changed() {
                return Some(event);
            }
            match self.tell(status) {
                Some(event) => return Some(event),
                None if self.told == Told::End => return None,
                None => {}
            }
            tokio::select! {
                // Neither is dropped while this handle keeps the client.
                _ = self.changes.changed() => {}
                _ = self.status.changed() => {}
            }
        }
    }

    /// In what the flags differ from those that the reader knows.
    fn changed(&mut self) -> Option<FlagEvent> {
        if let Some(event) = self.next.take() {
            return Some(event);
        }
        let now = self.flags.snapshot();
        if Arc::ptr_eq(&now, &self.known) {
            return None;
        }
        let known = std::mem::replace(&mut self.known, Arc::clone(&now));
        let before: HashSet<_> = known.errors().map(Arc::as_ptr).collect();
        let faults: Vec<_> = now.errors().filter(|it| !before.contains(&Arc::as_ptr(it))).cloned().collect();
        let flags = differing(&known, &now);
        let error = (!faults.is_empty()).then_some(FlagEvent::Error { faults });
        if flags.is_empty() {
            return error;
        }
        self.next = error;
        Some(FlagEvent::ConfigurationChanged { flags })
    }

    fn tell(&mut self, status: Status) -> Option<FlagEvent> {
        let (told, event) = match status {
            Status::Starting { .. } => return None,
            Status::Ready { .. } => (Told::Ready, Some(FlagEvent::Ready)),
            Status::Stale { kind, reason, .. } => (Told::Stale, Some(FlagEvent::Stale { kind, reason })),
            Status::Closed { reason: Closed::ByProgram } => (Told::End, None),
            Status::Closed { reason } => (Told::End, Some(FlagEvent::Fatal { reason })),
        };
        let known = std::mem::replace(&mut self.told, told);
        event.filter(|_| known != told)
    }
}

/// Flags that are in one set and not in the other, or not as they are there.
fn differing(before: &FlagSet, now: &FlagSet) -> BTreeSet<FlagName> {
    let differs = |of: &FlagSet, flag: &Arc<confhub_flags::Flag>| {
        of.get(flag.name().as_str()).is_none_or(|other| !Arc::ptr_eq(other, flag))
    };
    let of_now = now.iter().filter(|flag| differs(before, flag));
    let gone = before.iter().filter(|flag| now.get(flag.name().as_str()).is_none());
    of_now.chain(gone).map(|flag| flag.name().clone()).collect()
}

impl fmt::Debug for FlagEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlagEvents").field("told", &self.told).finish_non_exhaustive()
    }
}
