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
async fn a_fixed_token_that_expires_in_use_is_told_at_once_and_hardly_tried_again() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &one(1)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    call.end(tonic::Status::unauthenticated("it has expired")).await;
    let stale = client.watch_status().wait_for(Status::is_stale).await.unwrap();
    assert!(matches!(stale, Status::Stale { kind: crate::FailureKind::Refused, .. }), "{stale}");
    let refuse = async |call: fake_hub::Call| call.end(tonic::Status::unauthenticated("no")).await;
    let calls = calls_within(&mut hub, Duration::from_secs(60), refuse).await;
    assert!((1..=4).contains(&calls), "{calls} calls in a minute");
}

#[tokio::test(start_paused = true)]
async fn after_one_renewal_a_refusal_is_followed_by_pauses_that_grow_from_half_a_second() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "expired").unwrap();
    let mut hub = FakeHub::new();
    let connecting = tokio::spawn(hub.builder().token_file(file.path()).connect());
    let mut ended = Vec::new();
    for _ in 0..5 {
        let call = hub.call().await;
        ended.push(Instant::now());
        call.end(tonic::Status::unauthenticated("it has expired")).await;
    }
    connecting.abort();
    let pauses: Vec<_> = ended.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[0] < Duration::from_millis(500), "the file is read once more: {pauses:?}");
    for (pause, least_ms) in pauses[1..].iter().zip([500, 1_000, 2_000]) {
        assert!(*pause >= Duration::from_millis(least_ms), "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_file_that_is_replaced_in_a_long_pause_is_followed_at_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "revoked").unwrap();
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder().token_file(file.path()), &one(1)).await;
    call.end(tonic::Status::unauthenticated("no")).await;
    // Until the pauses are of fifteen seconds at least.
    for _ in 0..8 {
        hub.call().await.end(tonic::Status::unauthenticated("no")).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    std::fs::write(file.path(), "good").unwrap();
    let replaced = Instant::now();
    let call = hub.call().await;
    assert_eq!((call.token.as_str(), call.cursor()), ("Bearer good", Some(one(1).digest())));
    let looked = limits::TOKEN_FILE_INTERVAL + limits::TOKEN_FILE_PAUSE;
    assert!(replaced.elapsed() <= looked, "{:?}", replaced.elapsed());
    call.welcome("acme").await;
    call.heartbeat(one(1).digest()).await;
    client.ready().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_token_file_that_changes_without_end_does_not_make_the_client_hammer_the_hub() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "bad").unwrap();
    let mut hub = FakeHub::new();
    let (_client, call) = hub.connected(hub.builder().token_file(file.path()), &one(1)).await;
    call.end(tonic::Status::unauthenticated("no")).await;
    let mut count = 0;
    let refuse = async |call: fake_hub::Call| {
        count += 1;
        std::fs::write(file.path(), format!("bad-{count}")).unwrap();
        call.end(tonic::Status::unauthenticated("no")).await;
    };
    let calls = calls_within(&mut hub, Duration::from_secs(600), refuse).await;
    assert!((20..=limits::RENEWALS * 10 + 10).contains(&calls), "{calls} calls in ten minutes");
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
    while client.stats().failed_moves == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut status = client.watch_status();
    let attempts = client.stats().attempts;
    call.end(tonic::Status::unavailable("the stream has reached its maximum age")).await;
    while client.stats().attempts == attempts {
        assert!(client.status().is_ready(), "{}", client.status());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let stale = status.wait_for(Status::is_stale).await.unwrap();
    assert!(stale.to_string().contains("refused"), "{stale}");
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_after_a_moment_is_told_since_the_next_attempt_may_take_a_while() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &one(1)).await;
    let mut status = client.watch_status();
    hub.listen(&[]);
    call.goodbye(Reason::MaxAge, Duration::ZERO).await;
    call.end(tonic::Status::unavailable("the stream has reached its maximum age")).await;
    let stale = status.wait_for(Status::is_stale).await.unwrap();
    assert!(stale.to_string().contains("maximum age"), "{stale}");
}

