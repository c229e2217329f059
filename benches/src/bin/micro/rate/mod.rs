//! One client at thousands of updates a second.
//!
//! Sender, client and reader have a thread each. The client's CPU time is that of its
//! thread: HTTP/2, checks, the state, one follower of all changes that looks a hundred
//! times a second, and what the kernel does for its socket.

mod feed;
mod reads;
mod stamp;

use crate::apart::Apart;
use confhub_benches::summary::Summary;
use confhub_benches::{Result, input};
use confhub_client::{Client, Stats, Typed};
use feed::{Feed, Pace, Sent};
use reads::{Reader, Reads};
use serde_json::json;
use stamp::Stamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, interval, sleep, timeout};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the follower looks.
const LOOK: Duration = Duration::from_millis(10);

/// Keys that are read in turn: more than the caches next to a core hold.
const READ_KEYS: usize = 4_096;

/// Least share of the rate at which updates have to be taken.
const KEPT: f64 = 0.98;

/// Options of `micro rate`.
#[derive(clap::Args)]
pub(crate) struct RateArgs {
    /// Updates a second, of one entry each.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    rate: u32,
    /// How long they are sent, in seconds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Updates of the part in which they are sent as fast as they are taken.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    flat: u32,
    /// Settings in the state.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=50_000))]
    keys: u32,
    /// Rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seed of the order in which keys are written.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// True: the rate was kept, and every update was applied and counted.
pub(crate) async fn run(args: &RateArgs) -> Result<bool> {
    let scene = Scene::start(args).await?;
    // Once unmeasured: all is warm then.
    scene.part(Pace::Flat { updates: args.flat }).await?;
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        eprintln!("round {number} of {}", args.rounds);
        rounds.push(scene.round(args).await?);
    }
    report(args, &rounds)
}

/// A sender, a client and what reads it.
struct Scene {
    feed: Feed,
    client: Client,
    handle: Typed<Stamp>,
    keys: Arc<Vec<String>>,
    epoch: Instant,
    // The threads last: what runs there ends with what is above.
    at_client: Apart,
    _at_feed: Apart,
}

/// What one part of a round took.
struct Part {
    sent: Sent,
    /// From the first sent to the last applied.
    took: Duration,
    cpu: Duration,
    /// What the client has counted meanwhile.
    applied: u64,
    merged: u64,
    /// Nothing was lost, merged by the sender or healed.
    whole: bool,
}

struct Round {
    steady: Part,
    lag_p50_us: f64,
    lag_p99_us: f64,
    flat: Part,
    rest: Reads,
    meanwhile: Reads,
    /// All parts were.
    whole: bool,
}

impl Scene {
    async fn start(args: &RateArgs) -> Result<Self> {
        let mut settings = input::settings(usize::try_from(args.keys)?)?;
        settings[0].value = "0".into();
        let mut rng = fastrand::Rng::with_seed(args.seed);
        // Copies, so that the map is not asked with the very strings that it holds.
        let any = |_| settings[rng.usize(1..settings.len())].key.as_str().to_owned();
        let keys = Arc::new((0..READ_KEYS).map(any).collect());
        let (stamped, epoch) = (settings[0].key.as_str().to_owned(), Instant::now());
        let (at_feed, at_client) = (Apart::start("feed")?, Apart::start("client")?);
        let (feed, serve) = at_feed.run(Feed::open(settings, args.seed, epoch)).await??;
        at_feed.spawn(serve);

        let endpoint = format!("http://{}", feed.address);
        let connect = Client::builder().endpoint(endpoint).token("a.token.of-no-hub").connect();
        let client = at_client.run(connect).await??;
        let handle = client.typed::<Stamp>(&stamped)?;
        let mut changes = client.changes();
        at_client.spawn(async move {
            let mut looks = interval(LOOK);
            while changes.next().await.is_some() {
                looks.tick().await;
            }
        });
        Ok(Self { feed, client, handle, keys, epoch, at_client, _at_feed: at_feed })
    }

    async fn round(&self, args: &RateArgs) -> Result<Round> {
        let time = Duration::from_secs(args.seconds.into());
        let pace = Pace::Steady { rate: args.rate, time };
        let reader = Reader::start(&self.client, &self.keys, &self.handle);
        sleep(time).await;
        let rest = reader.stop()?;
        let reader = Reader::start(&self.client, &self.keys, &self.handle);
        let read = self.part(pace).await;
        let meanwhile = reader.stop()?;
        let read = read?;

        let epoch = self.epoch;
        self.at_client.run(async move { stamp::take(epoch) }).await??;
        let steady = self.part(pace).await?;
        let lag = self.at_client.run(async move { stamp::take(epoch) }).await??;
        let flat = self.part(Pace::Flat { updates: args.flat }).await?;
        let (lag_p50_us, lag_p99_us) = (lag.millis(50.0) * 1e3, lag.millis(99.0) * 1e3);
        let whole = read.whole && steady.whole && flat.whole;
        Ok(Round { steady, lag_p50_us, lag_p99_us, flat, rest, meanwhile, whole })
    }

