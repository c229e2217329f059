//! From a foreign write to the value in an SDK client, beside a plain consumer.

use crate::account::{Account, Emulator};
use crate::args::{LatencyArgs, Place};
use crate::consumer::Consumer;
use crate::fill::{Shelf, Store};
use crate::hubs::Hubs;
use crate::measure::{millis, now, percentile, settings};
use crate::report::{self, Report};
use crate::subscriber;
use crate::writer::Writer;
use confhub_benches::Result;
use confhub_benches::summary::Summary;
use confhub_client::{ChangeStream, Client};
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const TENANT: &str = "shop";

/// Keys that are written in turn, so that none is hinted too often.
const KEYS: usize = 64;

/// Changes before the first round, unmeasured.
const WARM_UP: u32 = 50;

/// Longest wait for a change.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often the emulator looks for whoever waits at a queue.
const RHYTHM: Duration = Duration::from_millis(5);

/// What the hub may add at p99, in milliseconds.
const TARGET_MS: f64 = 10.0;

/// Two percentiles of one thing in one round, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
struct Span {
    p50_ms: f64,
    p99_ms: f64,
}

/// The figures of one round.
#[derive(Debug, Clone, Serialize)]
struct Round {
    backend: &'static str,
    /// The writer's call.
    write: Span,
    /// From the beginning of that call.
    called_to_plain: Span,
    called_to_client: Span,
    /// From its return; below 0 if the event was faster.
    returned_to_plain: Span,
    returned_to_client: Span,
    /// Of the two last, change by change, the difference.
    hub_adds: Span,
    /// A bare read of the same entry.
    bare_read: Span,
    lost: u64,
    backwards: u64,
    unequal: u64,
}

/// All rounds.
#[derive(Serialize)]
pub(crate) struct Latency {
    changes: u32,
    target_ms: f64,
    rounds: Vec<Round>,
}

/// The times of one change, in nanoseconds since the epoch, and of a bare read.
struct Sample {
    called: i128,
    returned: i128,
    plain: i128,
    client: i128,
    bare_read_ms: f64,
}

/// Who writes, who listens, and what there is.
struct Bench<'a> {
    shelf: Shelf<'a>,
    store: Store,
    keys: Vec<String>,
    writer: Writer,
    consumer: Consumer,
    client: Client,
    changes: ChangeStream,
    written: usize,
    lost: u64,
    backwards: u64,
}

/// Measures each store in turn, round by round.
pub(crate) async fn run(place: &Place, args: &LatencyArgs) -> Result<Latency> {
    let mut emulator = Emulator::start(place)?;
    let mut rounds = Vec::new();
    for store in args.backend.list() {
        let account = emulator.account().await?;
        rounds.extend(rounds_of(place, args, &account, *store).await?);
    }
    Ok(Latency { changes: args.changes, target_ms: TARGET_MS, rounds })
}

async fn rounds_of(place: &Place, args: &LatencyArgs, account: &Account, store: Store) -> Result<Vec<Round>> {
    let shelf = Shelf::new(account, TENANT, store)?;
    let settings = settings(store.prefix(), KEYS)?;
    shelf.fill(&settings).await?;
    let mut hubs = Hubs::new(place)?;
    let hub = hubs.start(account, &[]).await?;
    let token = hubs.token(TENANT)?;
    let consumer = Consumer::open(account).await?;
    let client = Client::builder().endpoint(hub.url()).token(&*token).connect().await?;
    let mut bench = Bench {
        shelf,
        store,
        keys: settings.iter().map(|setting| setting.key.to_string()).collect(),
        writer: Writer::start(account, TENANT)?,
        consumer,
        changes: client.changes(),
        client,
        written: 0,
        lost: 0,
        backwards: 0,
    };
    let pause = Duration::from_millis(args.pause.into());
    bench.samples(WARM_UP, pause).await?;
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        eprintln!("{}: round {number} of {}", store.name(), args.rounds);
        let samples = bench.samples(args.changes, pause).await?;
        let digest = subscriber::digest(hub.channel().await?, &token).await?;
        let mut round = Round::new(store, &samples)?;
        round.unequal = u64::from(digest != bench.client.cursor());
        round.lost = std::mem::take(&mut bench.lost);
        round.backwards = std::mem::take(&mut bench.backwards);
        rounds.push(round);
    }
    Ok(rounds)
}

