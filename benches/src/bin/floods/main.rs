//! What the usual floods of HTTP/2 cost a hub and its honest clients.

mod flood;
mod honest;
mod measure;
mod peer;

use clap::{Parser, Subcommand};
use confhub_benches::hub::{self, HubServerArgs};
use confhub_benches::{Result, process};
use flood::Flood;
use std::process::ExitCode;

/// Open files of one process: ten thousand connections, and what else it has.
const OPEN_FILES: u64 = 12_000;

/// Floods a hub in a process of its own, and measures its memory and CPU, whether
/// it drops the offender, and how an honest client fares meanwhile.
///
/// Build in release mode. Example: floods --only ping,idle --seconds 5
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only these floods, rather than all.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Flood>,
    /// Most seconds of each flood.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10))]
    seconds: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Is the hub; started by this program.
    #[command(hide = true)]
    HubServer(HubServerArgs),
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    let done = match args.command.take() {
        Some(Command::HubServer(server)) => hub::serve(server),
        None => floods(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floods: {error}");
            ExitCode::from(2)
        }
    }
}

fn floods(args: &Args) -> Result<()> {
    process::allow_open_files(OPEN_FILES)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(measure::run(&args.only, args.seconds, args.json))
}
