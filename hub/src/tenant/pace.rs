//! Spaces the reads of one key, where reads cost.
//!
//! A key that changes now and then is read at once, every time. Hints for one key
//! that come by the hundred cause a read every half second.

use crate::limits::PENDING_HINTS;
use crate::source::Address;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// Reads of a key that may follow each other at once.
const BURST: u32 = 3;

/// Time in which a key earns one more. With the burst, a key is read at most five
/// times in any second.
const INTERVAL: Duration = Duration::from_millis(500);

/// When each key was read of late: for each, the moment at which it will have
/// earned its whole burst again (the "theoretical arrival time" of the generic
/// cell rate algorithm).
#[derive(Debug, Default)]
pub(super) struct Pace {
    rested: HashMap<Address, Instant>,
}

impl Pace {
    /// When a key that is wanted at `wanted` may be read, and counts that read.
    pub(super) fn next(&mut self, address: &Address, wanted: Instant) -> Instant {
        self.forget(wanted);
        let rested = self.rested.get(address).map_or(wanted, |rested| (*rested).max(wanted));
        self.rested.insert(address.clone(), rested + INTERVAL);
        let ahead = INTERVAL * (BURST - 1);
        rested.checked_sub(ahead).map_or(wanted, |earliest| earliest.max(wanted))
    }

    /// Forgets the keys that have rested, and in a flood all of them: what then
    /// waits becomes one reading of everything anyhow.
    fn forget(&mut self, now: Instant) {
        if self.rested.len() > PENDING_HINTS {
            self.rested.retain(|_, rested| *rested > now);
        }
        if self.rested.len() > 2 * PENDING_HINTS {
            self.rested.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use confhub_proto::Key;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_read_at_once_until_it_is_hinted_too_often() {
        let address = Address { service: None, key: Key::new("k").unwrap() };
        let (mut pace, began) = (Pace::default(), Instant::now());
        let due: Vec<_> = (0..5).map(|_| (pace.next(&address, began) - began).as_millis()).collect();
        assert_eq!(due, [0, 0, 0, 500, 1_000]);
        let later = began + Duration::from_secs(10);
        assert_eq!(pace.next(&address, later), later, "it has rested");
    }
}
