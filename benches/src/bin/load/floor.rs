//! One round of the floor: the same load, without a hub.

use crate::args::Plan;
use crate::floor_server::Ready;
use crate::ledger::Totals;
use crate::report::{Round, count};
use crate::round::arrived;
use bytes::{Buf as _, BytesMut};
use confhub_benches::server::Server;
use confhub_benches::{Result, process};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::process::Command;
use std::rc::Rc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Connections that are opened at once.
const OPENING: usize = 64;

/// The number of a write and when it was due stand at the head of its frame.
const HEAD: usize = 16;

/// Measures the floor.
pub(crate) async fn round(plan: &Plan) -> Result<Round> {
    let folder = tempfile::tempdir()?;
    let ready_file = folder.path().join("ready.json");
    let frame_bytes = plan.frame_bytes.max(HEAD);
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["floor-server", "--frame-bytes", &frame_bytes.to_string()]);
    command.arg("--ready-file").arg(&ready_file);
    plan.place.as_server()?;
    let started = Server::start::<Ready>(&mut command, &ready_file).await;
    plan.place.as_client()?;
    let (server, ready) = started?;

    let totals = Totals::new()?;
    let mut tasks = JoinSet::new();
    let empty = server.memory_kb()?;
    let opening = (0..plan.connections).map(|number| subscribe(plan, number, ready.subscribers));
    let streams: Vec<_> = stream::iter(opening).buffered(OPENING).try_collect().await?;
    let connected = server.memory_kb()?;
    for stream in streams {
        tasks.spawn_local(follow(stream, frame_bytes, Rc::clone(&totals)));
    }

    let mut writer = TcpStream::connect(ready.writer).await?;
    writer.set_nodelay(true)?;
    let (before, own_before) = (server.cpu_time()?, process::cpu_time(std::process::id())?);
    let started = Instant::now();
    let expected = write(plan, &mut writer, frame_bytes, &totals).await?;
    arrived(&totals, expected).await;
    let (lasted, cpu) = (started.elapsed(), server.cpu_time()? - before);
    let own = process::cpu_time(std::process::id())? - own_before;
    let mut round = Round::new(&totals.borrow(), lasted, cpu, own);
    round.lost = expected - round.deliveries;
    round.connection_kb = (connected - empty) / count(plan.connections);
    Ok(round)
}

/// Opens a connection that listens to the tenants of its streams.
async fn subscribe(plan: &Plan, number: usize, address: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut hello = u32::try_from(plan.streams_each)?.to_be_bytes().to_vec();
    for tenant in plan.tenants_of(number) {
        hello.extend(u32::try_from(tenant)?.to_be_bytes());
    }
    stream.write_all(&hello).await?;
    stream.read_u8().await?;
    Ok(stream)
}

/// Reads frames until the connection ends.
async fn follow(mut stream: TcpStream, frame_bytes: usize, totals: Rc<RefCell<Totals>>) {
    let mut held = BytesMut::new();
    let mut last = 0;
    while stream.read_buf(&mut held).await.is_ok_and(|bytes| bytes > 0) {
        let mut totals = totals.borrow_mut();
        while held.len() >= frame_bytes {
            let mut frame = held.split_to(frame_bytes);
            let (number, due) = (frame.get_u64(), frame.get_u64());
            totals.backwards += u64::from(number < last);
            totals.deliveries += 1;
            totals.received(due);
            last = number;
        }
    }
    totals.borrow_mut().broken += 1;
}

/// Writes at the rate of the plan; returns how many deliveries that makes.
async fn write(
    plan: &Plan,
    writer: &mut TcpStream,
    frame_bytes: usize,
    totals: &RefCell<Totals>,
) -> Result<u64> {
    let mut due = totals.borrow().now();
    let mut expected = 0;
    for number in 0..plan.writes {
        let at = totals.borrow().at(due);
        sleep_until(at).await;
        let (tenant, _) = plan.target(number);
        let mut bytes = u32::try_from(tenant)?.to_be_bytes().to_vec();
        bytes.extend((number as u64).to_be_bytes());
        bytes.extend(due.to_be_bytes());
        bytes.resize(4 + frame_bytes, b'.');
        writer.write_all(&bytes).await?;
        expected += plan.streams_of(tenant) as u64;
        due += u64::try_from(plan.period().as_nanos())?;
    }
    Ok(expected)
}
