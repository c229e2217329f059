//! Handles that follow the state.

use super::*;
use crate::limits::PENDING_KEYS;
use crate::{Key, ValueError};
use std::collections::HashSet;

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Limits {
    max: u32,
}

fn limits(version: u64, value: &str) -> State {
    state(&[entry("limits", version, value, Content::JSON)])
}

#[tokio::test(start_paused = true)]
async fn a_typed_handle_keeps_the_last_good_value_and_says_so() {
    let mut hub = FakeHub::new();
    let first = limits(1, r#"{"max":1}"#);
    let (client, call) = hub.connected(hub.builder(), &first).await;
    assert!(matches!(client.typed::<Limits>("none"), Err(ValueError::Missing { .. })));
    assert!(matches!(client.typed::<String>("limits"), Err(ValueError::Malformed { .. })));
    let typed = client.typed::<Limits>("limits").unwrap();
    let or = client.typed_or("limits", Limits { max: 99 });
    let mut changes = client.changes();
    let mut at = first;
    for (next, max, or_max, fails) in [
        (limits(2, r#"{"max":2}"#), 2, 2, false),
        (limits(3, r#"{"max":"many"}"#), 2, 2, true),
        (limits(4, r#"{"max":4}"#), 4, 4, false),
        (State::default(), 4, 99, true),
        (limits(6, r#"{"max":6}"#), 6, 6, false),
    ] {
        call.update(&between(&at, &next)).await;
        changes.next().await.unwrap();
        assert_eq!((typed.load().max, or.load().max), (max, or_max));
        assert_eq!(typed.error().is_some(), fails, "{:?}", typed.error());
        at = next;
    }
    let or_error = client.typed_or::<String>("limits", "x".to_owned());
    assert_eq!((or_error.load().as_str(), or_error.error().is_some()), ("x", true));
    assert!(client.typed_or("none", 5_u8).error().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_watch_sees_the_latest_the_same_value_again_and_removal() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &State::default()).await;
    let mut watch = client.watch("limits");
    assert!(watch.get().is_none());
    let mut at = State::default();
    for version in [1, 2] {
        let next = limits(version, "same");
        call.update(&between(&at, &next)).await;
        assert_eq!(watch.changed().await.unwrap().unwrap().version(), version);
        at = next;
    }
    call.update(&between(&at, &State::default())).await;
    assert_eq!(watch.changed().await, Ok(None));
    // Two changes that nobody took merge into the latter.
    call.update(&between(&State::default(), &limits(4, "x"))).await;
    call.update(&between(&limits(4, "x"), &limits(5, "y"))).await;
    let mut status = client.watch_status();
    while client.get("limits").is_none_or(|entry| entry.version() < 5) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(watch.changed().await.unwrap().unwrap().version(), 5);
    client.close().await;
    assert_eq!(watch.changed().await, Err(Closed::ByProgram));
    assert!(status.next().await.is_some_and(|status| status.is_closed()));
}

#[tokio::test(start_paused = true)]
async fn a_lagging_reader_of_changes_gets_every_key_once_however_many() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &State::default()).await;
    for count in [10, PENDING_KEYS, PENDING_KEYS + 500] {
        let before = State::clone(&client.snapshot().0);
        let mut lagging = client.changes();
        let mut at = before.clone();
        let mut wanted = HashSet::new();
        for number in 0..count {
            let mut next = at.clone();
            let key = format!("of_{count}_key_{number}");
            next.put(entry(&key, 1, "1", Content::JSON));
            wanted.insert(Key::new(&key).unwrap());
            let update = Update::difference(&[Key::new(&key).unwrap()], &next, SystemTime::UNIX_EPOCH);
            call.update(&update).await;
            at = next;
        }
        while client.cursor() != at.digest() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let changes = lagging.next().await.unwrap();
        assert_eq!(changes.keys.len(), count);
        assert_eq!(changes.keys.into_iter().collect::<HashSet<_>>(), wanted);
        assert_eq!((changes.cursor, changes.reset), (at.digest(), false));
    }
    assert!(client.stats().merged > 0);
}
