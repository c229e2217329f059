//! How clients begin, with and without a hub.

use super::*;
use crate::{Client, ConfigError, Error, FailureKind, TokenError, TokenRequest, TokenSource};
use confhub_proto::retry;
use fake_hub::token;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[tokio::test(start_paused = true)]
async fn without_a_hub_the_last_good_state_on_disk_serves_until_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let mut hub = FakeHub::new();
    let (client, _call) = hub.connected(hub.builder().disk(&path), &one(3)).await;
    client.close().await;
    assert_eq!(client.stats().disk_writes, 1);

    hub.listen(&[]);
    let client = hub.builder().disk(&path).connect().await.unwrap();
    let from_disk = |status: Status| match status {
        Status::Stale { from_disk, .. } => from_disk,
        other => panic!("{other}"),
    };
    assert_eq!(from_disk(client.status()), Some(SystemTime::UNIX_EPOCH), "the time of the commit");
    assert_eq!(client.get_as("tenant_config_a"), Ok(Some(3)));

    hub.listen(&[2]);
    let call = hub.call().await;
    assert_eq!(call.cursor(), Some(one(3).digest()), "resumes from the disk's state");
    call.welcome("acme").await;
    call.update(&between(&one(3), &one(4))).await;
    client.ready().await.unwrap();
    assert_eq!(client.get_as("tenant_config_a"), Ok(Some(4)));
    // Closing writes the latest, without waiting for its turn.
    client.close().await;
    hub.listen(&[]);
    let client = hub.builder().disk(&path).connect().await.unwrap();
    assert_eq!(client.get_as("tenant_config_a"), Ok(Some(4)));
}

#[tokio::test(start_paused = true)]
async fn the_state_of_another_tenant_on_disk_is_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let mut hub = FakeHub::new();
    let (client, _call) = hub.connected(hub.builder().disk(&path), &one(3)).await;
    client.close().await;
    hub.listen(&[]);
    for foreign in [token("other"), "no-json-web-token".to_owned()] {
        let error = hub.builder().disk(&path).token(foreign).connect().await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
    }
    std::fs::write(&path, "damaged").unwrap();
    assert!(hub.builder().disk(&path).connect().await.is_err());
}

/// A folder with a file `state` that has the state `one(3)` of the tenant `acme`.
async fn saved() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = FakeHub::new();
    let builder = hub.builder().disk(folder.path().join("state"));
    let (client, _call) = hub.connected(builder, &one(3)).await;
    client.close().await;
    folder
}

