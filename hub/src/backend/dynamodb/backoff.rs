//! Waiting between attempts.

use std::time::Duration;
use tokio::time::sleep;

/// First wait, before jitter: a round trip or two.
const FIRST: Duration = Duration::from_millis(10);

/// Longest wait, before jitter.
const LONGEST: Duration = Duration::from_millis(500);

/// Attempts at one thing, ever further apart, and jittered so that those who got
/// into each other's way do not do so again.
pub(super) struct Backoff {
    wait: Duration,
    left: u32,
}

impl Backoff {
    /// At most so many attempts, the first one included.
    pub(super) fn new(attempts: u32) -> Self {
        Self { wait: FIRST, left: attempts.saturating_sub(1) }
    }

    /// Waits for the next attempt; false, at once: there is none left.
    pub(super) async fn again(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        sleep(self.wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.wait = LONGEST.min(self.wait * 2);
        true
    }
}
