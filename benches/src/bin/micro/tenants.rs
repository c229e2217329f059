//! Many tenants in one process: a pool of a hub in a process of its own, which is
//! written to for any of them. The pool's CPU time is that of its thread: connections,
//! checks, states, and what the kernel does for its sockets.

use crate::apart::Apart;
use confhub_benches::hub::{CallPace, Caller, Hub, Program};
use confhub_benches::{Result, input, process};
use confhub_client::{Client, Pool, TenantId, TokenError, TokenRequest};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Settings of each tenant.
const KEYS: usize = 20;

/// Tenants that are opened first, so that what all share is there already.
const FIRST: usize = 10;

/// Calls at a time.
const WRITERS: usize = 32;

/// Options of `micro tenants`.
#[derive(clap::Args)]
pub(crate) struct TenantsArgs {
    /// Tenants.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(20..=1_000))]
    tenants: u32,
    /// How long is written, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Seed of the order in which tenants and keys are written.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// True: every write was applied by its tenant, or is counted as merged.
pub(crate) async fn run(args: &TenantsArgs) -> Result<bool> {
    let hub = Hub::start(&Program::Itself { current_thread: false }, CallPace::Lifted).await?;
    let names: Vec<_> = (0..args.tenants).map(|i| format!("tenant-{i:04}")).collect();
    let tokens: HashMap<_, _> =
        names.iter().map(|name| Ok((name.clone(), hub.token(name)?))).collect::<Result<_>>()?;
    let channel = hub.channel().await?;
    let callers: Vec<_> =
        names.iter().map(|name| Caller::new(channel.clone(), &tokens[name])).collect::<Result<_>>()?;
    let settings = input::settings(KEYS)?;
    let seed = |caller: Caller| {
        let settings = &settings;
        async move { caller.seed(settings).await }
    };
    stream::iter(callers.clone()).map(seed).buffer_unordered(WRITERS).try_collect::<()>().await?;

    let at_pool = Apart::start("pool")?;
    let endpoint = format!("http://{}", hub.address);
    let pool = at_pool.run(async move { pool(endpoint, tokens) }).await??;
    // What they take is there before it is measured.
    drop(open(&at_pool, &pool, names[..FIRST].to_vec()).await?);
    let opening = Taken::begin(&at_pool).await?;
    let clients = open(&at_pool, &pool, names.clone()).await?;
    let opening = opening.end(&at_pool).await?;
    let opened = f64::from(args.tenants - u32::try_from(FIRST)?);

    let writing = Taken::begin(&at_pool).await?;
    let before = Counts::of(&clients);
    let writes = write(callers, &settings, args).await?;
    let settled = async {
        while Counts::of(&clients).since(before).known() < u64::from(writes) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = timeout(PATIENCE, settled).await.is_ok();
    let writing = writing.end(&at_pool).await?;
    let counts = Counts::of(&clients).since(before);
    let whole = in_time && counts.known() == u64::from(writes) && counts.versions == u64::from(writes);

    let connections = pool.stats().connections;
    let figures = [
        ("tenants", f64::from(args.tenants)),
        ("connections", f64::from(u32::try_from(connections)?)),
        ("memory a tenant, kB", opening.memory_kb / opened),
        ("time to open all, s", opening.time.as_secs_f64()),
        ("CPU to open a tenant, us", opening.cpu.as_secs_f64() * 1e6 / opened),
        ("writes to any of them, a second", f64::from(writes) / writing.time.as_secs_f64()),
        ("updates applied", f64::from(u32::try_from(counts.updates)?)),
        ("versions merged by the hub", f64::from(u32::try_from(counts.superseded)?)),
        ("CPU an update, us", writing.cpu.as_secs_f64() * 1e6 / f64::from(u32::try_from(counts.updates)?)),
    ];
    if args.json {
        let rows: Vec<_> =
            figures.iter().map(|(name, value)| json!({ "figure": name, "value": value })).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        figures.iter().for_each(|(name, value)| println!("{name:<40} {value:>12.2}"));
    }
    let word = if whole { "ok    " } else { "MISSED" };
    eprintln!("{word} each of {writes} writes was applied, or is counted as merged: {counts:?}");
    at_pool.run(async move { pool.close().await }).await?;
    Ok(whole)
}

fn pool(endpoint: String, tokens: HashMap<String, String>) -> Result<Pool> {
    let tokens = Arc::new(tokens);
    let token_of = move |tenant: TenantId, _: TokenRequest| {
        let token = tokens.get(tenant.as_str()).cloned();
        std::future::ready(token.ok_or_else(|| TokenError::new("no such tenant")))
    };
    let builder = Pool::builder().endpoint(endpoint).tokens(token_of);
    Ok(builder.client(|client| client.connect_timeout(PATIENCE)).build()?)
}

/// Opens these at once, and returns when all are there.
async fn open(at_pool: &Apart, pool: &Pool, names: Vec<String>) -> Result<Vec<Client>> {
    let pool = pool.clone();
    let opened = at_pool.run(async move {
        let mut opening = JoinSet::new();
        for name in names {
            let pool = pool.clone();
            opening.spawn(async move { pool.tenant(&name).await });
        }
        opening.join_all().await
    });
    Ok(opened.await?.into_iter().collect::<std::result::Result<_, _>>()?)
}

/// Writes any key of any tenant, as fast as the hub takes it; returns how often.
async fn write(callers: Vec<Caller>, settings: &[input::Setting], args: &TenantsArgs) -> Result<u32> {
    let (callers, settings) = (Arc::new(callers), Arc::new(settings.to_vec()));
    let mut rng = fastrand::Rng::with_seed(args.seed);
    let until = Instant::now() + Duration::from_secs(args.seconds.into());
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (callers, settings, mut rng) = (Arc::clone(&callers), Arc::clone(&settings), rng.fork());
        writers.spawn(async move {
            let mut writes = 0;
            while Instant::now() < until {
                let setting = &settings[rng.usize(..settings.len())];
                let caller = &callers[rng.usize(..callers.len())];
                caller.put(setting.key.as_str(), setting.value.clone()).await?;
                writes += 1;
            }
            Ok::<u32, confhub_benches::Error>(writes)
        });
    }
    let writes: Result<Vec<_>> = writers.join_all().await.into_iter().collect();
    Ok(writes?.iter().sum())
}

/// Time, CPU time of the pool's thread, and memory of this process.
struct Taken {
    began: Instant,
    time: Duration,
    cpu: Duration,
    memory_kb: f64,
}

impl Taken {
    async fn begin(at_pool: &Apart) -> Result<Self> {
        let memory_kb = process::memory_kb(std::process::id())?;
        let cpu = at_pool.cpu_time().await?;
        Ok(Self { began: Instant::now(), time: Duration::ZERO, cpu, memory_kb })
    }

    /// What it was since.
    async fn end(self, at_pool: &Apart) -> Result<Self> {
        let (time, now) = (self.began.elapsed(), Self::begin(at_pool).await?);
        Ok(Self { time, cpu: now.cpu - self.cpu, memory_kb: now.memory_kb - self.memory_kb, ..self })
    }
}

/// What all clients have counted, and the versions that they hold.
#[derive(Debug, Clone, Copy)]
struct Counts {
    updates: u64,
    entries: u64,
    superseded: u64,
    versions: u64,
}

impl Counts {
    fn of(clients: &[Client]) -> Self {
        let sum = |of: fn(&Client) -> u64| clients.iter().map(of).sum();
        Self {
            updates: sum(|client| client.stats().updates),
            entries: sum(|client| client.stats().entries),
            superseded: sum(|client| client.stats().superseded),
            versions: sum(|client| client.snapshot().iter().map(|entry| entry.version()).sum()),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            updates: self.updates - before.updates,
            entries: self.entries - before.entries,
            superseded: self.superseded - before.superseded,
            versions: self.versions - before.versions,
        }
    }

    /// Versions of which the clients know.
    fn known(self) -> u64 {
        self.entries + self.superseded
    }
}
