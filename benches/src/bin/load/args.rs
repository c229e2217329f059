//! What to load, and how.

use clap::{Args as ClapArgs, Parser, Subcommand};
use confhub_benches::input::{self, Setting};
use confhub_benches::place::{HubArgs, Place};
use confhub_benches::{Result, process};
use confhub_proto::frame::split;
use confhub_proto::{Content, Entry, State, Update};
use prost::Message as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Streams on one connection; the hub allows 1,024 calls.
const STREAMS_PER_CONNECTION: usize = 1_000;

/// Files beside connections: the store, timers, libraries.
const OTHER_FILES: usize = 200;

/// What HTTP/2 and gRPC put in front of a message, in bytes.
const WIRE_OVERHEAD: usize = 9 + 5;

/// Loads a hub with subscribers and measures what a delivery costs.
///
/// Opens --streams streams over --connections connections, for one tenant or
/// many, writes at --rate for --seconds, and tells deliveries, losses, order,
/// latency from write to receipt, CPU time of the hub per delivery, and memory
/// per connection and stream. In turn with each hub round it measures a floor:
/// one task per connection that writes bytes which are framed already. The
/// ratio of the two is what counts; figures alone depend on the machine.
///
/// Every stream checks every frame: versions of a key only rise, and after each
/// commit its digest is the hub's. Exit code 1: something was lost, out of
/// order, or different. 2: the run could not be made.
///
/// Build in release mode, and use a quiet machine with two cores or more: the
/// server gets one core, the subscribers another.
///
/// Examples:
///   load --streams 1000 --connections 1000 --rate 20
///   load --streams 1000 --connections 10 --rate 20
///   load --tenants 1000 --streams 1000 --connections 1000 --rate 500
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
    /// Measures from an acknowledged write to the value in one SDK client,
    /// beside a unary call of the same hub.
    Roundtrip(RoundtripArgs),
    /// Is the hub, for a program that measures it.
    #[command(hide = true)]
    HubServer {
        /// One thread.
        #[arg(long)]
        current_thread: bool,
        /// Folder of the store.
        #[arg(long)]
        data_dir: PathBuf,
        /// File that receives the addresses.
        #[arg(long)]
        ready_file: PathBuf,
    },
    /// Is the floor.
    #[command(hide = true)]
    FloorServer {
        /// Size of a frame.
        #[arg(long)]
        frame_bytes: usize,
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
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    connections: u32,
    /// Tenants among which streams and writes go round; at most one per stream.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tenants: u32,
    /// Writes a second, all tenants together.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Seconds of writing in each round.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Size of each written value.
    #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u32).range(32..=65_536))]
    value_bytes: u32,
    /// Keys of each tenant, written in turn.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(64..=1_000))]
    keys: u32,
    /// Rounds; each measures the floor and the hub, in processes started anew.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    at: HubArgs,
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

/// A load that can be made.
pub(crate) struct Plan {
    pub(crate) connections: usize,
    /// Streams of each connection.
    pub(crate) streams_each: usize,
    pub(crate) tenants: usize,
    pub(crate) rate: u32,
    pub(crate) writes: usize,
    pub(crate) value_bytes: usize,
    pub(crate) settings: Vec<Setting>,
    /// Mean size of a delta on the wire.
    pub(crate) frame_bytes: usize,
    pub(crate) rounds: u32,
    pub(crate) place: Place,
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
        process::allow_open_files(u64::try_from(connections + OTHER_FILES)?)?;
        let settings = input::settings(usize::try_from(self.keys)?)?;
        let value_bytes = usize::try_from(self.value_bytes)?;
        Ok(Plan {
            connections,
            streams_each,
            tenants,
            rate: self.rate,
            writes: usize::try_from(self.rate * self.seconds)?,
            value_bytes,
            frame_bytes: frame_bytes(&settings, value_bytes),
            settings,
            rounds: self.rounds,
            place: self.at.place()?,
        })
    }
}

impl Plan {
    pub(crate) fn streams(&self) -> usize {
        self.connections * self.streams_each
    }

    /// The tenants of a connection's streams.
    pub(crate) fn tenants_of(&self, connection: usize) -> impl Iterator<Item = usize> {
        let first = connection * self.streams_each;
        (first..first + self.streams_each).map(|stream| stream % self.tenants)
    }

    /// How many streams a tenant has.
    pub(crate) fn streams_of(&self, tenant: usize) -> usize {
        (self.streams() + self.tenants - 1 - tenant) / self.tenants
    }

    /// The tenant and the key of a write: both go round.
    pub(crate) fn target(&self, write: usize) -> (usize, usize) {
        (write % self.tenants, write / self.tenants % self.settings.len())
    }

    /// Time between two writes.
    pub(crate) fn period(&self) -> Duration {
        Duration::from_secs(1) / self.rate
    }
}

/// Mean size on the wire of the update that one write makes, in bytes.
fn frame_bytes(settings: &[Setting], value_bytes: usize) -> usize {
    // A time takes fewer bytes if its fraction is small.
    let now = SystemTime::UNIX_EPOCH + Duration::new(1_800_000_000, 500_000_000);
    let frame = |setting: &Setting| {
        let value = vec![b'0'; value_bytes].into();
        let content = Content { value, content_type: Content::JSON.into(), secret: false };
        let entry = Entry::new(setting.key.clone(), None, content, 2, now);
        let state = State::from_iter([std::sync::Arc::new(entry)]);
        let frames = split(&Update::difference([&setting.key], &state, now));
        frames.iter().map(|frame| frame.encoded_len() + WIRE_OVERHEAD).sum::<usize>()
    };
    settings.iter().map(frame).sum::<usize>() / settings.len().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn plan(args: &[&str]) -> Result<Plan, String> {
        let args = ["load", "--no-pin"].iter().chain(args);
        let args = Args::try_parse_from(args).map_err(|error| error.to_string())?;
        args.load.plan().map_err(|error| error.to_string())
    }

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
            let error = plan(&args).err().unwrap();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn every_stream_belongs_to_one_tenant() {
        let plan = plan(&["--streams=100", "--connections=10", "--tenants=7"]).unwrap();
        let mut streams = vec![0; 7];
        (0..10).flat_map(|connection| plan.tenants_of(connection)).for_each(|tenant| streams[tenant] += 1);
        assert_eq!(streams, (0..7).map(|tenant| plan.streams_of(tenant)).collect::<Vec<_>>());
        assert_eq!(streams.iter().sum::<usize>(), 100);
    }
}
