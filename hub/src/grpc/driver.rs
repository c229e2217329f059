//! One task for each connection: HTTP/2 itself, and all the calls that are open on it.
//!
//! A task of the runtime's own for each stream costs more than what is delivered on it:
//! it has to be scheduled, and between two streams of one connection the runtime runs
//! the connection, which makes a write for each. Here a waker marks what is due on its
//! connection and wakes the one task. All streams that are due run first; what they hand
//! over, HTTP/2 then writes together.

use super::turn;
use crate::metrics::Metrics;
use slab::Slab;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use tokio::task::unconstrained;

/// How often the parts of a connection may wake each other before other connections
/// have their turn.
const TURNS: usize = 8;

/// The mark of HTTP/2 itself. No call has it: there are not so many.
const TRANSPORT: usize = usize::MAX;

/// The mark of the signal to drain.
const DRAIN: usize = usize::MAX - 1;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection of HTTP/2.
pub(super) trait Transport: Future {
    /// Lets the calls that are open end, and takes no more.
    fn drain(self: Pin<&mut Self>);
}

/// Takes the calls of a connection as they begin. Each is a future that answers, and
/// ends when all of the answer is handed over.
#[derive(Clone, Default)]
pub(super) struct Begun(Arc<Mutex<Vec<Work>>>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Begun {
    fn execute(&self, call: F) {
        // What it does between two waits is bounded by the windows of HTTP/2, so it
        // needs no budget of the runtime's.
        locked(&self.0).push(Box::pin(unconstrained(call)));
    }
}

/// Drives a connection and the calls on it to their end.
pub(super) struct Driver<T> {
    transport: Part<Pin<Box<T>>>,
    /// `None`: the transport is told.
    drain: Option<Part<Work>>,
    begun: Begun,
    calls: Slab<Part<Work>>,
    due: Arc<Due>,
    /// What is due in this turn; kept for its room.
    turn: Vec<usize>,
    metrics: Arc<Metrics>,
}

/// Something that is polled when its mark says so.
struct Part<F> {
    future: F,
    mark: Arc<Mark>,
    waker: Waker,
}

impl<F> Part<F> {
    /// A part that is due at once.
    fn new(future: F, due: &Arc<Due>, index: usize) -> Self {
        let mark = Arc::new(Mark { due: Arc::clone(due), index, marked: AtomicBool::new(false) });
        let waker = Waker::from(Arc::clone(&mark));
        waker.wake_by_ref();
        Self { future, mark, waker }
    }

    fn poll<O>(&mut self) -> Poll<O>
    where
        F: Unpin + Future<Output = O>,
    {
        // Before it is polled: what comes from here on has to mark it again.
        self.mark.marked.store(false, Ordering::SeqCst);
        Pin::new(&mut self.future).poll(&mut Context::from_waker(&self.waker))
    }
}

impl<T: Transport> Driver<T> {
    /// Drives `transport`, which hands the calls that begin to `begun`, and drains it
    /// once `drain` has ended.
    pub(super) fn new(
        transport: T,
        begun: Begun,
        metrics: Arc<Metrics>,
        drain: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let due = Arc::<Due>::default();
        Self {
            transport: Part::new(Box::pin(transport), &due, TRANSPORT),
            drain: Some(Part::new(Box::pin(drain), &due, DRAIN)),
            begun,
            calls: Slab::new(),
            due,
            turn: Vec::new(),
            metrics,
        }
    }

    /// Runs what is due in this turn, HTTP/2 last.
    fn run(&mut self) -> Poll<T::Output> {
        let mut transport = false;
        let mut turn = std::mem::take(&mut self.turn);
        for index in turn.drain(..) {
            match index {
                TRANSPORT => transport = true,
                DRAIN => transport |= self.poll_drain(),
                index => self.poll_call(index),
            }
        }
        self.turn = turn;
        if transport { self.poll_transport() } else { Poll::Pending }
    }

    fn poll_transport(&mut self) -> Poll<T::Output> {
        let polled = self.transport.poll();
        for call in std::mem::take(&mut *locked(&self.begun.0)) {
            let entry = self.calls.vacant_entry();
            let index = entry.key();
            entry.insert(Part::new(call, &self.due, index));
        }
        polled
    }

    fn poll_call(&mut self, index: usize) {
        // One that has ended may still be marked.
        if let Some(call) = self.calls.get_mut(index)
            && call.poll().is_ready()
        {
            self.calls.remove(index);
        }
    }

    /// Whether HTTP/2 has something to say for it.
    fn poll_drain(&mut self) -> bool {
        let ended = self.drain.as_mut().is_some_and(|drain| drain.poll().is_ready());
        if ended {
            self.drain = None;
            self.transport.future.as_mut().drain();
        }
        ended
    }
}

impl<T: Transport> Future for Driver<T> {
    type Output = T::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        let driver = &mut *self;
        for _ in 0..TURNS {
            if !driver.due.take(&mut driver.turn, cx.waker()) {
                return Poll::Pending;
            }
            turn::begin();
            let ran = driver.run();
            turn::end(&driver.metrics);
            if ran.is_ready() {
                return ran;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// What is due on a connection.
#[derive(Default)]
struct Due(Mutex<Marked>);

#[derive(Default)]
struct Marked {
    /// Each at most once.
    parts: Vec<usize>,
    /// Wakes the task of the connection, while that rests.
    task: Option<Waker>,
}

impl Due {
    /// Moves what is due to `turn`, which is empty. If nothing is, `task` is woken when
    /// something will be: there is no gap between the two.
    fn take(&self, turn: &mut Vec<usize>, task: &Waker) -> bool {
        let mut marked = locked(&self.0);
        std::mem::swap(&mut marked.parts, turn);
        marked.task = turn.is_empty().then(|| task.clone());
        !turn.is_empty()
    }
}

/// Marks one part as due.
struct Mark {
    due: Arc<Due>,
    index: usize,
    marked: AtomicBool,
}

impl Wake for Mark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.marked.swap(true, Ordering::SeqCst) {
            return;
        }
        let task = {
            let mut marked = locked(&self.due.0);
            marked.parts.push(self.index);
            marked.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks stops half way: a poisoned one guards whole data.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker_ref;
    use hyper::rt::Executor as _;
    use std::sync::atomic::AtomicUsize;

    /// Ends when told; begins the calls that it is given, and counts how often it runs.
    struct Fake {
        begun: Begun,
        to_begin: Vec<Work>,
        runs: Arc<AtomicUsize>,
        drained: bool,
    }

    impl Transport for Fake {
        fn drain(mut self: Pin<&mut Self>) {
            self.drained = true;
        }
    }

    impl Future for Fake {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            self.runs.fetch_add(1, Ordering::SeqCst);
            for call in std::mem::take(&mut self.to_begin) {
                self.begun.execute(call);
            }
            if self.drained { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    /// A connection with these calls, how often its transport has run, and what drains it.
    fn driver(calls: Vec<Work>) -> (Driver<Fake>, Arc<AtomicUsize>, tokio::sync::oneshot::Sender<()>) {
        let (begun, runs) = (Begun::default(), Arc::<AtomicUsize>::default());
        let (drain, drained) = tokio::sync::oneshot::channel();
        let fake = Fake { begun: begun.clone(), to_begin: calls, runs: Arc::clone(&runs), drained: false };
        let drained = async move { drop(drained.await) };
        (Driver::new(fake, begun, Arc::new(Metrics::new("test")), drained), runs, drain)
    }

    fn poll(driver: &mut Driver<Fake>) -> Poll<()> {
        Pin::new(driver).poll(&mut Context::from_waker(noop_waker_ref()))
    }

    #[test]
    fn only_what_is_due_runs_and_wakes_between_two_runs_count_once() {
        let wakers = Arc::<Mutex<Vec<Option<Waker>>>>::default();
        let polled = Arc::<[AtomicUsize; 3]>::default();
        let call = |index: usize| -> Work {
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
        let call: Work = Box::pin(std::future::poll_fn(move |cx| {
            *locked(&told) = Some(cx.waker().clone());
            if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
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
        let busy: Work = Box::pin(std::future::poll_fn(|cx| {
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
