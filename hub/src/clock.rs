//! The wall clock, as an argument.
//!
//! Whoever needs to know what time it is in the world (a token's expiry, the
//! time of a write) is handed a [`Clock`], so that a test brings its own.
//! Waiting is something else: that is tokio's clock, which tests can pause.

use std::sync::Arc;
use std::time::SystemTime;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The clock of this machine.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(SystemTime::now)
}
