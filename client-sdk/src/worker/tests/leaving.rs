//! Where a client goes after a stream has ended, and how soon.

use super::*;
use crate::Client;

#[tokio::test(start_paused = true)]
async fn a_lost_stream_leads_to_the_addresses_of_now_and_not_in_the_same_instant() {
    let mut hub = FakeHub::new();
    hub.listen(&[1, 2, 3]);
    let (_client, call) = hub.connected(hub.builder(), &one(1)).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    hub.resolve_to(&[3]);
    let lost_at = Instant::now();
    call.end(tonic::Status::unavailable("killed")).await;
    assert_eq!(hub.call().await.address, address(3), "the old ones may be anybody's now");
    let pause = lost_at.elapsed();
    assert!(pause > Duration::ZERO && pause <= limits::SPREAD, "{pause:?}");
}

/// Ends the client's stream, and the next attempt before its Welcome.
async fn refused(hub: &mut FakeHub, call: fake_hub::Call, status: tonic::Status) {
    call.end(tonic::Status::unavailable("restart")).await;
    hub.call().await.end(status).await;
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_is_set_up_wrongly_closes_no_client_in_use() {
    for status in [tonic::Status::permission_denied("403"), tonic::Status::unimplemented("404")] {
        let mut hub = FakeHub::new();
        let (client, call) = hub.connected(hub.builder(), &one(1)).await;
        refused(&mut hub, call, status).await;
        let call = hub.call().await;
        assert!(client.status().is_stale(), "{}", client.status());
        call.welcome("acme").await;
        call.heartbeat(one(1).digest()).await;
        client.ready().await.unwrap();
        // What a hub says after its Welcome is the hub's own word.
        call.end(tonic::Status::permission_denied("not a reader")).await;
        let mut status = client.watch_status();
        let closed = status.wait_for(Status::is_closed).await.unwrap();
        assert_eq!(closed, Status::Closed { reason: Closed::Denied("not a reader".into()) });
    }
}

/// How long the client stays away over ten streams that `spoil` makes end.
async fn away(hub: &mut FakeHub, client: &Client, mut call: fake_hub::Call, spoil: &Update) -> Duration {
    let mut away = Duration::ZERO;
    for _ in 0..10 {
        // Each of them lives long, and has confirmed the state.
        tokio::time::sleep(Duration::from_secs(20)).await;
        call.update(spoil).await;
        call.left().await;
        let left_at = Instant::now();
        call = hub.call().await;
        away += left_at.elapsed();
        call.welcome("acme").await;
        match call.cursor() {
            Some(cursor) => call.heartbeat(cursor).await,
            None => call.update(&Update::reset(&one(1), SystemTime::UNIX_EPOCH)).await,
        }
        client.ready().await.unwrap();
    }
    away
}

#[tokio::test(start_paused = true)]
async fn streams_that_lead_to_nothing_are_opened_less_and_less_often() {
    let large = state(&[entry("large", 1, &"x".repeat(600), Content::TEXT)]);
    let larger = state(&[entry("larger", 1, &"x".repeat(600), Content::TEXT)]);
    let sum: State = large.iter().chain(larger.iter()).cloned().collect();
    let too_large = between(&State::default(), &sum);
    let lie = Commit { cursor: one(7).digest(), hub_time: SystemTime::UNIX_EPOCH };
    let diverges = Update { commit: lie, ..between(&one(1), &one(2)) };
    // A state that is too large stays so, while one that differs is made good.
    for (spoil, least) in [(too_large, 60), (diverges, 5)] {
        let mut hub = FakeHub::new();
        let (client, call) = hub.connected(hub.builder().max_state_bytes(1_000), &one(1)).await;
        let away = away(&mut hub, &client, call, &spoil).await;
        assert!(away > Duration::from_secs(least), "{away:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_breaks_the_protocol_or_is_silent_is_left_for_another() {
    for seed in 0..8 {
        let mut hub = FakeHub::new();
        hub.listen(&[1, 2]);
        let (_client, call) = hub.connected(hub.builder().seed(seed), &one(1)).await;
        if seed % 2 == 0 {
            call.welcome("acme").await;
        }
        call.left().await;
        assert_ne!(hub.call().await.address, call.address);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_hangs_does_not_keep_a_program_from_starting() {
    let mut hub = FakeHub::new();
    hub.listen(&[1, 2]);
    let connecting = tokio::spawn(hub.builder().connect());
    let hangs = hub.call().await;
    let call = hub.call().await;
    assert_ne!(call.address, hangs.address);
    call.welcome("acme").await;
    call.update(&Update::reset(&one(1), SystemTime::UNIX_EPOCH)).await;
    connecting.await.unwrap().unwrap();
}
