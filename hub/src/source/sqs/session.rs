//! Receiving from one queue, for as long as it is there.

use super::super::health::{Failure, Part};
use super::backoff::Backoff;
use super::intake::{Intake, Sorted};
use super::queue::{BATCH, LONG_POLL, Message, Queue};
use super::unsettled::{HELD, Ticket, UNSETTLED, Unsettled};
use crate::backend::Cause;
use futures_util::future::{BoxFuture, FutureExt as _, Shared, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// Most receives under way at a time while there is more than one can bring: at
/// 10 ms each, 4,000 messages a second.
const RECEIVES: usize = 4;

/// Most other calls under way at a time, for the same reason.
const CALLS: usize = 4;

/// How long a receive waits for a message after one has failed: short, so that
/// the end of an outage shows at once on a queue where nothing happens.
const PROBE: Duration = Duration::from_secs(1);

/// How long a message that cannot be read stays hidden: often enough to be rid of
/// it before long, and seldom enough that it takes no other's place.
const POISON: Duration = Duration::from_secs(2);

/// Longest time for the last deletes when the hub ends. What is not deleted
/// comes again, to whoever receives then.
const FLUSH: Duration = Duration::from_secs(1);

/// Why a session is over.
#[derive(Debug)]
pub(super) enum End {
    /// The hub ends.
    Shutdown,
    /// The queue is not there any more.
    Gone(Failure),
}

/// Waits until the hub ends, or whoever would tell is gone.
pub(super) async fn told(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|shutdown| *shutdown).await;
}

/// A call that is not a receive.
enum Call {
    Delete(Vec<String>),
    Hide(Vec<String>, Duration),
}

/// Receives from one queue. All it does is done by one task, which waits for
/// whatever comes first.
pub(super) struct Session<'a> {
    intake: &'a Intake,
    queue: &'a Queue,
    receives: FuturesUnordered<BoxFuture<'a, Result<Vec<Message>, Failure>>>,
    /// How many receives there should be.
    wanted: usize,
    /// Messages whose hints are under way; with each, in the end, whether they
    /// were applied.
    waiting: FuturesUnordered<BoxFuture<'static, (Ticket, bool)>>,
    unsettled: Unsettled,
    /// Receipts of messages to delete, as many at a time as there are then.
    delete: Vec<String>,
    outbox: VecDeque<Call>,
    calls: FuturesUnordered<BoxFuture<'a, Result<(), Failure>>>,
    backoff: Backoff,
    /// When to receive again after a failure.
    pause: Option<Instant>,
    failed: bool,
    /// When a receive was last answered.
    heard: Instant,
}

impl<'a> Session<'a> {
    pub(super) fn new(intake: &'a Intake, queue: &'a Queue) -> Self {
        Self {
            intake,
            queue,
            receives: FuturesUnordered::new(),
            wanted: 1,
            waiting: FuturesUnordered::new(),
            unsettled: Unsettled::new(queue.visibility),
            delete: Vec::new(),
            outbox: VecDeque::new(),
            calls: FuturesUnordered::new(),
            backoff: Backoff::default(),
            pause: None,
            failed: false,
            heard: Instant::now(),
        }
    }

    /// Receives until the queue is gone or the hub ends.
    pub(super) async fn run(mut self, mut shutdown: watch::Receiver<bool>) -> End {
        loop {
            self.receive();
            self.call();
            let wake = self.wake();
            tokio::select! {
                biased;
                // Before all else: somebody waits for what it brings.
                Some(received) = self.receives.next() => match received {
                    Ok(messages) => self.received(messages),
                    Err(failure) if self.queue.gone(&failure) => return End::Gone(failure),
                    Err(failure) => self.failed(failure),
                },
                () = told(&mut shutdown) => {
                    let _ = timeout(FLUSH, self.flush()).await;
                    return End::Shutdown;
                }
                Some((ticket, applied)) = self.waiting.next() => self.settled(ticket, applied),
                Some(called) = self.calls.next() => self.called(called),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => self.hide_again(),
            }
        }
    }

