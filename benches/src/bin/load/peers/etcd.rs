//! etcd, by its watch: a range of keys for each tenant, a watcher for each stream.
//! It counts the writes of each key, and that count is checked against the stamp.

mod messages;

use crate::fleet::{Fleet, Written};
use crate::ledger::{Shared, Versions};
use crate::peer::{Peer, REMEDY};
use crate::plan::{Plan, Shape, Target};
use bytes::Bytes;
use confhub_benches::connection::{Connection, framed};
use confhub_benches::messages::{Messages, PREFIX};
use confhub_benches::server::{self, Server};
use confhub_benches::{Error, Result};
use confhub_proto::{Digest, Key};
use h2::{RecvStream, SendStream};
use messages::{
    Event, KeyValue, PUT, PutRequest, PutResponse, Request, ResponseHeader, WATCH, WatchCreateRequest,
    WatchRequest, WatchResponse,
};
use prost::Message as _;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use tempfile::TempDir;
use tokio::task::JoinSet;

/// A running server; `SHARED`: the watchers of a connection are inside one gRPC
/// stream, as etcd's own client does it.
pub(crate) struct Etcd<const SHARED: bool> {
    server: Server,
    address: SocketAddr,
    shape: Shape,
    keys: Vec<Key>,
    writer: RefCell<Connection>,
    _tasks: RefCell<JoinSet<()>>,
    _folder: TempDir,
}

impl<const SHARED: bool> Peer for Etcd<SHARED> {
    type Connection = Connection;

    async fn start(plan: &Plan) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (client, peer) = (free_address()?, free_address()?);
        let mut command = command(folder.path(), client, peer)?;
        plan.place.as_server()?;
        let started = Server::start_until(&mut command, || TcpStream::connect(client).ok()).await;
        plan.place.as_client()?;
        let (server, _) = started?;
        let tasks = RefCell::default();
        let mut writer = Connection::open(client, &tasks).await?;
        // It listens before it has elected itself; this waits for that.
        let put = PutRequest { key: "ready".into(), value: Bytes::new() };
        writer.unary(PUT, framed(&put)).await?;
        let keys = plan.settings.iter().map(|setting| setting.key.clone()).collect();
        let writer = RefCell::new(writer);
        Ok(Self { server, address: client, shape: plan.shape, keys, writer, _tasks: tasks, _folder: folder })
    }

    fn server(&self) -> &Server {
        &self.server
    }

    fn framed(&self, key: &Key, value: usize) -> usize {
        PREFIX + typical(name(0, key.as_str()), vec![b'0'; value].into()).encoded_len()
    }

    async fn connect(&self, fleet: &Rc<Fleet>) -> Result<Connection> {
        Connection::open(self.address, &fleet.tasks).await
    }

    async fn open(&self, mut connection: Connection, number: usize, fleet: &Rc<Fleet>) -> Result<()> {
        let tenants: Vec<_> = self.shape.tenants_of(number).collect();
        for tenants in tenants.chunks(if SHARED { tenants.len() } else { 1 }) {
            let watch = |tenant: &usize| framed(&watch(*tenant));
            let (first, others) = tenants.split_first().ok_or("a connection without streams")?;
            let (mut requests, answers) = connection.call(WATCH, None, watch(first), false).await?;
            for tenant in others {
                requests.send_data(watch(tenant), false)?;
            }
            let streams = tenants.iter().map(|tenant| fleet.add(*tenant, Versions::new(self.keys.len())));
            let streams: Vec<_> = streams.collect();
            fleet.follow(follow(requests, answers, streams, Rc::clone(fleet)));
        }
        Ok(())
    }

    async fn put(&self, target: Target, value: Bytes, times: u64) -> Result<u64> {
        let key = name(target.tenant, self.keys[target.slot].as_str());
        let put = framed(&PutRequest { key, value });
        let mut writer = self.writer.borrow().clone();
        let answer = PutResponse::decode(writer.unary(PUT, put).await?)?;
        // The header has the revision of the whole store; the key's own count is
        // in what the watchers get, and is checked there.
        answer.header.filter(|header| header.revision > 1).ok_or("etcd tells no revision of a write")?;
        Ok(times)
    }

    async fn digests(&self, _written: &Written) -> Result<HashMap<usize, Digest>> {
        Ok(HashMap::new())
    }
}

