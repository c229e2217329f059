//! One task for each connection: HTTP/2 itself, and all the calls that are open on it.
//!
//! A task of the runtime's own for each stream costs more than what is delivered on it:
//! it has to be scheduled, and between two streams of one connection the runtime runs
//! the connection, which makes a write for each. Here what wakes them marks what is due
//! on its connection and wakes the one task. All streams that are due run first; what they hand
//! over, HTTP/2 then writes together.

use super::marks::{DRAIN, Mark, Marks, TRANSPORT};
use super::outgoing::Stream;
use super::turn;
use crate::metrics::Metrics;
use slab::Slab;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::task::unconstrained;

/// How often the parts of a connection may wake each other before other connections
/// have their turn: for what streams have, and for what HTTP/2 makes of it. A busy
/// connection that had more would be felt by those of others.
const TURNS: usize = 3;

/// A call that is being answered. It ends when all is handed over, or with a stream
/// that goes on.
pub(super) type Answering = Pin<Box<dyn Future<Output = Option<Box<Stream>>> + Send>>;

/// A connection of HTTP/2.
pub(super) trait Transport {
    /// What is left of it.
    type Output;

    /// Reads and writes what can be, and hands the calls that begin to `begin`; ready
    /// when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>, begin: &mut dyn FnMut(Answering)) -> Poll<Self::Output>;

    /// Whether calls may have been reset since this was asked last.
    fn take_reset(&mut self) -> bool;

    /// Lets the calls that are open end, and takes no more.
    fn drain(&mut self);
}

/// Drives a connection and the calls on it to their end.
pub(super) struct Driver<T> {
    transport: T,
    transport_waker: Waker,
    /// `None`: the transport is told.
    drain: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    drain_waker: Waker,
    calls: Slab<Call>,
    marks: Marks,
    metrics: Arc<Metrics>,
}

/// One call, and what marks it as due.
struct Call {
    state: State,
    waker: Waker,
}

enum State {
    Answering(Answering),
    Stream(Box<Stream>),
}

impl<T: Transport> Driver<T> {
    /// Drives `transport`, and drains it once `drain` has ended.
    pub(super) fn new(
        transport: T,
        metrics: Arc<Metrics>,
        drain: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let marks = Marks::default();
        Self {
            transport,
            transport_waker: marks.own(TRANSPORT),
            drain: Some(Box::pin(drain)),
            drain_waker: marks.own(DRAIN),
            calls: Slab::new(),
            marks,
            metrics,
        }
    }

    /// Runs what is due in this turn, HTTP/2 last: it has what the calls have made of it.
    fn run(&mut self) -> Poll<T::Output> {
        let turn = self.marks.turn();
        for block in self.marks.blocks(&turn) {
            // Each lies in memory that was not touched since its last delivery. One after
            // the other they would be waited for; looked at first, all come at once.
            let marked = self.marks.enter(block).step_if(|index| self.can_step(index));
            for (index, mark) in marked {
                self.poll_call(index, mark);
            }
            self.marks.leave(block);
        }
        let own = self.marks.own_of(&turn);
        let drains = own & DRAIN != 0 && self.poll_drain();
        if drains || own & TRANSPORT != 0 { self.poll_transport() } else { Poll::Pending }
    }

    /// Whether a call is a stream that waits for nothing but its topic.
    fn can_step(&self, index: usize) -> bool {
        match self.calls.get(index) {
            Some(Call { state: State::Stream(stream), .. }) => stream.can_step(),
            _ => false,
        }
    }

    fn poll_transport(&mut self) -> Poll<T::Output> {
        let (calls, marks) = (&mut self.calls, &mut self.marks);
        let mut begin = |call: Answering| {
            let entry = calls.vacant_entry();
            let waker = marks.of_call(entry.key());
            // What a call does between two waits is bounded by the windows of HTTP/2,
            // so it needs no budget of the runtime's.
            let state = State::Answering(Box::pin(unconstrained(call)));
            entry.insert(Call { state, waker });
        };
        let polled = self.transport.poll(&mut Context::from_waker(&self.transport_waker), &mut begin);
        if self.transport.take_reset() {
            // It is rare, and no more than a setup of a call for each: see `FramesMeter`.
            self.calls.retain(|_, call| match &mut call.state {
                State::Answering(_) => true,
                State::Stream(stream) => !stream.was_reset(),
            });
        }
        polled
    }

    fn poll_call(&mut self, index: usize, mark: Mark) {
        // One that has ended may still be marked.
        let Some(Call { state, waker }) = self.calls.get_mut(index) else { return };
        let cx = &mut Context::from_waker(waker);
        let ended = match state {
            State::Answering(answering) => match answering.as_mut().poll(cx) {
                Poll::Pending => false,
                Poll::Ready(None) => true,
                Poll::Ready(Some(mut stream)) => {
                    let (group, bit) = self.marks.group_of(index);
                    stream.join_group(group, bit);
                    // In the turn of its head: HTTP/2 writes both together.
                    let ended = stream.poll(cx, Mark { is_due: true, has_step: false }).is_ready();
                    *state = State::Stream(stream);
                    ended
                }
            },
            State::Stream(stream) => stream.poll(cx, mark).is_ready(),
        };
        if ended {
            self.calls.remove(index);
        }
    }

