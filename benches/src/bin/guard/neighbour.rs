//! What a tenant notices of another one that does all it can.

use crate::noise::{self, Answers, Mode, Part};
use clap::Args;
use confhub_benches::hub::{CallPace, Caller, Hub};
use confhub_benches::latency::Latencies;
use confhub_benches::place::HubArgs;
use confhub_benches::summary::Summary;
use confhub_benches::{Error, Result, input};
use confhub_proto::wire::{self, frame::Kind};
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::transport::Channel;
use wire::config_service_client::ConfigServiceClient;

/// The most that p99 may rise beside a noisy neighbour.
const PROMISE: f64 = 1.5;

/// The victim reads so often, and writes beside every tenth read.
const PERIOD: Duration = Duration::from_millis(20);

/// Time for a change of the noise to take hold, which is not measured.
const SETTLE: Duration = Duration::from_millis(700);

/// Longest wait for the last answers of a window.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(crate) struct NeighbourArgs {
    /// Seconds of each window.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Rounds of three windows: quiet, the load's core in use, noisy.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Entries of the noisy tenant.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(64..=50_000))]
    entries: u32,
    /// What the noisy tenant does.
    #[arg(long, value_delimiter = ',', default_values = ["writers", "lists", "opens"])]
    noise: Vec<Part>,
    #[command(flatten)]
    at: HubArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Names of what the victim does.
const KINDS: [&str; 3] = ["Get", "Put", "propagation"];

/// Latencies of one kind of window: Get, Put, propagation.
type Times = Rc<RefCell<[Latencies; 3]>>;

/// Figures of one window, in milliseconds, in the order of `KINDS`.
#[derive(Serialize)]
struct Window {
    mode: &'static str,
    p50_ms: [f64; 3],
    p99_ms: [f64; 3],
}

pub(crate) async fn run(args: &NeighbourArgs) -> Result<bool> {
    let place = args.at.place()?;
    let hub = place.hub(CallPace::Default).await?;
    let victim = Victim::new(&hub).await?;
    let loud = hub.token("loud")?;
    Caller::new(hub.channel().await?, &loud)?.seed(&input::settings(usize::try_from(args.entries)?)?).await?;
    let (mode, told) = watch::channel(Mode::Quiet);
    let (sender, mut answers) = mpsc::channel(1);
    let thread = noise::start(hub.address, loud, args.noise.clone(), told, sender);

    let modes = [(Mode::Quiet, "quiet"), (Mode::Burn, "core in use"), (Mode::Noise, "noisy")];
    let mut pooled = [new_times()?, new_times()?, new_times()?];
    let mut windows = Vec::new();
    let mut total = Answers::default();
    for number in 1..=args.rounds {
        for ((which, name), all) in modes.into_iter().zip(&mut pooled) {
            eprintln!("round {number} of {}: {name}", args.rounds);
            mode.send_replace(which);
            sleep(SETTLE).await;
            let own = new_times()?;
            victim.window(Duration::from_secs(args.seconds.into()), &own, all).await?;
            mode.send_replace(Mode::Quiet);
            if which == Mode::Noise {
                let had = timeout(PATIENCE, answers.recv()).await?.ok_or("the noise has ended")?;
                for part in 0..3 {
                    total.done[part] += had.done[part];
                    total.refused[part] += had.refused[part];
                }
            }
            let window = {
                let own = own.borrow();
                let of = |percentile| [0, 1, 2].map(|kind: usize| own[kind].millis(percentile));
                Window { mode: name, p50_ms: of(50.0), p99_ms: of(99.0) }
            };
            windows.push(window);
            sleep(SETTLE).await;
        }
    }
    mode.send_replace(Mode::Over);
    thread.join().map_err(|_| "the noise broke down")??;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&windows)?);
    }
    eprintln!("{}; the noise on the load's, at the lowest priority", place.describe());
    eprintln!("noise (writes, lists, opens): {:?} answered, {:?} refused", total.done, total.refused);
    report(&windows, &pooled)
}

fn new_times() -> Result<Times> {
    Ok(Rc::new(RefCell::new([Latencies::new()?, Latencies::new()?, Latencies::new()?])))
}

