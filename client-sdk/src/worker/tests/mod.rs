//! The worker against a hub that misbehaves on demand. Time is paused: waiting
//! costs nothing and is exact.

mod fake_hub;
mod flag_events;
mod following;
mod leaving;
mod moving;
mod panics;
mod rate;
mod refusals;
mod starting;
mod tokens;

use crate::test::entry;
use crate::{Closed, Content, Status, limits};
use confhub_proto::wire::goodbye::Reason;
use confhub_proto::wire::{self, frame::Kind};
use confhub_proto::{Commit, State, Update};
use fake_hub::{FakeHub, HEARTBEAT, Renewing, address, refusal, state};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

fn one(version: u64) -> State {
    state(&[entry("tenant_config_a", version, &version.to_string(), Content::JSON)])
}

fn between(old: &State, new: &State) -> Update {
    Update::difference(&old.changed_keys(new), new, SystemTime::UNIX_EPOCH)
}

#[tokio::test(start_paused = true)]
async fn a_lost_stream_is_resumed_by_its_cursor_and_reads_go_on() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &one(1)).await;
    assert_eq!(call.cursor(), None);
    assert!(client.status().is_ready());
    call.end(tonic::Status::unavailable("restart")).await;
    let call = hub.call().await;
    assert_eq!(call.cursor(), Some(one(1).digest()));
    assert!(client.status().is_stale(), "{}", client.status());
    assert_eq!(client.get_as("tenant_config_a"), Ok(Some(1)));
    // The hub has nothing to send but a sign that the client is current.
    call.welcome("acme").await;
    call.heartbeat(one(1).digest()).await;
    client.ready().await.unwrap();
    assert_eq!((client.stats().updates, client.stats().reconnects), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_state_that_differs_after_a_commit_is_never_shown_and_heals_by_a_reset() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &one(1)).await;
    let lie = Commit { cursor: one(7).digest(), hub_time: SystemTime::UNIX_EPOCH };
    call.update(&Update { commit: lie, ..between(&one(1), &one(2)) }).await;
    call.left().await;
    let call = hub.call().await;
    assert_eq!(call.cursor(), None, "asks for everything");
    assert_eq!(client.get_as("tenant_config_a"), Ok(Some(1)), "the last good state");
    call.welcome("acme").await;
    call.update(&Update::reset(&one(3), SystemTime::UNIX_EPOCH)).await;
    client.ready().await.unwrap();
    assert_eq!(client.get_as("tenant_config_a"), Ok(Some(3)));
    assert_eq!((client.stats().healed, client.stats().resets), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_names_another_state_heals_too() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &one(1)).await;
    call.heartbeat(one(1).digest()).await;
    call.heartbeat(one(2).digest()).await;
    call.left().await;
    assert_eq!(hub.call().await.cursor(), None);
    assert_eq!(client.stats().healed, 1);
}

#[tokio::test(start_paused = true)]
async fn silence_is_noticed_after_three_heartbeats_and_not_before() {
    let mut hub = FakeHub::new();
    let (_client, call) = hub.connected(hub.builder(), &one(1)).await;
    tokio::time::sleep(HEARTBEAT * 2).await;
    call.heartbeat(one(1).digest()).await;
    let last_word = Instant::now();
    call.left().await;
    let silence = last_word.elapsed();
    assert!((HEARTBEAT * 3..HEARTBEAT * 4).contains(&silence), "{silence:?}");
    assert_eq!(hub.call().await.cursor(), Some(one(1).digest()));
}

