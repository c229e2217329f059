//! Streams that are followed to their end.

use confhub_benches::connection::Connection;
use confhub_benches::messages::Messages;
use confhub_benches::{Error, Result};
use confhub_proto::wire::{self, frame::Kind};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use h2::RecvStream;
use prost::Message as _;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Connections that are opened at once.
const OPENING: usize = 64;

/// Longest wait for a state of the streams.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How a stream ended.
pub(crate) struct End {
    /// When its last byte had come.
    pub(crate) at: Instant,
    /// The same, by the clock that tokens go by.
    pub(crate) clock: SystemTime,
    /// When the hub said that it would end.
    pub(crate) announced: Option<Instant>,
    /// Its gRPC status; empty: the connection broke.
    pub(crate) status: String,
}

/// Streams of one kind.
#[derive(Default)]
pub(crate) struct Group {
    /// The last version of the one entry that each stream has.
    pub(crate) versions: Vec<u64>,
    /// Updates that have come, over all streams.
    pub(crate) updates: u64,
    pub(crate) ends: Vec<End>,
}

impl Group {
    /// Streams that have not yet seen this version.
    pub(crate) fn behind(&self, version: u64) -> usize {
        self.versions.iter().filter(|seen| **seen < version).count()
    }
}

/// A group, and the tokens of its streams.
pub(crate) struct Kinds {
    pub(crate) tokens: Vec<String>,
    pub(crate) group: Rc<RefCell<Group>>,
}

impl Kinds {
    pub(crate) fn new(tokens: Vec<String>) -> Self {
        let group = Group { versions: vec![0; tokens.len()], ..Group::default() };
        Self { tokens, group: Rc::new(RefCell::new(group)) }
    }
}

/// Opens the streams of all groups, spread alike over so many connections, which
/// live for as long as what is returned.
pub(crate) async fn open(
    address: SocketAddr,
    connections: usize,
    kinds: &[Kinds],
) -> Result<RefCell<JoinSet<()>>> {
    let tasks = RefCell::new(JoinSet::new());
    let open = |number: usize| {
        let tasks = &tasks;
        async move {
            let mut connection = Connection::open(address, tasks).await?;
            for kind in kinds {
                let own = kind.tokens.iter().enumerate().skip(number).step_by(connections);
                for (index, token) in own {
                    let stream = connection.subscribe(token).await?;
                    tasks.borrow_mut().spawn_local(follow(stream, index, Rc::clone(&kind.group)));
                }
            }
            Ok::<_, Error>(connection)
        }
    };
    let opening = stream::iter((0..connections).map(open)).buffer_unordered(OPENING);
    // A connection stays for as long as it has streams.
    let _opened: Vec<_> = opening.try_collect().await?;
    Ok(tasks)
}

async fn follow(mut stream: RecvStream, index: usize, group: Rc<RefCell<Group>>) {
    let mut messages = Messages::default();
    let mut announced = None;
    while let Some(Ok(bytes)) = stream.data().await {
        if stream.flow_control().release_capacity(bytes.len()).is_err() {
            break;
        }
        messages.push(bytes);
        for message in messages.by_ref() {
            match wire::Frame::decode(message).ok().and_then(|frame| frame.kind) {
                Some(Kind::Update(update)) => {
                    let mut group = group.borrow_mut();
                    group.updates += u64::from(!update.puts.is_empty() && !update.reset);
                    for entry in update.puts {
                        group.versions[index] = entry.version;
                    }
                }
                Some(Kind::Goodbye(_)) => announced = Some(Instant::now()),
                _ => {}
            }
        }
    }
    let (at, clock) = (Instant::now(), SystemTime::now());
    let trailers = stream.trailers().await.ok().flatten();
    let status = trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
    let status = status.and_then(|status| status.to_str().ok()).unwrap_or_default().to_owned();
    group.borrow_mut().ends.push(End { at, clock, announced, status });
}

/// Waits until `done` holds; false if it does not within the time given.
pub(crate) async fn soon(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let since = Instant::now();
    while !done() {
        if since.elapsed() > patience {
            return false;
        }
        sleep(Duration::from_millis(2)).await;
    }
    true
}
