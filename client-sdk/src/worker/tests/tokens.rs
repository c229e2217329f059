//! Tokens: how many are asked for, when, and what a refused one means.

use super::*;
use crate::Error;
use std::sync::atomic::Ordering;

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_renewed_once() {
    let mut hub = FakeHub::new();
    let source = Renewing::default();
    let connecting = tokio::spawn(hub.builder().token_source(source.clone()).connect());
    let call = hub.call().await;
    assert_eq!(call.token, "Bearer token-0");
    call.end(tonic::Status::unauthenticated("expired")).await;
    for _ in 0..3 {
        let call = hub.call().await;
        assert_eq!(call.token, "Bearer token-1", "the new one is not renewed again");
        call.end(tonic::Status::unavailable("starting")).await;
    }
    let call = hub.call().await;
    call.welcome("acme").await;
    call.update(&Update::reset(&one(1), SystemTime::UNIX_EPOCH)).await;
    connecting.await.unwrap().unwrap();
    assert_eq!(source.renewed.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn no_token_is_asked_for_while_nobody_answers() {
    let hub = FakeHub::new();
    hub.listen(&[]);
    let source = Renewing::default();
    assert!(hub.builder().token_source(source.clone()).connect().await.is_err());
    assert_eq!(source.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fixed_token_that_is_refused_is_told_at_once() {
    let mut hub = FakeHub::new();
    let connecting = tokio::spawn(hub.builder().connect());
    hub.call().await.end(tonic::Status::unauthenticated("it has expired")).await;
    let error = connecting.await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::Closed(Closed::Denied(reason)) if **reason == *"it has expired"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_left_for_a_newer_token_and_not_before_there_is_one() {
    let mut hub = FakeHub::new();
    let source = Renewing::default();
    let (client, call) = hub.connected(hub.builder().token_source(source.clone()), &one(1)).await;
    let mut status = client.watch_status();
    source.dry.store(true, Ordering::SeqCst);
    call.goodbye(Reason::TokenExpiring, Duration::ZERO).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    call.update(&between(&one(1), &one(2))).await;
    client.watch("tenant_config_a").changed().await.unwrap();
    assert!(hub.try_call().is_none(), "still on the same stream");
    source.dry.store(false, Ordering::SeqCst);
    let call = hub.call().await;
    assert_eq!((call.token.as_str(), call.cursor()), ("Bearer token-1", Some(one(2).digest())));
    call.welcome("acme").await;
    call.heartbeat(one(2).digest()).await;
    call.update(&between(&one(2), &one(3))).await;
    client.watch("tenant_config_a").changed().await.unwrap();
    // Nothing was wrong at any time.
    let quiet = tokio::time::timeout(Duration::from_secs(1), status.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

#[tokio::test(start_paused = true)]
async fn a_planned_goodbye_is_no_failure_unless_no_hub_follows() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &one(1)).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    hub.listen(&[]);
    call.goodbye(Reason::MaxAge, Duration::ZERO).await;
    call.left().await;
    assert!(client.status().is_ready(), "{}", client.status());
    let mut status = client.watch_status();
    let stale = status.wait_for(Status::is_stale).await.unwrap();
    assert!(stale.to_string().contains("refused"), "{stale}");
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_after_a_moment_is_told_since_the_next_attempt_may_take_a_while() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &one(1)).await;
    let mut status = client.watch_status();
    call.goodbye(Reason::MaxAge, Duration::ZERO).await;
    let stale = status.wait_for(Status::is_stale).await.unwrap();
    assert!(stale.to_string().contains("maximum age"), "{stale}");
    drop(call);
}