impl Bench<'_> {
    async fn samples(&mut self, changes: u32, pause: Duration) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for _ in 0..changes {
            match timeout(PATIENCE, self.sample()).await {
                Ok(sample) => samples.push(sample?),
                // At most a few: each costs its whole patience.
                Err(_) => self.lost += 1,
            }
            self.consumer.tidy().await?;
            // By chance, so that no rhythm of the emulator favours one who receives.
            sleep(pause + RHYTHM.mul_f64(fastrand::f64())).await;
        }
        Ok(samples)
    }

    async fn sample(&mut self) -> Result<Sample> {
        let key = self.keys[self.written % self.keys.len()].clone();
        self.written += 1;
        let value = format!("\"change {}\"", self.written);
        let before = self.client.get(&key).map_or(0, |entry| entry.version());
        let (client, changes) = (&self.client, &mut self.changes);
        let applied = async {
            while client.get(&key).is_none_or(|entry| entry.value() != value.as_bytes()) {
                changes.next().await.ok_or("the client ended")?;
            }
            now()
        };
        let (write, receive) = (self.writer.write(self.store, &key, &value), self.consumer.heard(&key));
        let (written, plain, client) = tokio::try_join!(write, receive, applied)?;
        let version = self.client.get(&key).map_or(0, |entry| entry.version());
        self.backwards += u64::from(version <= before);
        let asked = Instant::now();
        self.shelf.read(&key).await?;
        let bare_read_ms = asked.elapsed().as_secs_f64() * 1e3;
        Ok(Sample { called: written.called, returned: written.returned, plain, client, bare_read_ms })
    }
}

impl Span {
    fn of(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> Result<Self> {
        let values: Vec<_> = samples.iter().map(of).collect();
        Ok(Self { p50_ms: percentile(&values, 50)?, p99_ms: percentile(&values, 99)? })
    }
}

impl Round {
    fn new(store: Store, samples: &[Sample]) -> Result<Self> {
        Ok(Self {
            backend: store.name(),
            write: Span::of(samples, |s| millis(s.called, s.returned))?,
            called_to_plain: Span::of(samples, |s| millis(s.called, s.plain))?,
            called_to_client: Span::of(samples, |s| millis(s.called, s.client))?,
            returned_to_plain: Span::of(samples, |s| millis(s.returned, s.plain))?,
            returned_to_client: Span::of(samples, |s| millis(s.returned, s.client))?,
            hub_adds: Span::of(samples, |s| millis(s.plain, s.client))?,
            bare_read: Span::of(samples, |s| s.bare_read_ms)?,
            lost: 0,
            backwards: 0,
            unequal: 0,
        })
    }
}

impl Latency {
    fn of(&self, backend: Store) -> Vec<&Round> {
        self.rounds.iter().filter(|round| round.backend == backend.name()).collect()
    }
}

impl Report for Latency {
    fn print(&self) {
        for store in [Store::DynamoDb, Store::Ssm] {
            let rounds = self.of(store);
            if rounds.is_empty() {
                continue;
            }
            println!("{}, {} changes a round, ms{:>29} {:>26}", store.name(), self.changes, "p50", "p99");
            let row = |name: &str, of: fn(&Round) -> Span| {
                let p50 = report::show(rounds.iter().map(|round| of(round).p50_ms));
                let p99 = report::show(rounds.iter().map(|round| of(round).p99_ms));
                println!("{name:<36} {p50:>26} {p99:>26}");
            };
            row("the writer's call", |round| round.write);
            row("call begun to plain consumer", |round| round.called_to_plain);
            row("call begun to SDK client", |round| round.called_to_client);
            row("call returned to plain consumer", |round| round.returned_to_plain);
            row("call returned to SDK client", |round| round.returned_to_client);
            row("what the hub adds", |round| round.hub_adds);
            row("a bare read of the entry", |round| round.bare_read);
        }
    }

    fn faults(&self) -> Vec<(&'static str, u64)> {
        let sum = |of: fn(&Round) -> u64| self.rounds.iter().map(of).sum();
        vec![
            ("lost", sum(|round| round.lost)),
            ("versions that did not rise", sum(|round| round.backwards)),
            ("digests unequal at the end", sum(|round| round.unequal)),
        ]
    }

    fn missed(&self) -> Vec<String> {
        let missed = |store: Store| {
            let adds = Summary::of(self.of(store).iter().map(|round| round.hub_adds.p99_ms))?;
            let name = store.name();
            (adds.median > TARGET_MS)
                .then(|| format!("{name}: the hub adds {adds} ms at p99; the target is {TARGET_MS}"))
        };
        [Store::DynamoDb, Store::Ssm].into_iter().filter_map(missed).collect()
    }
}
