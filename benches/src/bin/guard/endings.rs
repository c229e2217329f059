//! How soon streams end whose token is revoked or expires, and that others on the
//! same connections notice nothing.

use crate::fleet::{self, End, Kinds, PATIENCE, soon};
use clap::Args;
use confhub_benches::hub::{CallPace, Caller, Hub};
use confhub_benches::latency::Latencies;
use confhub_benches::place::{HubArgs, Place};
use confhub_benches::summary::Summary;
use confhub_benches::{Result, process};
use confhub_proto::wire::{self, revoke_request::Which};
use serde::Serialize;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use wire::access_service_client::AccessServiceClient;

/// Open files beside connections.
const OTHER_FILES: u64 = 200;

/// The entry that is written on and on.
const KEY: &str = "tenant_config_sequence";

/// Writes to each tenant while streams end, and the pause between them.
const WRITES: (u64, Duration) = (10, Duration::from_millis(20));

/// For how long the tokens of those are good who stay.
const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Args)]
pub(crate) struct EndingsArgs {
    /// Streams that end in each round; as many stay.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    streams: u32,
    /// Connections that carry them, in turn; at most 500 ending streams each.
    #[arg(long, default_values_t = [10, 1_000], value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: Vec<u32>,
    /// Rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds for which a token is good that is to expire: time to open all streams.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(2..=600))]
    expire_s: u32,
    #[command(flatten)]
    at: HubArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What ends streams.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Revocation,
    Expiry(Duration),
}

/// Figures of one round.
#[derive(Serialize)]
struct Round {
    cause: &'static str,
    connections: usize,
    /// From the call of `Revoke`, or the `exp` of the token, to the end of a stream.
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// The call of `Revoke`, there and back; 0 of an expiry.
    acknowledged_ms: f64,
    /// Percent of the ended streams that were told before.
    announced_pct: f64,
    /// Streams that ended before their token did.
    early: usize,
    /// Streams that did not end, or not with the status that says why.
    wrong: usize,
    /// Streams of others that ended.
    others_ended: usize,
    /// Streams of others that do not have the last write.
    others_behind: usize,
    /// Updates of others that were merged into the next.
    others_merged: u64,
}

pub(crate) async fn run(args: &EndingsArgs) -> Result<bool> {
    let place = args.at.place()?;
    let most = args.connections.iter().copied().max().unwrap_or(0);
    process::allow_open_files(u64::from(most) + OTHER_FILES)?;
    let mut rounds = Vec::new();
    for cause in [Cause::Revocation, Cause::Expiry(Duration::from_secs(args.expire_s.into()))] {
        for connections in &args.connections {
            rounds.extend(shape(args, &place, usize::try_from(*connections)?, cause).await?);
        }
    }
    let kept = rounds.iter().all(|r| r.wrong + r.early + r.others_ended + r.others_behind == 0);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rounds)?);
    } else {
        eprintln!("{}", place.describe());
        print(&rounds)?;
    }
    Ok(kept)
}

/// All rounds of one number of connections, on one hub.
async fn shape(args: &EndingsArgs, place: &Place, connections: usize, cause: Cause) -> Result<Vec<Round>> {
    let hub = place.hub(CallPace::Lifted).await?;
    let channel = hub.channel().await?;
    let scene = Scene {
        access: AccessServiceClient::new(channel.clone()),
        operators: Caller::new(channel.clone(), &hub.token("operators")?)?,
        writers: [writer(&hub, &channel, "acme")?, writer(&hub, &channel, "globex")?],
        streams: usize::try_from(args.streams)?,
        hub,
    };
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        eprintln!("{}, {connections} connections, round {number} of {}", cause.name(), args.rounds);
        rounds.push(scene.round(number, connections, cause).await?);
    }
    Ok(rounds)
}

fn writer(hub: &Hub, channel: &Channel, tenant: &str) -> Result<Caller> {
    Caller::new(channel.clone(), &hub.token(tenant)?)
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Revocation => "revoked",
            Self::Expiry(_) => "expired",
        }
    }

    /// PERMISSION_DENIED, or UNAUTHENTICATED.
    fn status(self) -> &'static str {
        match self {
            Self::Revocation => "7",
            Self::Expiry(_) => "16",
        }
    }
}

struct Scene {
    hub: Hub,
    access: AccessServiceClient<Channel>,
    operators: Caller,
    /// Of the tenant whose streams end, and of another one.
    writers: [Caller; 2],
    streams: usize,
}

