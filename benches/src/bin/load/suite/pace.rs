//! How long each session of a suite may take, so that all end in time.

use crate::peer::Side;
use crate::plan::{Case, Plan};
use crate::session::Round;
use confhub_benches::Result;
use std::time::Duration;
use tokio::time::Instant;

/// What a session takes beside its cases, before any has told.
const GUESS: Duration = Duration::from_secs(3);

/// No case takes longer, however much time there is.
const LONGEST: Duration = Duration::from_secs(3);

/// How many times as long as the others the first case is measured, since most is
/// said of it.
const FIRST: u32 = 3;

/// The time that there is, and what was done in it.
pub(super) struct Pace {
    started: Instant,
    limit: Duration,
    sessions: usize,
    done: usize,
    /// What all sessions together took beyond what they were given.
    beside: Duration,
}

impl Pace {
    pub(super) fn new(limit: Duration, sessions: usize) -> Self {
        Self { started: Instant::now(), limit, sessions, done: 0, beside: Duration::ZERO }
    }

    /// How far it has come, for who waits.
    pub(super) fn head(&self) -> String {
        let elapsed = self.started.elapsed();
        let left = match u32::try_from(self.done) {
            Ok(done) if done > 0 => {
                let each = elapsed / done;
                format!("{} s left", (each * u32::try_from(self.sessions - self.done).unwrap_or(0)).as_secs())
            }
            _ => format!("at most {} s", self.limit.as_secs()),
        };
        format!("[{}/{}, {} s, {left}] ", self.done + 1, self.sessions, elapsed.as_secs())
    }

    /// Measures one round of a side in the time that is its share.
    pub(super) async fn session(&mut self, side: Side, plan: &Plan, cases: &[Case]) -> Result<Round> {
        let share = self.share(self.started.elapsed(), u32::try_from(cases.len())?);
        let times = |at: usize| if at == 0 { share * FIRST } else { share };
        let cases: Vec<_> = cases.iter().enumerate().map(|(at, case)| (*case, times(at))).collect();
        let given: Duration = cases.iter().map(|(_, budget)| *budget).sum();
        let since = Instant::now();
        let round = side.round(plan, &cases).await?;
        self.beside += since.elapsed().saturating_sub(given);
        self.done += 1;
        Ok(round)
    }

    /// What each case but the first is given.
    fn share(&self, elapsed: Duration, cases: u32) -> Duration {
        let to_come = u32::try_from(self.sessions - self.done).unwrap_or(u32::MAX).max(1);
        let session = self.limit.saturating_sub(elapsed) / to_come;
        let beside = u32::try_from(self.done).ok().filter(|done| *done > 0).map(|done| self.beside / done);
        (session.saturating_sub(beside.unwrap_or(GUESS)) / (cases - 1 + FIRST)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_late_takes_from_what_follows() {
        let mut pace = Pace::new(Duration::from_secs(100), 10);
        // 10 s a session, of which 3 are guessed to go elsewhere.
        assert_eq!(pace.share(Duration::ZERO, 5), Duration::from_secs(1));
        (pace.done, pace.beside) = (5, Duration::from_secs(10));
        assert_eq!(pace.share(Duration::from_secs(55), 5), Duration::from_secs(1));
        assert_eq!(pace.share(Duration::from_secs(95), 5), Duration::ZERO);
        assert_eq!(pace.share(Duration::from_secs(195), 5), Duration::ZERO);
        assert!(pace.head().starts_with("[6/10, 0 s, "));
    }
}