    /// Sends updates, and waits until the client has them.
    async fn part(&self, pace: Pace) -> Result<Part> {
        let before = (self.client.stats(), self.at_client.cpu_time().await?);
        let sent = self.feed.send(pace).await;
        let sent = sent.map_err(|error| format!("{error}; the client is {}", self.client.status()))?;
        let client = self.client.clone();
        let applied = self.at_client.run(async move {
            while client.cursor() != sent.cursor {
                sleep(Duration::from_millis(1)).await;
            }
            Instant::now()
        });
        let applied =
            timeout(PATIENCE, applied).await.map_err(|_| "the client has not got all updates")??;
        let after = (self.client.stats(), self.at_client.cpu_time().await?);
        let since = |of: fn(&Stats) -> u64| of(&after.0) - of(&before.0);
        let counts =
            (since(|s| s.updates), since(|s| s.entries), since(|s| s.superseded), since(|s| s.healed));
        Ok(Part {
            sent,
            took: applied - sent.began,
            cpu: after.1 - before.1,
            applied: counts.0,
            merged: since(|s| s.merged),
            whole: counts == (sent.updates, sent.updates, 0, 0),
        })
    }
}

impl Part {
    fn a_second(&self) -> f64 {
        count(self.applied) / self.took.as_secs_f64()
    }

    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / count(self.applied)
    }

    /// Updates that were taken from the sender in a second.
    fn taken(&self) -> f64 {
        count(self.sent.updates) / self.sent.took.as_secs_f64()
    }
}

/// Far below 2^53, so nothing is rounded.
#[allow(clippy::cast_precision_loss, reason = "a count of updates of one run")]
fn count(count: u64) -> f64 {
    count as f64
}

fn report(args: &RateArgs, rounds: &[Round]) -> Result<bool> {
    let steady = |of: fn(&Part) -> f64| rounds.iter().map(|r| of(&r.steady)).collect::<Vec<_>>();
    let flat = |of: fn(&Part) -> f64| rounds.iter().map(|r| of(&r.flat)).collect::<Vec<_>>();
    let all = |of: fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<_>>();
    let rows = [
        ("applied, updates/s", steady(Part::a_second)),
        ("sent to applied, p50, us", all(|r| r.lag_p50_us)),
        ("sent to applied, p99, us", all(|r| r.lag_p99_us)),
        ("CPU an update, us", steady(Part::cpu_us)),
        (
            "of them merged for who looks every 10 ms, %",
            steady(|p| 100.0 * count(p.merged) / count(p.applied)),
        ),
        ("flat out: applied, updates/s", flat(Part::a_second)),
        ("flat out: CPU an update, us", flat(Part::cpu_us)),
        ("Client::get at rest, ns", all(|r| r.rest.get)),
        ("Client::get meanwhile, ns", all(|r| r.meanwhile.get)),
        ("Client::get, meanwhile to at rest", all(|r| r.meanwhile.get / r.rest.get)),
        ("Typed::load at rest, ns", all(|r| r.rest.load)),
        ("Typed::load meanwhile, ns", all(|r| r.meanwhile.load)),
        ("Typed::load, meanwhile to at rest", all(|r| r.meanwhile.load / r.rest.load)),
    ];
    let summary = |values: Vec<f64>| Summary::of(values).ok_or("nothing was measured");
    if args.json {
        let rows: Result<Vec<_>, _> = rows
            .into_iter()
            .map(|(name, values)| summary(values).map(|figures| json!({ "figure": name, "value": figures })))
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows?)?);
    } else {
        println!("{:<48} {:>32}", format!("{} updates/s, {} keys", args.rate, args.keys), "median (range)");
        for (name, values) in rows {
            println!("{name:<48} {:>32}", summary(values)?);
        }
    }
    let taken = summary(steady(Part::taken))?;
    let kept = taken.median >= KEPT * f64::from(args.rate);
    let word = |good| if good { "ok    " } else { "MISSED" };
    eprintln!("{} the client takes {} updates/s: {taken}", word(kept), args.rate);
    let whole = rounds.iter().all(|round| round.whole);
    eprintln!("{} every update was applied, and counted once", word(whole));
    Ok(kept && whole)
}
