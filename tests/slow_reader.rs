//! A reader that does not read is its own problem: nobody else's, and not the
//! hub's.

use crate::support::{Caller, Event, Hub, soon, text};
use confhub::auth::Role;
use confhub_proto::State;
use std::time::Duration;
use tonic::Code;
use tonic::transport::Endpoint;

const KEYS: usize = 50;
const WRITES: usize = 2_000;
const VALUE_BYTES: usize = 8 * 1_024;

/// What the hub may have handed out to a stream that is not read: its window,
/// and what the transport below keeps ready. It is far below what is written.
const HELD_BYTES: f64 = 2.0 * 1_024.0 * 1_024.0;

/// A caller whose streams take 64 KiB each before they must be read.
async fn narrow(hub: &Hub) -> Caller {
    let endpoint = Endpoint::from_shared(hub.endpoint()).unwrap();
    // The connection has room for all, so that its streams cannot hold up each other.
    let endpoint = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(16 << 20);
    Caller::over(endpoint, &hub.token("acme")).await
}

fn key(i: usize) -> String {
    format!("tenant_config_{}", i % KEYS)
}

/// Writes far more than anyone may keep for a reader that does not read.
async fn write_much(hub: &Hub) {
    let filler = "x".repeat(VALUE_BYTES);
    let mut writers = tokio::task::JoinSet::new();
    for first in 0..16 {
        let (writer, filler) = (hub.caller("acme").await, filler.clone());
        writers.spawn(async move {
            for i in (first..WRITES).step_by(16) {
                writer.put(&key(i), &format!("{i:06}{filler}")).await.unwrap();
            }
        });
    }
    soon("the writers", writers.join_all()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_for_a_stream_that_is_not_read_is_bounded() {
    let hub = Hub::start().await;
    let mut slow = narrow(&hub).await.subscribe("", b"").await.unwrap();
    slow.until_current().await;
    write_much(&hub).await;
    let written = (WRITES * VALUE_BYTES) as f64;
    let handed_out = hub.metric("confhub_frames_bytes_total").await;
    assert!(handed_out < HELD_BYTES && HELD_BYTES * 5.0 < written, "{handed_out} bytes of {written}");

    let last = hub.caller("acme").await.snapshot("", &[]).await.unwrap().0;
    slow.until("the last state", |state| state.digest() == last.digest()).await;
    assert!(slow.entries < WRITES / 4, "{} entries for {WRITES} writes: not merged", slow.entries);
    let handed_out = hub.metric("confhub_frames_bytes_total").await;
    assert!(handed_out < 2.0 * HELD_BYTES, "{handed_out} bytes to catch up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_others_nor_writers_feel_it() {
    let hub = Hub::start().await;
    let same_connection = narrow(&hub).await;
    let mut slow = Vec::new();
    for service in ["", "", "cart", "order"] {
        let mut stream = same_connection.subscribe(service, b"").await.unwrap();
        stream.until_current().await;
        slow.push(stream);
    }
    let mut others = Vec::new();
    for caller in [same_connection.clone(), hub.caller("acme").await] {
        let mut stream = caller.subscribe("cart", b"").await.unwrap();
        stream.until_current().await;
        others.push(stream);
    }
    write_much(&hub).await;
    // The slow ones are full by now: each write that follows still arrives at once.
    let writer = hub.caller("acme").await;
    for i in 0..20 {
        let written = writer.put("tenant_config_after", &i.to_string()).await.unwrap();
        let is_there =
            |state: &State| state.get("tenant_config_after").is_some_and(|entry| entry.version() == written);
        for stream in &mut others {
            let arrives = stream.until("the write", is_there);
            let arrived = tokio::time::timeout(Duration::from_secs(5), arrives).await;
            arrived.expect("a write is held up by a stream that is not read");
        }
    }
    for stream in &mut slow {
        let last =
            |state: &State| state.get("tenant_config_after").is_some_and(|entry| entry.value() == "19");
        stream.until("the last write", last).await;
        assert!(stream.entries < WRITES / 4, "{} entries for {WRITES} writes", stream.entries);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_state_is_not_kept_for_each_newcomer_that_does_not_read() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let value = "x".repeat(60_000);
    for i in 0..60 {
        writer.put_content(&key(i), text(&value)).await.unwrap();
    }
    let caller = narrow(&hub).await;
    let mut newcomers = Vec::new();
    for _ in 0..20 {
        let mut stream = caller.subscribe("", b"").await.unwrap();
        assert!(matches!(stream.event().await, Event::Welcome(_)));
        newcomers.push(stream);
    }
    let state = writer.snapshot("", &[]).await.unwrap().0;
    let handed_out = hub.metric("confhub_frames_bytes_total").await;
    assert!(handed_out < (newcomers.len() * state.bytes()) as f64 * 0.6, "{handed_out} bytes");
    for stream in &mut newcomers {
        stream.until("the state", |now| now.digest() == state.digest()).await;
        assert_eq!(stream.updates, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_ended_meanwhile_gets_its_status_and_its_connection_goes_on() {
    let hub = Hub::start().await;
    let endpoint = Endpoint::from_shared(hub.endpoint()).unwrap().initial_stream_window_size(65_535);
    let channel = endpoint.initial_connection_window_size(16 << 20).connect().await.unwrap();
    let token = hub.token_of("acme", None, &[Role::Reader], Duration::from_secs(3));
    let mut unread = Caller::through(channel.clone(), &token).subscribe("", b"").await.unwrap();
    unread.until_current().await;
    let mut read = Caller::through(channel, &hub.token("acme")).subscribe("", b"").await.unwrap();
    read.until_current().await;
    let writer = hub.caller("acme").await;
    let value = "x".repeat(VALUE_BYTES);
    // Until its token expires, and so that its window is full long before.
    while hub.metric("confhub_streams").await == 2.0 {
        writer.put(&key(0), &value).await.unwrap();
    }
    assert_eq!(unread.until_end().await.code(), Code::Unauthenticated);
    assert!(unread.goodbye.is_none(), "there was no room for one");
    let last = writer.put("tenant_config_after", "1").await.unwrap();
    let is_there = |state: &State| state.get("tenant_config_after").is_some_and(|e| e.version() == last);
    read.until("the last write", is_there).await;
}
