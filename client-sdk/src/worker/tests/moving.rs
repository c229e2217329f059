//! Moving from a stream that is about to end to the one that follows it.

use super::*;
use crate::Client;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Notes whether the client is ever anything but ready.
fn always_ready(client: &Client) -> Arc<AtomicBool> {
    let (ready, mut status) = (Arc::new(AtomicBool::new(true)), client.watch_status());
    let noted = Arc::clone(&ready);
    tokio::spawn(async move {
        while let Some(status) = status.next().await {
            noted.fetch_and(status.is_ready(), Ordering::SeqCst);
        }
    });
    ready
}

async fn until_version(client: &Client, version: u64) {
    let reached = async {
        while client.get_as("tenant_config_a") != Ok(Some(version)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reached).await.expect("the version");
}

async fn until_stats(client: &Client, reached: impl Fn(crate::Stats) -> bool) {
    let reached = async {
        while !reached(client.stats()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reached).await.expect("the counters");
}

/// The version whose state a call resumes from.
fn version_of(call: &fake_hub::Call, latest: u64) -> u64 {
    let cursor = call.cursor();
    (1..=latest).find(|version| Some(one(*version).digest()) == cursor).expect("a version that there was")
}

async fn step(call: &fake_hub::Call, from: u64) {
    call.update(&between(&one(from), &one(from + 1))).await;
}

#[tokio::test(start_paused = true)]
async fn under_a_writer_every_update_is_applied_once_and_in_order_over_many_moves() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut hub = FakeHub::new();
    hub.listen(&[1, 2]);
    let source = Renewing::default();
    let (client, mut call) = hub.connected(hub.builder().token_source(source), &one(1)).await;
    let ready = always_ready(&client);
    // The latest version, and how far the present stream has told of it.
    let (mut latest, mut told) = (1, 1);
    for moves in 1..=40 {
        for _ in 0..rng.u64(..20) {
            step(&call, told).await;
            (latest, told) = (latest + 1, told + 1);
        }
        let reason = if rng.bool() { Reason::MaxAge } else { Reason::TokenExpiring };
        call.goodbye(reason, Duration::ZERO).await;
        // The old stream goes on, read or not.
        for _ in 0..rng.u64(..10) {
            step(&call, told).await;
            (latest, told) = (latest + 1, told + 1);
        }
        let next = hub.call().await;
        let mut from = version_of(&next, latest);
        if rng.bool() {
            step(&call, told).await;
            latest += 1;
        }
        next.welcome("acme").await;
        assert!(!call.is_left(), "the old one is kept until the new one has proved itself");
        if from == latest || rng.bool() {
            next.heartbeat(one(from).digest()).await;
        }
        while from < latest {
            step(&next, from).await;
            from += 1;
        }
        call.left().await;
        (call, told) = (next, latest);
        until_version(&client, latest).await;
        assert_eq!(client.stats().moves, moves);
    }
    // Each commit was checked against the hub's digest, so the number of commits says
    // that none was skipped and none came twice.
    let stats = client.stats();
    assert_eq!((stats.updates, stats.resets, stats.healed), (latest, 1, 0));
    assert_eq!((stats.failed_moves, stats.reconnects), (0, 40));
    assert!(ready.load(Ordering::SeqCst), "ready all along");
}

#[tokio::test(start_paused = true)]
async fn a_renewed_token_is_what_the_new_stream_is_opened_with() {
    let mut hub = FakeHub::new();
    let source = Renewing::default();
    let (client, call) = hub.connected(hub.builder().token_source(source.clone()), &one(1)).await;
    for (reason, token) in [(Reason::MaxAge, "token-0"), (Reason::TokenExpiring, "token-1")] {
        let asked = source.asked.load(Ordering::SeqCst);
        call.goodbye(reason, Duration::ZERO).await;
        let next = hub.call().await;
        assert_eq!(next.token, format!("Bearer {token}"));
        let more = source.asked.load(Ordering::SeqCst) - asked;
        assert_eq!(more, usize::from(reason == Reason::TokenExpiring), "{reason:?}");
        // Back to the old one, for the next of these.
        next.end(tonic::Status::unavailable("full")).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!((client.stats().moves, client.stats().failed_moves), (0, 2));
    // The token that was got for the move serves the reconnect.
    call.end(tonic::Status::unauthenticated("expired")).await;
    assert_eq!(hub.call().await.token, "Bearer token-1");
    assert_eq!(source.renewed.load(Ordering::SeqCst), 1);
}

/// How the stream that is to follow goes wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    NobodyListens,
    Refuses,
    Hangs,
    NoProof,
    OtherTenant,
    OtherCursor,
    Lies,
    LagsBehind,
    LeavesHalfway,
    Goodbye,
}

async fn go_wrong(fault: Fault, next: fake_hub::Call) {
    match fault {
        Fault::Hangs => return next.left().await,
        Fault::Refuses => return next.end(tonic::Status::resource_exhausted("full")).await,
        Fault::OtherTenant => next.welcome("other").await,
        _ => next.welcome("acme").await,
    }
    match fault {
        // All else about it is right.
        Fault::OtherTenant => next.heartbeat(one(2).digest()).await,
        Fault::OtherCursor => next.heartbeat(one(7).digest()).await,
        Fault::Lies => {
            let lie = Commit { cursor: one(7).digest(), hub_time: SystemTime::UNIX_EPOCH };
            next.update(&Update { commit: lie, ..between(&one(2), &one(3)) }).await;
        }
        Fault::LagsBehind => next.update(&Update::reset(&one(1), SystemTime::UNIX_EPOCH)).await,
        Fault::LeavesHalfway => {
            let puts = vec![one(3).get("tenant_config_a").unwrap().as_ref().into()];
            next.send(Kind::Update(wire::Update { puts, ..wire::Update::default() })).await;
            return next.end(tonic::Status::unavailable("killed")).await;
        }
        Fault::Goodbye => next.goodbye(Reason::Drain, Duration::ZERO).await,
        _ => {}
    }
    next.left().await;
}

#[tokio::test(start_paused = true)]
async fn a_move_that_fails_leaves_everything_as_it_was() {
    for fault in [
        Fault::NobodyListens,
        Fault::Refuses,
        Fault::Hangs,
        Fault::NoProof,
        Fault::OtherTenant,
        Fault::OtherCursor,
        Fault::Lies,
        Fault::LagsBehind,
        Fault::LeavesHalfway,
        Fault::Goodbye,
    ] {
        let mut hub = FakeHub::new();
        let (client, call) = hub.connected(hub.builder(), &one(1)).await;
        let ready = always_ready(&client);
        step(&call, 1).await;
        until_version(&client, 2).await;
        // Half of an update is on the way.
        let puts = vec![one(3).get("tenant_config_a").unwrap().as_ref().into()];
        call.send(Kind::Update(wire::Update { puts, ..wire::Update::default() })).await;
        if matches!(fault, Fault::NobodyListens) {
            hub.listen(&[]);
        }
        call.goodbye(Reason::MaxAge, Duration::ZERO).await;
        if !matches!(fault, Fault::NobodyListens) {
            let next = hub.call().await;
            assert_eq!(next.cursor(), Some(one(2).digest()), "{fault:?}");
            go_wrong(fault, next).await;
        }
        until_stats(&client, |stats| stats.failed_moves == 1).await;
        assert_eq!((client.get_as("tenant_config_a"), client.cursor()), (Ok(Some(2)), one(2).digest()));
        // The other half.
        let cursor = one(3).digest().to_bytes().to_vec();
        let commit = Some(wire::Commit { cursor, ..wire::Commit::default() });
        call.send(Kind::Update(wire::Update { commit, ..wire::Update::default() })).await;
        until_version(&client, 3).await;
        let stats = client.stats();
        assert_eq!((stats.updates, stats.moves, stats.healed), (3, 0, 0), "{fault:?}");
        assert!(ready.load(Ordering::SeqCst), "{fault:?}");
        hub.listen(&[1]);
        call.end(tonic::Status::unavailable("the stream has reached its maximum age")).await;
        assert_eq!(hub.call().await.cursor(), Some(one(3).digest()), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_does_not_know_the_cursor_may_send_a_whole_state_that_is_newer() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &one(1)).await;
    call.goodbye(Reason::MaxAge, Duration::ZERO).await;
    let next = hub.call().await;
    next.welcome("acme").await;
    next.update(&Update::reset(&one(2), SystemTime::UNIX_EPOCH)).await;
    call.left().await;
    until_version(&client, 2).await;
    assert_eq!((client.stats().moves, client.stats().resets), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_token_that_never_changes_moves_nothing() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &one(1)).await;
    call.goodbye(Reason::TokenExpiring, Duration::ZERO).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(hub.try_call().is_none() && client.status().is_ready());
    call.end(tonic::Status::unauthenticated("expired")).await;
    client.watch_status().wait_for(Status::is_stale).await.unwrap();
    assert_eq!((client.stats().moves, client.stats().failed_moves), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_took_over_is_followed_as_any_other() {
    let mut hub = FakeHub::new();
    hub.listen(&[1, 2]);
    let (client, first) = hub.connected(hub.builder(), &one(1)).await;
    let mut call = first;
    // To the other address, sooner or later.
    let start = call.address;
    while call.address == start {
        call.goodbye(Reason::MaxAge, Duration::ZERO).await;
        let next = hub.call().await;
        next.welcome("acme").await;
        next.heartbeat(one(1).digest()).await;
        call.left().await;
        call = next;
    }
    // It is a success as any other: its planned end is no failure until the next
    // attempt is one.
    tokio::time::sleep(limits::LIVED * 2).await;
    hub.listen(&[]);
    call.goodbye(Reason::MaxAge, Duration::ZERO).await;
    until_stats(&client, |stats| stats.failed_moves == 1).await;
    let attempts = client.stats().attempts;
    call.end(tonic::Status::unavailable("the stream has reached its maximum age")).await;
    while client.stats().attempts == attempts {
        assert!(client.status().is_ready(), "{}", client.status());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    hub.listen(&[1, 2]);
    let mut call = hub.call().await;
    loop {
        call.welcome("acme").await;
        call.heartbeat(one(1).digest()).await;
        client.ready().await.unwrap();
        call.goodbye(Reason::MaxAge, Duration::ZERO).await;
        let next = hub.call().await;
        if next.address != call.address {
            next.welcome("acme").await;
            next.heartbeat(one(1).digest()).await;
            call.left().await;
            call = next;
            break;
        }
        call = next;
    }
    // Its silence counts, and it is the one to leave alone.
    let (left, silent_from) = (call.address, Instant::now());
    call.left().await;
    assert!(silent_from.elapsed() >= HEARTBEAT * 2, "{:?}", silent_from.elapsed());
    assert!(client.status().is_stale());
    assert_ne!(hub.call().await.address, left);
}
