//! One round of one peer: start, connect, subscribe, write, check.

use crate::fleet::{Fleet, Written};
use crate::ledger::Faults;
use crate::peer::{Peer, Side};
use crate::plan::{Case, Plan, Shape, Target, Targets, fit};
use crate::stamp::Stamp;
use confhub_benches::latency::Latencies;
use confhub_benches::server::Server;
use confhub_benches::summary::Summary;
use confhub_benches::{Result, process};
use futures_util::future::join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Connections that are opened at once.
const OPENING: usize = 64;

/// Longest wait for the last delivery, and for the streams to be current.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest wait for a server to come to rest.
const RESTING: Duration = Duration::from_secs(3);

/// What a server does after its last delivery is a part of the cost: it has this
/// long for it.
const SETTLING: Duration = Duration::from_millis(10);

/// Fewest deliveries that make a figure: where each write reaches one stream, one
/// alone would say nothing.
const LEAST: u64 = 100;

/// The figures of one round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Round {
    pub(crate) side: Side,
    pub(crate) shape: Shape,
    pub(crate) opening: Opening,
    pub(crate) cases: Vec<Figures>,
    pub(crate) faults: Faults,
}

/// What connections and streams cost before anything is written.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Opening {
    /// Resident memory of the server for each connection without streams, in kB.
    pub(crate) connection_kb: f64,
    /// For each stream beyond that, in kB.
    pub(crate) stream_kb: f64,
    /// For each connection with its streams, in kB.
    pub(crate) whole_kb: f64,
    /// CPU time of the server for each stream with its share of a connection, in us.
    pub(crate) cpu_us: f64,
}

/// The figures of one case in one round. A delivery is one write at one stream.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) case: Case,
    pub(crate) bursts: u64,
    pub(crate) deliveries: u64,
    /// Of them, merged into a newer version of the same key.
    pub(crate) superseded: u64,
    /// What brought a delivery, mean: see [`Case::bytes`]. Less where several came
    /// in one frame.
    pub(crate) bytes: f64,
    /// CPU time of the server, each delivery.
    pub(crate) cpu_us: f64,
    /// CPU time of the load itself, each delivery.
    pub(crate) own_cpu_us: f64,
    /// From when a write was due to its receipt, all streams.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    /// To the last stream, median of the bursts.
    pub(crate) last_ms: f64,
    /// From when a write was due to its acknowledgement.
    pub(crate) acknowledged_ms: f64,
    /// Resident memory of the server that each stream has come to take since the
    /// streams were open, in kB.
    pub(crate) grown_kb: f64,
}

/// Measures a peer.
pub(crate) async fn run<P: Peer>(side: Side, plan: &Plan, cases: &[(Case, Duration)]) -> Result<Round> {
    let mut session = Session::<P>::open(plan).await?;
    let opening = session.opening;
    // Once unmeasured: windows of sockets and allocators' pools are as they stay.
    if let Some((case, _)) = cases.first() {
        session.case(Case { burst: 1, ..*case }, Duration::ZERO).await?;
    }
    let mut figures = Vec::with_capacity(cases.len());
    let mut lost = 0;
    for (case, budget) in cases {
        figures.push(session.case(*case, *budget).await?);
        lost += session.given_up;
        if session.given_up > 0 || session.refused() {
            break;
        }
    }
    let mut faults = session.faults().await?;
    if !side.merges() {
        faults.lost += figures.iter().map(|figures| figures.superseded).sum::<u64>();
    }
    // What never came is counted where it is known which: here only if it is not.
    faults.lost = faults.lost.max(lost);
    Ok(Round { side, shape: plan.shape, opening, cases: figures, faults })
}

/// A peer with all streams open.
pub(crate) struct Session<'a, P> {
    plan: &'a Plan,
    pub(crate) peer: P,
    fleet: Rc<Fleet>,
    written: Written,
    targets: Targets,
    pub(crate) opening: Opening,
    /// Memory with all streams open, before the first write.
    subscribed_kb: f64,
    /// Deliveries that did not come in time.
    given_up: u64,
}

