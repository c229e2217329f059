//! All clients at once: what it costs the hub beside the least that it can cost, how
//! soon the last one is current, and what streams feel that run meanwhile.
//!
//! In each round, with a hub and a floor started anew:
//! - *floor*: as many connections, each with a first byte to and fro;
//! - *unchanged*: the hub was restarted, and the clients have the state that it has;
//! - *forgotten*: the hub was restarted, and a change came before them;
//! - *changed*: the hub runs, and they come back from several states before;
//! - *new*: they have nothing, and get all keys.
//!
//! The last two once more beside streams of another tenant, to which a writer writes.

mod crowd;
mod scene;
mod table;

use crate::args::{Storm, StormArgs};
use crate::fleet::Fleet;
use crate::ledger::Faults;
use crate::peer::Peer as _;
use crate::peers::floor::Floor;
use crate::peers::hub::TheHub;
use crate::plan::Case;
use crate::session::{Figures, Session, float, micros, millis};
use confhub_benches::hub::CallPace;
use confhub_benches::{Error, Result};
use crowd::{Came, Coming, Crowd};
use futures_util::stream::{FuturesUnordered, TryStreamExt as _};
use scene::Scene;
use serde::Serialize;
use std::cell::Cell;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

/// What streams that run get while nothing else happens, and for how long.
const CALM: Duration = Duration::from_secs(2);

/// How long a hub has, at least, to notice that all have left.
const LEAVING: Duration = Duration::from_millis(500);

/// What is written to streams that run.
const CASE: Case = Case { bytes: 200, burst: 1 };

/// The figures of one round.
#[derive(Debug, Serialize)]
struct Round {
    floor: Opening,
    /// As [`VISITS`] names them.
    visits: [Visit; VISITS.len()],
    /// As [`MOMENTS`] names them.
    running: [Running; MOMENTS.len()],
    /// Of the streams that run.
    faults: Faults,
}

/// The storms of a round; the last two beside streams that run.
const VISITS: [&str; 6] = ["unchanged", "forgotten", "changed", "new", "changed, beside", "new, beside"];

/// When streams that run are looked at.
const MOMENTS: [&str; 4] = ["calm", "beside changed", "beside new", "while all of them leave"];

/// What streams that run feel: from a write to its receipt.
#[derive(Debug, Clone, Copy, Serialize)]
struct Running {
    deliveries: u64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
}

impl Running {
    fn of(figures: &Figures) -> Self {
        let Figures { deliveries, p50_ms, p99_ms, p999_ms, .. } = *figures;
        Self { deliveries, p50_ms, p99_ms, p999_ms }
    }
}

/// What opening the floor costs.
#[derive(Debug, Clone, Copy, Serialize)]
struct Opening {
    /// CPU time of the floor, each connection.
    cpu_us: f64,
    last_ms: f64,
}

/// A storm and what it made the hub do.
#[derive(Debug, Serialize)]
struct Visit {
    #[serde(flatten)]
    came: Came,
    /// Updates that the hub has encoded for it.
    encodings: f64,
    /// What it should have brought.
    expected: Expected,
}

/// What a storm should bring.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Expected {
    entries: u64,
    /// `None`: others write meanwhile, and theirs are counted too.
    encodings: Option<f64>,
}

impl Visit {
    fn is_kept(&self) -> bool {
        let Expected { entries, encodings } = self.expected;
        self.came.faults.is_none()
            && self.came.entries == entries
            && encodings.is_none_or(|expected| self.encodings == expected)
    }
}

impl Round {
    fn is_kept(&self) -> bool {
        self.faults.is_none() && self.visits.iter().all(Visit::is_kept)
    }
}

/// True: nobody got more than it lacked, and each difference was encoded once.
pub(crate) async fn run(args: &StormArgs) -> Result<bool> {
    let storm = args.storm()?;
    let settings: Vec<_> = args
        .accepts
        .map(|pace| ("CONFHUB_LIMITS_ACCEPTS_PER_SECOND", pace.to_string()))
        .into_iter()
        .collect();
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        eprintln!("round {number} of {}", args.rounds);
        rounds.push(round(&storm, &settings).await?);
    }
    let kept = rounds.iter().all(Round::is_kept);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rounds)?);
    } else {
        table::print(&storm, &rounds);
    }
    Ok(kept)
}

