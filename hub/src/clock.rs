//! Wall-clock time, handed in from outside so that a test can bring its own.
//! Intervals and timeouts use tokio's clock, which a test can pause.

use std::sync::Arc;
use std::time::SystemTime;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The clock of the system.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(SystemTime::now)
}
