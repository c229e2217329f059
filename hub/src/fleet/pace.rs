//! How often instances report, so that it costs little next to what is delivered.
//!
//! A report costs a hub about as much as several deliveries. What people do comes in a
//! few steps and is reported at once: everybody has a [`BURST`]. What machines do comes
//! without end and is reported now and then: the interval grows with the number of
//! those who report, so that all of them together keep [`PER_SECOND`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Reports that an instance may make at once after a pause: a rollout has fewer steps
/// within a minute.
const BURST: u32 = 16;

/// Reports a second of all instances of a hub together, while there is no end of
/// changes: about a thousandth of a core.
const PER_SECOND: u32 = 20;

/// Bounds of the interval. An operator who waits gets an answer within seconds even
/// from an instance that has no report left at once.
const INTERVAL: std::ops::RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(60);

/// Instances whose reports may all come at the same moment: they take a core some
/// milliseconds.
const TOGETHER: usize = 200;

/// How many reports a second follow on one change, of all who are more: a tenth of a core.
const SPREAD_PER_SECOND: u32 = 2_000;

/// Longest spread.
const LONGEST_SPREAD: Duration = Duration::from_secs(10);

/// How an instance is to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Reports at once, after a pause.
    pub burst: u32,
    /// The time after which there may be one more.
    pub interval: Duration,
    /// A report is made within this time, at random.
    pub spread: Duration,
}

impl Pace {
    /// The pace of each of so many.
    #[must_use]
    pub fn of(instances: usize) -> Self {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let interval = Duration::from_secs(1).saturating_mul(count(instances)) / PER_SECOND;
        let beyond = count(instances.saturating_sub(TOGETHER));
        let spread = Duration::from_secs(1).saturating_mul(beyond) / SPREAD_PER_SECOND;
        Self {
            burst: BURST,
            interval: interval.clamp(*INTERVAL.start(), *INTERVAL.end()),
            spread: spread.min(LONGEST_SPREAD),
        }
    }
}

/// How many instances of a hub report. Cheap to clone: all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Reporters(Arc<AtomicUsize>);

impl Reporters {
    /// Counts one more, for as long as the answer is held.
    #[must_use]
    pub fn join(&self) -> Reporting {
        self.0.fetch_add(1, Ordering::Relaxed);
        Reporting(self.clone())
    }

    /// How each of them is to report.
    #[must_use]
    pub fn pace(&self) -> Pace {
        Pace::of(self.count())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// One who reports.
#[derive(Debug)]
pub struct Reporting(Reporters);

impl Drop for Reporting {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_report_at_once_and_many_take_their_time() {
        let of = |instances| {
            let pace = Pace::of(instances);
            (pace.interval.as_millis(), pace.spread.as_millis())
        };
        assert_eq!(of(1), (5_000, 0));
        assert_eq!(of(100), (5_000, 0));
        assert_eq!(of(1_000), (50_000, 400));
        assert_eq!(of(10_000), (60_000, 4_900));
        assert_eq!(of(usize::MAX), (60_000, 10_000));
    }

    #[test]
    fn who_leaves_is_not_counted() {
        let reporters = Reporters::default();
        let (first, second) = (reporters.join(), reporters.clone().join());
        assert_eq!(reporters.count(), 2);
        drop((first, second));
        assert_eq!(reporters.count(), 0);
    }
}
