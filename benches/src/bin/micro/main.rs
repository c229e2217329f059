//! What one read and one update cost in a process that uses the SDK, each
//! beside the plain map's equivalent, in turn, in one run; what a client takes at
//! ten thousand updates a second (`rate`); and what a thousand tenants take in one
//! process (`tenants`).
//!
//! The client is a real one, connected to a hub in this process that holds
//! 10,000 real settings. It promises ratios that hold on a busy machine; it says
//! nothing of the network, which is what `load` is for.

mod apart;
mod apply;
mod harness;
mod rate;
mod read;
mod tenants;

use clap::{Parser, Subcommand};
use confhub::app::App;
use confhub::clock::system_clock;
use confhub::config::Settings;
use confhub_benches::hub::{self, Caller, HubServerArgs};
use confhub_benches::{Result, input, server};
use confhub_client::Client;
use harness::{Case, Harness};
use std::process::ExitCode;
use std::time::Duration;

/// What one read and one update cost in a process that uses the SDK.
///
/// Each is measured in turn with the plain map's equivalent; the median and the
/// range of the rounds are shown. Ratios are what counts: figures alone depend
/// on the machine. Build in release mode: `cargo run --release -p
/// confhub-benches --bin micro`.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    plain: PlainArgs,
}

#[derive(Subcommand)]
enum Command {
    /// One client at thousands of updates a second: what it applies, how late, at
    /// what cost, and what reads cost meanwhile.
    Rate(rate::RateArgs),
    /// Many tenants in one process: memory, time to open all, and updates to any of
    /// them.
    Tenants(tenants::TenantsArgs),
    /// Is the hub, for a program that measures its clients.
    #[command(hide = true)]
    HubServer(HubServerArgs),
}

#[derive(clap::Args)]
struct PlainArgs {
    /// Settings in the state.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=50_000))]
    keys: u32,
    /// Rounds; each measures every case once.
    #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u32).range(3..=1_000))]
    rounds: u32,
    /// Seed of the order in which keys are read and written.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let Args { command, plain } = Args::parse();
    let done = match command {
        None => run(&plain),
        Some(Command::Rate(args)) => alone(rate::run(&args)),
        Some(Command::Tenants(args)) => alone(tenants::run(&args)),
        Some(Command::HubServer(args)) => hub::serve(args).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("micro: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs on one thread, beside those that are measured.
fn alone(work: impl Future<Output = Result<bool>>) -> Result<bool> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// True: every target is met.
fn run(args: &PlainArgs) -> Result<bool> {
    let settings = input::settings(usize::try_from(args.keys)?)?;
    let runtime = server::runtime()?;
    let folder = tempfile::tempdir()?;
    let client = runtime.block_on(connect(folder.path(), &settings))?;

    let mut rng = fastrand::Rng::with_seed(args.seed);
    let mut harness = Harness::new(args.rounds);
    let (read, held) = read::measure(&mut harness, &client, &settings, &mut rng)?;
    let apply = apply::measure(&mut harness, &settings, &mut rng)?;
    harness.print(args.json)?;

    let mut met = true;
    let targets: [(&str, Case, f64); 2] = [
        ("a read costs at most 3 plain reads", read, 3.0),
        ("an update at most 1/50 of a clone", apply, 0.02),
    ];
    for (target, case, limit) in targets {
        let ratio = harness.ratio(case).ok_or("nothing was measured")?;
        let kept = ratio.median <= limit;
        met &= kept;
        eprintln!("{} {target}: {ratio}", if kept { "ok    " } else { "MISSED" });
    }
    let held = harness.ratio(held).ok_or("nothing was measured")?;
    eprintln!("       a held handle, to a plain read: {held}");
    Ok(met)
}

/// A client of a hub in this process, with these settings in its snapshot.
async fn connect(folder: &std::path::Path, settings: &[input::Setting]) -> Result<Client> {
    let mut hub = Settings { data_dir: folder.to_owned(), ..Settings::default() };
    hub.audit.to = confhub::config::AuditTo::Off;
    hub.listen.set_port(0);
    hub.http.set_port(0);
    let app = App::start(hub, system_clock()).await?;
    let endpoint = format!("http://{}", app.addresses().grpc);
    tokio::spawn(app.run(std::future::pending()));

    let token = hub::token(folder, "shop")?;
    let channel = tonic::transport::Endpoint::from_shared(endpoint.clone())?.connect().await?;
    Caller::new(channel, &token)?.seed(settings).await?;
    let client = Client::builder().endpoint(endpoint).token(token).connect().await?;
    tokio::time::timeout(Duration::from_secs(30), client.ready()).await??;
    let entries = client.snapshot().len();
    if entries == settings.len() {
        Ok(client)
    } else {
        Err(format!("the client has {entries} entries of {}", settings.len()).into())
    }
}
