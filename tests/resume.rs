//! A subscriber that comes back gets what it lacks and nothing else.

use crate::support::{Event, Hub};
use confhub_proto::{Digest, State};

#[tokio::test]
async fn a_known_cursor_gets_only_what_changed_merged() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    for key in ["a", "b", "c", "d"] {
        writer.put(&format!("tenant_config_{key}"), "1").await.unwrap();
    }
    let mut before = writer.subscribe("", b"").await.unwrap();
    before.until("all are there", |state| state.len() == 4).await;
    before.until_current().await;
    let cursor = before.state.digest().to_bytes();
    let state = before.state.clone();
    drop(before);

    for value in ["2", "3", "4"] {
        writer.put("tenant_config_a", value).await.unwrap();
    }
    writer.delete_for("", "tenant_config_b").await.unwrap();
    let mut other = writer.subscribe("", b"").await.unwrap();
    other.until("the last change", |state| state.len() == 3).await;

    let mut after = writer.subscribe("", &cursor).await.unwrap().resuming(state);
    after.until_current().await;
    assert_eq!((after.updates, after.entries), (1, 1), "one update, with the one entry that changed");
    assert_eq!(after.text("tenant_config_a").as_deref(), Some("4"));
    assert_eq!(after.state.digest(), other.state.digest());
}

#[tokio::test]
async fn a_restarted_hub_with_an_unchanged_state_sends_no_entry() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    for i in 0..50 {
        writer.put(&format!("param_config_{i}"), "x").await.unwrap();
    }
    let mut before = writer.subscribe("cart", b"").await.unwrap();
    before.until("all are there", |state| state.len() == 50).await;
    let (cursor, state) = (before.state.digest().to_bytes(), before.state.clone());
    drop((before, writer));

    let folder = hub.stop().await;
    let hub = Hub::start_on(folder, |_| {}).await;
    let caller = hub.caller("acme").await;
    let mut after = caller.subscribe("cart", &cursor).await.unwrap().resuming(state);
    assert!(matches!(after.event().await, Event::Welcome(_)));
    match after.event().await {
        Event::Heartbeat(now) => assert_eq!(now.to_bytes(), cursor),
        other => panic!("{other:?} instead of a heartbeat"),
    }
    assert_eq!(after.entries, 0);
}

#[tokio::test]
async fn an_unknown_cursor_gets_a_reset() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put("tenant_config_a", "1").await.unwrap();
    let mut stream = writer.subscribe("", &[7; 16]).await.unwrap();
    assert!(matches!(stream.event().await, Event::Welcome(_)));
    match stream.event().await {
        Event::Commit(update) => assert!(update.reset && update.puts.len() == 1),
        other => panic!("{other:?} instead of a reset"),
    }
}

#[tokio::test]
async fn a_to_b_to_a_is_delivered() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put("tenant_config_a", "A").await.unwrap();
    let mut stream = writer.subscribe("", b"").await.unwrap();
    stream.until("A", |state| state.len() == 1).await;
    let (first, state) = (stream.state.digest(), stream.state.clone());
    drop(stream);
    writer.put("tenant_config_a", "B").await.unwrap();
    writer.put("tenant_config_a", "A").await.unwrap();
    let mut stream = writer.subscribe("", &first.to_bytes()).await.unwrap().resuming(state);
    stream.until("the third version", |state| version(state) == Some(3)).await;
    assert_eq!(stream.text("tenant_config_a").as_deref(), Some("A"));
    assert_ne!(stream.state.digest(), first);
}

#[tokio::test]
async fn a_cursor_of_an_empty_state_is_a_cursor() {
    let hub = Hub::start().await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("", &Digest::default().to_bytes()).await.unwrap();
    stream.until_current().await;
    assert_eq!(stream.updates, 0);
}

fn version(state: &State) -> Option<u64> {
    state.get("tenant_config_a").map(|entry| entry.version())
}