    /// Has as many receives under way as there should be.
    fn receive(&mut self) {
        if self.pause.is_some_and(|until| Instant::now() < until) {
            return;
        }
        self.pause = None;
        let waiting = self.delete.len() + BATCH * (self.outbox.len() + self.calls.len());
        let room = UNSETTLED.saturating_sub(self.unsettled.len() + waiting) / BATCH;
        while self.receives.len() < self.wanted.min(room) {
            let wait = if self.failed { PROBE } else { LONG_POLL };
            self.receives.push(Box::pin(self.queue.receive(wait)));
        }
    }

    fn received(&mut self, messages: Vec<Message>) {
        if self.heard.elapsed() > self.queue.retention {
            let silent_s = self.heard.elapsed().as_secs();
            tracing::warn!(silent_s, "the queue has not kept all changes of the outage: reading everything");
            self.intake.lost();
        }
        self.heard = Instant::now();
        self.failed = false;
        self.backoff.reset();
        self.intake.working(Part::Receive);
        // A full one tells that there is more; one that was empty, that there is not.
        self.wanted = if messages.len() == BATCH { RECEIVES } else { 1 };
        let Sorted { hinting, applied, delete, poison } = self.intake.take(messages, self.queue.redrive);
        let done = |applied: super::super::Applied| applied.done().boxed().shared();
        let done: BTreeMap<_, _> = applied.into_iter().map(|(tenant, one)| (tenant, done(one))).collect();
        for (message, mut tenants) in hinting {
            let all = tenants.len();
            tenants.retain(|tenant| self.unsettled.admits(tenant));
            let sent = message.sent.filter(|_| tenants.len() == all);
            let waits: Vec<Shared<_>> =
                tenants.iter().filter_map(|tenant| done.get(tenant).cloned()).collect();
            let ticket = self.unsettled.add(message.receipt, sent, tenants);
            let applied = async move { (ticket, timeout(HELD, join_all(waits)).await.is_ok()) };
            self.waiting.push(Box::pin(applied));
        }
        self.delete.extend(delete);
        if !poison.is_empty() {
            self.outbox.push_back(Call::Hide(poison, POISON));
        }
    }

    fn failed(&mut self, failure: Failure) {
        self.intake.failing(Part::Receive, failure);
        self.failed = true;
        self.wanted = 1;
        self.pause = Some(Instant::now() + self.backoff.next());
    }

    fn settled(&mut self, ticket: Ticket, applied: bool) {
        let held = self.unsettled.settle(ticket);
        if let Some(held) = held.filter(|_| applied) {
            self.intake.applied(held.sent);
            self.delete.push(held.receipt);
        }
    }

    /// When there is something to do that nothing else tells of.
    fn wake(&mut self) -> Option<Instant> {
        [self.pause, self.unsettled.next_due()].into_iter().flatten().min()
    }

    /// Has the messages hidden again that would soon be given to others.
    fn hide_again(&mut self) {
        let due = self.unsettled.due();
        self.intake.metrics.source.visibility_extensions.inc_by(due.len() as u64);
        for batch in due.chunks(BATCH) {
            self.outbox.push_back(Call::Hide(batch.to_vec(), self.queue.visibility));
        }
    }

    /// Makes the calls that are to be made. Deletes wait for nothing but their
    /// turn: while calls are under way, they gather.
    fn call(&mut self) {
        while self.calls.len() < CALLS {
            let call = self.outbox.pop_front().or_else(|| {
                let most = self.delete.len().min(BATCH);
                (most > 0).then(|| Call::Delete(self.delete.drain(..most).collect()))
            });
            let queue = self.queue;
            self.calls.push(match call {
                Some(Call::Delete(receipts)) => Box::pin(queue.delete(receipts)),
                Some(Call::Hide(receipts, visibility)) => Box::pin(queue.hide(receipts, visibility)),
                None => return,
            });
        }
    }

    fn called(&mut self, called: Result<(), Failure>) {
        match called {
            Ok(()) => self.intake.working(Part::Settle),
            // That it is gone is what the next receive says.
            Err(failure) if failure.cause == Cause::Missing => {}
            Err(failure) => self.intake.failing(Part::Settle, failure),
        }
    }

    /// Deletes what is applied.
    async fn flush(&mut self) {
        self.receives.clear();
        while let Some(Some((ticket, applied))) = self.waiting.next().now_or_never() {
            self.settled(ticket, applied);
        }
        loop {
            self.call();
            let Some(called) = self.calls.next().await else { return };
            self.called(called);
        }
    }
}