impl Scene {
    async fn round(&self, number: u32, connections: usize, cause: Cause) -> Result<Round> {
        let subject = format!("round-{number}");
        let first = self.write(0).await?;
        let now = SystemTime::now();
        let ttl = if let Cause::Expiry(ttl) = cause { ttl } else { HOUR };
        let tokens = |tenant: &str, subject: &str, count: usize, ttl| {
            self.hub.tokens(tenant, (0..count).map(|_| subject.to_owned()), now, ttl)
        };
        let half = self.streams / 2;
        let kinds = [
            Kinds::new(tokens("acme", &subject, self.streams, ttl)?),
            Kinds::new(tokens("acme", "stays", half, HOUR)?),
            Kinds::new(tokens("globex", &subject, self.streams - half, HOUR)?),
        ];
        let fleet = fleet::open(self.hub.address, connections, &kinds).await?;
        let [ending, beside, apart] = kinds.map(|kind| kind.group);
        let behind =
            |versions: [u64; 2]| beside.borrow().behind(versions[0]) + apart.borrow().behind(versions[1]);
        if !soon(PATIENCE, || behind(first) + ending.borrow().behind(first[0]) == 0).await {
            return Err(format!("{} streams are not current", behind(first)).into());
        }
        let counted = beside.borrow().updates + apart.borrow().updates;

        let due = match cause {
            Cause::Revocation => Instant::now(),
            Cause::Expiry(_) => expiry(now, ttl)?,
        };
        let acts = async {
            match cause {
                Cause::Revocation => self.revoke(&subject).await,
                Cause::Expiry(_) => Ok(Duration::ZERO),
            }
        };
        let writes = async {
            tokio::time::sleep_until(due - WRITES.1.min(due - Instant::now().min(due))).await;
            self.write(WRITES.0).await
        };
        let (acknowledged, last) = tokio::try_join!(acts, writes)?;
        let patience = PATIENCE + due.saturating_duration_since(Instant::now());
        soon(patience, || ending.borrow().ends.len() == self.streams && behind(last) == 0).await;
        drop(fleet);

        let ending = ending.borrow();
        let mut round = judge(&ending.ends, due, cause, self.streams, now + ttl)?;
        round.connections = connections;
        round.acknowledged_ms = acknowledged.as_secs_f64() * 1e3;
        round.others_ended = beside.borrow().ends.len() + apart.borrow().ends.len();
        round.others_behind = behind(last);
        let came = beside.borrow().updates + apart.borrow().updates - counted;
        round.others_merged = (WRITES.0 * u64::try_from(self.streams)?).saturating_sub(came);
        Ok(round)
    }

    /// Writes so often to both tenants, and once more; the versions of the last write.
    async fn write(&self, times: u64) -> Result<[u64; 2]> {
        let mut versions = [0; 2];
        for number in 0..times.max(1) {
            for (writer, version) in self.writers.iter().zip(&mut versions) {
                *version = writer.put(KEY, number.to_string().into()).await?;
            }
            if number + 1 < times {
                sleep(WRITES.1).await;
            }
        }
        Ok(versions)
    }

    /// How long the call took.
    async fn revoke(&self, subject: &str) -> Result<Duration> {
        let request = wire::RevokeRequest {
            tenant: "acme".to_owned(),
            which: Some(Which::Subject(subject.to_owned())),
            ..wire::RevokeRequest::default()
        };
        let called = Instant::now();
        self.access.clone().revoke(self.operators.request(request)).await?;
        Ok(called.elapsed())
    }
}

/// When tokens of this age end: they count in whole seconds.
fn expiry(now: SystemTime, ttl: Duration) -> Result<Instant> {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH)?.as_secs() + ttl.as_secs();
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let left = at.duration_since(SystemTime::now());
    Ok(Instant::now()
        + left.map_err(|_| "the tokens expired before all streams were open: use a longer --expire-s")?)
}

fn judge(ends: &[End], due: Instant, cause: Cause, streams: usize, expires: SystemTime) -> Result<Round> {
    let seconds = expires.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let mut latencies = Latencies::new()?;
    let (mut early, mut announced, mut right) = (0, 0_u32, 0);
    for end in ends {
        let late = match cause {
            Cause::Revocation => Some(end.at.saturating_duration_since(due)),
            Cause::Expiry(_) => end.clock.duration_since(expires).ok(),
        };
        early += usize::from(late.is_none());
        latencies.record(late.unwrap_or_default());
        announced += u32::from(end.announced.is_some());
        right += usize::from(end.status == cause.status());
    }
    Ok(Round {
        cause: cause.name(),
        connections: 0,
        p50_ms: latencies.millis(50.0),
        p99_ms: latencies.millis(99.0),
        max_ms: latencies.millis(100.0),
        acknowledged_ms: 0.0,
        announced_pct: 100.0 * f64::from(announced) / f64::from(u32::try_from(streams)?),
        early,
        wrong: streams.saturating_sub(right),
        others_ended: 0,
        others_behind: 0,
        others_merged: 0,
    })
}

fn print(rounds: &[Round]) -> Result<()> {
    let nothing = "nothing was measured";
    let mut shapes: Vec<_> = rounds.iter().map(|round| (round.cause, round.connections)).collect();
    shapes.dedup();
    for shape in shapes {
        let own = || rounds.iter().filter(move |round| (round.cause, round.connections) == shape);
        let summary = |of: fn(&Round) -> f64| Summary::of(own().map(of)).ok_or(nothing);
        println!("{} on {} connections, ms: median (least .. greatest) of rounds", shape.0, shape.1);
        println!("  to the end, p50 {}", summary(|round| round.p50_ms)?);
        println!("              p99 {}", summary(|round| round.p99_ms)?);
        println!("              max {}", summary(|round| round.max_ms)?);
        if shape.0 == Cause::Revocation.name() {
            println!("  acknowledged    {}", summary(|round| round.acknowledged_ms)?);
        }
        println!("  announced, %    {}", summary(|round| round.announced_pct)?);
        let (wrong, early) = own().fold((0, 0), |sum, r| (sum.0 + r.wrong, sum.1 + r.early));
        let others = own().fold((0, 0, 0), |sum, r| {
            (sum.0 + r.others_ended, sum.1 + r.others_behind, sum.2 + r.others_merged)
        });
        println!("  not ended, or with another status: {wrong}; ended early: {early}");
        println!(
            "  of the others: {} ended, {} lack the last write, {} updates were merged",
            others.0, others.1, others.2
        );
    }
    Ok(())
}
