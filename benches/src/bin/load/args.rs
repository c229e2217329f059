//! What to load, and how.

use crate::peer::Side;
use crate::plan::{Case, Plan, Shape};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use confhub_benches::hub::HubServerArgs;
use confhub_benches::place::HubArgs;
use confhub_benches::{Result, input, process};
use std::path::PathBuf;
use std::time::Duration;

/// Streams on one connection; the hub allows 1,024 calls.
const STREAMS_PER_CONNECTION: usize = 1_000;

/// Files beside connections: the store, timers, libraries.
const OTHER_FILES: usize = 200;

/// Loads a hub with subscribers and measures what a delivery costs.
///
/// Opens streams over connections, for one tenant or many, writes, and tells
/// deliveries, losses, order, latency from write to receipt, CPU time of the
/// server per delivery, and memory per connection and stream. In turn with each
/// round of the hub it measures others: a floor (one task per connection that
/// writes bytes which are framed already), and with `--sides` or `suite` etcd and
/// NATS. The ratios are what counts; figures alone depend on the machine.
///
/// Every stream checks every frame: versions of a key only rise, and after each
/// commit its digest is the hub's. Exit code 1: something was lost, out of
/// order, or different. 2: the run could not be made.
///
/// Build in release mode, and use a quiet machine with two cores or more: the
/// server gets one core, the subscribers another.
///
/// Examples:
///   load --connections 1000 --streams 1000
///   load --connections 10 --streams 1000 --bytes 4096 --burst 16
///   load --tenants 1000 --connections 1000 --streams 1000 --rate 200
///   load suite
///   load check
///   load roundtrip
#[derive(Parser)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
}

/// The other things that this program does.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Measures hub, floor, etcd and NATS at all shapes, and writes a table and a
    /// plot, with the targets beside.
    Suite(SuiteArgs),
    /// Counts the instructions of a delivery, and fails if they are 10 % more than
    /// what is recorded.
    Check(CheckArgs),
    /// Measures what connections, streams, stalled readers and tenants take of the
    /// memory of the hub.
    Memory(MemoryArgs),
    /// Measures what it costs when all clients come at once: after a restart, with
    /// changes, for the first time, and beside streams that run.
    Storm(StormArgs),
    /// Measures from an acknowledged write to the value in one SDK client,
    /// beside a unary call of the same hub.
    Roundtrip(RoundtripArgs),
    /// Measures from the flip of a flag to its being applied in 100 instances of 10
    /// services, beside a unary call, and what their reports cost the hub.
    Flip(FlipArgs),
    /// Is the hub, for a program that measures it.
    #[command(hide = true)]
    HubServer(HubServerArgs),
    /// Is the floor.
    #[command(hide = true)]
    FloorServer {
        /// File that receives the addresses.
        #[arg(long)]
        ready_file: PathBuf,
    },
}

#[derive(ClapArgs)]
pub(crate) struct LoadArgs {
    /// Streams in all; a multiple of --connections.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    streams: u32,
    /// Connections that carry them, at most 1,000 streams each.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    connections: u32,
    /// Tenants among which streams and writes go round; at most one per stream.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tenants: u32,
    /// Bursts a second, all tenants together; fewer if a burst takes longer to
    /// arrive everywhere.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Writes in each burst, each of another key.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    burst: u32,
    /// Seconds of writing in each round.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// What a stream gets of one write: prefix of gRPC, message, value and all.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(180..=65_536))]
    bytes: u32,
    /// Rounds; each measures every side, in processes started anew.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Who is measured.
    #[arg(long, value_delimiter = ',', default_values = ["hub", "floor"])]
    pub(crate) sides: Vec<Side>,
    #[command(flatten)]
    at: HubArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs)]
pub(crate) struct SuiteArgs {
    /// Where the table, the plot and the figures are written.
    #[arg(long, value_name = "FOLDER", default_value = "target/fan-out")]
    pub(crate) out: PathBuf,
    /// Who is measured.
    #[arg(long, value_delimiter = ',', default_values = ["hub", "floor", "etcd", "etcd-shared", "nats"])]
    pub(crate) sides: Vec<Side>,
    /// At which shapes: connections x streams on each.
    #[arg(long, value_delimiter = ',', default_values = ["10000x1", "1000x10", "100x100", "tenants"])]
    pub(crate) shapes: Vec<ShapeName>,
    /// Rounds; each measures every side at every shape, started anew.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// How long it may take in all. Every case is measured for what that leaves
    /// it, for one burst at least.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) minutes: u32,
    /// A tenth of the connections, two rounds, one minute: whether it works.
    #[arg(long)]
    pub(crate) short: bool,
    #[command(flatten)]
    at: HubArgs,
}

