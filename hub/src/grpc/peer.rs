//! What is known of the other end of a connection: whether it has calls under way,
//! and how often it was refused.

use super::pace::Pace;
use crate::limits::{BAD_TOKENS, FIRST_CALL, REFUSED_CALLS};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Shared by the connection and its calls.
pub(super) struct Peer {
    state: Mutex<State>,
    has_reset: AtomicBool,
}

struct State {
    open: usize,
    /// Whether it has ever made a call.
    called: bool,
    /// When the last call ended, or the connection began.
    since: Instant,
    /// When all that it may be refused will be there again.
    rested: [Instant; 2],
}

/// Why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It had no valid token.
    Token,
    /// Its caller may not do it, or has had too much.
    Caller,
}

impl Default for Peer {
    fn default() -> Self {
        let now = Instant::now();
        let state = State { open: 0, called: false, since: now, rested: [now; 2] };
        Self { state: Mutex::new(state), has_reset: AtomicBool::new(false) }
    }
}

impl Peer {
    /// A call begins.
    pub(super) fn enter(&self) {
        let mut state = self.lock();
        state.open += 1;
        state.called = true;
    }

    /// A call has ended.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.open = state.open.saturating_sub(1);
        state.since = Instant::now();
    }

    /// It has reset a call.
    pub(super) fn has_reset(&self) {
        self.has_reset.store(true, Ordering::SeqCst);
    }

    /// Whether it has reset calls since this was asked last.
    pub(super) fn take_reset(&self) -> bool {
        self.has_reset.load(Ordering::SeqCst) && self.has_reset.swap(false, Ordering::SeqCst)
    }

    /// Counts a call that was refused; whether that was one too many.
    pub(super) fn refused(&self, refusal: Refusal) -> bool {
        let (burst, per_second) = match refusal {
            Refusal::Token => BAD_TOKENS,
            Refusal::Caller => REFUSED_CALLS,
        };
        let [burst, per_second] = [burst, per_second].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        Pace::new(burst, per_second).take(&mut self.lock().rested[refusal as usize], Instant::now()).is_err()
    }

    /// How long the connection may go on as it is; nothing left: it is to be closed.
    /// `idle` is the longest time without a call.
    pub(super) fn left(&self, idle: Duration) -> Duration {
        let state = self.lock();
        match (state.open, state.called) {
            (0, called) => {
                let most = if called { idle } else { idle.min(FIRST_CALL) };
                most.saturating_sub(state.since.elapsed())
            }
            // It cannot become idle before so long from now.
            _ => idle,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const IDLE: Duration = Duration::from_secs(300);

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_idle_from_its_last_call_and_sooner_without_any() {
        let peer = Peer::default();
        assert_eq!(peer.left(IDLE), FIRST_CALL);
        advance(FIRST_CALL).await;
        assert!(peer.left(IDLE).is_zero());
        peer.enter();
        advance(IDLE * 3).await;
        assert_eq!(peer.left(IDLE), IDLE);
        peer.leave();
        advance(IDLE / 2).await;
        assert_eq!(peer.left(IDLE), IDLE / 2);
        advance(IDLE).await;
        assert!(peer.left(IDLE).is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_forgiven_as_time_goes_by() {
        let peer = Peer::default();
        assert!((0..BAD_TOKENS.0).all(|_| !peer.refused(Refusal::Token)));
        assert!(peer.refused(Refusal::Token));
        advance(Duration::from_secs(1)).await;
        assert!((0..BAD_TOKENS.1).all(|_| !peer.refused(Refusal::Token)));
        assert!(peer.refused(Refusal::Token));
    }
}
