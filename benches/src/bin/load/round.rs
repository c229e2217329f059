//! One round of the hub: start, fill, connect, subscribe, write, check.

use crate::args::Plan;
use crate::connection::follow;
use crate::ledger::{Reader, Tenant, Totals};
use crate::publish::{self, Written};
use crate::report::Round;
use confhub_benches::connection::Connection;
use confhub_benches::hub::{CallPace, Caller, Hub};
use confhub_benches::{Error, Result, process};
use confhub_proto::{Digest, wire};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use wire::config_service_client::ConfigServiceClient;
use wire::frame::Kind;

/// Connections that are opened at once.
const OPENING: usize = 64;

/// Longest wait for the last delivery, and for the streams to be current.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The subscribers of one round.
struct Fleet {
    totals: Rc<RefCell<Totals>>,
    /// With the number of its tenant.
    readers: Vec<(usize, Rc<RefCell<Reader>>)>,
    _tasks: RefCell<JoinSet<()>>,
}

/// Measures a hub.
pub(crate) async fn hub(plan: &Plan) -> Result<Round> {
    plan.place.as_server()?;
    let hub = Hub::start(&plan.place.program, CallPace::Lifted).await;
    plan.place.as_client()?;
    let hub = hub?;
    let tokens: Vec<_> =
        (0..plan.tenants).map(|tenant| hub.token(&format!("t{tenant}"))).collect::<Result<_>>()?;
    let channel = hub.channel().await?;
    let callers: Vec<_> =
        tokens.iter().map(|token| Caller::new(channel.clone(), token)).collect::<Result<_>>()?;
    stream::iter(&callers)
        .map(Ok)
        .try_for_each_concurrent(OPENING, |caller| caller.seed(&plan.settings))
        .await?;

    let empty = hub.server.memory_kb()?;
    let tasks = RefCell::new(JoinSet::new());
    let opening = (0..plan.connections).map(|_| Connection::open(hub.address, &tasks));
    let connections: Vec<_> = stream::iter(opening).buffered(OPENING).try_collect().await?;
    let connected = hub.server.memory_kb()?;
    let fleet = subscribe(plan, connections, tasks, &tokens).await?;
    let subscribed = hub.server.memory_kb()?;

    let (hub_before, own_before) = (hub.server.cpu_time()?, process::cpu_time(std::process::id())?);
    let started = Instant::now();
    let written = publish::writes(plan, &callers, &fleet.totals).await?;
    arrived(&fleet.totals, written.expected).await;
    let (lasted, cpu) = (started.elapsed(), hub.server.cpu_time()? - hub_before);
    let own = process::cpu_time(std::process::id())? - own_before;

    let digests = digests(&channel, &callers).await?;
    let mut round = Round::new(&fleet.totals.borrow(), lasted, cpu, own);
    check(&mut round, &fleet, &written, &digests);
    round.acknowledged_us = Some(Round::micros(&written.acknowledged, 50.0));
    round.connection_kb = (connected - empty) / crate::report::count(plan.connections);
    round.stream_kb = (subscribed - connected) / crate::report::count(plan.streams());
    Ok(round)
}

/// Opens all streams, and waits until each knows that it is current.
async fn subscribe(
    plan: &Plan,
    connections: Vec<Connection>,
    tasks: RefCell<JoinSet<()>>,
    tokens: &[String],
) -> Result<Fleet> {
    let totals = Totals::new()?;
    let keys = || plan.settings.iter().map(|setting| setting.key.to_string());
    let tenants: Vec<_> = tokens.iter().map(|_| Rc::new(Tenant::new(keys(), &totals))).collect();
    let readers = RefCell::new(Vec::with_capacity(plan.streams()));
    let open = |(number, mut connection): (usize, Connection)| {
        let (tenants, totals, readers, tasks) = (&tenants, &totals, &readers, &tasks);
        async move {
            for tenant in plan.tenants_of(number) {
                let stream = connection.subscribe(&tokens[tenant]).await?;
                let reader = Rc::new(RefCell::new(Reader::new(&tenants[tenant])));
                readers.borrow_mut().push((tenant, Rc::clone(&reader)));
                tasks.borrow_mut().spawn_local(follow(stream, reader, Rc::clone(totals)));
            }
            Ok::<_, Error>(connection)
        }
    };
    let numbered = connections.into_iter().enumerate();
    let opening = stream::iter(numbered.map(open)).buffer_unordered(OPENING);
    // A connection stays for as long as it has streams.
    let _opened: Vec<_> = opening.try_collect().await?;
    let since = Instant::now();
    while totals.borrow().current < plan.streams() {
        if since.elapsed() > PATIENCE {
            let current = totals.borrow().current;
            return Err(format!("only {current} of {} streams are current", plan.streams()).into());
        }
        sleep(Duration::from_millis(2)).await;
    }
    Ok(Fleet { totals, readers: readers.into_inner(), _tasks: tasks })
}

/// Waits until all that was written has arrived, or will not.
pub(crate) async fn arrived(totals: &RefCell<Totals>, expected: u64) {
    let since = Instant::now();
    let missing = || {
        let totals = totals.borrow();
        totals.deliveries + totals.superseded < expected
    };
    while missing() && since.elapsed() < PATIENCE {
        sleep(Duration::from_millis(2)).await;
    }
}

/// The digest of each tenant's state, in the words of the hub.
async fn digests(channel: &tonic::transport::Channel, callers: &[Caller]) -> Result<Vec<Digest>> {
    let mut digests = Vec::with_capacity(callers.len());
    for caller in callers {
        let request = caller.request(wire::GetSnapshotRequest::default());
        let mut frames = ConfigServiceClient::new(channel.clone()).get_snapshot(request).await?.into_inner();
        let mut digest = None;
        while let Some(frame) = frames.message().await? {
            if let Some(Kind::Update(wire::Update { commit: Some(commit), .. })) = frame.kind {
                digest = Digest::from_wire(&commit.cursor)?;
            }
        }
        digests.push(digest.ok_or("a snapshot without a commit")?);
    }
    Ok(digests)
}

/// Compares what each stream has with what was written and with the hub.
fn check(round: &mut Round, fleet: &Fleet, written: &Written, digests: &[Digest]) {
    round.refused = written.refused;
    for (tenant, reader) in &fleet.readers {
        let reader = reader.borrow();
        round.lost += reader.lacks(&written.versions[*tenant]);
        round.unequal += u64::from(reader.digest() != digests[*tenant]);
    }
}