/// The shapes of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShapeName {
    /// 10,000 connections with one stream each.
    #[value(name = "10000x1")]
    Wide,
    /// 1,000 connections with 10 streams each.
    #[value(name = "1000x10")]
    Middle,
    /// 100 connections with 100 streams each.
    #[value(name = "100x100")]
    Deep,
    /// 10,000 connections with one stream each, each of another tenant.
    #[value(name = "tenants")]
    Tenants,
}

#[derive(ClapArgs)]
pub(crate) struct StormArgs {
    /// Clients, each with a connection and a stream, that come at once.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    clients: u32,
    /// How many of them are on their way at a time. The system queues 4,096 for a server
    /// and drops what is beyond, and then other packets too: that is in every figure of
    /// latency if more come.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    at_once: u32,
    /// Keys of their tenant.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    keys: u32,
    /// Different states from which they come back when there were changes.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    cursors: u32,
    /// Streams of another tenant that run meanwhile, ten on a connection.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    running: u32,
    /// New connections a second that the hub takes. Default: the hub's own.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) accepts: Option<u32>,
    /// Rounds; each starts the hub and the floor anew.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    #[command(flatten)]
    at: HubArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A storm that can be made.
pub(crate) struct Storm {
    pub(crate) clients: usize,
    pub(crate) at_once: usize,
    pub(crate) keys: usize,
    pub(crate) cursors: usize,
    /// What runs meanwhile.
    pub(crate) running: Plan,
    /// The floor, with as many connections.
    pub(crate) floor: Plan,
}

impl StormArgs {
    pub(crate) fn storm(&self) -> Result<Storm> {
        let [clients, at_once, keys, cursors, running] =
            [self.clients, self.at_once, self.keys, self.cursors, self.running].map(usize::try_from);
        let clients = clients?;
        let shape = |connections, streams_each| Shape { connections, streams_each, tenants: 1 };
        let running = shape(running? / 10, 10);
        // The larger one last: it raises the limit on open files for both.
        let running = plan(running, Duration::from_millis(20), &self.at)?;
        let files = clients + running.shape.connections + OTHER_FILES;
        process::allow_open_files(u64::try_from(files)?)?;
        let floor = Plan { shape: shape(clients, 1), ..running.clone() };
        Ok(Storm { clients, at_once: at_once?, keys: keys?, cursors: cursors?, running, floor })
    }
}

#[derive(ClapArgs)]
pub(crate) struct MemoryArgs {
    /// Connections with one stream each.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(10..=19_000))]
    connections: u32,
    /// Streams on each of a hundredth as many connections.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    added: u32,
    /// Readers that stop reading, of each kind.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    stalled: u32,
    /// Seconds of writing while they stall, and as long before.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=20))]
    seconds: u32,
    /// Tenants that are loaded and dropped.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tenants: u32,
    /// Keys of each of them.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    keys: u32,
    /// Rounds; each measures everything on hubs started anew.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    #[command(flatten)]
    at: HubArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What memory is measured of.
pub(crate) struct Loads {
    /// Many connections with a stream each.
    pub(crate) wide: Plan,
    /// A few with many.
    pub(crate) deep: Plan,
    /// Streams that are read while others are not.
    pub(crate) read: Plan,
    pub(crate) stalled: usize,
    /// For how long they stall.
    pub(crate) writing: Duration,
    pub(crate) tenants: usize,
    pub(crate) keys: usize,
}

impl MemoryArgs {
    pub(crate) fn loads(&self) -> Result<Loads> {
        let [connections, added, stalled, tenants, keys] =
            [self.connections, self.added, self.stalled, self.tenants, self.keys].map(usize::try_from);
        let (connections, stalled) = (connections?, stalled?);
        let plan = |connections, streams_each| {
            plan(Shape { connections, streams_each, tenants: 1 }, Duration::from_millis(1), &self.at)
        };
        let (read, deep) = (plan(20, 1)?, plan((connections / 100).max(1), added?)?);
        // The one with the most files last.
        process::allow_open_files(u64::try_from(stalled + OTHER_FILES)?)?;
        let writing = Duration::from_secs(self.seconds.into());
        let (wide, tenants, keys) = (plan(connections, 1)?, tenants?, keys?);
        Ok(Loads { wide, deep, read, stalled, writing, tenants, keys })
    }
}

#[derive(ClapArgs)]
pub(crate) struct CheckArgs {
    /// Keep what is counted as what is right.
    #[arg(long)]
    pub(crate) record: bool,
    /// Compare so many worker threads with one, instead of one thread with what is recorded.
    #[arg(long, conflicts_with = "record", value_parser = clap::value_parser!(u8).range(2..=64))]
    pub(crate) workers: Option<u8>,
    /// File of what is recorded.
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.json"))]
    pub(crate) recorded: PathBuf,
}

#[derive(ClapArgs)]
pub(crate) struct FlipArgs {
    /// Seconds of writing while the cost of reports is measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// Rounds, each with a hub and instances started anew.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    #[command(flatten)]
    pub(crate) at: HubArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs)]
pub(crate) struct RoundtripArgs {
    /// Writes and reads in each round.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub(crate) calls: u32,
    /// Rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    #[command(flatten)]
    pub(crate) at: HubArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl ShapeName {
    pub(crate) fn shape(self) -> Shape {
        let (connections, streams_each, tenants) = match self {
            Self::Wide => (10_000, 1, 1),
            Self::Middle => (1_000, 10, 1),
            Self::Deep => (100, 100, 1),
            Self::Tenants => (10_000, 1, 10_000),
        };
        Shape { connections, streams_each, tenants }
    }
}

impl LoadArgs {
    /// Checks what the options say together.
    pub(crate) fn plan(&self) -> Result<Plan> {
        let (streams, connections) = (usize::try_from(self.streams)?, usize::try_from(self.connections)?);
        let tenants = usize::try_from(self.tenants)?;
        if streams % connections != 0 {
            return Err(format!(
                "--streams {streams} is no multiple of --connections {connections}: each carries as many"
            )
            .into());
        }
        let streams_each = streams / connections;
        if streams_each > STREAMS_PER_CONNECTION {
            return Err(format!(
                "{streams_each} streams on one connection; at most {STREAMS_PER_CONNECTION}: use more --connections"
            )
            .into());
        }
        if tenants > streams {
            return Err(
                format!("--tenants {tenants} is more than --streams {streams}: nobody would listen").into()
            );
        }
        plan(Shape { connections, streams_each, tenants }, Duration::from_secs(1) / self.rate, &self.at)
    }

