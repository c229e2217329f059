//! Whether changes can be received.

use crate::backend::Cause;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Why a source does not do its part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// Why, as far as a machine can tell.
    pub cause: Cause,
    /// Why, in words.
    pub reason: String,
}

/// A part of what a source does, each of which can fail while the others work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Hints arrive. While they do not, changes are only found by sweeps.
    Receive,
    /// What was acted on is told to the queue. While it is not, it arrives again.
    Settle,
    /// The queue is kept alive and subscribed.
    Keep,
}

/// How a source stands. Cheap to clone: all clones tell the same.
#[derive(Debug, Clone)]
pub struct SourceHealth {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    /// By [`Part`].
    failures: [Option<Failure>; 3],
    /// Since when it is as it is.
    since: Instant,
    /// Nothing was received yet, nor has it failed.
    starting: bool,
    /// Until when hints may last have been missed.
    missed: Instant,
}

/// How a source stands at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// Since when.
    pub since: Instant,
    /// What is wrong; `None`: nothing.
    pub failure: Option<Failure>,
}

impl SourceHealth {
    /// Of a source that has yet to reach its queue.
    #[must_use]
    pub fn starting() -> Self {
        let now = Instant::now();
        let inner = Inner { failures: [None, None, None], since: now, starting: true, missed: now };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// How it stands, and since when.
    #[must_use]
    pub fn status(&self) -> SourceStatus {
        let inner = self.lock();
        let failure = inner.failures.iter().flatten().next().cloned();
        let starting = || Failure {
            cause: Cause::Unreachable,
            reason: "the queue of changes has not been reached yet".to_owned(),
        };
        let failure = failure.or_else(|| inner.starting.then(starting));
        SourceStatus { since: inner.since, failure }
    }

    /// Whether hints arrive, whatever else may be wrong.
    #[must_use]
    pub fn receives(&self) -> bool {
        let inner = self.lock();
        !inner.starting && inner.failures[Part::Receive as usize].is_none()
    }

    /// Whether changes made after `then` may not have been told: what a sweep
    /// finds changed since was then missed by the source, and not by a writer.
    #[must_use]
    pub fn outage_since(&self, then: Instant) -> bool {
        let inner = self.lock();
        inner.starting || inner.failures[Part::Receive as usize].is_some() || inner.missed >= then
    }

    /// Takes note of a failure; true: the part had worked until now.
    pub fn failing(&self, part: Part, failure: Failure) -> bool {
        let mut inner = self.lock();
        let well = inner.failures.iter().all(Option::is_none) && !inner.starting;
        let first = inner.failures[part as usize].replace(failure).is_none();
        if part == Part::Receive {
            inner.starting = false;
        }
        if well {
            inner.since = Instant::now();
        }
        first
    }

    /// Takes note that a part works; true: it had failed until now.
    pub fn working(&self, part: Part) -> bool {
        let mut inner = self.lock();
        let before = inner.failures[part as usize].take();
        if part == Part::Receive && (before.is_some() || inner.starting) {
            inner.missed = Instant::now();
        }
        let started = part == Part::Receive && std::mem::take(&mut inner.starting);
        if (before.is_some() || started) && inner.failures.iter().all(Option::is_none) {
            inner.since = Instant::now();
        }
        before.is_some()
    }

    /// Takes note that hints may have been lost until now.
    pub fn missed(&self) {
        self.lock().missed = Instant::now();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn failure(reason: &str) -> Failure {
        Failure { cause: Cause::Denied, reason: reason.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_once_and_remembered() {
        let health = SourceHealth::starting();
        let before = Instant::now();
        assert!(health.status().failure.is_some() && health.outage_since(before));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!health.working(Part::Receive), "starting is no outage");
        let up = Instant::now();
        assert_eq!(health.status(), SourceStatus { since: up, failure: None });
        assert!(health.outage_since(before));
        tokio::time::advance(Duration::from_secs(1)).await;
        let calm = Instant::now();
        assert!(!health.outage_since(calm));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(health.failing(Part::Receive, failure("a")));
        let down = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!health.failing(Part::Receive, failure("b")));
        assert_eq!(health.status(), SourceStatus { since: down, failure: Some(failure("b")) });
        assert!(health.outage_since(Instant::now()));
        assert!(health.working(Part::Receive) && !health.working(Part::Receive));
        assert!(health.outage_since(calm));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!health.outage_since(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_costs_no_hint_is_unhealthy_and_no_outage() {
        let health = SourceHealth::starting();
        health.working(Part::Receive);
        tokio::time::advance(Duration::from_secs(1)).await;
        let then = Instant::now();
        assert!(health.failing(Part::Settle, failure("a")));
        assert!(health.failing(Part::Keep, failure("b")));
        assert!(health.receives());
        assert!(health.working(Part::Settle));
        assert_eq!(health.status(), SourceStatus { since: then, failure: Some(failure("b")) });
        assert!(!health.outage_since(then));
        health.missed();
        assert!(health.outage_since(then));
    }
}
