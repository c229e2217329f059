//! Updates faster than a program looks: none is lost, what is merged is counted, and
//! neither those who read nor the program's other tasks are held up.

use crate::support::{Hub, client, put, soon, until_state};
use confhub::fanout::message;
use confhub_client::{Client, Content, Cursor, Entry, Key, Snapshot, Stats};
use confhub_proto::{State, Update, frame, wire};
use h2::SendStream;
use serde::{Deserialize, Deserializer};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, yield_now};

const KEYS: usize = 20;

fn key(i: usize) -> String {
    format!("tenant_config_{}", i % KEYS)
}

/// A hub on a runtime of its own, and a client on another one, which stands still
/// while nobody runs it: so a program is held up for as long as a test wants.
struct Scene {
    // Dropped first: its tasks are told that the hub's runtime goes.
    program: Runtime,
    client: Client,
    hub: Hub,
    hubs: Runtime,
}

impl Scene {
    /// With a first version of each key in the client.
    fn start() -> Self {
        let hubs = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let program = Builder::new_current_thread().enable_all().build().unwrap();
        let hub = hubs.block_on(Hub::start_with(|settings| settings.limits.calls_per_second = 1_000_000));
        hubs.block_on(async {
            hub.caller("acme").await.apply((0..KEYS).map(|i| put("", &key(i), "first")).collect()).await
        })
        .unwrap();
        let client = program.block_on(client(&hub, "acme").connect()).unwrap();
        program.block_on(until_state(&client, "the first versions", |state| state.len() == KEYS));
        Self { program, client, hub, hubs }
    }

    /// What the hub holds now.
    fn last(&self) -> Cursor {
        let state =
            self.hubs.block_on(async { self.hub.caller("acme").await.snapshot("", &[]).await.unwrap().0 });
        state.digest()
    }
}

/// Writes of several writers at once, to all keys in turn.
async fn write(hub: &Hub, count: usize, writers: usize, value: &str) {
    let mut all = JoinSet::new();
    for first in 0..writers {
        let (writer, value) = (hub.caller("acme").await, value.to_owned());
        all.spawn(async move {
            for i in (first..count).step_by(writers) {
                writer.put(&key(i), &value).await.unwrap();
            }
        });
    }
    soon("the writers", all.join_all()).await;
}

/// Entries and superseded versions since.
fn counted(stats: Stats, since: Stats) -> (u64, u64) {
    (stats.entries - since.entries, stats.superseded - since.superseded)
}

fn versions(state: &Snapshot) -> u64 {
    state.iter().map(|entry| entry.version()).sum()
}

#[test]
fn what_is_written_while_a_program_is_held_up_arrives_merged_and_no_version_is_unaccounted_for() {
    let scene = Scene::start();
    let (client, before) = (&scene.client, scene.client.stats());
    let (mut changes, read_before) = (client.changes(), versions(&client.snapshot()));
    // Three times what a hub may send to who does not read.
    let writes = 400;
    scene.hubs.block_on(write(&scene.hub, writes, 16, &"x".repeat(8 * 1_024)));
    assert_eq!(counted(client.stats(), before), (0, 0), "it was held up");
    let last = scene.last();
    scene.program.block_on(until_state(client, "the last state", |state| state.digest() == last));

    let (entries, superseded) = counted(client.stats(), before);
    assert_eq!(versions(&client.snapshot()) - read_before, writes as u64);
    assert_eq!(entries + superseded, writes as u64, "{entries} applied, {superseded} merged");
    assert!(superseded > 0 && client.stats().resets == 1, "{:?}", client.stats());
    // Who follows the client and did not read either has one item with everything.
    let change = scene.program.block_on(changes.next()).unwrap();
    assert_eq!((change.keys.len(), change.cursor), (KEYS, last));
    let merged = client.stats().updates - before.updates - 1;
    assert!(client.stats().merged >= merged, "{:?}", client.stats());
}

#[test]
fn a_flood_of_updates_leaves_the_programs_other_tasks_their_turns() {
    let scene = Scene::start();
    let (client, before) = (&scene.client, scene.client.stats().updates);
    // One after the other, so that most are updates of their own.
    scene.hubs.block_on(write(&scene.hub, 1_000, 1, "x"));
    let last = scene.last();
    let most = scene.program.block_on(soon("the last state", async {
        let (mut most, mut seen) = (0, before);
        while client.cursor() != last {
            yield_now().await;
            let now = client.stats().updates;
            most = most.max(now - seen);
            seen = now;
        }
        most
    }));
    let updates = client.stats().updates - before;
    assert!(updates > 400, "{updates} updates are no flood");
    assert!(most <= 200, "{most} of {updates} updates in one turn");
}

/// Two keys that are always written together.
const PAIR: [&str; 2] = ["tenant_config_left", "param_config_right"];

