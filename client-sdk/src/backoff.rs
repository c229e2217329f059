//! How long to wait before the next attempt: exponential with full jitter.
//!
//! The bound doubles with each failure and the pause is drawn evenly from
//! nothing up to the bound, so that clients which lost their hub in the same
//! instant do not come back in the same instant. (Marc Brooker, "Exponential
//! Backoff and Jitter", 2015, measures why the jitter should be full.)

use crate::limits;
use std::time::Duration;

/// The pauses of one run of failures.
#[derive(Debug)]
pub(crate) struct Backoff {
    bound: Duration,
    /// The next pause is no shorter.
    at_least: Duration,
}

impl Backoff {
    /// Starts a run.
    pub(crate) fn new() -> Self {
        Self { bound: *limits::BACKOFF.start(), at_least: Duration::ZERO }
    }

    /// The pause before the next attempt.
    pub(crate) fn next(&mut self, rng: &mut fastrand::Rng) -> Duration {
        let at_least = std::mem::take(&mut self.at_least);
        let pause = at_least + self.bound.saturating_sub(at_least).mul_f64(rng.f64());
        self.bound = (self.bound * 2).min(*limits::BACKOFF.end());
        pause
    }

    /// Makes the next pause at least half of its bound, and that no less than `bound`.
    pub(crate) fn slow_down(&mut self, bound: Duration) {
        self.bound = self.bound.max(bound);
        self.at_least = self.bound / 2;
    }

    /// Makes the next pause one of the longest: at least half of the longest bound.
    pub(crate) fn exhaust(&mut self) {
        self.bound = *limits::BACKOFF.end();
        self.at_least = self.bound / 2;
    }

    /// Ends the run if a stream that was there for `lived` counts as a success:
    /// it does if it outlived the pauses that led to it. So a hub that restarts
    /// now and then is found again at once, and one that drops every stream as
    /// it opens is not called more and more often.
    pub(crate) fn worked(&mut self, lived: Duration) -> bool {
        let success = lived >= self.bound.min(limits::LIVED);
        if success {
            *self = Self::new();
        }
        success
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_stay_below_a_bound_that_doubles_up_to_its_end() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut backoff = Backoff::new();
        let mut bound = *limits::BACKOFF.start();
        for _ in 0..64 {
            assert!(backoff.next(&mut rng) <= bound);
            bound = (bound * 2).min(*limits::BACKOFF.end());
        }
    }

    #[test]
    fn a_pause_after_exhaustion_is_long_whatever_the_draw() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..64 {
            let mut backoff = Backoff::new();
            backoff.exhaust();
            let pause = backoff.next(&mut rng);
            assert!(pause >= *limits::BACKOFF.end() / 2 && pause <= *limits::BACKOFF.end(), "{pause:?}");
        }
    }

    #[test]
    fn only_a_stream_that_outlived_the_pauses_starts_them_over() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut backoff = Backoff::new();
        for _ in 0..4 {
            backoff.next(&mut rng);
        }
        let bound = *limits::BACKOFF.start() * 16;
        assert!(!backoff.worked(bound - Duration::from_millis(1)));
        assert!(backoff.worked(bound));
        assert!(backoff.next(&mut rng) <= *limits::BACKOFF.start());
        for _ in 0..64 {
            backoff.next(&mut rng);
        }
        assert!(backoff.worked(limits::LIVED), "enough, however long the pauses were");
    }

    #[test]
    fn the_jitter_is_full_and_follows_the_seed() {
        let draw = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut all = Vec::new();
            for _ in 0..1_000 {
                let mut backoff = Backoff::new();
                all.push(backoff.next(&mut rng));
            }
            all
        };
        let pauses = draw(1);
        assert_eq!(pauses, draw(1));
        let first = *limits::BACKOFF.start();
        assert!(pauses.iter().any(|pause| *pause < first / 10));
        assert!(pauses.iter().any(|pause| *pause > first * 9 / 10));
    }
}
