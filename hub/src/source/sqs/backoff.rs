//! How long to wait after a failure.

use std::time::Duration;

/// Shortest wait.
const FIRST: Duration = Duration::from_millis(250);

/// Longest wait: how late the end of an outage is noticed at most.
const MOST: Duration = Duration::from_secs(15);

/// Waits that double, each cut by chance, so that many hubs do not come at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure.
    pub(super) fn next(&mut self) -> Duration {
        let most = FIRST.saturating_mul(1_u32 << self.failures.min(10)).min(MOST);
        self.failures += 1;
        FIRST + (most - FIRST).mul_f64(fastrand::f64())
    }

    /// All is well again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_within_their_bounds_and_begin_anew() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(), FIRST);
        let waits: Vec<_> = (0..1_000).map(|_| backoff.next()).collect();
        assert!(waits.iter().all(|wait| (FIRST..=MOST).contains(wait)));
        assert!(waits.iter().any(|wait| *wait > MOST / 2));
        backoff.reset();
        assert_eq!(backoff.next(), FIRST);
    }
}
