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
}

impl Backoff {
    /// Starts a run.
    pub(crate) fn new() -> Self {
        Self { bound: *limits::BACKOFF.start() }
    }

    /// The pause before the next attempt.
    pub(crate) fn next(&mut self, rng: &mut fastrand::Rng) -> Duration {
        let pause = self.bound.mul_f64(rng.f64());
        self.bound = (self.bound * 2).min(*limits::BACKOFF.end());
        pause
    }

    /// Ends the run: something worked.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
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
        backoff.reset();
        assert!(backoff.next(&mut rng) <= *limits::BACKOFF.start());
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
