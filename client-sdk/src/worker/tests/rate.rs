//! Updates as fast as a hub can send them, and what is counted of them.

use super::*;
use crate::{Client, Entry, ServiceName};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Two entries that are always written together.
const PAIR: [&str; 2] = ["tenant_config_left", "tenant_config_right"];

fn pair(version: u64) -> State {
    state(&PAIR.map(|key| entry(key, version, &version.to_string(), Content::JSON)))
}

/// Reads the pair in every way, all the time, until told to stop; checks that both
/// are of one write and that none goes back. Returns the last version.
fn reader(client: &Client, stop: &Arc<AtomicBool>) -> JoinHandle<u64> {
    let (client, stop) = (client.clone(), Arc::clone(stop));
    let typed = client.typed::<u64>(PAIR[0]).unwrap();
    std::thread::spawn(move || {
        let (mut last, mut last_loaded) = (0, 0);
        loop {
            // Looked at before reading, so that the last read is after the last write.
            let stopped = stop.load(Ordering::SeqCst);
            let snapshot = client.snapshot();
            let [left, right] = PAIR.map(|key| snapshot.get(key).unwrap().version());
            assert_eq!(left, right, "a part of an update");
            let later: u64 = client.get_as(PAIR[1]).unwrap().unwrap();
            assert!(last <= left && left <= later, "{last}, then {left}, then {later}");
            let loaded = *typed.load();
            assert!(last_loaded <= loaded, "{last_loaded}, then {loaded}");
            (last, last_loaded) = (later, loaded);
            if stopped {
                assert_eq!(last, last_loaded);
                return last;
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_updates_are_applied_whole_in_order_and_counted_while_others_read() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &pair(1)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let readers = [reader(&client, &stop), reader(&client, &stop)];
    let (mut lagging, mut following) = (client.changes(), client.changes());
    let last = 10_000;
    let mut at = pair(1);
    for version in 2..=last {
        // A hub sends nothing of a version that it has merged into the next.
        if version % 5 == 0 && version != last {
            continue;
        }
        call.update(&between(&at, &pair(version))).await;
        at = pair(version);
    }
    let mut items = 0;
    while following.next().await.unwrap().cursor != at.digest() {
        items += 1;
    }
    let applied = client.stats();
    assert_eq!(client.get_as(PAIR[0]), Ok(Some(last)));
    let merged_by_hub = last / 5 - 1;
    let sent = last - 1 - merged_by_hub;
    assert_eq!((applied.updates, applied.resets, applied.healed), (sent + 1, 1, 0));
    // The first state had both entries.
    assert_eq!((applied.entries, applied.superseded), (2 + 2 * sent, 2 * merged_by_hub));

    let merged_for_following = sent - (items + 1);
    assert_eq!(applied.merged, merged_for_following + sent - 1, "and all but one for who did not read");
    let changes = lagging.next().await.unwrap();
    assert_eq!((changes.keys.len(), changes.cursor), (2, at.digest()));
    stop.store(true, Ordering::SeqCst);
    assert_eq!(readers.map(|reader| reader.join().unwrap()), [last, last]);
}

/// The same entry of another place: of the service, or a secret.
fn other(service: Option<&str>, secret: bool, version: u64) -> Arc<Entry> {
    let plain = entry(PAIR[0], version, "1", Content::JSON);
    let content = Content::new(plain.value().clone(), Content::JSON, secret, 100).unwrap();
    let service = service.map(|name| ServiceName::new(name).unwrap());
    Arc::new(Entry::new(plain.key().clone(), service, content, version, plain.modified()))
}

#[tokio::test(start_paused = true)]
async fn versions_that_a_hub_merged_are_counted_as_far_as_versions_count_writes() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &state(&[other(None, false, 3)])).await;
    let mut changes = client.changes();
    let mut at = state(&[other(None, false, 3)]);
    for (why, next, entries, superseded) in [
        ("the next", vec![other(None, false, 4)], 1, 0),
        ("three were skipped", vec![other(None, false, 8)], 1, 3),
        ("a service's own counts anew", vec![other(Some("cart"), false, 90)], 1, 0),
        ("one of its own was skipped", vec![other(Some("cart"), false, 92)], 1, 1),
        ("it is gone", vec![], 1, 0),
        ("a version before is not known", vec![other(None, false, 20)], 1, 0),
        ("a store that counts anew", vec![other(None, false, 1)], 1, 0),
        ("a secret's is a moment", vec![other(None, true, 1_700_000_000)], 1, 0),
        ("and its next", vec![other(None, true, 1_800_000_000)], 1, 0),
    ] {
        let (before, next) = (client.stats(), state(&next));
        call.update(&between(&at, &next)).await;
        changes.next().await.unwrap();
        let after = client.stats();
        let counted = (after.entries - before.entries, after.superseded - before.superseded);
        assert_eq!(counted, (entries, superseded), "{why}");
        at = next;
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_state_after_a_reconnect_counts_what_was_missed_and_no_repeats() {
    let mut hub = FakeHub::new();
    let start = [1, 2, 3].map(|i| entry(&format!("key_{i}"), 1, "1", Content::JSON));
    let (client, call) = hub.connected(hub.builder(), &state(&start)).await;
    call.end(tonic::Status::unavailable("restart")).await;
    let call = hub.call().await;
    call.welcome("acme").await;
    let next = [("key_1", 1), ("key_2", 6), ("key_4", 7)].map(|(key, v)| entry(key, v, "1", Content::JSON));
    call.update(&Update::reset(&state(&next), SystemTime::UNIX_EPOCH)).await;
    client.ready().await.unwrap();
    let stats = client.stats();
    // One is as it was, one five versions on, one gone, one new.
    assert_eq!((stats.updates, stats.resets, stats.entries, stats.superseded), (2, 2, 3 + 3, 4));
}

#[tokio::test(start_paused = true)]
async fn a_watch_counts_each_change_that_it_got_together_with_a_later_one() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &one(1)).await;
    let (mut watch, mut changes) = (client.watch("tenant_config_a"), client.changes());
    let mut at = one(1);
    for (states, merged) in [
        (vec![one(2)], 0),
        (vec![one(3), one(4), one(5)], 2),
        // Removed and put again: three changes.
        (vec![one(6), State::default(), one(8)], 2),
        (vec![one(9), State::default()], 1),
        (vec![one(10)], 0),
    ] {
        let before = client.stats().merged;
        for next in states {
            call.update(&between(&at, &next)).await;
            // Read one by one, so that what is counted is the watch's.
            assert_eq!(changes.next().await.unwrap().cursor, next.digest());
            at = next;
        }
        let entry = watch.changed().await.unwrap();
        assert_eq!(entry.map(|entry| entry.digest()), at.get("tenant_config_a").map(|entry| entry.digest()));
        assert_eq!(client.stats().merged - before, merged);
    }
}
