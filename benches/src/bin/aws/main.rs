//! What the hub does on AWS's protocols, beside the least that anybody could do there.
//!
//! An emulator of AWS stands in for the account, with the stack of `infra/` in it.
//! Emulator, hubs and foreign writer are processes of their own; this one is the
//! plain consumer, the SDK clients and the subscribers, so that both ends of a
//! latency are read from one machine's clock.

mod account;
mod args;
mod consumer;
mod fill;
mod fleet;
mod hubs;
mod latency;
mod load;
mod measure;
mod reads;
mod report;
mod roaming;
mod subscriber;
mod writer;

use args::{Args, Command};
use clap::Parser as _;
use confhub_benches::{Result, server};
use std::process::ExitCode;

/// Exit code of a run in which a promise was broken or a target missed.
const BROKEN_PROMISE: u8 = 1;

/// Exit code of a run that could not be made.
const NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    // It is also the hub that it measures (`serve`), and the program that makes the
    // emulator's Python (`aws local`).
    match std::env::args().nth(1).as_deref() {
        Some("serve") => {
            server::end_with_parent();
            return confhub::cli::main();
        }
        Some("aws") => return confhub::cli::main(),
        _ => {}
    }
    match alone(run(Args::parse())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(BROKEN_PROMISE),
        Err(error) => {
            eprintln!("aws: {error}");
            ExitCode::from(NOT_RUN)
        }
    }
}

/// True: every promise was kept.
async fn run(args: Args) -> Result<bool> {
    let json = args.place.json;
    match args.command {
        Command::Latency(wanted) => report::tell(&latency::run(&args.place, &wanted).await?, json),
        Command::Load(wanted) => report::tell(&load::run(&args.place, &wanted).await?, json),
        Command::Reads(wanted) => report::tell(&reads::run(&args.place, &wanted).await?, json),
        Command::Fleet(wanted) => report::tell(&fleet::run(&args.place, &wanted).await?, json),
    }
}

/// Runs on one thread: emulator and hub need the cores more.
fn alone<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}
