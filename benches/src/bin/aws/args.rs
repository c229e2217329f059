//! What to measure, and with what.

use crate::fill::Store;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Measures the hub on AWS's protocols, in an emulator of AWS.
///
/// Starts the emulator of infra/local, puts the stack of infra/stack.yaml into an
/// account of it, runs hubs on what the stack has made, and ends all of them. What
/// the emulator takes for a call or an event is in every figure, so each stands
/// beside something plain that had the same from it, in the same run: a consumer of
/// the same topic, a bare read of the same entries.
///
/// Everything is checked: nothing may be lost, no version may go back, and digests
/// are equal at the end. Exit code 1: a promise was broken, or a target missed. 2:
/// the run could not be made.
///
/// Build in release mode, and use a quiet machine with two cores or more.
///
/// Examples:
///   aws latency
///   aws latency --backend ssm --changes 200 --rounds 1
///   aws load --entries 10000
///   aws reads
///   aws fleet --hubs 3 --changes 1000
///   aws --python ./venv/bin/python --json latency
#[derive(Parser)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// What there is to measure.
#[derive(Subcommand)]
pub(crate) enum Command {
    Latency(LatencyArgs),
    Load(LoadArgs),
    Reads(ReadsArgs),
    Fleet(FleetArgs),
}

/// With what.
#[derive(ClapArgs)]
pub(crate) struct Place {
    /// A Python that has the emulator and boto3. Default: the one that `confhub aws
    /// local --prepare` makes.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) python: Option<PathBuf>,
    /// A `confhub` binary to measure. Default: the hub that this program was built
    /// with, in a process of its own.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) hub: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// From a foreign write to the value in an SDK client, beside a plain consumer of
/// the same event.
///
/// AWS's own Python SDK writes one change after the other, spaced so that nothing
/// of the former is under way. For each: when the call began and returned, when a
/// consumer of SQS that does nothing else had the event, when an SDK client of the
/// hub had the value. What the hub adds is the difference of the last two, change
/// by change; in it is the hub's reading of the entry from the store, whose bare
/// time is measured too. Target: at most 10 ms at p99.
///
/// Examples:
///   aws latency
///   aws latency --backend dynamodb --changes 2000 --rounds 1
#[derive(ClapArgs)]
#[command(verbatim_doc_comment)]
pub(crate) struct LatencyArgs {
    /// Changes in each round.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub(crate) changes: u32,
    /// Rounds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Where the entries are.
    #[arg(long, default_value = "both")]
    pub(crate) backend: Stores,
    /// Milliseconds between the arrival of one change and the next write. Below 20,
    /// the hub's budget of 40 reads of Parameter Store a second is measured too.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) pause: u32,
}

/// Which stores.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stores {
    /// DynamoDB.
    Dynamodb,
    /// Parameter Store.
    Ssm,
    /// One after the other.
    Both,
}

impl Stores {
    pub(crate) fn list(self) -> &'static [Store] {
        match self {
            Self::Dynamodb => &[Store::DynamoDb],
            Self::Ssm => &[Store::Ssm],
            Self::Both => &[Store::DynamoDb, Store::Ssm],
        }
    }
}

/// A tenant of many entries: time to load, memory, bytes on the wire.
///
/// The time from the first Subscribe to its commit, beside a bare paginated read of
/// the same entries by the AWS SDK, in turn. Parameter Store is loaded twice: within
/// the default budget of 40 reads a second, which is what its time is made of, and
/// without one.
///
/// Examples:
///   aws load
///   aws load --entries 1000 --rounds 1
#[derive(ClapArgs)]
#[command(verbatim_doc_comment)]
pub(crate) struct LoadArgs {
    /// Entries of the tenant.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub(crate) entries: u32,
    /// Rounds; each starts a hub anew.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Where the entries are.
    #[arg(long, default_value = "both")]
    pub(crate) backend: Stores,
}

/// How often the stores are read.
///
/// One change with many subscribers; many hints for one key within a second; many
/// clients that come back with the state that they had, to the same hub and to one
/// that was started anew.
///
/// Examples:
///   aws reads
///   aws reads --subscribers 100 --hints 200
#[derive(ClapArgs)]
#[command(verbatim_doc_comment)]
pub(crate) struct ReadsArgs {
    /// Subscribers in all.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    pub(crate) subscribers: u32,
    /// Tenants among which they go round where they come back.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) tenants: u32,
    /// Hints for one key.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub(crate) hints: u32,
}

/// Several hubs on one topic, and the death of one.
///
/// A foreign writer changes entries of both stores; SDK clients of every hub must
/// get all of it. Then a hub is killed (-9) while nothing happens; its clients come
/// back to another one by cursor after more changes, and may receive only those.
/// Then a second hub is killed while changes go on.
///
/// Examples:
///   aws fleet
///   aws fleet --hubs 5 --changes 5000 --clients 20
#[derive(ClapArgs)]
#[command(verbatim_doc_comment)]
pub(crate) struct FleetArgs {
    /// Hubs.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..=16))]
    pub(crate) hubs: u32,
    /// SDK clients of each hub.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) clients: u32,
    /// Changes while all hubs live, and while the second one is killed.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(200..=1_000_000))]
    pub(crate) changes: u32,
    /// Changes between the death of a hub and its clients' return.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) missed: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_options_are_consistent() {
        Args::command().debug_assert();
    }
}
