//! A value that tells when it was sent, and takes note of how late it was parsed.
//! The SDK parses it just after its update has become visible, on the client's own
//! task; so none is left out, however many come at once.

use confhub_benches::Result;
use confhub_benches::latency::Latencies;
use serde::{Deserialize, Deserializer};
use std::cell::RefCell;
use std::time::Duration;
use tokio::time::Instant;

thread_local! {
    /// Since when stamps count, and what was taken since.
    static TAKEN: RefCell<Option<(Instant, Latencies)>> = const { RefCell::new(None) };
}

/// When a value was sent, in nanoseconds since the epoch; 0: that is not told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp;

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let nanos = u64::deserialize(deserializer)?;
        TAKEN.with_borrow_mut(|taken| {
            if let Some((epoch, latencies)) = taken.as_mut().filter(|_| nanos > 0) {
                latencies.record(epoch.elapsed().saturating_sub(Duration::from_nanos(nanos)));
            }
        });
        Ok(Self)
    }
}

/// Begins anew on this thread, and returns what was taken here before.
pub(crate) fn take(epoch: Instant) -> Result<Latencies> {
    let taken = TAKEN.replace(Some((epoch, Latencies::new()?)));
    taken.map_or_else(Latencies::new, |(_, latencies)| Ok(latencies))
}
