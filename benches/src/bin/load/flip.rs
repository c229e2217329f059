//! From the flip of a flag to its being applied everywhere, as the hub learns it from
//! the instances, beside a unary call; and what it costs that they tell.

use crate::args::FlipArgs;
use confhub_benches::hub::{CallPace, Caller, Hub};
use confhub_benches::latency::Latencies;
use confhub_benches::summary::Summary;
use confhub_benches::{Result, input};
use confhub_client::Client;
use confhub_flags::{Context, FLAG_TYPE};
use confhub_proto::wire;
use serde::Serialize;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tonic::transport::Channel;
use wire::config_service_client::ConfigServiceClient;
use wire::fleet_service_client::FleetServiceClient;
use wire::wait_applied_response::State;

const SERVICES: usize = 10;
const INSTANCES_EACH: usize = 10;
const INSTANCES: usize = SERVICES * INSTANCES_EACH;

/// Flips of a round: an instance reports so many at once, whoever asks.
const FLIPS: usize = 12;

/// Between two flips: a person makes them, and an instance leaves some time between two
/// reports.
const PAUSE: Duration = Duration::from_millis(200);

/// Settings of the tenant beside the flag.
const KEYS: usize = 64;

const FLAG: &str = "newCheckout";
const KEY: &str = "tenant_config_flag.newCheckout";

/// How often is written while the cost is measured.
const PERIOD: Duration = Duration::from_millis(50);

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// Most that reports may cost beside deliveries.
const TARGET: f64 = 0.1;

/// Figures of one round.
#[derive(Serialize)]
struct Figures {
    flip_p50_ms: f64,
    flip_p99_ms: f64,
    unary_p50_ms: f64,
    unary_p99_ms: f64,
    /// CPU time of the hub a delivery, without reports and with them, while changes come
    /// one after the other.
    plain_us: f64,
    reported_us: f64,
}

/// True: reports cost no more than they may.
pub(crate) async fn run(args: &FlipArgs) -> Result<bool> {
    let place = args.at.place()?;
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        eprintln!("round {number} of {}", args.rounds);
        let hub = place.hub(CallPace::Lifted).await?;
        rounds.push(round(&hub, Duration::from_secs(args.seconds)).await?);
    }
    report(&rounds, args.json)
}

async fn round(hub: &Hub, writing: Duration) -> Result<Figures> {
    let token = hub.token("shop")?;
    let channel = hub.channel().await?;
    let caller = Caller::new(channel.clone(), &token)?;
    let settings = input::settings(KEYS)?;
    caller.seed(&settings).await?;
    flip(&caller, false).await?;

    let plain = subscribers(hub, &token).await?;
    let plain_us = cost(hub, &caller, &settings, writing).await?;
    drop(plain);

    let instances = instances(hub, &token).await?;
    let (flips, unary) = flips(&caller, channel, &instances).await?;
    let reported_us = cost(hub, &caller, &settings, writing).await?;
    Ok(Figures {
        flip_p50_ms: flips.millis(50.0),
        flip_p99_ms: flips.millis(99.0),
        unary_p50_ms: unary.millis(50.0),
        unary_p99_ms: unary.millis(99.0),
        plain_us,
        reported_us,
    })
}

/// Writes the flag, on or off.
async fn flip(caller: &Caller, on: bool) -> Result<u64> {
    let chosen = if on { "on" } else { "off" };
    let definition = format!(
        r#"{{"state": "ENABLED", "variants": {{"on": true, "off": false}}, "defaultVariant": "{chosen}"}}"#
    );
    let content =
        wire::Content { value: definition.into(), content_type: FLAG_TYPE.to_owned(), secret: false };
    caller.put_content(KEY, content).await
}

/// As many streams as there are instances, of clients that do not report.
async fn subscribers(hub: &Hub, token: &str) -> Result<JoinSet<()>> {
    let mut open = JoinSet::new();
    for instance in 0..INSTANCES {
        let channel = hub.channel().await?;
        let caller = Caller::new(channel.clone(), token)?;
        let request = wire::SubscribeRequest { service: service(instance), ..Default::default() };
        let mut frames =
            ConfigServiceClient::new(channel).subscribe(caller.request(request)).await?.into_inner();
        frames.message().await?;
        open.spawn_local(async move { while let Ok(Some(_)) = frames.message().await {} });
    }
    Ok(open)
}

