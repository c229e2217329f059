//! Whether a store answers, as its last calls have shown.

use crate::backend::{BackendError, Cause};
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long a call that was answered speaks for the store. Probes come every few
/// seconds from each load balancer, and a call for each costs money.
const GOOD: Duration = Duration::from_secs(10);

/// How long a call that failed does: short, so that a store that is back is seen
/// to be, and long enough that one that is down is not asked by every probe.
const BAD: Duration = Duration::from_secs(2);

/// How long a check waits for its call once the store has been heard of: a load
/// balancer takes a hub that does not answer its probe for a dead one, and a store
/// that hangs would so end all of them. The first call may take longer: it looks
/// for credentials, and until then the hub is not ready anyway.
const PATIENCE: Duration = Duration::from_secs(2);

/// Remembers how the last call went, so that a check seldom needs one of its own.
#[derive(Debug)]
pub struct Pulse {
    /// Which backend.
    kind: &'static str,
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
    /// Of a backend that was not heard of yet.
    #[must_use]
    pub fn new(kind: &'static str) -> Self {
        Self { kind, last: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// Takes note of how a call went. Damaged data is an answer too: the store
    /// is there.
    pub fn record<T>(&self, outcome: &Result<T, BackendError>) {
        let outcome = match outcome {
            Err(error @ BackendError::Unavailable { .. }) => Err(error.clone()),
            Ok(_) | Err(BackendError::Damaged { .. }) => Ok(()),
        };
        *self.last() = Some(Beat { at: Instant::now(), outcome });
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
        let outcome = self.patiently(probe).await;
        self.record(&outcome);
        outcome
    }

    async fn patiently(
        &self,
        probe: impl Future<Output = Result<(), BackendError>>,
    ) -> Result<(), BackendError> {
        if self.last().is_none() {
            return probe.await;
        }
        timeout(PATIENCE, probe).await.unwrap_or_else(|_| {
            let reason = format!("no answer within {} s", PATIENCE.as_secs());
            Err(BackendError::Unavailable { kind: self.kind, cause: Cause::Timeout, reason })
        })
    }

    fn last(&self) -> MutexGuard<'_, Option<Beat>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> Option<Result<(), BackendError>> {
        let last = self.last();
        let last = last.as_ref()?;
        let lasts = if last.outcome.is_ok() { GOOD } else { BAD };
        (last.at.elapsed() < lasts).then(|| last.outcome.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::{advance, sleep};

    fn down() -> Result<(), BackendError> {
        Err(BackendError::Unavailable { kind: "test", cause: Cause::Timeout, reason: String::new() })
    }

    #[tokio::test(start_paused = true)]
    async fn checks_share_one_call_and_its_answer_lasts_for_a_while() {
        let (pulse, calls) = (Pulse::new("test"), AtomicUsize::new(0));
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

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_keeps_nobody_waiting_but_at_first() {
        let pulse = Pulse::new("test");
        let slow = async {
            sleep(PATIENCE * 2).await;
            Ok(())
        };
        assert!(pulse.check(slow).await.is_ok(), "it may look for credentials first");
        advance(GOOD).await;
        let error = pulse.check(std::future::pending()).await.unwrap_err();
        assert_eq!(error.cause(), Cause::Timeout);
    }
}
