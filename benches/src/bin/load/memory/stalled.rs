//! Readers that stop reading while writes go on, and come back.

use crate::args::Loads;
use crate::peer::Peer as _;
use crate::peers::hub::TheHub;
use crate::plan::Case;
use crate::session::{Figures, Session, count, float};
use bytes::Bytes;
use confhub_benches::connection::Connection;
use confhub_benches::messages::{Messages, PREFIX};
use confhub_benches::{Error, Result};
use confhub_proto::{Digest, wire};
use futures_util::future::try_join_all;
use prost::Message as _;
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use wire::frame::Kind as Frame;

/// What is written, to 64 keys in turn.
const CASE: Case = Case { bytes: 4_096, burst: 1 };

/// Longest wait until all are back.
const PATIENCE: Duration = Duration::from_secs(30);

/// Room for what has come and was not read, in bytes. On loopback the kernel holds some
/// megabytes for a socket all the same, and a reader is stalled when that is full.
const RECEIVE_BYTES: u32 = 16 * 1024;

/// How a reader stalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It reads its connection and not its stream, as a program whose handler hangs.
    Window,
    /// It reads nothing at all, as a process that is stopped.
    Socket,
}

impl Kind {
    /// Windows of a stream and of the connection, in bytes.
    fn windows(self) -> (u32, u32) {
        match self {
            Self::Window => (65_535, 1 << 24),
            Self::Socket => (1 << 30, 1 << 30),
        }
    }
}

/// What it was like.
#[derive(Debug, Serialize)]
pub(super) struct Stalled {
    /// Memory of the hub for each that stalls, in kB.
    pub(super) reader_kb: f64,
    /// What each gets once it is back, in kB.
    pub(super) back_kb: f64,
    /// From a write to its receipt at the others, at p99: before, and while they stall.
    before_ms: f64,
    beside_ms: f64,
    /// Those that were not current in the end.
    lost: usize,
    /// Whether the others have everything.
    others_have_all: bool,
}

impl Stalled {
    pub(super) fn is_kept(&self) -> bool {
        self.lost == 0 && self.others_have_all
    }

    /// How much longer a write takes to the others.
    pub(super) fn others(&self) -> f64 {
        self.beside_ms / self.before_ms
    }
}

/// A reader that stops when it is told.
#[derive(Default)]
struct Reader {
    bytes: Cell<u64>,
    last: RefCell<Bytes>,
}

impl Reader {
    /// The state to which the last frame has led.
    fn digest(&self) -> Option<Digest> {
        let frame = wire::Frame::decode(self.last.borrow().clone()).ok()?;
        let cursor = match frame.kind? {
            Frame::Update(update) => update.commit?.cursor,
            Frame::Heartbeat(heartbeat) => heartbeat.cursor,
            Frame::Welcome(_) | Frame::Goodbye(_) => return None,
        };
        Digest::from_wire(&cursor).ok()?
    }
}

/// Has readers stall, and come back.
pub(super) async fn measure(loads: &Loads, kind: Kind) -> Result<Stalled> {
    let mut session = Session::<TheHub>::open(&loads.read).await?;
    let address = session.peer.hub.address;
    let token = session.peer.hub.token("t0")?;
    let (stall, stalled) = watch::channel(false);
    let tasks = RefCell::new(JoinSet::new());
    let open = (0..loads.stalled).map(|_| reader(address, &token, kind, &stalled, &tasks));
    let readers = try_join_all(open).await?;

    // Once while all read, so that what a store and an allocator grow by is known.
    session.case(CASE, loads.writing / 2).await?;
    let kb = |session: &Session<'_, TheHub>| session.peer.server().memory_kb();
    let begun_kb = kb(&session)?;
    let before = session.case(CASE, loads.writing).await?;
    let read_kb = kb(&session)?;
    stall.send_replace(true);
    let beside = session.case(CASE, loads.writing).await?;
    let stalled_kb = kb(&session)?;
    // The same growth for as many writes is none of theirs.
    let own_kb = (read_kb - begun_kb).max(0.0) * count(beside.bursts) / count(before.bursts.max(1));

    let bytes = |readers: &[Rc<Reader>]| readers.iter().map(|reader| reader.bytes.get()).sum::<u64>();
    let had = bytes(&readers);
    stall.send_replace(false);
    let digest = session.peer.present().await?;
    let lost = all_back(&readers, digest).await;
    let back_kb = count(bytes(&readers) - had) / 1_024.0 / float(readers.len());
    let Figures { p99_ms: before_ms, .. } = before;
    let others_have_all = session.faults().await?.is_none();
    Ok(Stalled {
        reader_kb: (stalled_kb - read_kb - own_kb) / float(readers.len()),
        back_kb,
        before_ms,
        beside_ms: beside.p99_ms,
        lost,
        others_have_all,
    })
}

/// How many are not current, after a while.
async fn all_back(readers: &[Rc<Reader>], digest: Digest) -> usize {
    let since = Instant::now();
    loop {
        let behind = readers.iter().filter(|reader| reader.digest() != Some(digest)).count();
        if behind == 0 || since.elapsed() > PATIENCE {
            return behind;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Opens a stream on a connection of its own, and reads it while it may.
async fn reader(
    address: SocketAddr,
    token: &str,
    kind: Kind,
    stalled: &watch::Receiver<bool>,
    tasks: &RefCell<JoinSet<()>>,
) -> Result<Rc<Reader>> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    let (mut connection, driving) = Connection::over(socket.connect(address).await?, kind.windows()).await?;
    let mut stops = stalled.clone();
    tasks.borrow_mut().spawn_local(async move {
        tokio::pin!(driving);
        loop {
            let stalls = async { drop(stops.wait_for(|stops| *stops && kind == Kind::Socket).await) };
            tokio::select! {
                () = &mut driving => break,
                () = stalls => {}
            }
            // The sender outlives the tasks.
            drop(stops.wait_for(|stops| !stops).await);
        }
    });
    let mut stream = connection.subscribe(token).await?;
    let reader = Rc::<Reader>::default();
    let (read, mut stops) = (Rc::clone(&reader), stalled.clone());
    tasks.borrow_mut().spawn_local(async move {
        // The connection lives as long as its stream.
        let _connection = connection;
        let mut messages = Messages::default();
        while let Some(Ok(bytes)) = stream.data().await {
            drop(stops.wait_for(|stops| !stops).await);
            if stream.flow_control().release_capacity(bytes.len()).is_err() {
                break;
            }
            messages.push(bytes);
            for message in messages.by_ref() {
                read.bytes.set(read.bytes.get() + (PREFIX + message.len()) as u64);
                *read.last.borrow_mut() = message;
            }
        }
    });
    Ok::<_, Error>(reader)
}
