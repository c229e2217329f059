//! All clients of a hub come back at once: each gets what it lacks and nothing else, it
//! is made once for all, and whoever is there already does not notice.

use crate::support::{Caller, Hub, Stream, soon};
use confhub::limits::BURST_ACCEPTS;
use confhub_proto::State;
use futures_util::future::join_all;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

const CLIENTS: usize = 60;
const KEYS: usize = 50;

fn key(i: usize) -> String {
    format!("tenant_config_{i}")
}

/// Fills a tenant, and follows it: what was written is published a moment later.
async fn filled(caller: &Caller) -> Stream {
    let mut watcher = caller.subscribe("", b"").await.unwrap();
    for i in 0..KEYS {
        caller.put(&key(i), "0").await.unwrap();
    }
    watcher.until("all keys", |state| state.len() == KEYS).await;
    watcher
}

/// Clients that come at once, each on a connection of its own, from these states in turn.
async fn storm(hub: &Hub, states: &[State]) -> Vec<Stream> {
    let client = async |number: usize| {
        let state = states[number % states.len()].clone();
        let cursor = if state.is_empty() { Vec::new() } else { state.digest().to_bytes().to_vec() };
        let caller = hub.caller("acme").await;
        let mut stream = caller.subscribe("", &cursor).await.unwrap().resuming(state);
        stream.until_current().await;
        stream
    };
    soon("the clients", join_all((0..CLIENTS).map(client))).await
}

async fn encodings(hub: &Hub) -> f64 {
    hub.metric("confhub_encodings_total").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_come_back_to_a_restarted_hub_with_its_state_get_no_entry() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let before = filled(&writer).await.state;
    drop(writer);
    let hub = Hub::start_on(hub.stop().await, |_| {}).await;
    for stream in storm(&hub, std::slice::from_ref(&before)).await {
        assert_eq!((stream.updates, stream.entries), (0, 0));
        assert_eq!(stream.state.digest(), before.digest());
    }
    assert_eq!(encodings(&hub).await, 0.0);
    assert_eq!(hub.metric("confhub_frames_total").await, 0.0, "frames of updates");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_come_back_after_changes_share_what_leads_from_where_they_stand() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let mut watcher = filled(&writer).await;
    let mut states = Vec::new();
    for i in 0..4 {
        states.push(watcher.state.clone());
        let written = writer.put(&key(i), "1").await.unwrap();
        let there = |state: &State| state.get(&key(i)).is_some_and(|entry| entry.version() == written);
        watcher.until("the write", there).await;
    }
    let last = &watcher.state;
    let before = encodings(&hub).await;
    for (number, stream) in storm(&hub, &states).await.iter().enumerate() {
        assert_eq!((stream.updates, stream.entries), (1, 4 - number % 4), "client {number}");
        assert_eq!(stream.state.digest(), last.digest());
    }
    // One of them was encoded for the watcher.
    assert_eq!(encodings(&hub).await - before, 3.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_come_for_the_first_time_or_from_nowhere_share_one_snapshot() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let watcher = filled(&writer).await;
    let before = encodings(&hub).await;
    for stream in storm(&hub, &[State::default()]).await {
        assert_eq!((stream.updates, stream.entries, stream.state.len()), (1, KEYS, KEYS));
    }
    assert_eq!(encodings(&hub).await - before, 1.0);

    let unknown = watcher.state.clone();
    drop(watcher);
    let hub = Hub::start_on(hub.stop().await, |_| {}).await;
    let writer = hub.caller("acme").await;
    writer.put(&key(0), "1").await.unwrap();
    for stream in storm(&hub, &[unknown]).await {
        assert_eq!((stream.updates, stream.entries), (1, KEYS));
        assert_eq!(stream.text(&key(0)).as_deref(), Some("1"));
    }
    assert_eq!(encodings(&hub).await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_over_the_pace_wait_while_those_that_are_open_are_served() {
    const OVER: usize = 2;
    let hub = Hub::start_with(|settings| settings.limits.accepts_per_second = 1).await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    let before = Instant::now();
    // The system says that they are connected; the hub has not taken all of them yet.
    let connecting = (0..BURST_ACCEPTS + OVER).map(|_| TcpStream::connect(hub.addresses.grpc));
    let waiting = join_all(connecting).await;
    assert!(waiting.iter().all(Result::is_ok));
    for i in 0..3 {
        let written = caller.put(&key(0), &i.to_string()).await.unwrap();
        let there = |state: &State| state.get(&key(0)).is_some_and(|entry| entry.version() >= written);
        stream.until("the write", there).await;
    }
    let all = (BURST_ACCEPTS + OVER + 1) as f64;
    assert!(hub.metric("confhub_connections").await < all, "nobody waits");
    hub.until_metric("confhub_connections", |open| open >= all).await;
    // The burst came at once, the others one each second.
    assert!(before.elapsed() >= Duration::from_secs(2), "{:?}", before.elapsed());
}