    /// Whether HTTP/2 has something to say for it.
    fn poll_drain(&mut self) -> bool {
        let cx = &mut Context::from_waker(&self.drain_waker);
        let ended = self.drain.as_mut().is_some_and(|drain| drain.as_mut().poll(cx).is_ready());
        if ended {
            self.drain = None;
            self.transport.drain();
        }
        ended
    }
}

impl<T: Transport + Unpin> Future for Driver<T> {
    type Output = T::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        let driver = &mut *self;
        for _ in 0..TURNS {
            if driver.marks.rest(cx.waker()) {
                return Poll::Pending;
            }
            turn::begin();
            let ran = driver.run();
            turn::end(&driver.metrics);
            if ran.is_ready() {
                return ran;
            }
        }
        if !driver.marks.rest(cx.waker()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker_ref;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// Ends when told; begins the calls that it is given, and counts how often it runs.
    struct Fake {
        to_begin: Vec<Answering>,
        runs: Arc<AtomicUsize>,
        drained: bool,
    }

    impl Transport for Fake {
        type Output = ();

        fn poll(&mut self, _: &mut Context<'_>, begin: &mut dyn FnMut(Answering)) -> Poll<()> {
            self.runs.fetch_add(1, Ordering::SeqCst);
            self.to_begin.drain(..).for_each(begin);
            if self.drained { Poll::Ready(()) } else { Poll::Pending }
        }

        fn take_reset(&mut self) -> bool {
            false
        }

        fn drain(&mut self) {
            self.drained = true;
        }
    }

    fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection with these calls, how often its transport has run, and what drains it.
    fn driver(
        to_begin: Vec<Answering>,
    ) -> (Driver<Fake>, Arc<AtomicUsize>, tokio::sync::oneshot::Sender<()>) {
        let runs = Arc::<AtomicUsize>::default();
        let (drain, drained) = tokio::sync::oneshot::channel();
        let fake = Fake { to_begin, runs: Arc::clone(&runs), drained: false };
        let drained = async move { drop(drained.await) };
        (Driver::new(fake, Arc::new(Metrics::new("test")), drained), runs, drain)
    }

    fn poll(driver: &mut Driver<Fake>) -> Poll<()> {
        Pin::new(driver).poll(&mut Context::from_waker(noop_waker_ref()))
    }

    #[test]
    fn only_what_is_due_runs_and_wakes_between_two_runs_count_once() {
        let wakers = Arc::<Mutex<Vec<Option<Waker>>>>::default();
        let polled = Arc::<[AtomicUsize; 3]>::default();
        let call = |index: usize| -> Answering {
            let (wakers, polled) = (Arc::clone(&wakers), Arc::clone(&polled));
            Box::pin(std::future::poll_fn(move |cx| {
                let mut wakers = locked(&wakers);
                wakers.resize(3, None);
                wakers[index] = Some(cx.waker().clone());
                polled[index].fetch_add(1, Ordering::SeqCst);
                Poll::Pending
            }))
        };
        let (mut driver, runs, _drain) = driver(vec![call(0), call(1), call(2)]);
        assert!(poll(&mut driver).is_pending());
        let before = runs.load(Ordering::SeqCst);
        for index in [1, 1, 2, 1] {
            locked(&wakers)[index].as_ref().unwrap().wake_by_ref();
        }
        assert!(poll(&mut driver).is_pending());
        let counts: Vec<_> = polled.iter().map(|count| count.load(Ordering::SeqCst)).collect();
        assert_eq!(counts, [1, 2, 2]);
        assert_eq!(runs.load(Ordering::SeqCst), before, "nobody asked for HTTP/2");
    }

    #[test]
    fn a_call_that_has_ended_is_let_go_and_its_waker_wakes_nobody_else() {
        let waker = Arc::<Mutex<Option<Waker>>>::default();
        let told = Arc::clone(&waker);
        let mut first = true;
        let call: Answering = Box::pin(std::future::poll_fn(move |cx| {
            *locked(&told) = Some(cx.waker().clone());
            if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(None) }
        }));
        let (mut driver, _, _drain) = driver(vec![call]);
        assert!(poll(&mut driver).is_pending());
        assert_eq!(driver.calls.len(), 1);
        for _ in 0..2 {
            locked(&waker).as_ref().unwrap().wake_by_ref();
            assert!(poll(&mut driver).is_pending());
            assert!(driver.calls.is_empty());
        }
    }

    #[test]
    fn parts_that_wake_each_other_for_ever_leave_others_their_turn() {
        let busy: Answering = Box::pin(std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        let (mut driver, _, _drain) = driver(vec![busy]);
        assert!(poll(&mut driver).is_pending());
        assert!(poll(&mut driver).is_pending());
    }

    #[test]
    fn a_drain_reaches_a_connection_that_rests() {
        let (mut driver, _, drain) = driver(Vec::new());
        assert!(poll(&mut driver).is_pending());
        drain.send(()).unwrap();
        assert!(poll(&mut driver).is_ready());
    }
}
