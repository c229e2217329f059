//! Clients that come all at once: each opens a connection and a stream, and is
//! current when the hub has told it so.
//!
//! They are in a thread of their own, so that streams which run meanwhile are read
//! as soon as they bring something.

use crate::fleet::Fleet;
use crate::ledger::{Faults, Held as _};
use crate::peers::hub::ledger::{Place, Reader, Tenant};
use crate::session::{count, float, micros, millis};
use bytes::Bytes;
use confhub_benches::connection::Connection;
use confhub_benches::latency::Latencies;
use confhub_benches::messages::Messages;
use confhub_benches::{Error, Result, process};
use confhub_proto::Digest;
use futures_util::stream::{FuturesUnordered, TryStreamExt as _};
use h2::RecvStream;
use serde::Serialize;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};

/// Longest wait for the last client: far beyond what a connection that found no room
/// waits before it tries again.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a hub does after the last client is current is a part of the cost: it has
/// this long for it.
const SETTLING: Duration = Duration::from_millis(20);

/// Where a crowd goes.
#[derive(Clone)]
pub(crate) struct Goal {
    pub(crate) address: SocketAddr,
    /// The process of the hub.
    pub(crate) pid: u32,
    pub(crate) token: String,
    /// How many are on their way at a time.
    pub(crate) at_once: usize,
    /// The keys of the tenant.
    pub(crate) keys: Vec<String>,
}

/// What it was like.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Came {
    pub(crate) clients: usize,
    /// CPU time of the hub, each client.
    pub(crate) cpu_us: f64,
    /// CPU time of the clients themselves, each.
    pub(crate) own_cpu_us: f64,
    /// From the beginning until a client was current, half of them.
    pub(crate) p50_ms: f64,
    /// Until the last one was.
    pub(crate) last_ms: f64,
    /// Entries that all got together.
    pub(crate) entries: u64,
    /// Messages with their prefixes, each client.
    pub(crate) bytes: f64,
    pub(crate) faults: Faults,
    /// The state that they have come to.
    #[serde(skip)]
    pub(crate) state: Digest,
}

/// Clients that are there.
pub(crate) struct Crowd {
    leave: oneshot::Sender<()>,
    gone: oneshot::Receiver<()>,
}

impl Crowd {
    /// Has all leave at once, and waits until they have.
    pub(crate) async fn leave(self) {
        drop(self.leave);
        // It is never sent anything: it ends.
        let _ = self.gone.await;
    }
}

/// What clients come with.
#[derive(Clone)]
pub(crate) enum Coming {
    /// Nothing.
    New,
    /// One of these, in turn; what they lack is a difference.
    Back(Vec<Place>),
    /// A state that the hub does not know: they get all of the present one.
    Forgotten(Place),
}

impl Coming {
    /// What the client of a number comes with, and the cursor that it sends.
    fn client(&self, number: usize, tenant: &Rc<Tenant>) -> (Reader, Vec<u8>) {
        let cursor = |place: &Place| place.digest.to_bytes().to_vec();
        match self {
            Self::New => (Reader::new(tenant), Vec::new()),
            Self::Forgotten(place) => (Reader::new(tenant), cursor(place)),
            Self::Back(places) => {
                let place = &places[number % places.len()];
                (Reader::from(tenant, place.clone()), cursor(place))
            }
        }
    }
}

