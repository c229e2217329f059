//! What it costs a hub to keep tenants apart, as ratios within one run.

mod issuer;
mod validation;

use clap::{Parser, Subcommand};
use confhub_benches::Result;
use std::process::ExitCode;

/// Measures what it costs a hub to tell who calls.
///
/// Build in release mode. Example: guard validation --rounds 5
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The cost of validating a token, per algorithm: whole (seen for the first
    /// time) and remembered, beside the time that a hub spends on it.
    Validation(validation::ValidationArgs),
}

fn main() -> ExitCode {
    let Command::Validation(args) = Args::parse().command;
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guard: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &validation::ValidationArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(validation::run(args))
}