/// In an order in which each storm finds what the one before has left.
async fn round(storm: &Storm, settings: &[(&'static str, String)]) -> Result<Round> {
    let floor = floor(storm).await?;
    let place = &storm.running.place;
    let mut hub = place.hub_with(CallPace::Lifted, settings).await?;
    let mut scene = Scene::of(storm, &hub).await?;
    scene.caller.seed(&scene.settings).await?;
    let before = scene.goal.look(&Coming::New).await?;

    place.restart(&mut hub).await?;
    scene = Scene::of(storm, &hub).await?;
    let none = Expected { entries: 0, encodings: Some(0.0) };
    let unchanged = alone(scene.visit(Coming::Back(vec![before.clone()]), none, false)).await?;

    place.restart(&mut hub).await?;
    scene = Scene::of(storm, &hub).await?;
    scene.write().await?;
    let forgotten = alone(scene.visit(Coming::Forgotten(before), scene.whole(), false)).await?;
    let changed = alone(scene.changed(false)).await?;
    let new = alone(scene.new_clients(false)).await?;

    let mut session = Session::over(&storm.running, TheHub::on(hub, &storm.running).await?).await?;
    session.case(CASE, CALM / 4).await?;
    let calm = session.case(CASE, CALM).await?;
    let ((beside_changed, crowd), running_changed) = beside(&mut session, scene.changed(true)).await?;
    crowd.leave().await;
    let ((beside_new, crowd), running_new) = beside(&mut session, scene.new_clients(true)).await?;
    let leaving = async {
        crowd.leave().await;
        sleep(LEAVING).await;
        Ok(())
    };
    let ((), running_leaving) = beside(&mut session, leaving).await?;
    let running = [calm, running_changed, running_new, running_leaving].map(|figures| Running::of(&figures));
    let faults = session.faults().await?;
    let visits = [unchanged, forgotten, changed, new, beside_changed, beside_new];
    Ok(Round { floor, visits, running, faults })
}

/// Lets a storm pass, and its clients leave.
async fn alone(storm: impl Future<Output = Result<(Visit, Crowd)>>) -> Result<Visit> {
    let (visit, crowd) = storm.await?;
    crowd.leave().await;
    Ok(visit)
}

/// Lets a storm pass while streams run.
async fn beside<T>(
    session: &mut Session<'_, TheHub>,
    storm: impl Future<Output = Result<T>>,
) -> Result<(T, Figures)> {
    let over = Cell::new(false);
    let storm = async {
        let done = storm.await;
        over.set(true);
        done
    };
    let (done, figures) = tokio::join!(storm, session.case_while(CASE, |_| !over.get()));
    Ok((done?, figures?))
}

/// What it costs the floor when as many come.
async fn floor(storm: &Storm) -> Result<Opening> {
    let (floor, fleet) = (Floor::start(&storm.floor).await?, Fleet::new()?);
    let cpu = floor.server().cpu_time()?;
    let began = Instant::now();
    let turns = Semaphore::new(storm.at_once);
    let one = async |number: usize| {
        let _turn = turns.acquire().await?;
        floor.open(floor.connect(&fleet).await?, number, &fleet).await?;
        Ok::<_, Error>(began.elapsed())
    };
    let all: FuturesUnordered<_> = (0..storm.clients).map(one).collect();
    let all: Vec<Duration> = all.try_collect().await?;
    sleep(Duration::from_millis(20)).await;
    let cpu = floor.server().cpu_time()? - cpu;
    fleet.end();
    let last = all.into_iter().max().unwrap_or_default();
    Ok(Opening { cpu_us: micros(cpu) / float(storm.clients), last_ms: millis(last) })
}