/// Takes calls for so long, each ended by `end`; returns how many there were.
async fn calls_within(hub: &mut FakeHub, time: Duration, mut end: impl AsyncFnMut(fake_hub::Call)) -> usize {
    let until = Instant::now() + time;
    let mut calls = 0;
    while let Ok(call) = tokio::time::timeout_at(until, hub.call()).await {
        end(call).await;
        calls += 1;
    }
    calls
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_refuses_every_token_is_asked_less_and_less_and_so_is_the_source() {
    let mut hub = FakeHub::new();
    let source = Renewing::default();
    let (client, call) = hub.connected(hub.builder().token_source(source.clone()), &one(1)).await;
    call.end(tonic::Status::unauthenticated("expired")).await;
    let refuse = async |call: fake_hub::Call| call.end(tonic::Status::unauthenticated("no")).await;
    let calls = calls_within(&mut hub, Duration::from_secs(60), refuse).await;
    assert!((5..=20).contains(&calls), "{calls} calls in the first minute");
    assert!(source.renewed.load(Ordering::SeqCst) <= limits::RENEWALS);
    let calls = calls_within(&mut hub, Duration::from_secs(600), refuse).await;
    assert!((15..=80).contains(&calls), "{calls} calls in ten minutes, of 15 seconds on average");
    assert!(client.status().is_stale(), "{}", client.status());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_lived_and_expired_starts_the_pauses_over_only_once() {
    let mut hub = FakeHub::new();
    let source = Renewing::default();
    let (client, call) = hub.connected(hub.builder().token_source(source.clone()), &one(1)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let expired_at = Instant::now();
    call.end(tonic::Status::unauthenticated("expired")).await;
    // Each of them lives, and then its token is refused.
    let expire = async |call: fake_hub::Call| {
        call.welcome("acme").await;
        call.heartbeat(one(1).digest()).await;
        client.ready().await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        call.end(tonic::Status::unauthenticated("expired")).await;
    };
    let first = hub.call().await;
    assert!(expired_at.elapsed() <= limits::SPREAD, "the first is followed at once");
    expire(first).await;
    let calls = calls_within(&mut hub, Duration::from_secs(600), expire).await;
    assert!((20..=80).contains(&calls), "{calls} calls in ten minutes");
    // One that lived long is followed at once again, whatever was before.
    let call = hub.call().await;
    call.welcome("acme").await;
    for _ in 0..10 {
        call.heartbeat(one(1).digest()).await;
        tokio::time::sleep(HEARTBEAT).await;
    }
    let expired_at = Instant::now();
    call.end(tonic::Status::unauthenticated("expired")).await;
    hub.call().await;
    assert!(expired_at.elapsed() <= limits::SPREAD, "{:?}", expired_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_hub_whose_clock_is_wrong_does_not_make_the_client_hammer_its_source() {
    let mut hub = FakeHub::new();
    let source = Renewing::default();
    let (client, call) = hub.connected(hub.builder().token_source(source.clone()), &one(1)).await;
    call.goodbye(Reason::TokenExpiring, Duration::ZERO).await;
    let minutes = 5;
    // Whatever the token, the hub says that it is about to expire.
    let (mut kept, until) = (vec![call], Instant::now() + Duration::from_secs(60 * minutes));
    while let Ok(call) = tokio::time::timeout_at(until, hub.call()).await {
        call.welcome("acme").await;
        call.heartbeat(one(1).digest()).await;
        call.goodbye(Reason::TokenExpiring, Duration::ZERO).await;
        kept.push(call);
        assert!(kept.len() < limits::RENEWALS * 10, "over and over, within {:?}", until - Instant::now());
    }
    let renewed = source.renewed.load(Ordering::SeqCst);
    assert!((2..=limits::RENEWALS * 6).contains(&renewed), "{renewed}");
    assert!(client.stats().moves >= 2 && !client.status().is_closed());
}