impl<P> Drop for Session<'_, P> {
    fn drop(&mut self) {
        self.fleet.end();
    }
}

impl<'a, P: Peer> Session<'a, P> {
    /// Starts the peer, and opens all connections and streams.
    pub(crate) async fn open(plan: &'a Plan) -> Result<Self> {
        Self::over(plan, P::start(plan).await?).await
    }

    /// The same with a peer that was started already.
    pub(crate) async fn over(plan: &'a Plan, peer: P) -> Result<Self> {
        let (shape, fleet) = (plan.shape, Fleet::new()?);
        let (empty_kb, cpu) = (peer.server().memory_kb()?, peer.server().cpu_time()?);
        let connecting = (0..shape.connections).map(|_| peer.connect(&fleet));
        let connections: Vec<_> = stream::iter(connecting).buffered(OPENING).try_collect().await?;
        let connected_kb = peer.server().memory_kb()?;
        let opening = connections
            .into_iter()
            .enumerate()
            .map(|(number, connection)| peer.open(connection, number, &fleet));
        let _: Vec<()> = stream::iter(opening).buffer_unordered(OPENING).try_collect().await?;
        current(&fleet, shape.streams()).await?;
        let cpu = peer.server().cpu_time()? - cpu;
        rest(peer.server(), P::REST).await?;
        let subscribed_kb = peer.server().memory_kb()?;
        let opening = Opening {
            connection_kb: (connected_kb - empty_kb) / float(shape.connections),
            stream_kb: (subscribed_kb - connected_kb) / float(shape.streams()),
            whole_kb: (subscribed_kb - empty_kb) / float(shape.connections),
            cpu_us: micros(cpu) / float(shape.streams()),
        };
        let (written, targets) = (Written::new(plan), Targets::new(plan));
        Ok(Self { plan, peer, fleet, written, targets, opening, subscribed_kb, given_up: 0 })
    }

    /// Writes burst after burst until the budget is spent, and until there are
    /// enough deliveries. Each is due a period after the one before, or when that one
    /// has arrived everywhere.
    pub(crate) async fn case(&mut self, case: Case, budget: Duration) -> Result<Figures> {
        self.case_while(case, |spent| spent <= budget).await
    }

    /// The same for as long as `go_on` says so of the time that it has taken.
    pub(crate) async fn case_while(
        &mut self,
        case: Case,
        go_on: impl Fn(Duration) -> bool,
    ) -> Result<Figures> {
        self.fleet.totals.borrow_mut().begin()?;
        let (mut lasts, mut acknowledged) = (Vec::new(), Latencies::new()?);
        let (cpu, own) = (self.peer.server().cpu_time()?, process::cpu_time(std::process::id())?);
        let started = Instant::now();
        let mut next = started;
        loop {
            sleep_until(next).await;
            next = Instant::now() + self.plan.period;
            self.burst(case, &mut acknowledged).await?;
            self.arrived().await;
            lasts.push(millis(self.fleet.totals.borrow().last));
            let received = {
                let totals = self.fleet.totals.borrow();
                totals.deliveries + totals.superseded
            };
            let enough = received >= LEAST && !go_on(next.saturating_duration_since(started));
            if enough || self.given_up > 0 || self.refused() {
                break;
            }
        }
        sleep(SETTLING).await;
        let cpu = self.peer.server().cpu_time()? - cpu;
        let own = process::cpu_time(std::process::id())? - own;
        let grown_kb = self.peer.server().memory_kb()? - self.subscribed_kb;
        let totals = self.fleet.totals.borrow();
        let received = (totals.deliveries + totals.superseded).max(1);
        let bursts = lasts.len() as u64;
        Ok(Figures {
            case,
            bursts,
            deliveries: totals.deliveries,
            superseded: totals.superseded,
            bytes: count(totals.bytes) / count(received),
            cpu_us: micros(cpu) / count(received),
            own_cpu_us: micros(own) / count(received),
            p50_ms: totals.latency.millis(50.0),
            p99_ms: totals.latency.millis(99.0),
            p999_ms: totals.latency.millis(99.9),
            last_ms: Summary::of(lasts).map_or(0.0, |lasts| lasts.median),
            acknowledged_ms: acknowledged.millis(50.0),
            grown_kb: grown_kb / float(self.plan.shape.streams()),
        })
    }

