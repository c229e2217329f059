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

    /// Has `cx` woken at `at` at the latest, which is after `now`. That has to be the time
    /// of this very moment, and not of the turn: the alarm may have rung on another thread
    /// since the turn began, and whoever then believes that it will ring is woken no more.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;
    use tokio::time::advance;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_for_what_it_was_set_for_however_often_that_was_put_off() {
        const SECOND: Duration = Duration::from_secs(1);
        let count = Arc::<Count>::default();
        let waker = Waker::from(Arc::clone(&count));
        let cx = &mut Context::from_waker(&waker);
        let began = Instant::now();
        let mut alarm = Alarm::new(began);
        alarm.set(began + SECOND, began, cx);
        // Put off, it rings too early, and is set again by who is woken.
        for rings in 1..4 {
            alarm.set(Instant::now() + 10 * SECOND, Instant::now(), cx);
            advance(if rings == 1 { SECOND } else { 10 * SECOND }).await;
            tokio::task::yield_now().await;
            assert_eq!(count.0.load(Ordering::SeqCst), rings);
        }
        // It has rung while somebody else had the turn: at that moment's time it is set anew.
        alarm.set(Instant::now() + SECOND, Instant::now(), cx);
        advance(SECOND).await;
        tokio::task::yield_now().await;
        assert_eq!(count.0.load(Ordering::SeqCst), 4);
    }
}
