//! An alarm that is put off all the time.

use std::future::Future as _;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Wakes a connection, or a stream of it, when something is due. What happens meanwhile
/// puts that off; the alarm stays where it is, and rings once too early rather than being
/// set for each. So it is mostly a comparison, and the runtime's timer is not touched.
pub(super) struct Alarm {
    /// When it rings.
    at: Instant,
    /// Who is woken.
    waker: Option<Waker>,
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    /// One that is not set.
    pub(super) fn new(now: Instant) -> Self {
        Self { at: now, waker: None, sleep: Box::pin(sleep_until(now)) }
    }

    /// Has `cx` woken at `at` at the latest, which is after `now`.
    pub(super) fn set(&mut self, at: Instant, now: Instant, cx: &mut Context<'_>) {
        let in_time = self.at > now && self.at <= at;
        if in_time && self.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            return;
        }
        if !in_time {
            self.sleep.as_mut().reset(at);
            self.at = at;
        }
        self.waker = Some(cx.waker().clone());
        // Not refused for the budget of the task: it would have to be set once more.
        if pin!(unconstrained(self.sleep.as_mut())).poll(cx).is_ready() {
            // Time goes on, though not within a turn.
            cx.waker().wake_by_ref();
        }
    }
}