    /// What was not as it must be, now that all has arrived.
    pub(crate) async fn faults(&self) -> Result<Faults> {
        let digests = self.peer.digests(&self.written).await?;
        self.fleet.check(&self.written, &digests);
        Ok(self.fleet.totals.borrow().faults)
    }

    /// Whether any write was refused: what follows would be refused as well.
    fn refused(&self) -> bool {
        self.fleet.totals.borrow().faults.refused > 0
    }

    /// Writes a burst, all at once, and waits until each write is acknowledged.
    async fn burst(&mut self, case: Case, acknowledged: &mut Latencies) -> Result<()> {
        let targets = self.targets.burst(case.burst);
        let size = |target: &Target| {
            let key = &self.plan.settings[target.slot].key;
            fit(case.bytes, |value| self.peer.framed(key, value))
        };
        // This takes its time, which is none of the latency.
        let sizes: Vec<_> = targets.iter().map(size).collect::<Result<_>>()?;
        let due = self.fleet.totals.borrow().now();
        let mut writes = Vec::with_capacity(targets.len());
        for (target, size) in targets.into_iter().zip(sizes) {
            let times = &mut self.written.times[target.tenant][target.slot];
            *times += 1;
            let value = Stamp { due, slot: target.slot, version: *times }.value(size);
            self.fleet.totals.borrow_mut().expect(self.plan.shape.streams_of(target.tenant));
            writes.push((target, value, *times));
        }
        let put = async |(target, value, times): (Target, _, _)| {
            let version = self.peer.put(target, value, times).await;
            (target, version, self.fleet.totals.borrow().now())
        };
        for (Target { tenant, slot }, version, now) in join_all(writes.into_iter().map(put)).await {
            match version {
                Ok(version) => {
                    let last = &mut self.written.versions[tenant][slot];
                    *last = version.max(*last);
                    acknowledged.record(Duration::from_nanos(now.saturating_sub(due)));
                }
                Err(error) => {
                    eprintln!("a write was refused: {error}");
                    self.fleet.totals.borrow_mut().faults.refused += 1;
                }
            }
        }
        Ok(())
    }

    /// Waits until all that was written has arrived, or will not.
    async fn arrived(&mut self) {
        let complete = self.fleet.totals.borrow().complete();
        let all = async {
            while !self.fleet.totals.borrow().is_complete() {
                complete.notified().await;
            }
        };
        if timeout(PATIENCE, all).await.is_err() {
            self.given_up += self.fleet.totals.borrow_mut().give_up();
        }
    }
}

/// Waits until each stream knows that it is current.
async fn current(fleet: &Fleet, streams: usize) -> Result<()> {
    let since = Instant::now();
    loop {
        let current = fleet.totals.borrow().current;
        if current >= streams {
            return Ok(());
        }
        if since.elapsed() > PATIENCE {
            return Err(format!("only {current} of {streams} streams are current").into());
        }
        sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until a server has come to rest after so many streams: for `least`, and
/// until it uses a twentieth of its core at most, or will not.
async fn rest(server: &Server, least: Duration) -> Result<()> {
    const LOOK: Duration = Duration::from_millis(100);
    sleep(least).await;
    let since = Instant::now();
    let mut before = server.cpu_time()?;
    while since.elapsed() < RESTING {
        sleep(LOOK).await;
        let now = server.cpu_time()?;
        if now - before < LOOK / 20 {
            break;
        }
        before = now;
    }
    Ok(())
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A count as a figure; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn count(count: u64) -> f64 {
    count as f64
}

/// The same for sizes.
pub(crate) fn float(size: usize) -> f64 {
    count(size as u64)
}