#[tokio::test(start_paused = true)]
async fn when_no_address_takes_a_connection_the_disk_is_not_waited_for() {
    let folder = saved().await;
    let hub = FakeHub::new();
    hub.listen(&[]);
    let began = Instant::now();
    let client = hub.builder().disk(folder.path().join("state")).connect().await.unwrap();
    assert!(client.status().is_stale() && began.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_hangs_is_waited_for_as_long_as_the_program_said() {
    let folder = saved().await;
    let mut hub = FakeHub::new();
    let wait = Duration::from_millis(700);
    let began = Instant::now();
    let connecting = hub.builder().disk(folder.path().join("state")).fallback_after(wait).connect();
    let connecting = tokio::spawn(connecting);
    let _hangs = hub.call().await;
    let client = connecting.await.unwrap().unwrap();
    assert!(client.status().is_stale() && began.elapsed() >= wait && began.elapsed() < wait * 2);
    assert_eq!(client.get_as("tenant_config_a"), Ok(Some(3)));
}

/// Takes its time, and has a token only after some attempts.
struct Slow(Duration, AtomicUsize);

impl TokenSource for Slow {
    async fn token(&self, _: TokenRequest) -> Result<String, TokenError> {
        tokio::time::sleep(self.0).await;
        match self.1.fetch_sub(1, Ordering::SeqCst) {
            0 => Ok(token("acme")),
            _ => Err(TokenError::new("not yet")),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_token_takes_is_not_the_hubs() {
    let folder = saved().await;
    let mut hub = FakeHub::new();
    let slow = Slow(Duration::from_millis(999), AtomicUsize::new(0));
    let connecting = hub.builder().disk(folder.path().join("state")).token_source(slow).connect();
    let connecting = tokio::spawn(connecting);
    let call = hub.call().await;
    assert_eq!(call.cursor(), Some(one(3).digest()));
    tokio::time::sleep(Duration::from_millis(900)).await;
    call.welcome("acme").await;
    call.heartbeat(one(3).digest()).await;
    assert!(connecting.await.unwrap().unwrap().status().is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_late_still_opens_the_disk() {
    let folder = saved().await;
    let hub = FakeHub::new();
    hub.listen(&[]);
    let slow = Slow(Duration::from_millis(500), AtomicUsize::new(5));
    let client = hub.builder().disk(folder.path().join("state")).token_source(slow).connect();
    assert_eq!(client.await.unwrap().get_as("tenant_config_a"), Ok(Some(3)));
}

/// Hands out another token of the same tenant each time.
#[derive(Clone, Default)]
struct Numbered(Arc<AtomicUsize>);

impl TokenSource for Numbered {
    async fn token(&self, _: TokenRequest) -> Result<String, TokenError> {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        Ok(format!("{}{number}", token("acme")))
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_opened_the_disk_is_not_offered_after_an_outage() {
    let folder = saved().await;
    let mut hub = FakeHub::new();
    hub.listen(&[]);
    let source = Numbered::default();
    let builder = hub.builder().disk(folder.path().join("state")).token_source(source.clone());
    let _client = builder.connect().await.unwrap();
    tokio::time::sleep(Duration::from_secs(7_200)).await;
    assert_eq!(source.0.load(Ordering::SeqCst), 1, "none is asked for while nobody answers");
    hub.listen(&[1]);
    let call = hub.call().await;
    assert_eq!(call.token, format!("Bearer {}1", token("acme")));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_does_not_succeed_says_what_kind_of_failure_it_was() {
    let timeout_of = |builder: crate::Builder| async {
        match builder.connect_timeout(Duration::from_secs(2)).connect().await.unwrap_err() {
            Error::Timeout { kind, last, .. } => (kind, last),
            other => panic!("{other}"),
        }
    };
    let mut hub = FakeHub::new();
    hub.resolve_to(&[1]);
    let (kind, last) = timeout_of(hub.builder().token_source(Slow(Duration::ZERO, 1_000_000.into()))).await;
    assert_eq!(kind, Some(FailureKind::Token), "{last}");
    let starting = tokio::spawn(timeout_of(hub.builder()));
    let call = hub.call().await;
    tokio::time::sleep(Duration::from_millis(1_900)).await;
    call.end(tonic::Status::resource_exhausted("full")).await;
    let (kind, last) = starting.await.unwrap();
    assert_eq!(kind, Some(FailureKind::Limited), "{last}");
    hub.listen(&[]);
    let (kind, last) = timeout_of(hub.builder()).await;
    assert_eq!(kind, Some(FailureKind::Unreachable), "{last}");
    assert!(last.contains("refused"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_first_state_is_told_at_once_how_each_attempt_ends() {
    let mut hub = FakeHub::new();
    let (tell, mut told) = tokio::sync::mpsc::channel(16);
    let builder = hub.builder().connect_timeout(Duration::from_secs(60));
    let tell = move |status: &Status| tell.try_send(status.clone()).unwrap();
    let connecting = tokio::spawn(builder.connect_telling(tell));
    let mut call = hub.call().await;
    // Nobody is at the other address, which may have been tried first.
    while told.try_recv().is_ok() {}
    for message in ["full", "still full"] {
        let later = retry::later(tonic::Code::ResourceExhausted, message, Duration::from_secs(5));
        call.end(later).await;
        let ended = Instant::now();
        let Some(Status::Starting { last: Some(last) }) = told.recv().await else {
            panic!("nothing is told")
        };
        assert_eq!(last.kind, FailureKind::Limited, "{last:?}");
        assert!(last.reason.ends_with(message) && ended.elapsed() < Duration::from_millis(10), "{last:?}");
        call = hub.call().await;
        assert!(ended.elapsed() >= Duration::from_secs(5), "{:?}", ended.elapsed());
    }
    call.welcome("acme").await;
    call.update(&Update::reset(&one(1), SystemTime::UNIX_EPOCH)).await;
    connecting.await.unwrap().unwrap();
    assert_eq!(told.recv().await, None, "and not of the address where nobody is");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_the_hub_says_is_anothers_is_not_seen() {
    let folder = saved().await;
    let mut hub = FakeHub::new();
    let connecting = tokio::spawn(hub.builder().disk(folder.path().join("state")).connect());
    hub.call().await.welcome("other").await;
    let call = hub.call().await;
    assert_eq!(call.cursor(), None);
    call.welcome("other").await;
    call.update(&Update::reset(&State::default(), SystemTime::UNIX_EPOCH)).await;
    let client = connecting.await.unwrap().unwrap();
    assert!(client.status().is_ready() && client.get("tenant_config_a").is_none());
}

#[tokio::test(start_paused = true)]
async fn many_updates_cost_one_write_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder().disk(folder.path().join("state")), &one(1)).await;
    for version in 2..=100 {
        call.update(&between(&one(version - 1), &one(version))).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    client.close().await;
    let writes = client.stats().disk_writes;
    assert!((2..=8).contains(&writes), "{writes} writes in 5 seconds");
}

#[tokio::test(start_paused = true)]
async fn without_hub_and_disk_connect_ends_within_its_bound_and_says_why() {
    let hub = FakeHub::new();
    hub.listen(&[]);
    let began = Instant::now();
    let error = hub.builder().connect_timeout(Duration::from_secs(3)).connect().await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 3);
    assert!(error.is_retryable());
    assert!(error.to_string().contains("http://hub.test:7600"), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_denies_is_believed_at_once() {
    for (status, says) in [
        (tonic::Status::permission_denied("suspended"), "denied access: suspended"),
        (tonic::Status::invalid_argument("service `x`"), "InvalidArgument: service `x`"),
        (tonic::Status::unimplemented("Subscribe"), "is this endpoint a hub"),
    ] {
        let mut hub = FakeHub::new();
        let connecting = tokio::spawn(hub.builder().connect());
        hub.call().await.end(status).await;
        let error = connecting.await.unwrap().unwrap_err();
        assert!(error.to_string().contains(says) && !error.is_retryable(), "{error}");
    }
}

#[tokio::test]
async fn what_is_impossible_is_said_before_anything_is_tried() {
    let good = || Client::builder().endpoint("http://127.0.0.1:1").token("t");
    let error = |builder: crate::Builder| async {
        match builder.connect().await.unwrap_err() {
            Error::Config(error) => error,
            other => panic!("{other}"),
        }
    };
    assert_eq!(error(Client::builder().token("t")).await, ConfigError::NoEndpoint);
    assert_eq!(error(Client::builder().endpoint("http://[::1]:1")).await, ConfigError::NoToken);
    assert!(matches!(error(good().service("a b")).await, ConfigError::Name(_)));
    assert!(matches!(error(good().prefix("")).await, ConfigError::Name(_)));
    assert!(matches!(error(good().endpoint("http://10.0.0.1")).await, ConfigError::Endpoint { .. }));
    assert!(matches!(error(good().connect_timeout(Duration::ZERO)).await, ConfigError::Zero(_)));
    assert_eq!(error(good().max_state_bytes(0)).await, ConfigError::Zero("max_state_bytes"));
    assert!(matches!(error(good().disk("/nonexistent/folder/state")).await, ConfigError::Disk { .. }));
    let many = (0..17).fold(good(), |builder, number| builder.prefix(format!("p{number}")));
    assert!(error(many).await.to_string().contains("17 prefixes; at most 16"));
}
