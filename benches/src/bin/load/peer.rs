//! Who is measured: the hub, the floor below it, and what people would use
//! instead. Each starts, takes connections and streams, and takes writes; what is
//! measured and checked is the same for all.

use crate::fleet::{Fleet, Written};
use crate::peers::etcd::Etcd;
use crate::peers::floor::Floor;
use crate::peers::hub::TheHub;
use crate::peers::nats::Nats;
use crate::plan::{Case, Plan, Target};
use crate::session::{self, Round};
use bytes::Bytes;
use clap::ValueEnum;
use confhub_benches::server::Server;
use confhub_benches::{Error, Result};
use confhub_proto::{Digest, Key};
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// What to run if a program of others is missing.
pub(crate) const REMEDY: &str = "benches/install-peers";

/// A server that fans out.
pub(crate) trait Peer: Sized {
    /// A connection without streams.
    type Connection;

    /// How long after opening it may seem to rest, while more is to come.
    const REST: Duration = Duration::ZERO;

    /// Starts it in a process of its own, on the server's core, with the keys of
    /// the plan if they are to have values before.
    async fn start(plan: &Plan) -> Result<Self>;

    fn server(&self) -> &Server;

    /// What a stream gets of one write, in bytes, if its value has so many: all
    /// but the head of HTTP/2, which those count too that have none.
    fn framed(&self, key: &Key, value: usize) -> usize;

    /// Opens a connection.
    async fn connect(&self, fleet: &Rc<Fleet>) -> Result<Self::Connection>;

    /// Opens the streams of a connection and follows them; each tells the fleet
    /// once it is current.
    async fn open(&self, connection: Self::Connection, number: usize, fleet: &Rc<Fleet>) -> Result<()>;

    /// Writes, and returns the version of the key, once it is acknowledged.
    async fn put(&self, target: Target, value: Bytes, times: u64) -> Result<u64>;

    /// The digests that it has of the tenants which were written to; empty if it
    /// knows of none.
    async fn digests(&self, written: &Written) -> Result<HashMap<usize, Digest>>;
}

/// All that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Side {
    /// confhub.
    Hub,
    /// One task per connection that writes bytes which are framed already, on a
    /// runtime of one thread.
    Floor,
    /// etcd, with a gRPC stream for each watcher.
    Etcd,
    /// etcd, with the watchers of a connection inside one gRPC stream.
    EtcdShared,
    /// NATS core.
    Nats,
}

impl Side {
    /// Whether it makes promises which a round checks, or is what is compared with.
    pub(crate) fn merges(self) -> bool {
        self == Self::Hub
    }

    /// Whether it differs from the other sides at this number of streams.
    pub(crate) fn takes(self, streams_each: usize) -> bool {
        self != Self::EtcdShared || streams_each > 1
    }

    /// Measures one round: everything started anew, then one case after the other
    /// for so long, or for one burst if that takes longer.
    pub(crate) async fn round(self, plan: &Plan, cases: &[(Case, Duration)]) -> Result<Round> {
        let round = match self {
            Self::Hub => session::run::<TheHub>(self, plan, cases).await,
            Self::Floor => session::run::<Floor>(self, plan, cases).await,
            Self::Etcd => session::run::<Etcd<false>>(self, plan, cases).await,
            Self::EtcdShared => session::run::<Etcd<true>>(self, plan, cases).await,
            Self::Nats => session::run::<Nats>(self, plan, cases).await,
        };
        round.map_err(|error| -> Error { format!("{self}, {}: {error}", plan.shape).into() })
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Hub => "hub",
            Self::Floor => "floor",
            Self::Etcd => "etcd",
            Self::EtcdShared => "etcd, shared stream",
            Self::Nats => "NATS core",
        })
    }
}
