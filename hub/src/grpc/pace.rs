//! Rates: of calls, of frames, of connections.

use std::time::Duration;
use tokio::time::Instant;

/// Most that can be owed: nobody is shut out for long by what it has had already. The
/// largest tenant that there may be can be read a few times a minute.
pub(super) const DEBT: Duration = Duration::from_secs(30);

/// A rate with a burst, by the generic cell rate algorithm: one moment says it all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    interval: Duration,
    burst: Duration,
    /// How many a second.
    pub(super) per_second: usize,
}

impl Pace {
    /// `burst` at once, then so many a second.
    pub(super) fn new(burst: usize, per_second: usize) -> Self {
        let per_second = per_second.max(1);
        let interval = Duration::from_secs(1) / u32::try_from(per_second).unwrap_or(u32::MAX);
        let burst = interval.saturating_mul(u32::try_from(burst.max(1)).unwrap_or(u32::MAX));
        Self { interval, burst, per_second }
    }

    /// Takes one, or says how long until there is one. `rested` is the moment at
    /// which the whole burst will be there again.
    pub(super) fn take(&self, rested: &mut Instant, now: Instant) -> Result<(), Duration> {
        self.take_ahead(rested, now, Duration::ZERO).map(drop)
    }

    /// Takes one that will be there within the patience, and says when.
    pub(super) fn take_ahead(
        &self,
        rested: &mut Instant,
        now: Instant,
        patience: Duration,
    ) -> Result<Duration, Duration> {
        let next = (*rested).max(now) + self.interval;
        let early = (next - now).saturating_sub(self.burst);
        if early > patience {
            return Err(early);
        }
        *rested = next;
        Ok(early)
    }

    /// Gives back one that was taken and not used.
    pub(super) fn give_back(&self, rested: &mut Instant) {
        *rested = rested.checked_sub(self.interval).unwrap_or(*rested);
    }

    /// How long until nothing is owed.
    pub(super) fn owed(&self, rested: Instant, now: Instant) -> Duration {
        rested.saturating_duration_since(now).saturating_sub(self.burst)
    }

    /// Takes so many that were had already, whether they are there or not.
    pub(super) fn charge(&self, rested: &mut Instant, now: Instant, count: usize) {
        let cost = self.interval.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        let farthest = self.burst + DEBT;
        // What lies beyond that already stays so.
        *rested = ((*rested).max(now) + cost.min(farthest)).min((now + farthest).max(*rested));
    }
}
