//! What a delivery costs a hub, beside the least that a delivery can cost and
//! beside what others take for it.
//!
//! Servers are processes of their own; this one is the fleet of subscribers and
//! the writer, so that both ends of a latency are read from one clock. Every
//! frame is checked: versions, digests, commits.

mod args;
mod check;
mod fleet;
mod flip;
mod ledger;
mod memory;
mod peer;
mod peers;
mod plan;
mod report;
mod roundtrip;
mod session;
mod stamp;
mod storm;
mod suite;

use args::{Args, Command, LoadArgs};
use clap::Parser;
use confhub_benches::{Result, hub};
use peers::floor_server;
use std::process::ExitCode;

/// Exit code of a run in which a promise was not kept.
const BROKEN_PROMISE: u8 = 1;

/// Exit code of a run that could not be made.
const NOT_RUN: u8 = 2;

// The hub is measured as users start it.
#[global_allocator]
static ALLOCATOR: confhub::memory::Allocator = confhub::memory::ALLOCATOR;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        Some(Command::HubServer(args)) => hub::serve(args).map(|()| true),
        Some(Command::FloorServer { ready_file }) => floor_server::serve(&ready_file).map(|()| true),
        Some(Command::Suite(args)) => alone(suite::run(&args)),
        Some(Command::Storm(args)) => alone(storm::run(&args)),
        Some(Command::Memory(args)) => alone(memory::run(&args)),
        Some(Command::Check(args)) => alone(check::run(&args)),
        Some(Command::Roundtrip(args)) => alone(roundtrip::run(&args)),
        Some(Command::Flip(args)) => alone(flip::run(&args)),
        None => alone(load(&args.load)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(BROKEN_PROMISE),
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::from(NOT_RUN)
        }
    }
}

/// Runs on one thread: a subscriber here is a reader of bytes, and must not
/// take from the hub the cores that it is measured on.
fn alone<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// True: nothing was lost, and all was in order.
async fn load(args: &LoadArgs) -> Result<bool> {
    let plan = args.plan()?;
    let case = args.case()?;
    let mut rounds = Vec::new();
    let mut sides = args.sides.clone();
    for number in 1..=args.rounds {
        for side in &sides {
            eprintln!("round {number} of {}: {side}", args.rounds);
            rounds.push(side.round(&plan, &[case]).await?);
        }
        // Who comes first changes, so that none gains from what warms up.
        sides.rotate_left(1);
    }
    report::print(&rounds, &args.sides, args.json)
}
