//! Several rounds of one measurement, as a median and a range.

use serde::Serialize;
use std::fmt;

/// The median of some rounds, and the least and the greatest of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// The median; of an even number of rounds, the lower of the two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Summary {
    /// Sums up `rounds`; `None` if there are none.
    #[must_use]
    pub fn of(rounds: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut rounds: Vec<_> = rounds.into_iter().collect();
        rounds.sort_unstable_by(f64::total_cmp);
        let median = *rounds.get(rounds.len().checked_sub(1)? / 2)?;
        Some(Self { median, min: *rounds.first()?, max: *rounds.last()? })
    }

    /// Sums up the ratio of two things, round by round.
    #[must_use]
    pub fn ratio(of: &[f64], to: &[f64]) -> Option<Self> {
        Self::of(of.iter().zip(to).map(|(of, to)| of / to))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: f64| match value.abs() {
            0.0 => "0".to_owned(),
            value if value < 0.01 => format!("{value:.4}"),
            value if value < 1.0 => format!("{value:.3}"),
            value if value < 100.0 => format!("{value:.2}"),
            value => format!("{value:.0}"),
        };
        f.pad(&format!("{} ({} .. {})", show(self.median), show(self.min), show(self.max)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_nothing_has_none() {
        let summary = Summary::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((summary.median, summary.min, summary.max), (2.0, 1.0, 3.0));
        assert_eq!(Summary::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.0);
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        let ratio = Summary::ratio(&[2.0, 30.0], &[1.0, 10.0]).unwrap();
        assert_eq!((ratio.min, ratio.max), (2.0, 3.0));
        assert_eq!(ratio.to_string(), "2.00 (2.00 .. 3.00)");
    }
}
