//! Reads cost: there are no more of them than there must be.

use super::store::{CONSISTENT, EVENTUAL, Reads, Store};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_change_costs_one_read_however_many_follow() {
    let store = Store::new(EVENTUAL);
    store.put("a", "1", 1);
    let world = World::new(&[("a", &store)]);
    let mut listeners = Vec::new();
    for _ in 0..1_000 {
        listeners.push(world.follow(None).await.unwrap());
    }
    assert_eq!(store.reads(), Reads { loads: 1, ..Reads::default() }, "they share the load");
    store.put("a", "2", 2);
    world.hint("a").done().await;
    pass(Duration::from_secs(10)).await;
    assert_eq!(store.reads(), Reads { loads: 1, hints: 1, ..Reads::default() });
    assert!(listeners.iter_mut().all(|listener| frames(listener) > 0));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_hints_for_a_key_within_a_second_cost_five_reads_at_most() {
    for nature in [CONSISTENT, EVENTUAL] {
        let store = Store::new(nature);
        store.put("a", "1", 1);
        let world = World::new(&[("a", &store)]);
        let _listener = world.follow(None).await.unwrap();
        for version in 2..1_002 {
            store.put("a", &version.to_string(), version);
            drop(world.hint("a"));
            pass(Duration::from_millis(1)).await;
        }
        pass(Duration::from_secs(3)).await;
        assert!((1..=5).contains(&store.reads().hints), "{:?}", store.reads());
        assert_eq!(world.value("a").await.as_deref(), Some("1001"), "the last one is not left out");
    }
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_changes_costs_the_sweeps_and_nothing_else() {
    let store = Store::new(EVENTUAL);
    store.put("a", "1", 1);
    let world = World::new(&[("a", &store)]);
    let _listener = world.follow(None).await.unwrap();
    pass(Duration::from_secs(3_600)).await;
    let Reads { loads, sweeps, services, hints, gets } = store.reads();
    assert_eq!((loads, services, hints, gets), (1, 0, 0, 0));
    // One every 5 minutes, give or take a quarter.
    assert!((9..=16).contains(&sweeps), "{sweeps} sweeps");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_that_come_back_at_once_cost_one_load() {
    let store = Store::new(EVENTUAL);
    store.put("a", "1", 1);
    store.tell(|told| told.wide = Duration::from_millis(100));
    let world = World::new(&[("a", &store)]);
    let first = world.follow(None).await.unwrap();
    drop(first);
    // The tenant is dropped from memory, as after a restart of the hub.
    pass(Duration::from_secs(120)).await;
    let before = store.reads().loads;
    let view = || View::new(None, Vec::new());
    let acme = tenant();
    let follows = (0..1_000).map(|_| world.tenants.follow(&acme, view(), None));
    let listeners = futures_util::future::join_all(follows).await;
    assert!(listeners.iter().all(Result::is_ok));
    assert_eq!(store.reads().loads - before, 1);
}

#[tokio::test(start_paused = true)]
async fn single_reads_come_from_memory_once_the_tenant_is_loaded_and_are_shared_before() {
    let store = Store::new(CONSISTENT);
    store.put("a", "1", 1);
    store.tell(|told| told.listed = Duration::from_millis(50));
    let world = World::new(&[("a", &store)]);
    let tenant = tenant();
    let addresses = [shared("a"), shared("a0")];
    let reads = (0..100).map(|_| world.tenants.read(&tenant, 0, &addresses));
    for read in futures_util::future::join_all(reads).await {
        let read = read.unwrap();
        assert!(read[0].is_some() && read[1].is_none());
    }
    assert_eq!(store.reads(), Reads { gets: 1, ..Reads::default() }, "nobody had loaded the tenant");

    let _listener = world.follow(None).await.unwrap();
    world.tenants.read(&tenant, 0, &addresses).await.unwrap();
    assert_eq!(store.reads().gets, 1, "from memory");
    // A change is on its way: memory is not the latest.
    store.put("a", "2", 2);
    let applied = world.hint("a");
    let read = world.tenants.read(&tenant, 0, &addresses).await.unwrap();
    assert_eq!(read[0].as_ref().unwrap().version(), 2);
    assert_eq!(store.reads().gets, 2);
    applied.done().await;
    world.tenants.read(&tenant, 0, &addresses).await.unwrap();
    assert_eq!(store.reads().gets, 2, "from memory again");
}

#[tokio::test(start_paused = true)]
async fn who_reads_after_a_write_does_not_join_a_read_from_before_it() {
    let store = Store::new(CONSISTENT);
    store.put("a", "1", 1);
    store.tell(|told| told.listed = Duration::from_millis(50));
    let world = World::new(&[("a", &store)]);
    let tenant = tenant();
    let address = [shared("a")];
    let before = world.tenants.read(&tenant, 0, &address);
    let after = async {
        pass(Duration::from_millis(10)).await;
        store.put("a", "2", 2);
        drop(world.hint("a"));
        world.tenants.read(&tenant, 0, &address).await
    };
    let (before, after) = tokio::join!(before, after);
    assert_eq!(before.unwrap()[0].as_ref().unwrap().version(), 1);
    assert_eq!(after.unwrap()[0].as_ref().unwrap().version(), 2);
}

#[tokio::test(start_paused = true)]
async fn events_for_a_tenant_that_nobody_follows_cost_no_read() {
    let store = Store::new(CONSISTENT);
    store.put("a", "1", 1);
    let world = World::new(&[("a", &store)]);
    world.hint("a").done().await;
    world.tenants.lost();
    pass(Duration::from_secs(600)).await;
    assert_eq!(store.reads(), Reads::default());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_is_asked_less_and_less_often() {
    let store = Store::new(CONSISTENT);
    store.put("a", "1", 1);
    let world = World::new(&[("a", &store)]);
    let _listener = world.follow(None).await.unwrap();
    store.tell(|told| told.failing = true);
    store.put("a", "2", 2);
    let waiting = world.hint("a");
    pass(Duration::from_secs(120)).await;
    let asked = store.reads().hints;
    assert!((10..=24).contains(&asked), "asked {asked} times in 2 minutes");
    store.tell(|told| told.failing = false);
    waiting.done().await;
    assert_eq!(world.value("a").await.as_deref(), Some("2"));
}