async fn instances(hub: &Hub, token: &str) -> Result<Vec<Client>> {
    let mut instances = Vec::new();
    for instance in 0..INSTANCES {
        let client = Client::builder()
            .endpoint(format!("http://{}", hub.address))
            .token(token)
            .service(service(instance))
            .instance(format!("instance-{instance}"))
            .connect()
            .await?;
        timeout(PATIENCE, client.ready()).await??;
        // From here on it compiles flags as they come.
        if client.flags().boolean(FLAG, true, &Context::default()) {
            return Err("an instance has not what was written before it came".into());
        }
        instances.push(client);
    }
    Ok(instances)
}

fn service(instance: usize) -> String {
    format!("service-{}", instance % SERVICES)
}

/// Flips and unary calls, in turn. Every instance has to evaluate to what was written when
/// the hub says that it was applied.
async fn flips(caller: &Caller, channel: Channel, instances: &[Client]) -> Result<(Latencies, Latencies)> {
    let (mut flips, mut unary) = (Latencies::new()?, Latencies::new()?);
    let (mut fleet, mut config) =
        (FleetServiceClient::new(channel.clone()), ConfigServiceClient::new(channel));
    let context = Context::default();
    for number in 0..FLIPS {
        sleep(PAUSE).await;
        let on = number % 2 == 0;
        let called = Instant::now();
        let version = flip(caller, on).await?;
        let written = wire::Written { key: KEY.to_owned(), service: String::new(), version };
        let request = wire::WaitAppliedRequest {
            changes: vec![written],
            timeout: prost_types::Duration::try_from(PATIENCE).ok(),
            ..Default::default()
        };
        let told = fleet.wait_applied(caller.request(request)).await?.into_inner();
        flips.record(called.elapsed());
        let (state, count) = (told.state(), told.instances);
        if state != State::Applied || count != INSTANCES as u64 {
            return Err(format!("{state:?} by {count} of {INSTANCES} instances").into());
        }
        if !instances.iter().all(|client| client.flags().boolean(FLAG, !on, &context) == on) {
            return Err("an instance evaluates to something else than it says that it has applied".into());
        }
        let request = wire::GetRequest { key: KEY.to_owned(), ..Default::default() };
        let called = Instant::now();
        config.get(caller.request(request)).await?;
        unary.record(called.elapsed());
    }
    Ok((flips, unary))
}

/// CPU time of the hub a delivery, in microseconds, while one change after the other comes.
async fn cost(hub: &Hub, caller: &Caller, settings: &[input::Setting], writing: Duration) -> Result<f64> {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (began, before) = (Instant::now(), hub.server.cpu_time()?);
    let mut writes = 0;
    while began.elapsed() < writing {
        ticks.tick().await;
        let key = settings[writes % settings.len()].key.as_str();
        caller.put(key, format!("{{\"n\": {writes}}}").into()).await?;
        writes += 1;
    }
    // What was written last is under way for a moment.
    ticks.tick().await;
    let used = hub.server.cpu_time()? - before;
    Ok(used.as_secs_f64() * 1e6 / (writes * INSTANCES) as f64)
}

fn report(rounds: &[Figures], as_json: bool) -> Result<bool> {
    let all = |of: fn(&Figures) -> f64| rounds.iter().map(of).collect::<Vec<_>>();
    let nothing = "nothing was measured";
    let (flip, unary) = (all(|r| r.flip_p50_ms), all(|r| r.unary_p50_ms));
    let (plain, reported) = (all(|r| r.plain_us), all(|r| r.reported_us));
    let shares: Vec<_> =
        plain.iter().zip(&reported).map(|(plain, reported)| reported / plain - 1.0).collect();
    let share = Summary::of(shares).ok_or(nothing)?;
    let ratio = Summary::ratio(&flip, &unary).ok_or(nothing)?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(rounds)?);
    } else {
        println!("{:<56} {:>24} {:>24}", "median (least .. greatest) of rounds, ms", "p50", "p99");
        let rows = [
            ("a flip, called to applied in all instances", flip, all(|r| r.flip_p99_ms)),
            ("unary Get, there and back", unary, all(|r| r.unary_p99_ms)),
        ];
        for (name, p50, p99) in rows {
            let (p50, p99) = (Summary::of(p50).ok_or(nothing)?, Summary::of(p99).ok_or(nothing)?);
            println!("{name:<56} {p50:>24} {p99:>24}");
        }
        println!("a flip is {ratio} unary calls");
        for (name, cost) in [("CPU a delivery without reports, us", plain), ("with them", reported)] {
            println!("{name:<56} {:>24}", Summary::of(cost).ok_or(nothing)?);
        }
    }
    let met = share.median <= TARGET;
    let word = if met { "ok" } else { "MISSED" };
    eprintln!("{word}: reports cost {share} of deliveries; the target is {TARGET}");
    Ok(met)
}
