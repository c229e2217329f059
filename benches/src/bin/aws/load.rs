//! A tenant of many entries: time to load, memory, bytes on the wire.

use crate::account::{Account, Emulator};
use crate::args::{LoadArgs, Place};
use crate::fill::{Shelf, Store};
use crate::hubs::{Hub, Hubs};
use crate::measure::settings;
use crate::report::{self, Report};
use crate::subscriber::{Subscriber, digest};
use confhub_benches::{Error, Result};
use confhub_proto::State;
use serde::Serialize;
use tokio::time::Instant;
use tonic::{Code, Status};

const TENANT: &str = "shop";

/// Calls of Subscribe in which a tenant must be loaded.
const ATTEMPTS: usize = 20;

/// Reads of Parameter Store a second that nobody reaches here.
const UNBOUNDED: &str = "10000";

/// The figures of one load.
#[derive(Debug, Clone, Serialize)]
struct Round {
    backend: &'static str,
    /// Reads of Parameter Store a second; `None`: the default.
    parameter_reads: Option<&'static str>,
    /// A bare paginated read.
    bare_s: f64,
    /// From Subscribe to the first commit.
    load_s: f64,
    /// Calls of Subscribe that it took.
    attempts: usize,
    /// The same from a second subscriber on: the tenant is in memory.
    second_s: f64,
    /// Resident memory of the hub.
    before_kb: f64,
    after_kb: f64,
    first_bytes: usize,
    resuming_bytes: usize,
    resuming_entries: u64,
    lost: u64,
    unequal: u64,
}

/// A subscriber with the whole state.
struct Loaded {
    subscriber: Subscriber,
    took_s: f64,
    attempts: usize,
}

/// All loads.
#[derive(Serialize)]
pub(crate) struct Load {
    entries: u32,
    rounds: Vec<Round>,
}

/// Fills each store and has hubs load it.
pub(crate) async fn run(place: &Place, args: &LoadArgs) -> Result<Load> {
    let mut emulator = Emulator::start(place)?;
    let mut rounds = Vec::new();
    for store in args.backend.list() {
        let account = emulator.account().await?;
        let shelf = Shelf::new(&account, TENANT, *store)?;
        let began = Instant::now();
        shelf.fill(&settings(store.prefix(), usize::try_from(args.entries)?)?).await?;
        eprintln!("{}: {} entries written in {:.1?}", store.name(), args.entries, began.elapsed());
        for number in 1..=args.rounds {
            eprintln!("{}: round {number} of {}", store.name(), args.rounds);
            rounds.push(round(place, args, &account, &shelf, (*store, None)).await?);
            if *store == Store::Ssm {
                rounds.push(round(place, args, &account, &shelf, (*store, Some(UNBOUNDED))).await?);
            }
        }
    }
    Ok(Load { entries: args.entries, rounds })
}

async fn round(
    place: &Place,
    args: &LoadArgs,
    account: &Account,
    shelf: &Shelf<'_>,
    (store, parameter_reads): (Store, Option<&'static str>),
) -> Result<Round> {
    let entries = usize::try_from(args.entries)?;
    let began = Instant::now();
    let found = shelf.read_all().await?;
    let bare_s = began.elapsed().as_secs_f64();
    if found != entries {
        return Err(format!("a bare read finds {found} entries of {entries}").into());
    }
    let mut hubs = Hubs::new(place)?;
    let settings: Vec<_> =
        parameter_reads.iter().map(|reads| ("CONFHUB_AWS_PARAMETER_READS", *reads)).collect();
    let hub = hubs.start(account, &settings).await?;
    let token = hubs.token(TENANT)?;
    let before_kb = hub.server.memory_kb()?;
    let Loaded { subscriber: first, took_s: load_s, attempts } = subscribe(&hub, &token).await?;
    let after_kb = hub.server.memory_kb()?;
    let second_s = subscribe(&hub, &token).await?.took_s;
    let mut resuming = Subscriber::open(hub.channel().await?, &token, first.state.clone()).await?;
    resuming.until_current().await?;
    let unequal = digest(hub.channel().await?, &token).await? != first.state.digest();
    Ok(Round {
        backend: store.name(),
        parameter_reads,
        bare_s,
        load_s,
        attempts,
        second_s,
        before_kb,
        after_kb,
        first_bytes: first.tally.bytes,
        resuming_bytes: resuming.tally.bytes,
        resuming_entries: u64::try_from(resuming.tally.entries)?,
        lost: u64::try_from(entries.abs_diff(first.state.len()))?,
        unequal: u64::from(unequal) + u64::try_from(first.tally.diverged)?,
    })
}

/// Subscribes, and tells how long the first commit took. A tenant that takes longer
/// to load than a call may goes on loading, and is there for the next attempt.
async fn subscribe(hub: &Hub, token: &str) -> Result<Loaded> {
    let channel = hub.channel().await?;
    let (began, mut attempts) = (Instant::now(), 1);
    let mut subscriber = loop {
        match Subscriber::open(channel.clone(), token, State::default()).await {
            Err(error) if attempts < ATTEMPTS && is_late(&error) => attempts += 1,
            opened => break opened?,
        }
    };
    subscriber.until_commit().await?;
    Ok(Loaded { subscriber, took_s: began.elapsed().as_secs_f64(), attempts })
}

fn is_late(error: &Error) -> bool {
    error.downcast_ref::<Status>().is_some_and(|status| status.code() == Code::DeadlineExceeded)
}

impl Report for Load {
    fn print(&self) {
        println!("{} entries, median (least .. greatest)", self.entries);
        let kinds = [(Store::DynamoDb, None), (Store::Ssm, None), (Store::Ssm, Some(UNBOUNDED))];
        for (store, reads) in kinds {
            let of_kind = |round: &&Round| round.backend == store.name() && round.parameter_reads == reads;
            let rounds: Vec<_> = self.rounds.iter().filter(of_kind).collect();
            if rounds.is_empty() {
                continue;
            }
            let about = reads.map_or_else(String::new, |reads| format!(", {reads} reads a second"));
            println!("{}{about}", store.name());
            let row = |name: &str, of: fn(&Round) -> f64| {
                println!("  {name:<46} {}", report::show(rounds.iter().map(|round| of(round))));
            };
            row("a bare paginated read, s", |round| round.bare_s);
            row("Subscribe to the first commit, s", |round| round.load_s);
            row("  in calls of Subscribe", |round| report::figure(round.attempts));
            row("  ratio", |round| round.load_s / round.bare_s);
            row("the same for the next subscriber, s", |round| round.second_s);
            row("memory of the hub before, MB", |round| round.before_kb / 1e3);
            row("memory of the hub after, MB", |round| round.after_kb / 1e3);
            row("bytes to a first subscriber", |round| report::figure(round.first_bytes));
            row("bytes to a resuming one", |round| report::figure(round.resuming_bytes));
        }
    }

    fn faults(&self) -> Vec<(&'static str, u64)> {
        let sum = |of: fn(&Round) -> u64| self.rounds.iter().map(of).sum();
        vec![
            ("entries lost", sum(|round| round.lost)),
            ("digests unequal", sum(|round| round.unequal)),
            ("entries sent to resuming subscribers", sum(|round| round.resuming_entries)),
        ]
    }
}