/// How etcd is started: alone, on its defaults.
fn command(folder: &Path, client: SocketAddr, peer: SocketAddr) -> Result<Command> {
    let mut command = server::foreign("etcd", REMEDY)?;
    let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
    // A folder that it makes itself has the permissions that it asks for.
    command.arg("--data-dir").arg(folder.join("data")).args(["--logger", "zap", "--log-level", "error"]);
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--name", "bench", "--initial-cluster", &format!("bench={peer}")]);
    Ok(command)
}

/// An address that is free now. etcd does not tell what it got if it is to choose.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn name(tenant: usize, key: &str) -> Bytes {
    format!("t{tenant}/{key}").into()
}

/// Asks for all keys of a tenant: `0` is what follows `/`.
fn watch(tenant: usize) -> WatchRequest {
    let create = WatchCreateRequest { key: name(tenant, ""), range_end: format!("t{tenant}0").into() };
    WatchRequest { request: Some(Request::Create(create)) }
}

/// What a watcher gets of one write, with numbers of the usual length.
fn typical(key: Bytes, value: Bytes) -> WatchResponse {
    // Names of members are hashes of 64 bits.
    let header =
        ResponseHeader { cluster_id: u64::MAX >> 1, member_id: u64::MAX, revision: 500, raft_term: 2 };
    let kv = KeyValue { key, create_revision: 5, mod_revision: 500, version: 50, value };
    let events = vec![Event { kind: 0, kv: Some(kv) }];
    WatchResponse { header: Some(header), watch_id: 1, created: false, canceled: false, events }
}

/// Reads what the watchers of one gRPC stream get until it ends. Watchers are
/// numbered in the order in which they were asked for.
async fn follow(
    requests: SendStream<Bytes>,
    mut answers: RecvStream,
    streams: Vec<Shared<Versions>>,
    fleet: Rc<Fleet>,
) -> Result<()> {
    let mut messages = Messages::default();
    while let Some(bytes) = answers.data().await {
        let bytes = bytes?;
        answers.flow_control().release_capacity(bytes.len())?;
        messages.push(bytes);
        for message in messages.by_ref() {
            fleet.totals.borrow_mut().bytes += (PREFIX + message.len()) as u64;
            take(WatchResponse::decode(message)?, &streams, &fleet)?;
        }
    }
    // To let go of it would tell etcd that the watchers are done.
    drop(requests);
    Ok(())
}

fn take(response: WatchResponse, streams: &[Shared<Versions>], fleet: &Fleet) -> Result<()> {
    if response.canceled {
        return Err("etcd has cancelled a watcher".into());
    }
    if response.created {
        fleet.current(1);
        return Ok(());
    }
    let stream = usize::try_from(response.watch_id).ok().and_then(|id| streams.get(id));
    let stream = stream.ok_or_else(|| -> Error { format!("no watcher {}", response.watch_id).into() })?;
    let mut totals = fleet.totals.borrow_mut();
    for event in response.events {
        let kv = event.kv.filter(|_| event.kind == 0).ok_or("an event that is no write")?;
        let version = u64::try_from(kv.version)?;
        stream.borrow_mut().take(&kv.value, Some(version), &mut totals);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_reach_the_stream_of_their_watcher() {
        let fleet = Fleet::new().unwrap();
        let streams = [0, 1].map(|_| fleet.add(0, Versions::new(1)));
        let value = crate::stamp::Stamp { due: 1, slot: 0, version: 50 }.value(64);
        take(typical(name(0, "a"), value.clone()), &streams, &fleet).unwrap();
        assert_eq!(fleet.totals.borrow().deliveries, 1);
        let lacks = streams.each_ref().map(|stream| crate::ledger::Held::lacks(&*stream.borrow(), &[50]));
        assert_eq!(lacks, [50, 0]);
        let unknown = WatchResponse { watch_id: 2, ..typical(name(0, "a"), value.clone()) };
        assert!(take(unknown, &streams, &fleet).is_err());
        let cancelled = WatchResponse { canceled: true, ..WatchResponse::default() };
        assert!(take(cancelled, &streams, &fleet).is_err());
    }
}