/// Reads the pair in every way, all the time, until told to stop, and checks it.
/// Returns the version that was read last.
fn reader(client: &Client, stop: &Arc<AtomicBool>) -> JoinHandle<u64> {
    let (client, stop) = (client.clone(), Arc::clone(stop));
    let typed = client.typed::<String>(PAIR[0]).unwrap();
    std::thread::spawn(move || {
        let (mut last, mut loaded) = (0, 0);
        loop {
            // Looked at before reading, so that the last read is after the last write.
            let stopped = stop.load(Ordering::SeqCst);
            let snapshot = client.snapshot();
            let [left, right] = PAIR.map(|key| snapshot.get(key).unwrap());
            assert_eq!((left.version(), left.value()), (right.version(), right.value()), "a part");
            let later = client.get(PAIR[1]).unwrap().version();
            assert!(last <= left.version() && left.version() <= later, "an older version after {last}");
            let now: u64 = typed.load().parse().unwrap();
            assert!(loaded <= now, "{now} after {loaded}");
            (last, loaded) = (later, now);
            if stopped {
                return last;
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_all_the_time_never_sees_a_part_of_an_update_or_an_older_version() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let write = async |version: u64| {
        writer.apply(PAIR.map(|key| put("", key, &version.to_string())).to_vec()).await.unwrap();
    };
    write(1).await;
    let client = client(&hub, "acme").connect().await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let reader = reader(&client, &stop);
    for version in 2..=300 {
        write(version).await;
    }
    let at_last = |state: &Snapshot| state.get(PAIR[0]).is_some_and(|entry| entry.version() == 300);
    until_state(&client, "the last write", at_last).await;
    // The handle is told just after the state is there.
    let typed = client.typed::<String>(PAIR[0]).unwrap();
    assert_eq!(*typed.load(), "300");
    stop.store(true, Ordering::SeqCst);
    assert_eq!(reader.join().unwrap(), 300);
}

const FLAG: &str = "tenant_config_flag";

fn at(version: u64) -> State {
    let content = Content { value: "1".into(), content_type: Content::JSON.into(), secret: false };
    let entry = Entry::new(Key::new(FLAG).unwrap(), None, content, version, SystemTime::now());
    State::from_iter([Arc::new(entry)])
}

/// Writes a message in a DATA frame of its own, once all before are with the kernel.
async fn send_alone(stream: &mut SendStream<bytes::Bytes>, message: bytes::Bytes) {
    let length = message.len();
    stream.reserve_capacity(length);
    while stream.capacity() < length {
        soon("the window", poll_fn(|cx| stream.poll_capacity(cx))).await.expect("an open stream").unwrap();
    }
    stream.send_data(message, false).unwrap();
}

/// A hub for one client that sends so many updates, each in a frame of its own as hubs
/// do, says when all have arrived, and stays.
async fn hub_of_small_updates(listener: TcpListener, last: u64, go: oneshot::Receiver<()>) -> Cursor {
    let (tcp, _) = listener.accept().await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let mut connection = h2::server::Builder::new().max_send_buffer_size(1_024).handshake(tcp).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
    tokio::spawn(async move { while connection.accept().await.is_some() {} });
    let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut stream = respond.send_response(head, false).unwrap();
    let heartbeat_interval = Some(Duration::from_secs(300).try_into().unwrap());
    let welcome = wire::Welcome { tenant: "acme".to_owned(), heartbeat_interval, ..wire::Welcome::default() };
    let welcome = wire::Frame { kind: Some(wire::frame::Kind::Welcome(welcome)) };
    send_alone(&mut stream, message(&welcome)).await;
    let mut now = at(1);
    let first = Update::reset(&now, SystemTime::now());
    send_alone(&mut stream, message(&frame::split(&first)[0])).await;
    go.await.unwrap();
    for version in 2..=last {
        now = at(version);
        let update = Update::difference([&Key::new(FLAG).unwrap()], &now, SystemTime::now());
        send_alone(&mut stream, message(&frame::split(&update)[0])).await;
    }
    soon("the answer to a ping", pings.ping(h2::Ping::opaque())).await.unwrap();
    // Dropped, it would end the stream.
    tokio::spawn(async move { poll_fn(|cx| stream.poll_reset(cx)).await });
    now.digest()
}

/// Values are only parsed while this is true.
static MAY_PARSE: (Mutex<bool>, Condvar) = (Mutex::new(true), Condvar::new());

fn let_parse(may: bool) {
    *MAY_PARSE.0.lock().unwrap() = may;
    MAY_PARSE.1.notify_all();
}

/// Even if the test fails: a runtime waits for its threads.
struct ParseAtEnd;

impl Drop for ParseAtEnd {
    fn drop(&mut self) {
        let_parse(true);
    }
}

/// A value whose parser can be held up.
struct Slow;

impl<'de> Deserialize<'de> for Slow {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        let may = MAY_PARSE.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(MAY_PARSE.1.wait_while(may, |may| !*may).unwrap_or_else(PoisonError::into_inner));
        u64::deserialize(value).map(|_| Self)
    }
}

/// A connection goes on while its client is held up, here by a parser of the program's
/// own. What then waits to be read is thousands of small frames, for which the HTTP/2
/// library would break the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn small_updates_that_wait_for_a_slow_program_do_not_break_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (go, going) = oneshot::channel();
    let last = 6_000;
    let hub = tokio::spawn(hub_of_small_updates(listener, last, going));
    let client = Client::builder().endpoint(endpoint).token("any").connect().await.unwrap();
    let _slow = client.typed::<Slow>(FLAG).unwrap();

    let parse_at_end = ParseAtEnd;
    let_parse(false);
    go.send(()).unwrap();
    let cursor = soon("all updates to be sent", hub).await.unwrap();
    assert!(client.stats().updates <= 2, "it is held up: {:?}", client.stats());
    drop(parse_at_end);
    until_state(&client, "the last update", |state| state.digest() == cursor).await;
    let stats = client.stats();
    assert_eq!((stats.updates, stats.attempts, stats.superseded), (last, 1, 0), "{}", client.status());
}
