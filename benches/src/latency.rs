//! Latencies of any length, told apart to three digits.

use crate::Result;
use hdrhistogram::Histogram;
use std::time::Duration;

/// Longest latency that is told apart, in nanoseconds.
const LONGEST_NANOS: u64 = 120_000_000_000;

/// Latencies that were taken.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    ///
    /// # Errors
    /// Never: the bounds are constant.
    pub fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_max(LONGEST_NANOS, 3)?))
    }

    /// Adds one.
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// A percentile, in milliseconds.
    #[must_use]
    pub fn millis(&self, percentile: f64) -> f64 {
        Duration::from_nanos(self.0.value_at_percentile(percentile)).as_secs_f64() * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_what_that_share_stays_below() {
        let mut latencies = Latencies::new().unwrap();
        (1..=100).for_each(|millis| latencies.record(Duration::from_millis(millis)));
        assert!((latencies.millis(50.0) - 50.0).abs() < 0.1);
        assert!((latencies.millis(99.0) - 99.0).abs() < 0.1);
        assert_eq!(latencies.count(), 100);
    }
}