    pub(crate) fn case(&self) -> Result<(Case, Duration)> {
        let case = Case { bytes: usize::try_from(self.bytes)?, burst: usize::try_from(self.burst)? };
        Ok((case, Duration::from_secs(self.seconds.into())))
    }
}

impl SuiteArgs {
    /// The load at one of the shapes.
    pub(crate) fn plan(&self, shape: Shape, period: Duration) -> Result<Plan> {
        plan(shape, period, &self.at)
    }
}

/// Keys of a lone tenant; where there are several, each has one.
const KEYS: usize = 64;

/// A plan for this machine.
fn plan(shape: Shape, period: Duration, at: &HubArgs) -> Result<Plan> {
    process::allow_open_files(u64::try_from(shape.connections + OTHER_FILES)?)?;
    let settings = input::settings(if shape.tenants == 1 { KEYS } else { 1 })?;
    Ok(Plan { shape, settings, period, place: at.place()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_options_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_load_that_cannot_be_made_is_explained() {
        for (args, reason) in [
            (["--streams=10", "--connections=3"], "no multiple"),
            (["--streams=2000", "--connections=1"], "more --connections"),
            (["--streams=1000", "--tenants=1001"], "nobody would listen"),
        ] {
            let args = ["load", "--no-pin"].iter().chain(&args);
            let error = Args::try_parse_from(args).unwrap().load.plan().map(drop).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
