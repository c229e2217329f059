//! From an acknowledged write to the value in one SDK client, beside a unary
//! call of the same hub, in turn.

use crate::args::RoundtripArgs;
use crate::stamp::Stamp;
use confhub_benches::hub::{CallPace, Caller};
use confhub_benches::latency::Latencies;
use confhub_benches::summary::Summary;
use confhub_benches::{Result, input};
use confhub_client::{Client, Watch};
use confhub_proto::wire;
use serde::Serialize;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;
use wire::config_service_client::ConfigServiceClient;

/// Settings of the tenant.
const KEYS: usize = 64;

/// Longest wait for one value.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far the median may be from that of a unary call.
const TARGET: f64 = 2.0;

/// Figures of one round, in microseconds.
#[derive(Serialize)]
struct Figures {
    /// From the acknowledgement to the value in the client; 0 if it was there before.
    applied_p50_us: f64,
    applied_p99_us: f64,
    /// A unary `Get`, there and back.
    unary_p50_us: f64,
    unary_p99_us: f64,
    /// From the call of `Put` to its acknowledgement.
    put_p50_us: f64,
    put_p99_us: f64,
    /// From the call of `Put` to the value in the client.
    visible_p50_us: f64,
    visible_p99_us: f64,
}

/// True: within the target.
pub(crate) async fn run(args: &RoundtripArgs) -> Result<bool> {
    let place = args.at.place()?;
    let hub = place.hub(CallPace::Lifted).await?;
    let token = hub.token("shop")?;
    let channel = hub.channel().await?;
    let caller = Caller::new(channel.clone(), &token)?;
    let settings = input::settings(KEYS)?;
    caller.seed(&settings).await?;
    let client = Client::builder().endpoint(format!("http://{}", hub.address)).token(token).connect().await?;
    timeout(PATIENCE, client.ready()).await??;
    let key = settings[0].key.as_str();
    let (seen, sight) = watch::channel((0, Instant::now()));
    tokio::task::spawn_local(look(client.watch(key), seen));

    let mut pair = Pair { caller, config: ConfigServiceClient::new(channel), sight };
    // Once unmeasured: connections and caches are warm then.
    pair.round(args.calls.min(100), key).await?;
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        rounds.push(pair.round(args.calls, key).await?);
    }
    report(&rounds, args.json)
}

/// Tells when the client shows which version.
async fn look(mut key: Watch, seen: watch::Sender<(u64, Instant)>) {
    while let Ok(entry) = key.changed().await {
        seen.send_replace((entry.map_or(0, |entry| entry.version()), Instant::now()));
    }
}

struct Pair {
    caller: Caller,
    config: ConfigServiceClient<Channel>,
    sight: watch::Receiver<(u64, Instant)>,
}

impl Pair {
    async fn round(&mut self, calls: u32, key: &str) -> Result<Figures> {
        let [mut applied, mut unary, mut put, mut visible] =
            [Latencies::new()?, Latencies::new()?, Latencies::new()?, Latencies::new()?];
        for call in 0..calls {
            let called = Instant::now();
            let version =
                self.caller.put(key, Stamp { due: 0, slot: 0, version: call.into() }.value(48)).await?;
            let acknowledged = Instant::now();
            let seen = *timeout(PATIENCE, self.sight.wait_for(|(seen, _)| *seen >= version)).await??;
            put.record(acknowledged - called);
            applied.record(seen.1.saturating_duration_since(acknowledged));
            visible.record(seen.1.saturating_duration_since(called));

            let request = wire::GetRequest { key: key.to_owned(), service: String::new() };
            let request = self.caller.request(request);
            let called = Instant::now();
            self.config.get(request).await?;
            unary.record(called.elapsed());
        }
        let p50 = |latencies: &Latencies| latencies.millis(50.0) * 1e3;
        let p99 = |latencies: &Latencies| latencies.millis(99.0) * 1e3;
        Ok(Figures {
            applied_p50_us: p50(&applied),
            applied_p99_us: p99(&applied),
            unary_p50_us: p50(&unary),
            unary_p99_us: p99(&unary),
            put_p50_us: p50(&put),
            put_p99_us: p99(&put),
            visible_p50_us: p50(&visible),
            visible_p99_us: p99(&visible),
        })
    }
}

fn report(rounds: &[Figures], as_json: bool) -> Result<bool> {
    let all = |of: fn(&Figures) -> f64| rounds.iter().map(of).collect::<Vec<_>>();
    let nothing = "nothing was measured";
    let (applied, unary) = (all(|r| r.applied_p50_us), all(|r| r.unary_p50_us));
    let ratio = Summary::ratio(&applied, &unary).ok_or(nothing)?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(rounds)?);
    } else {
        println!("{:<48} {:>24} {:>24}", "median (least .. greatest) of rounds, us", "p50", "p99");
        let rows = [
            ("acknowledged to applied in the client", applied, all(|r| r.applied_p99_us)),
            ("unary Get, there and back", unary, all(|r| r.unary_p99_us)),
            ("Put, called to acknowledged", all(|r| r.put_p50_us), all(|r| r.put_p99_us)),
            ("Put, called to applied in the client", all(|r| r.visible_p50_us), all(|r| r.visible_p99_us)),
        ];
        for (name, p50, p99) in rows {
            let (p50, p99) = (Summary::of(p50).ok_or(nothing)?, Summary::of(p99).ok_or(nothing)?);
            println!("{name:<48} {p50:>24} {p99:>24}");
        }
    }
    let met = ratio.median <= TARGET;
    let word = if met { "ok" } else { "MISSED" };
    eprintln!("{word}: acknowledged to applied is {ratio} of a unary call; the target is {TARGET}");
    Ok(met)
}