#[tokio::test(start_paused = true)]
async fn nothing_of_an_update_is_visible_before_its_commit() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &State::default()).await;
    let next = state(&[entry("a", 1, "1", Content::JSON), entry("b", 1, "1", Content::JSON)]);
    let mut changes = client.changes();
    let part = |key: &str| wire::Update {
        puts: vec![next.get(key).unwrap().as_ref().into()],
        ..wire::Update::default()
    };
    call.send(Kind::Update(part("a"))).await;
    // Long enough for the client to have taken it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(client.get("a").is_none());
    let commit = wire::Commit { cursor: next.digest().to_bytes().to_vec(), ..wire::Commit::default() };
    call.send(Kind::Update(wire::Update { commit: Some(commit), ..part("b") })).await;
    assert_eq!(changes.next().await.unwrap().keys.len(), 2);
    assert!(client.get("a").is_some() && client.get("b").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_drains_is_left_at_once_and_for_as_long_as_it_asks() {
    let mut hub = FakeHub::new();
    hub.listen(&[1, 2]);
    let (_client, call) = hub.connected(hub.builder(), &one(1)).await;
    let (first, began) = (call.address, Instant::now());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let left_at = Instant::now();
    call.goodbye(Reason::Drain, Duration::from_secs(40)).await;
    let second = hub.call().await;
    assert_ne!(second.address, first);
    assert!(left_at.elapsed() <= limits::SPREAD, "no long pause after a stream that lived");
    // Now only the first is there, but it asked for 40 seconds.
    hub.listen(&[if first == address(1) { 1 } else { 2 }]);
    second.end(tonic::Status::unavailable("gone")).await;
    let third = hub.call().await;
    assert_eq!(third.address, first);
    assert!(began.elapsed() >= Duration::from_secs(50), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_right_closes_for_good() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &one(1)).await;
    let mut watch = client.watch("tenant_config_a");
    let mut changes = client.changes();
    call.goodbye(Reason::Revoked, Duration::ZERO).await;
    call.end(refusal("revoked")).await;
    assert_eq!(watch.changed().await, Err(Closed::Revoked));
    assert_eq!(changes.next().await, None);
    assert_eq!(client.ready().await, Err(Closed::Revoked));
    assert_eq!(client.get_as("tenant_config_a"), Ok(Some(1)));
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(hub.try_call().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_client_never_becomes_another_tenants() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &one(1)).await;
    let typed = client.typed::<u64>("tenant_config_a").unwrap();
    call.end(tonic::Status::unavailable("restart")).await;
    let call = hub.call().await;
    let welcomed = Instant::now();
    call.welcome("other").await;
    call.left().await;
    assert_eq!(welcomed.elapsed(), Duration::ZERO, "before the hub answers the other's cursor");
    assert_eq!(client.ready().await, Err(Closed::IdentityChanged));
    assert_eq!((*typed.load(), client.get_as("tenant_config_a")), (1, Ok(Some(1))));
}

#[tokio::test(start_paused = true)]
async fn neither_an_update_nor_a_state_beyond_the_limit_changes_anything() {
    let text = |key, length| entry(key, 1, &"x".repeat(length), Content::TEXT);
    let half = state(&[text("first", 600)]);
    for (start, next, says) in [
        (one(1), state(&[text("large", 1_001)]), "over the limit of 1000 bytes"),
        (half.clone(), state(&[text("first", 600), text("second", 600)]), "at most 1000 are allowed"),
    ] {
        let mut hub = FakeHub::new();
        let (client, call) = hub.connected(hub.builder().max_state_bytes(1_000), &start).await;
        call.update(&between(&start, &next)).await;
        call.left().await;
        let mut status = client.watch_status();
        let status = status.wait_for(Status::is_stale).await.unwrap();
        assert!(status.to_string().contains(says), "{status}");
        assert_eq!(client.cursor(), start.digest());
    }
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_handle() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &one(1)).await;
    let typed = client.typed::<u64>("tenant_config_a").unwrap();
    let mut status = client.watch_status();
    drop(client);
    call.update(&between(&one(1), &one(2))).await;
    while *typed.load() != 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(typed);
    call.left().await;
    assert_eq!(
        status.wait_for(Status::is_closed).await.unwrap(),
        Status::Closed { reason: Closed::ByProgram }
    );
}
