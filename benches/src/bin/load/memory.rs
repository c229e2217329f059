//! What connections, streams, stalled readers and tenants take of a hub's memory: its
//! resident set, so without what the kernel holds for sockets.

mod stalled;
mod tenants;

use crate::args::{Loads, MemoryArgs};
use crate::peer::Peer as _;
use crate::peers::hub::TheHub;
use crate::plan::{Case, Plan};
use crate::session::{Opening, Session};
use confhub_benches::Result;
use confhub_benches::summary::Summary;
use serde::Serialize;
use stalled::{Kind, Stalled};
use std::time::Duration;
use tenants::Held;

/// A delta, and many at once, after which a stream should take no more than before.
const BASE: Case = Case { bytes: 200, burst: 1 };
const FLOOD: Case = Case { bytes: 200, burst: 64 };

/// The figures of one round.
#[derive(Debug, Serialize)]
struct Round {
    wide: Opening,
    deep: Opening,
    /// What a stream takes more after a flood, in kB.
    flooded_kb: f64,
    window: Stalled,
    socket: Stalled,
    tenants: Held,
}

/// True: what was not read for a while arrived in the end, and the others lost nothing.
pub(crate) async fn run(args: &MemoryArgs) -> Result<bool> {
    let loads = args.loads()?;
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        eprintln!("round {number} of {}", args.rounds);
        rounds.push(round(&loads).await?);
    }
    let kept = rounds.iter().all(|round| round.window.is_kept() && round.socket.is_kept());
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rounds)?);
    } else {
        print(&loads, &rounds);
        println!("{}", if kept { "ok" } else { "BROKEN" });
    }
    Ok(kept)
}

async fn round(loads: &Loads) -> Result<Round> {
    let (wide, flooded_kb) = flooded(&loads.wide).await?;
    let deep = Session::<TheHub>::open(&loads.deep).await?.opening;
    let window = stalled::measure(loads, Kind::Window).await?;
    let socket = stalled::measure(loads, Kind::Socket).await?;
    let tenants = tenants::measure(loads).await?;
    Ok(Round { wide, deep, flooded_kb, window, socket, tenants })
}

/// What streams take, and what they take more once they have had many writes at once.
async fn flooded(plan: &Plan) -> Result<(Opening, f64)> {
    let mut session = Session::<TheHub>::open(plan).await?;
    let before = session.case(BASE, Duration::ZERO).await?.grown_kb;
    let after = session.case(FLOOD, Duration::ZERO).await?.grown_kb;
    let faults = session.faults().await?;
    if !faults.is_none() {
        return Err(format!("{}: {faults:?}", session.peer.server().pid()).into());
    }
    Ok((session.opening, after - before))
}

fn print(loads: &Loads, rounds: &[Round]) {
    println!("kB of resident memory, median (least .. greatest)");
    let row = |name: &str, of: &dyn Fn(&Round) -> f64, most: Option<f64>| {
        let summary = Summary::of(rounds.iter().map(of)).map_or_else(String::new, |shown| shown.to_string());
        let most = most.map_or_else(String::new, |most| format!("  (at most {most})"));
        println!("{name:<58}{summary:>26}{most}");
    };
    row(
        &format!("a connection with a stream, {}", loads.wide.shape),
        &|round| round.wide.whole_kb,
        Some(24.0),
    );
    row(
        &format!("a stream beyond its connection, {}", loads.deep.shape),
        &|round| round.deep.stream_kb,
        Some(4.0),
    );
    row("more after 64 writes at once, a stream", &|round| round.flooded_kb, Some(1.0));
    row("a reader whose window is full", &|round| round.window.reader_kb, Some(64.0));
    row("a reader whose sockets are full", &|round| round.socket.reader_kb, Some(64.0));
    for (name, of) in [
        ("others while it stalls / before, p99", Stalled::others as fn(&Stalled) -> f64),
        ("what it gets when it is back, kB", |stalled: &Stalled| stalled.back_kb),
    ] {
        row(&format!("{name}, window"), &|round| of(&round.window), None);
        row(&format!("{name}, sockets"), &|round| of(&round.socket), None);
    }
    let (tenants, keys) = (loads.tenants, loads.keys);
    row(
        &format!("a tenant of {keys} keys with a stream, of {tenants}"),
        &|round| round.tenants.loaded_kb,
        None,
    );
    row("the same when its stream has left", &|round| round.tenants.left_kb, None);
    row("the same when it was dropped", &|round| round.tenants.dropped_kb, None);
    row("a tenant that is loaded once more, with a stream", &|round| round.tenants.again_kb, None);
}
