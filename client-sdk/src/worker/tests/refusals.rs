//! What it means that a hub does not let a client in, and what the status says of it.

use super::*;
use crate::{Error, FailureKind};

fn kind(status: &Status) -> Option<FailureKind> {
    match status {
        Status::Stale { kind, .. } => Some(*kind),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_of_a_tenant_that_is_not_served_waits_and_comes_back_when_it_is() {
    for reason in ["suspended", "unknown-tenant"] {
        let mut hub = FakeHub::new();
        let (client, call) = hub.connected(hub.builder(), &one(1)).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        call.goodbye(Reason::Revoked, Duration::ZERO).await;
        let ended_at = Instant::now();
        call.end(refusal(reason)).await;
        let mut status = client.watch_status();
        let stale = status.wait_for(Status::is_stale).await.unwrap();
        assert_eq!(kind(&stale), Some(FailureKind::NotServed), "{stale}");
        assert!(stale.to_string().contains(&format!("not served: {reason}")), "the hub's text: {stale}");
        let (mut asked, until) = (0, Instant::now() + Duration::from_secs(600));
        while let Ok(call) = tokio::time::timeout_at(until, hub.call()).await {
            assert!(ended_at.elapsed() >= *limits::BACKOFF.end() / 2, "{:?}", ended_at.elapsed());
            call.end(refusal(reason)).await;
            asked += 1;
        }
        assert!((10..=40).contains(&asked), "{asked} attempts in ten minutes");
        assert_eq!(client.get_as("tenant_config_a"), Ok(Some(1)));
        let call = hub.call().await;
        call.welcome("acme").await;
        call.heartbeat(one(1).digest()).await;
        client.ready().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_start_a_tenant_that_is_not_served_is_an_error_that_says_so() {
    for reason in ["suspended", "unknown-tenant"] {
        let mut hub = FakeHub::new();
        let connecting = tokio::spawn(hub.builder().connect());
        hub.call().await.end(refusal(reason)).await;
        let error = connecting.await.unwrap().unwrap_err();
        assert!(matches!(&error, Error::Closed(Closed::Denied(text)) if text.contains(reason)), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_closes_whenever_the_hub_says_it() {
    let mut hub = FakeHub::new();
    let connecting = tokio::spawn(hub.builder().connect());
    hub.call().await.end(refusal("revoked")).await;
    assert!(matches!(connecting.await.unwrap(), Err(Error::Closed(Closed::Revoked))));
    for goodbye in [true, false] {
        let mut hub = FakeHub::new();
        let (client, call) = hub.connected(hub.builder(), &one(1)).await;
        if goodbye {
            call.goodbye(Reason::Revoked, Duration::ZERO).await;
            call.end(refusal("revoked")).await;
        } else {
            // While there is no stream.
            call.end(tonic::Status::unavailable("restart")).await;
            hub.call().await.end(refusal("revoked")).await;
        }
        let mut status = client.watch_status();
        let closed = status.wait_for(Status::is_closed).await.unwrap();
        assert_eq!(closed, Status::Closed { reason: Closed::Revoked });
    }
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_for_good_without_the_reason_closes_only_if_the_hub_denies() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &one(1)).await;
    call.goodbye(Reason::Revoked, Duration::ZERO).await;
    let said_at = Instant::now();
    // No status comes: the client asks again, of the same hub or another.
    call.left().await;
    assert_eq!(said_at.elapsed(), limits::LAST_WORD_TIMEOUT);
    let call = hub.call().await;
    assert!(!client.status().is_closed(), "{}", client.status());
    call.welcome("acme").await;
    call.goodbye(Reason::Revoked, Duration::ZERO).await;
    call.end(tonic::Status::permission_denied("no")).await;
    let mut status = client.watch_status();
    let closed = status.wait_for(Status::is_closed).await.unwrap();
    assert_eq!(closed, Status::Closed { reason: Closed::Revoked });
}

#[tokio::test(start_paused = true)]
async fn the_status_says_what_kind_of_failure_it_was() {
    let ends: [(tonic::Status, FailureKind); 4] = [
        (tonic::Status::unauthenticated("expired"), FailureKind::Refused),
        (tonic::Status::resource_exhausted("full"), FailureKind::Limited),
        (tonic::Status::unavailable("starting"), FailureKind::Limited),
        (tonic::Status::internal("?"), FailureKind::Other),
    ];
    for (end, expected) in ends {
        let mut hub = FakeHub::new();
        let (client, call) = hub.connected(hub.builder(), &one(1)).await;
        let mut status = client.watch_status();
        call.end(end).await;
        let stale = status.wait_for(Status::is_stale).await.unwrap();
        assert_eq!(kind(&stale), Some(expected), "{stale}");
        // The latest failure is the one that is told.
        hub.listen(&[]);
        let accept = |status: &Status| kind(status) == Some(FailureKind::Unreachable);
        status.wait_for(accept).await.unwrap();
    }
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder().max_state_bytes(1_000), &one(1)).await;
    let mut status = client.watch_status();
    call.left().await;
    assert_eq!(kind(&status.wait_for(Status::is_stale).await.unwrap()), Some(FailureKind::Silent));
    // The hub that was silent is left alone for a moment.
    let call = hub.call().await;
    call.welcome("acme").await;
    let large = state(&[entry("large", 1, &"x".repeat(2_000), Content::TEXT)]);
    call.update(&between(&one(1), &large)).await;
    let accept = |status: &Status| kind(status) == Some(FailureKind::TooLarge);
    status.wait_for(accept).await.unwrap();
}
