//! How fast a store may be read, all tenants together.

use crate::backend::Urgency;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// What may be spent at once after a pause, in seconds of the rate.
const BURST_S: f64 = 1.0;

/// Part of the burst that sweeps leave for those who wait.
const RESERVE: f64 = 0.25;

/// Deepest debt, in seconds of the rate: what was spent before it was known
/// never keeps sweeps away for longer than this.
const DEBT_S: f64 = 10.0;

/// How long a sweep lets callers go before it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A bucket that fills at a steady rate. Whoever waits on behalf of a caller goes
/// before the sweeps.
#[derive(Debug)]
pub struct Budget {
    rate: f64,
    bucket: Mutex<Bucket>,
    /// How many wait on behalf of a caller.
    demands: AtomicUsize,
}

#[derive(Debug)]
struct Bucket {
    units: f64,
    at: Instant,
}

impl Budget {
    /// A full bucket for so many units a second.
    #[must_use]
    pub fn new(per_second: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
        let rate = per_second.max(1) as f64;
        let bucket = Mutex::new(Bucket { units: rate * BURST_S, at: Instant::now() });
        Self { rate, bucket, demands: AtomicUsize::new(0) }
    }

    /// Waits until a unit is there, and takes it. A sweep that has waited for long
    /// waits like a caller from then on: steady demand must not keep lost changes
    /// from ever being found.
    pub async fn take(&self, urgency: Urgency) {
        if urgency == Urgency::Sweep && timeout(PATIENCE, self.taken(urgency)).await.is_ok() {
            return;
        }
        self.taken(Urgency::Demand).await;
    }

    async fn taken(&self, urgency: Urgency) {
        let _waiting = (urgency == Urgency::Demand).then(|| Waiting::new(&self.demands));
        while let Err(wait) = self.try_take(urgency) {
            sleep(wait).await;
        }
    }

    /// Takes what was spent already, as it is only known after a read.
    pub fn spent(&self, units: f64) {
        let mut bucket = self.filled();
        bucket.units = (bucket.units - units).max(-self.rate * DEBT_S);
    }

    fn try_take(&self, urgency: Urgency) -> Result<(), Duration> {
        let demands = self.demands.load(Ordering::Relaxed);
        let mut bucket = self.filled();
        let needed = match urgency {
            Urgency::Demand => 1.0,
            Urgency::Sweep if demands > 0 => f64::INFINITY,
            Urgency::Sweep => 1.0 + self.rate * BURST_S * RESERVE,
        };
        // A rate of one a second has no room for a reserve.
        let needed = needed.min(self.rate * BURST_S);
        if bucket.units >= needed && (urgency == Urgency::Demand || demands == 0) {
            bucket.units -= 1.0;
            return Ok(());
        }
        let missing = (needed - bucket.units).max(1.0);
        Err(Duration::from_secs_f64(missing / self.rate))
    }

    fn filled(&self) -> MutexGuard<'_, Bucket> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gained = now.duration_since(bucket.at).as_secs_f64() * self.rate;
        bucket.units = (bucket.units + gained).min(self.rate * BURST_S);
        bucket.at = now;
        bucket
    }
}

/// One who waits on behalf of a caller, for as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_never_exceeded_and_a_caller_goes_first() {
        let budget = Budget::new(40);
        let began = Instant::now();
        for _ in 0..400 {
            budget.take(Urgency::Sweep).await;
        }
        let took = began.elapsed().as_secs_f64();
        assert!((9.0..11.0).contains(&took), "400 reads at 40/s took {took} s");
        // What sweeps leave is there at once for a caller.
        let asked = Instant::now();
        for _ in 0..10 {
            budget.take(Urgency::Demand).await;
        }
        assert!(asked.elapsed() < Duration::from_millis(100), "{:?}", asked.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn steady_demand_does_not_keep_sweeps_away_for_ever() {
        let budget = std::sync::Arc::new(Budget::new(40));
        for _ in 0..64 {
            let budget = std::sync::Arc::clone(&budget);
            tokio::spawn(async move {
                loop {
                    budget.take(Urgency::Demand).await;
                }
            });
        }
        for _ in 0..3 {
            let swept = timeout(Duration::from_secs(60), budget.take(Urgency::Sweep));
            assert!(swept.await.is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_spent_is_paid_back_within_a_bound() {
        let budget = Budget::new(100);
        budget.spent(1e9);
        let began = Instant::now();
        budget.take(Urgency::Sweep).await;
        assert!(began.elapsed() < Duration::from_secs(13), "{:?}", began.elapsed());
    }
}
