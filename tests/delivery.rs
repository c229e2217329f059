//! What is written arrives: at every subscriber, whole, in order, and soon.

use crate::support::{Event, Hub, delete, put};
use confhub_proto::Digest;
use std::time::Duration;

#[tokio::test]
async fn a_write_arrives_at_every_subscriber() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put("tenant_config_before", "1").await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(writer.subscribe("checkout", b"").await.unwrap());
    }
    writer.put("tenant_config_after", "2").await.unwrap();
    writer.put("param_config_after", "3").await.unwrap();
    for stream in &mut streams {
        stream.until("all three are there", |state| state.len() == 3).await;
        assert_eq!(stream.text("tenant_config_before").as_deref(), Some("1"));
        assert_eq!(stream.text("param_config_after").as_deref(), Some("3"));
    }
}

#[tokio::test]
async fn a_deletion_arrives_for_both_prefixes() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let mut stream = writer.subscribe("", b"").await.unwrap();
    for key in ["tenant_config_a", "param_config_a"] {
        writer.put(key, "x").await.unwrap();
        stream.until("it is there", |state| state.get(key).is_some()).await;
        assert_eq!(writer.delete_for("", key).await.unwrap(), 2, "a deletion is a version");
        stream.until("it is gone", |state| state.get(key).is_none()).await;
    }
    assert_eq!(stream.state.digest(), Digest::default());
}

#[tokio::test]
async fn each_tenant_gets_its_own_and_nothing_else() {
    let hub = Hub::start_with(|settings| settings.times.heartbeat = Duration::from_millis(100)).await;
    let mut streams = Vec::new();
    for tenant in ["acme", "acme2", "globex", "initech"] {
        let caller = hub.caller(tenant).await;
        let mut stream = caller.subscribe("", b"").await.unwrap();
        stream.until_current().await;
        streams.push((tenant, caller, stream));
    }
    for (tenant, caller, _) in &streams {
        caller.put("tenant_config_name", tenant).await.unwrap();
    }
    for (tenant, _, stream) in &mut streams {
        stream.until("its name", |state| !state.is_empty()).await;
        stream.until_current().await;
        assert_eq!(stream.text("tenant_config_name").as_deref(), Some(*tenant));
        assert_eq!(stream.updates, 2, "the empty state, and one write");
    }
}

#[tokio::test]
async fn an_idle_stream_has_a_heartbeat_within_the_interval() {
    let interval = Duration::from_millis(200);
    let hub = Hub::start_with(|settings| settings.times.heartbeat = interval).await;
    let writer = hub.caller("acme").await;
    let mut stream = writer.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    writer.put("tenant_config_a", "1").await.unwrap();
    stream.until("the entry", |state| state.len() == 1).await;
    for _ in 0..3 {
        let since = tokio::time::Instant::now();
        match stream.event().await {
            Event::Heartbeat(cursor) => assert_eq!(cursor, stream.state.digest()),
            other => panic!("{other:?} instead of a heartbeat"),
        }
        // Twice the interval is when an SDK grows suspicious; a busy machine has the rest.
        assert!(since.elapsed() < interval * 10, "{:?} of silence", since.elapsed());
    }
}

#[tokio::test]
async fn the_welcome_says_what_the_hub_made_of_the_request() {
    let hub = Hub::start_with(|settings| settings.times.heartbeat = Duration::from_millis(1_500)).await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("checkout", b"").await.unwrap();
    let Event::Welcome(welcome) = stream.event().await else { panic!("no welcome") };
    assert_eq!((welcome.tenant.as_str(), welcome.service.as_str()), ("acme", "checkout"));
    assert_eq!(welcome.hub_version, env!("CARGO_PKG_VERSION"));
    let interval = welcome.heartbeat_interval.unwrap();
    assert_eq!((interval.seconds, interval.nanos), (1, 500_000_000));
}

#[tokio::test]
async fn a_commit_says_when_it_was_published_and_written() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let mut stream = writer.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    let before = std::time::SystemTime::now();
    writer.put("tenant_config_a", "1").await.unwrap();
    let Event::Commit(update) = stream.event().await else { panic!("no update") };
    let after = std::time::SystemTime::now();
    let written = update.source_time().unwrap();
    assert!(before <= written && written <= update.commit.hub_time && update.commit.hub_time <= after);
}

#[tokio::test]
async fn an_update_larger_than_a_frame_arrives_whole() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let mut stream = writer.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    let value = "x".repeat(60_000);
    let key = |i: usize| format!("tenant_config_{i:02}");
    writer.apply((0..40).map(|i| put("", &key(i), &value)).collect()).await.unwrap();
    let Event::Commit(update) = stream.event().await else { panic!("no update") };
    assert_eq!((update.puts.len(), stream.state.bytes() > 2_000_000), (40, true));
    let mut newcomer = writer.subscribe("", b"").await.unwrap();
    newcomer.until_current().await;
    assert_eq!((newcomer.updates, newcomer.state.digest()), (1, stream.state.digest()));
    writer.apply((0..40).map(|i| delete("", &key(i))).collect()).await.unwrap();
    stream.until("all are gone", confhub_proto::State::is_empty).await;
    assert_eq!(stream.updates, 3, "the empty state, all there, all gone");
}