/// True: no p99 rises by more than is promised.
fn report(windows: &[Window], pooled: &[Times; 3]) -> Result<bool> {
    println!(
        "{:<14} {:<12} {:>8} {:>8} {:>8}  p99 to that of quiet: all windows, by round",
        "ms", "", "count", "p50", "p99"
    );
    let mut kept = true;
    for (kind, name) in KINDS.into_iter().enumerate() {
        let quiet = pooled[0].borrow()[kind].millis(99.0);
        let p99 = |mode: &str| -> Vec<f64> {
            windows.iter().filter(|window| window.mode == mode).map(|window| window.p99_ms[kind]).collect()
        };
        for (mode, times) in ["quiet", "core in use", "noisy"].into_iter().zip(pooled) {
            let times = times.borrow();
            let (count, p50, own) = (times[kind].count(), times[kind].millis(50.0), times[kind].millis(99.0));
            let by_round = Summary::ratio(&p99(mode), &p99("quiet")).ok_or("nothing was measured")?;
            println!(
                "{name:<14} {mode:<12} {count:>8} {p50:>8.2} {own:>8.2}  {:.2}, {by_round}",
                own / quiet
            );
            kept &= mode != "noisy" || own / quiet <= PROMISE;
        }
    }
    eprintln!("{}: the promise is {PROMISE}", if kept { "ok" } else { "MISSED" });
    Ok(kept)
}

/// Where and since when a write is awaited.
type Awaited = Rc<RefCell<HashMap<u64, (Instant, [Times; 2])>>>;

/// A tenant that lives as usual.
struct Victim {
    caller: Caller,
    config: ConfigServiceClient<Channel>,
    key: String,
    /// The number in the next value.
    next: Cell<u64>,
    awaited: Awaited,
    _stream: JoinSet<()>,
}

impl Victim {
    async fn new(hub: &Hub) -> Result<Self> {
        let channel = hub.channel().await?;
        let caller = Caller::new(channel.clone(), &hub.token("victim")?)?;
        let settings = input::settings(64)?;
        caller.seed(&settings).await?;
        let key = settings.first().ok_or("there are no settings")?.key.to_string();
        let mut config = ConfigServiceClient::new(channel);
        let frames = config.subscribe(caller.request(wire::SubscribeRequest::default())).await?.into_inner();
        let (awaited, mut stream) = (Awaited::default(), JoinSet::new());
        stream.spawn_local(follow(frames, key.clone(), Rc::clone(&awaited)));
        Ok(Self { caller, config, key, next: Cell::new(1), awaited, _stream: stream })
    }

    /// Calls at a steady rate, each measured from when it was due, so that what is
    /// held up does not leave its waiting out.
    async fn window(&self, lasts: Duration, own: &Times, all: &Times) -> Result<()> {
        let (began, mut calls) = (Instant::now(), JoinSet::new());
        let mut turn = 0_u32;
        while PERIOD * turn < lasts {
            let due = began + PERIOD * turn;
            sleep_until(due).await;
            let times = [Rc::clone(own), Rc::clone(all)];
            if turn.is_multiple_of(10) {
                let number = self.next.replace(self.next.get() + 1);
                let (caller, key) = (self.caller.clone(), self.key.clone());
                self.awaited.borrow_mut().insert(number, (due, times.clone()));
                calls.spawn_local(async move {
                    let version = caller.put(&key, number.to_string().into()).await?;
                    record(&times, 1, due);
                    Ok::<_, Error>(version)
                });
            }
            let times = [Rc::clone(own), Rc::clone(all)];
            let request = wire::GetRequest { key: self.key.clone(), service: String::new() };
            let (mut config, request) = (self.config.clone(), self.caller.request(request));
            calls.spawn_local(async move {
                config.get(request).await?;
                record(&times, 0, due);
                Ok(0)
            });
            turn += 1;
        }
        while let Some(done) = timeout(PATIENCE, calls.join_next()).await? {
            done??;
        }
        let since = Instant::now();
        while !self.awaited.borrow().is_empty() {
            if since.elapsed() > PATIENCE {
                return Err("a write of the victim did not come back on its stream".into());
            }
            sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

fn record(times: &[Times; 2], kind: usize, due: Instant) {
    for times in times {
        times.borrow_mut()[kind].record(due.elapsed());
    }
}

/// Takes the time at which each write comes, or a later one in its place.
async fn follow(mut frames: tonic::Streaming<wire::Frame>, key: String, awaited: Awaited) {
    while let Ok(Some(frame)) = frames.message().await {
        let Some(Kind::Update(update)) = frame.kind else { continue };
        for entry in update.puts.iter().filter(|entry| entry.key == key) {
            let number = std::str::from_utf8(&entry.value).ok().and_then(|value| value.parse::<u64>().ok());
            let mut awaited = awaited.borrow_mut();
            let came: Vec<u64> = awaited.keys().copied().filter(|old| Some(*old) <= number).collect();
            for number in came {
                if let Some((due, times)) = awaited.remove(&number) {
                    record(&times, 2, due);
                }
            }
        }
    }
}
