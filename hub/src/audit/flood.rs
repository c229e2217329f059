//! How many refused calls are recorded, and how many were not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// Records of refused calls at once, and a second, of callers that have shown who
/// they are: a program with the wrong role tells of itself in the first few.
const IDENTIFIED: Rate = Rate { burst: 500.0, per_second: 50.0 };

/// The same of callers that have not, apart: they cost nothing to be, and must not
/// keep the others' out of the log. At 500 bytes each, half a GB a day at most.
const UNIDENTIFIED: Rate = Rate { burst: 100.0, per_second: 10.0 };

#[derive(Clone, Copy)]
struct Rate {
    burst: f64,
    per_second: f64,
}

/// Holds the records of refused calls to a rate. Cheap to clone.
#[derive(Clone)]
pub(super) struct Flood(Arc<State>);

struct State {
    buckets: [Mutex<Bucket>; 2],
    left_out: AtomicU64,
}

/// What is left of a burst.
struct Bucket {
    rate: Rate,
    left: f64,
    at: Option<Instant>,
}

impl Default for Flood {
    fn default() -> Self {
        let bucket = |rate: Rate| Mutex::new(Bucket { rate, left: rate.burst, at: None });
        let buckets = [bucket(UNIDENTIFIED), bucket(IDENTIFIED)];
        Self(Arc::new(State { buckets, left_out: AtomicU64::new(0) }))
    }
}

impl Flood {
    /// Whether one more may be recorded now.
    pub(super) fn admits(&self, identified: bool, now: Instant) -> bool {
        let bucket = &self.0.buckets[usize::from(identified)];
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let since = bucket.at.replace(now).map(|at| now.saturating_duration_since(at).as_secs_f64());
        let Rate { burst, per_second } = bucket.rate;
        bucket.left = (bucket.left + since.unwrap_or_default() * per_second).min(burst);
        let admits = bucket.left >= 1.0;
        if admits {
            bucket.left -= 1.0;
        }
        admits
    }

    /// Counts records that are left out.
    pub(super) fn leave_out(&self, records: u64) {
        self.0.left_out.fetch_add(records, Ordering::Relaxed);
    }

    /// How many were left out since this was asked last.
    pub(super) fn take_left_out(&self) -> u64 {
        self.0.left_out.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn after_a_burst_the_rate_is_kept_and_nobody_takes_anothers_share() {
        let flood = Flood::default();
        let began = Instant::now();
        let admitted = (0..10_000).filter(|_| flood.admits(false, began)).count();
        assert_eq!(admitted, 100);
        assert!(flood.admits(true, began), "those who are known have a share of their own");
        let later = began + Duration::from_secs(2);
        assert_eq!((0..10_000).filter(|_| flood.admits(false, later)).count(), 20);
    }
}
