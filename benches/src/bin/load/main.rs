//! What a delivery costs a hub, beside the least that a delivery can cost.
//!
//! The hub and the floor are processes of their own; this one is the fleet of
//! subscribers and the writer, so that both ends of a latency are read from one
//! clock. Every frame is checked: versions, digests, commits.

mod args;
mod connection;
mod floor;
mod floor_server;
mod ledger;
mod publish;
mod report;
mod round;
mod roundtrip;

use args::{Args, Command, LoadArgs};
use clap::Parser;
use confhub_benches::{Error, Result, hub};
use report::Report;
use std::process::ExitCode;

/// Exit code of a run in which something was lost or out of order.
const BROKEN_PROMISE: u8 = 1;

/// Exit code of a run that could not be made.
const NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        Some(Command::HubServer { data_dir, ready_file, current_thread }) => {
            hub::serve(&data_dir, &ready_file, current_thread).map(|()| true)
        }
        Some(Command::FloorServer { frame_bytes, ready_file }) => {
            floor_server::serve(frame_bytes, &ready_file).map(|()| true)
        }
        Some(Command::Roundtrip(args)) => alone(roundtrip::run(&args)),
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
    let mut report = Report::new(&plan);
    for number in 1..=plan.rounds {
        // Who comes first changes, so that neither gains from what warms up.
        let hub_first = number % 2 == 0;
        for turn in 0..2 {
            let is_hub = (turn == 0) == hub_first;
            let side = if is_hub { "hub" } else { "floor" };
            eprintln!("round {number} of {}: {side}", plan.rounds);
            let measured = if is_hub { round::hub(&plan).await } else { floor::round(&plan).await };
            let measured = measured.map_err(|error| -> Error { format!("{side}: {error}").into() })?;
            if is_hub { report.hub.push(measured) } else { report.floor.push(measured) }
        }
    }
    report.print(args.json)?;
    Ok(report.is_whole())
}
