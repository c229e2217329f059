//! What the states of several clients may take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Bytes of memory for states, in the hub's count: keys, values and media types,
/// without what the maps around them take.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    limit: usize,
    /// The most that was asked for in vain since somebody looked.
    missed: AtomicUsize,
    shortage: Notify,
}

/// What one state takes of it. Given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    /// Changed by one writer alone.
    bytes: AtomicUsize,
}

/// There is no memory for a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("with this state, all states have more than {limit} bytes together: see `.max_bytes`")]
pub(crate) struct OverBudget {
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let (used, missed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { used, limit, missed, shortage: Notify::new() })
    }

    /// The budget of a client alone, which has a limit of its own.
    pub(crate) fn unlimited() -> Arc<Self> {
        Self::new(usize::MAX)
    }

    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), bytes: AtomicUsize::new(0) }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Waits until a state did not fit, and says how many bytes it asked for.
    pub(crate) async fn shortage(&self) -> usize {
        self.shortage.notified().await;
        self.missed.swap(0, Ordering::Relaxed)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }
}

impl Share {
    /// Makes room for a state of so many bytes in place of the present one.
    pub(crate) fn resize(&self, bytes: usize) -> Result<(), OverBudget> {
        let (old, limit) = (self.bytes.load(Ordering::Relaxed), self.budget.limit);
        // What shrinks is always taken.
        let next = |used: usize| {
            let next = (used - old).checked_add(bytes)?;
            (next <= limit || bytes <= old).then_some(next)
        };
        let changed = self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        if changed.is_err() {
            self.budget.missed.fetch_max(bytes - old, Ordering::Relaxed);
            self.budget.shortage.notify_one();
            return Err(OverBudget { limit });
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Gives back all of it.
    pub(crate) fn release(&self) {
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_share_what_there_is_and_give_back_what_they_had() {
        let budget = Budget::new(100);
        let (one, two) = (budget.share(), budget.share());
        assert_eq!((one.resize(60), two.resize(40)), (Ok(()), Ok(())));
        assert_eq!(two.resize(41), Err(OverBudget { limit: 100 }), "nothing half done");
        assert_eq!(budget.used(), 100);
        assert_eq!((one.resize(10), two.resize(90)), (Ok(()), Ok(())));
        drop(two);
        assert_eq!(budget.used(), 10);
        one.release();
        assert_eq!((budget.used(), one.resize(usize::MAX)), (0, Err(OverBudget { limit: 100 })));
        assert_eq!(Budget::unlimited().share().resize(usize::MAX), Ok(()));
    }
}
