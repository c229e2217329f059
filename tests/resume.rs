//! A subscriber that comes back gets what it lacks and nothing else.

use crate::support::{Event, Hub};
use confhub::limits::RING_REVISIONS;
use confhub_proto::{Digest, State};
use std::time::Duration;

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

#[tokio::test]
async fn a_cursor_is_known_in_every_view_that_shows_the_same() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    for i in 0..10 {
        writer.put(&format!("tenant_config_{i}"), "x").await.unwrap();
    }
    let mut shared = writer.subscribe("", b"").await.unwrap();
    shared.until("all are there", |state| state.len() == 10).await;
    let (cursor, state) = (shared.state.digest().to_bytes(), shared.state.clone());

    let mut cart = writer.subscribe("cart", &cursor).await.unwrap().resuming(state.clone());
    cart.until_current().await;
    assert_eq!(cart.updates, 0, "the service has no entry of its own");

    writer.put_for("cart", "tenant_config_0", "own", None).await.unwrap();
    cart.until("its own entry", |state| state.get("tenant_config_0").is_some_and(|e| e.value() == "own"))
        .await;
    assert_eq!((cart.updates, cart.entries), (1, 1));
    let mut order = writer.subscribe("order", &cart.state.digest().to_bytes()).await.unwrap();
    order.until_current().await;
    assert_eq!(order.state.digest(), state.digest(), "a cursor of another view is answered with a reset");
}

#[tokio::test]
async fn a_tenant_that_was_dropped_and_is_loaded_again_sends_no_entry() {
    let hub = Hub::start_with(|settings| settings.times.tenant_idle = Duration::from_millis(50)).await;
    let writer = hub.caller("acme").await;
    writer.put("tenant_config_a", "1").await.unwrap();
    let mut before = writer.subscribe("cart", b"").await.unwrap();
    before.until("the entry", |state| state.len() == 1).await;
    hub.until_metric("confhub_tenants", |tenants| tenants == 1.0).await;
    let (cursor, state) = (before.state.digest().to_bytes(), before.state.clone());
    drop(before);
    hub.until_metric("confhub_tenants", |tenants| tenants == 0.0).await;

    let mut after = writer.subscribe("cart", &cursor).await.unwrap().resuming(state.clone());
    after.until_current().await;
    assert_eq!(after.updates, 0);
    drop(after);
    hub.until_metric("confhub_tenants", |tenants| tenants == 0.0).await;
    writer.put("tenant_config_a", "2").await.unwrap();
    let mut changed = writer.subscribe("cart", &cursor).await.unwrap().resuming(state);
    changed.until_current().await;
    assert_eq!(changed.text("tenant_config_a").as_deref(), Some("2"), "written while nobody listened");
}

#[tokio::test]
async fn a_cursor_older_than_the_ring_gets_a_reset_that_is_right() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put("tenant_config_gone", "x").await.unwrap();
    let mut live = writer.subscribe("", b"").await.unwrap();
    live.until("the entry", |state| state.len() == 1).await;
    let (oldest, state) = (live.state.digest().to_bytes(), live.state.clone());
    writer.delete_for("", "tenant_config_gone").await.unwrap();
    live.until("it is gone", State::is_empty).await;
    let mut within = None;
    // What the stream saw as one update was one revision, or more.
    while live.updates <= RING_REVISIONS + 10 {
        let written = writer.put("tenant_config_a", "x").await.unwrap();
        live.until("the write", |state| version(state) == Some(written)).await;
        if live.updates == RING_REVISIONS / 2 + 20 {
            within = Some(live.state.digest().to_bytes());
        }
    }
    let mut back = writer.subscribe("", &oldest).await.unwrap().resuming(state);
    assert!(matches!(back.event().await, Event::Welcome(_)));
    let Event::Commit(update) = back.event().await else { panic!("no update") };
    assert!(update.reset && back.text("tenant_config_gone").is_none());
    assert_eq!(back.state.digest(), live.state.digest());

    let mut known = writer.subscribe("", &within.unwrap()).await.unwrap();
    assert!(matches!(known.event().await, Event::Welcome(_)));
    // Nothing but that one key has changed since, so its entry is all there is.
    let Event::Commit(update) = known.event().await else { panic!("no update") };
    assert!(!update.reset && update.puts.len() == 1 && update.removes.is_empty());
}

fn version(state: &State) -> Option<u64> {
    state.get("tenant_config_a").map(|entry| entry.version())
}
