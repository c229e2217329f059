//! What it costs a hub to keep tenants apart, and how well it does, as ratios
//! within one run where there is something to compare with.

mod calls;
mod endings;
mod fleet;
mod issuer;
mod neighbour;
mod noise;
mod validation;

use clap::{Parser, Subcommand};
use confhub_benches::Result;
use confhub_benches::hub::{self, HubServerArgs};
use std::process::ExitCode;

/// Exit code of a run in which a promise was not kept.
const BROKEN_PROMISE: u8 = 1;

/// Exit code of a run that could not be made.
const NOT_RUN: u8 = 2;

/// Measures what it costs a hub to tell who calls, how soon those end who may
/// not go on, and what a tenant notices of a neighbour who does all it can.
///
/// Build in release mode, and use a machine with two cores or more: the hub gets
/// one core, the load another. Exit code 1: a promise was not kept. 2: the run
/// could not be made. Example: guard neighbour --rounds 5
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The cost of validating a token, per algorithm: whole (seen for the first
    /// time) and remembered, and its share of a unary call.
    Validation(validation::ValidationArgs),
    /// How soon streams end whose token is revoked or expires, while others on
    /// the same connections go on.
    Endings(endings::EndingsArgs),
    /// What a tenant notices of another one that does all it can.
    Neighbour(neighbour::NeighbourArgs),
    /// Is the hub, for a program that measures it.
    #[command(hide = true)]
    HubServer(HubServerArgs),
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::HubServer(args) => hub::serve(args).map(|()| true),
        Command::Validation(args) => alone(validation::run(&args)),
        Command::Endings(args) => alone(endings::run(&args)),
        Command::Neighbour(args) => alone(neighbour::run(&args)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(BROKEN_PROMISE),
        Err(error) => {
            eprintln!("guard: {error}");
            ExitCode::from(NOT_RUN)
        }
    }
}

/// Runs on one thread, so as not to take from the hub what it is measured on.
fn alone(work: impl Future<Output = Result<bool>>) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}
