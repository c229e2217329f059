//! Whether a store answers, as its last calls have shown.

use crate::backend::BackendError;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a call that was answered speaks for the store. Probes come every few
/// seconds from each load balancer, and a call for each costs money.
const GOOD: Duration = Duration::from_secs(10);

/// How long a call that failed does: short, so that a store that is back is seen
/// to be, and long enough that one that is down is not asked by every probe.
const BAD: Duration = Duration::from_secs(2);

/// Remembers how the last call went, so that a check seldom needs one of its own.
#[derive(Debug, Default)]
pub struct Pulse {
    last: Mutex<Option<Beat>>,
    /// Held by the one check that makes a call.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Beat {
    at: Instant,
    outcome: Result<(), BackendError>,
}

impl Pulse {
    /// Takes note of how a call went. Damaged data is an answer too: the store
    /// is there.
    pub fn record<T>(&self, outcome: &Result<T, BackendError>) {
        let outcome = match outcome {
            Err(error @ BackendError::Unavailable { .. }) => Err(error.clone()),
            Ok(_) | Err(BackendError::Damaged { .. }) => Ok(()),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Beat { at: Instant::now(), outcome });
    }

    /// How the store is: from a call of late, or else from `probe`, a cheap call
    /// that is made by one check at a time and recorded here.
    ///
    /// # Errors
    /// What the call answered.
    pub async fn check(
        &self,
        probe: impl Future<Output = Result<(), BackendError>>,
    ) -> Result<(), BackendError> {
        if let Some(outcome) = self.known() {
            return outcome;
        }
        let _asking = self.asking.lock().await;
        // Somebody else may have asked meanwhile.
        if let Some(outcome) = self.known() {
            return outcome;
        }
        let outcome = probe.await;
        self.record(&outcome);
        outcome
    }

    fn known(&self) -> Option<Result<(), BackendError>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.as_ref()?;
        let lasts = if last.outcome.is_ok() { GOOD } else { BAD };
        (last.at.elapsed() < lasts).then(|| last.outcome.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Cause;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::{advance, sleep};

    fn down() -> Result<(), BackendError> {
        Err(BackendError::Unavailable { kind: "test", cause: Cause::Timeout, reason: String::new() })
    }

    #[tokio::test(start_paused = true)]
    async fn checks_share_one_call_and_its_answer_lasts_for_a_while() {
        let (pulse, calls) = (Pulse::default(), AtomicUsize::new(0));
        let probe = |outcome| {
            let calls = &calls;
            async move {
                calls.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_secs(1)).await;
                outcome
            }
        };
        let (a, b) = tokio::join!(pulse.check(probe(down())), pulse.check(probe(down())));
        assert!(a.is_err() && b.is_err());
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        advance(BAD).await;
        assert!(pulse.check(probe(Ok(()))).await.is_ok());
        advance(GOOD - Duration::from_secs(1)).await;
        assert!(pulse.check(probe(down())).await.is_ok());
        assert_eq!(calls.load(Ordering::Relaxed), 2);
        // Any other call tells as much.
        pulse.record::<()>(&down());
        assert!(pulse.check(probe(Ok(()))).await.is_err());
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }
}
