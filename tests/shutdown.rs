//! A hub that goes says so first, and goes in time.

use crate::support::{Event, Hub, PATIENCE, Stream, http_get, soon};
use confhub_proto::wire::goodbye::Reason;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

#[tokio::test]
async fn streams_get_a_goodbye_and_then_unavailable() {
    let hub = Hub::start().await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    let stopping = tokio::spawn(hub.stop());
    match stream.event().await {
        Event::Goodbye(goodbye) => {
            assert_eq!(goodbye.reason(), Reason::Drain);
            assert!(goodbye.retry_after.is_some());
        }
        other => panic!("{other:?} instead of a goodbye"),
    }
    assert_eq!(stream.until_end().await.code(), Code::Unavailable);
    drop((stream, caller));
    stopping.await.unwrap();
}

#[tokio::test]
async fn many_streams_end_each_with_a_goodbye_and_none_with_ok() {
    let hub = Hub::start().await;
    let mut streams = Vec::new();
    for tenant in ["acme", "globex"] {
        let caller = hub.caller(tenant).await;
        for i in 0..50 {
            let mut stream = caller.subscribe(&format!("service{}", i % 7), b"").await.unwrap();
            stream.until_current().await;
            streams.push(stream);
        }
    }
    let writer = hub.caller("acme").await;
    writer.put("tenant_config_a", "1").await.unwrap();
    let stopping = tokio::spawn(hub.stop());
    let mut waits = std::collections::HashSet::new();
    for stream in &mut streams {
        // An end with OK would be a panic in the stream.
        assert_eq!(stream.until_end().await.code(), Code::Unavailable);
        let goodbye = stream.goodbye.expect("a goodbye before the end");
        assert_eq!(goodbye.reason(), Reason::Drain);
        waits.insert(goodbye.retry_after.unwrap().nanos);
    }
    assert!(waits.len() > 50, "they do not all come back at the same moment");
    drop((streams, writer));
    stopping.await.unwrap();
}

#[tokio::test]
async fn health_says_no_as_the_drain_begins_and_holds_it_no_longer() {
    let hub = Hub::start_with(|settings| settings.times.drain = PATIENCE * 2).await;
    let (http, endpoint) = (hub.addresses.http, hub.endpoint());
    assert_eq!(http_get(http, "/readyz").await.unwrap().0, 200);
    assert_eq!(http_get(http, "/livez").await.unwrap().0, 200);
    let channel = Endpoint::from_shared(endpoint).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let request = HealthCheckRequest { service: "confhub.v1.ConfigService".to_owned() };
    let mut watch = health.watch(request).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    let stopping = tokio::spawn(hub.stop());
    let next = soon("a change of health", watch.message()).await.unwrap().unwrap();
    assert_eq!(next.status(), ServingStatus::NotServing);
    // What watches its health must not hold up a hub: its watch ends.
    assert!(soon("the end of the watch", watch.message()).await.is_ok_and(|more| more.is_none()));
    stopping.await.unwrap();
    assert!(http_get(http, "/readyz").await.is_err(), "the port is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readyz_says_no_for_as_long_as_the_drain_takes() {
    let hub = Hub::start_with(|settings| settings.times.drain = PATIENCE * 2).await;
    let http = hub.addresses.http;
    let stalled = stalled_stream(&hub).await;
    let stopping = tokio::spawn(hub.stop());
    let refused = async {
        while http_get(http, "/readyz").await.unwrap().0 != 503 {
            tokio::task::yield_now().await;
        }
    };
    soon("a no", refused).await;
    assert_eq!(http_get(http, "/livez").await.unwrap().0, 200, "a hub that drains is alive");
    assert_eq!(http_get(http, "/metrics").await.unwrap().0, 200);
    drop(stalled);
    stopping.await.unwrap();
    assert!(http_get(http, "/readyz").await.is_err(), "the port is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_under_way_is_finished_and_acknowledged() {
    let hub = Hub::start().await;
    let mut writers = tokio::task::JoinSet::new();
    for i in 0..8 {
        let writer = hub.caller("acme").await;
        writers.spawn(async move {
            let mut acknowledged = 0;
            loop {
                match writer.put(&format!("tenant_config_{i}"), "x").await {
                    Ok(version) => acknowledged = version,
                    Err(_) => return (i, acknowledged),
                }
            }
        });
    }
    let folder = soon("the hub to stop under load", async {
        let mut seen = hub.caller("acme").await.subscribe("", b"").await.unwrap();
        seen.until("all write", |state| state.len() == 8).await;
        drop(seen);
        hub.stop().await
    })
    .await;
    let acknowledged = soon("the writers", writers.join_all()).await;
    let hub = Hub::start_on(folder, |_| {}).await;
    let reader = hub.caller("acme").await;
    for (i, version) in acknowledged {
        let kept = reader.get("", &format!("tenant_config_{i}")).await.unwrap().version;
        assert_eq!(kept, version, "what was kept was acknowledged, and the other way round");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_read_cannot_hold_the_hub() {
    let drain = Duration::from_millis(500);
    let hub = Hub::start_with(|settings| settings.times.drain = drain).await;
    let stalled = stalled_stream(&hub).await;
    let since = Instant::now();
    let folder: Arc<_> = hub.stop().await;
    assert!(since.elapsed() >= drain, "the state is far larger than its window: it was still sending");
    assert!(since.elapsed() < drain + Duration::from_secs(5), "{:?}", since.elapsed());
    // The store is free for the next hub, although that stream is still there.
    let hub = Hub::start_on(folder, |_| {}).await;
    assert_eq!(hub.caller("acme").await.list().await.len(), 60);
    drop(stalled);
}

#[tokio::test]
async fn a_hub_that_drains_takes_no_one_in() {
    let hub = Hub::start().await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    let endpoint = hub.endpoint();
    let token = hub.token("acme");
    hub.stop().await;
    assert_eq!(stream.until_end().await.code(), Code::Unavailable);
    let status = caller.subscribe("", b"").await.map(drop).unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(Endpoint::from_shared(endpoint.clone()).unwrap().connect().await.is_err());
    drop(token);
}

/// A stream of a state that is far larger than its window, and is not read.
async fn stalled_stream(hub: &Hub) -> Stream {
    let writer = hub.caller("acme").await;
    let value = "x".repeat(60_000);
    for i in 0..60 {
        writer.put(&format!("tenant_config_{i}"), &value).await.unwrap();
    }
    let mut stalled = writer.subscribe("", b"").await.unwrap();
    assert!(matches!(stalled.event().await, Event::Welcome(_)));
    stalled
}