impl Goal {
    /// Sends so many clients at once. If they are `considerate`, they take what others
    /// in this process leave of their core.
    pub(crate) async fn storm(
        &self,
        clients: usize,
        coming: Coming,
        considerate: bool,
    ) -> Result<(Came, Crowd)> {
        let goal = self.clone();
        let (tell, told) = oneshot::channel();
        let (leave, leaving) = oneshot::channel();
        let (gone_now, gone) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let come = || {
                if considerate {
                    process::step_back()?;
                }
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                tokio::task::LocalSet::new().block_on(&runtime, goal.come(clients, &coming, tell, leaving))
            };
            if let Err(error) = come() {
                eprintln!("a storm has failed: {error}");
            }
            drop(gone_now);
        });
        let came = told.await.map_err(|_| "a storm has failed")?;
        Ok((came, Crowd { leave, gone }))
    }

    /// Where a client stands that comes now, with what it has.
    pub(crate) async fn look(&self, coming: &Coming) -> Result<Place> {
        let (fleet, tenant) = self.tenant()?;
        let (mut reader, cursor) = coming.client(0, &tenant);
        let opened = self.client(&fleet, &mut reader, &cursor).await;
        fleet.end();
        drop(opened?);
        Ok(reader.place())
    }

    fn tenant(&self) -> Result<(Rc<Fleet>, Rc<Tenant>)> {
        let slots: HashMap<_, _> = self.keys.iter().cloned().zip(0..).collect();
        let fleet = Fleet::new()?;
        let tenant = Rc::new(Tenant::new(&Rc::new(slots), &fleet));
        Ok((fleet, tenant))
    }

    async fn come(
        &self,
        clients: usize,
        coming: &Coming,
        tell: oneshot::Sender<Came>,
        leaving: oneshot::Receiver<()>,
    ) -> Result<()> {
        let (fleet, tenant) = self.tenant()?;
        let (cpu, own) = (process::cpu_time(self.pid)?, process::cpu_time(std::process::id())?);
        let began = Instant::now();
        let turns = Semaphore::new(self.at_once);
        let one = async |number: usize| {
            let _turn = turns.acquire().await?;
            let (mut reader, cursor) = coming.client(number, &tenant);
            let held = self.client(&fleet, &mut reader, &cursor).await?;
            Ok::<_, Error>((began.elapsed(), reader.digest(), held))
        };
        let all: FuturesUnordered<_> = (0..clients).map(one).collect();
        let all: Vec<_> = timeout(PATIENCE, all.try_collect())
            .await
            .map_err(|_| format!("not all clients are current after {PATIENCE:?}"))??;
        sleep(SETTLING).await;
        let (cpu, own) = (process::cpu_time(self.pid)? - cpu, process::cpu_time(std::process::id())? - own);
        let mut latencies = Latencies::new()?;
        all.iter().for_each(|(took, ..)| latencies.record(*took));
        let (mut faults, entries, bytes) = {
            let totals = fleet.totals.borrow();
            (totals.faults, totals.entries, totals.bytes)
        };
        let state = all.first().and_then(|(_, digest, _)| *digest).unwrap_or_default();
        faults.unequal += all.iter().filter(|(_, digest, _)| *digest != Some(state)).count() as u64;
        let came = Came {
            clients,
            cpu_us: micros(cpu) / float(clients),
            own_cpu_us: micros(own) / float(clients),
            p50_ms: latencies.millis(50.0),
            last_ms: all.iter().map(|(took, ..)| millis(*took)).fold(0.0, f64::max),
            entries,
            bytes: count(bytes) / float(clients),
            faults,
            state,
        };
        // Whoever asked may have left.
        let _ = tell.send(came);
        let _ = leaving.await;
        drop(all);
        fleet.end();
        Ok(())
    }

    /// Opens a connection and a stream, and reads until it is current.
    async fn client(
        &self,
        fleet: &Rc<Fleet>,
        reader: &mut Reader,
        cursor: &[u8],
    ) -> Result<(Connection, RecvStream)> {
        let mut connection = Connection::open(self.address, &fleet.tasks).await?;
        let mut stream = connection.subscribe_from(&self.token, cursor).await?;
        let mut messages = Messages::default();
        while !reader.is_current() {
            let bytes: Bytes = stream.data().await.ok_or("a stream has ended")??;
            stream.flow_control().release_capacity(bytes.len())?;
            messages.push(bytes);
            for message in messages.by_ref() {
                reader.take(message);
            }
        }
        Ok((connection, stream))
    }
}
