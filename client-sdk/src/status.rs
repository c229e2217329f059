//! How a client stands with its hub.

use crate::Closed;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;
use tokio::time::Instant;

/// How a client stands. Reads work in all of these but the first, in which
/// there is no client yet to read from.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Status {
    /// No state yet.
    #[non_exhaustive]
    Starting {
        /// How the last attempt ended, if one has.
        last: Option<Failure>,
    },
    /// Connected, and the state is the hub's.
    #[non_exhaustive]
    Ready {
        /// Since when.
        since: Instant,
    },
    /// The state is the last good one: the hub cannot be reached, or has not
    /// yet confirmed that the state is current.
    #[non_exhaustive]
    Stale {
        /// Since when.
        since: Instant,
        /// Why, for programs.
        kind: FailureKind,
        /// Why, for people.
        reason: Arc<str>,
        /// The state is the one that was found on disk at the start, and a hub
        /// published it at this time; this process has had none from a hub.
        from_disk: Option<SystemTime>,
    },
    /// The client has ended for good; the state stays as it was.
    #[non_exhaustive]
    Closed {
        /// Why.
        reason: Closed,
    },
}

/// How an attempt to be ready ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// For programs.
    pub kind: FailureKind,
    /// For people.
    pub reason: Arc<str>,
}

/// Why a client is not ready: whom to ask about it. The client goes on trying in
/// all of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// No hub was reached: names, the network, certificates, or a hub that is gone
    /// or has not answered yet.
    Unreachable,
    /// The stream was open, and nothing came on it for several heartbeats.
    Silent,
    /// The program's source of tokens has none.
    Token,
    /// The hub does not take the token or the request.
    Refused,
    /// The hub knows the caller and does not serve its tenant: it is suspended, or
    /// not among those that the hub serves.
    NotServed,
    /// The hub takes no more for now: its limits are reached, it is starting,
    /// shutting down or has asked to be left alone.
    Limited,
    /// What the hub sent makes no sense, or led to another state than the hub's.
    Protocol,
    /// The state is larger than the program allows: see
    /// [`Builder::max_state_bytes`](crate::Builder::max_state_bytes) and
    /// [`PoolBuilder::max_bytes`](crate::PoolBuilder::max_bytes).
    TooLarge,
    /// The token names another tenant or service than the state's.
    Identity,
    /// Any other end of a stream.
    Other,
}

impl Status {
    /// Whether there is no state yet.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        matches!(self, Self::Starting { .. })
    }

    /// Whether the state is the hub's.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready { .. })
    }

    /// Whether the state is the last good one rather than the hub's.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Stale { .. })
    }

    /// Whether the client has ended for good.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Starting { last: None } => f.write_str("starting"),
            Self::Starting { last: Some(last) } => write!(f, "starting: {}", last.reason),
            Self::Ready { .. } => f.write_str("ready"),
            Self::Stale { reason, from_disk, .. } => {
                let origin = if from_disk.is_some() { " (from disk)" } else { "" };
                write!(f, "stale{origin}: {reason}")
            }
            Self::Closed { reason } => write!(f, "closed: {reason}"),
        }
    }
}

/// Observes the status of a client. It does not keep the client alive.
#[derive(Debug, Clone)]
pub struct StatusWatch(watch::Receiver<Status>);

impl StatusWatch {
    pub(crate) fn new(mut receiver: watch::Receiver<Status>) -> Self {
        receiver.borrow_and_update();
        Self(receiver)
    }

    /// The status now.
    #[must_use]
    pub fn get(&self) -> Status {
        self.0.borrow().clone()
    }

    /// Waits for the status to change, and returns the latest. `None` once the
    /// client is gone.
    pub async fn next(&mut self) -> Option<Status> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }

    /// Waits until the status is one that `accept` accepts, which it may be
    /// already.
    ///
    /// # Errors
    /// If the client ends before.
    pub async fn wait_for(&mut self, mut accept: impl FnMut(&Status) -> bool) -> Result<Status, Closed> {
        loop {
            // A copy: what `accept` does must not happen under a lock.
            let status = self.0.borrow_and_update().clone();
            match status {
                status if accept(&status) => return Ok(status),
                Status::Closed { reason } => return Err(reason),
                _ => self.0.changed().await.map_err(|_| Closed::Runtime)?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    #[test]
    fn what_is_waited_with_runs_under_no_lock() {
        let sender = watch::Sender::new(Status::Starting { last: None });
        let mut status = StatusWatch::new(sender.subscribe());
        let (done, end) = sync_channel(1);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let accept = |_: &Status| !sender.send_if_modified(|_| false);
            done.send(runtime.block_on(status.wait_for(accept)))
        });
        assert_eq!(end.recv_timeout(Duration::from_secs(10)), Ok(Ok(Status::Starting { last: None })));
    }
}
