//! What is read is believed in the right order.

use super::store::{CONSISTENT, EVENTUAL, Store};
use super::*;
use std::time::SystemTime;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_slow_sweep_holds_up_no_hint_and_takes_nothing_back() {
    let store = Store::new(CONSISTENT);
    store.put("a", "1", 1);
    let world = World::new(&[("a", &store)]);
    let _listener = world.follow(None).await.unwrap();
    store.tell(|told| told.wide = 60 * SECOND);
    world.tenants.lost();
    pass(SECOND).await;
    store.put("a", "2", 2);
    world.hint("a").done().await;
    assert_eq!(world.value("a").await.as_deref(), Some("2"), "while the sweep is under way");
    pass(90 * SECOND).await;
    assert_eq!(world.value("a").await.as_deref(), Some("2"), "the sweep had read the version before");
    assert_eq!(world.drift(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_or_made_during_a_sweep_is_read_once_more() {
    let store = Store::new(CONSISTENT);
    store.put("a1", "1", 1);
    let world = World::new(&[("a", &store)]);
    let _listener = world.follow(None).await.unwrap();
    store.tell(|told| told.wide = 60 * SECOND);
    world.tenants.lost();
    pass(SECOND).await;
    store.delete("a1");
    store.put("a2", "1", 1);
    world.hint("a1").done().await;
    world.hint("a2").done().await;
    pass(90 * SECOND).await;
    assert_eq!(world.value("a1").await, None, "the sweep had seen it");
    assert_eq!(world.value("a2").await.as_deref(), Some("1"), "the sweep had not seen it");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_answers_from_before_is_asked_again() {
    let store = Store::new(EVENTUAL);
    store.put("a", "1", 1);
    let world = World::new(&[("a", &store)]);
    let _listener = world.follow(None).await.unwrap();
    store.freeze();
    store.put("a", "2", 2);
    world.hint("a").done().await;
    assert_eq!(world.value("a").await.as_deref(), Some("1"));
    store.thaw();
    pass(SECOND).await;
    assert_eq!(world.value("a").await.as_deref(), Some("2"));
    // And an old answer takes nothing back.
    store.put("a", "3", 3);
    world.hint("a").done().await;
    store.tell(|told| told.reads = store::Reads::default());
    store.put("a", "2", 2);
    world.hint("a").done().await;
    assert_eq!(world.value("a").await.as_deref(), Some("3"));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_made_again_is_newer_though_its_version_is_not() {
    let store = Store::new(EVENTUAL);
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    store.put_at(shared("a"), "old", 7, at(100));
    let world = World::new(&[("a", &store)]);
    let _listener = world.follow(None).await.unwrap();
    store.put_at(shared("a"), "new", 1, at(101));
    world.hint("a").done().await;
    assert_eq!(world.value("a").await.as_deref(), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_a_listing_lacks_is_looked_at_before_it_is_given_up() {
    let store = Store::new(EVENTUAL);
    store.freeze();
    let world = World::new(&[("a", &store)]);
    let _listener = world.follow(None).await.unwrap();
    store.thaw();
    store.put("a", "1", 1);
    world.hint("a").done().await;
    store.freeze();
    store.thaw();
    // A listing from before it was made.
    store.tell(|told| told.wide = SECOND);
    store.delete("a");
    world.tenants.lost();
    pass(SECOND / 2).await;
    store.put("a", "1", 1);
    pass(5 * SECOND).await;
    assert_eq!(world.value("a").await.as_deref(), Some("1"));
    store.delete("a");
    world.tenants.lost();
    pass(5 * SECOND).await;
    assert_eq!(world.value("a").await, None);
    assert_eq!(world.drift(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_store_that_fails_holds_up_no_change_in_another() {
    let (well, ill) = (Store::new(CONSISTENT), Store::new(EVENTUAL));
    well.put("a", "1", 1);
    ill.put("b", "1", 1);
    let world = World::new(&[("a", &well), ("b", &ill)]);
    let mut listener = world.follow(None).await.unwrap();
    assert_eq!(frames(&mut listener), 1);
    ill.tell(|told| told.failing = true);
    ill.put("b", "2", 2);
    let waiting = world.hint("b");
    well.put("a", "2", 2);
    world.hint("a").done().await;
    assert_eq!(frames(&mut listener), 1);
    assert_eq!(world.value("b").await.as_deref(), Some("1"), "memory is what there is");
    ill.tell(|told| told.failing = false);
    // The hint is kept until it could be acted on.
    waiting.done().await;
    assert_eq!(world.value("b").await.as_deref(), Some("2"));
    assert_eq!(frames(&mut listener), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_the_store_does_not_list_is_read_when_somebody_follows_it() {
    let store = Store::new(CONSISTENT);
    let own = |key: &str| Address { service: Some(ServiceName::new("cart").unwrap()), ..shared(key) };
    store.put("a", "shared", 1);
    store.put_at(own("a"), "own", 1, SystemTime::UNIX_EPOCH);
    let world = World::new(&[("a", &store)]);
    let mut plain = world.follow(None).await.unwrap();
    let mut cart = world.follow(Some("cart")).await.unwrap();
    let state = |listener: &mut Listener| {
        frames(listener);
        listener.subscriber.cursor()
    };
    assert_ne!(state(&mut plain), state(&mut cart));
    assert_eq!((store.reads().loads, store.reads().services), (1, 1));
    let again = world.follow(Some("cart")).await.unwrap();
    assert_eq!(store.reads().services, 1, "it is in memory");
    drop((plain, cart));
    // A sweep reads it too: it is followed still.
    world.tenants.lost();
    pass(SECOND).await;
    let loaded = world.tenants.shared.loaded.get(&tenant()).map(|tenant| Arc::clone(&tenant)).unwrap();
    assert!(loaded.lock().entries.get(&own("a")).is_some());
    drop(again);
}

#[tokio::test(start_paused = true)]
async fn a_key_in_the_wrong_store_is_not_served() {
    let (one, other) = (Store::new(CONSISTENT), Store::new(EVENTUAL));
    one.put("a", "1", 1);
    one.put("b", "from the wrong store", 9);
    other.put("b", "1", 1);
    let world = World::new(&[("a", &one), ("b", &other)]);
    let _listener = world.follow(None).await.unwrap();
    assert_eq!(world.value("b").await.as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_changes_again_and_again_during_a_sweep_is_current_all_the_while() {
    for nature in [CONSISTENT, EVENTUAL] {
        let store = Store::new(nature);
        store.put("a1", "1", 1);
        let world = World::new(&[("a", &store)]);
        let _listener = world.follow(None).await.unwrap();
        store.tell(|told| told.wide = 60 * SECOND);
        world.tenants.lost();
        pass(SECOND).await;
        store.delete("a1");
        world.hint("a1").done().await;
        assert_eq!(world.value("a1").await, None);
        store.put("a1", "2", 2);
        world.hint("a1").done().await;
        assert_eq!(world.value("a1").await.as_deref(), Some("2"), "the sweep is still under way");
        store.put("a1", "3", 3);
        store.delete("a1");
        world.hint("a1").done().await;
        assert_eq!(world.value("a1").await, None);
        let before = store.reads().hints;
        pass(30 * SECOND).await;
        assert!(store.reads().hints - before <= 1, "it is settled, and is not read on and on");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_whose_load_takes_longer_than_it_may_be_idle_is_there_when_it_is_loaded() {
    let store = Store::new(EVENTUAL);
    store.put("a", "1", 1);
    store.tell(|told| told.wide = 90 * SECOND);
    let world = World::new(&[("a", &store)]);
    let listener = loop {
        // As clients do, which do not wait for long and come again.
        if let Ok(listener) = tokio::time::timeout(3 * SECOND, world.follow(None)).await {
            break listener.unwrap();
        }
        pass(10 * SECOND).await;
    };
    assert_eq!(store.reads().loads, 1);
    drop(listener);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_says_from_before_that_a_key_is_not_there_is_asked_again() {
    let store = Store::new(EVENTUAL);
    let world = World::new(&[("a", &store)]);
    let _listener = world.follow(None).await.unwrap();
    store.freeze();
    store.put("a", "1", 1);
    store.thaw();
    world.hint("a").done().await;
    assert_eq!(world.value("a").await.as_deref(), Some("1"));
    // The same event once more, answered by a replica that has not heard of the key.
    store.freeze_without("a");
    world.hint("a").done().await;
    store.thaw();
    pass(SECOND).await;
    assert_eq!(world.value("a").await.as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_cursor_has_every_store_read_that_was_not_just_read() {
    let (one, other) = (Store::new(CONSISTENT), Store::new(EVENTUAL));
    let world = World::new(&[("a", &one), ("b", &other)]);
    let _listener = world.follow(None).await.unwrap();
    pass(10 * SECOND).await;
    let lane = |index: usize| {
        let tenant = world.tenants.shared.loaded.get(&tenant()).map(|tenant| Arc::clone(&tenant)).unwrap();
        tenant.lanes[index].pending().sweep(crate::backend::Urgency::Sweep);
        tenant.work.notify_one();
    };
    lane(0);
    pass(SECOND / 10).await;
    let unknown = confhub_proto::Digest::from_wire(&[7; 16]).unwrap();
    let view = View::new(None, Vec::new());
    let _second = world.tenants.follow(&tenant(), view, unknown).await.unwrap();
    assert_eq!((one.reads().loads, other.reads().loads), (1, 2), "the first load, and what was asked for");
}
