//! All of an `Apply`, or nothing of it: at every subscriber, at every moment.

use crate::support::{Caller, Event, Hub, delete, put, seed, soon, text};
use confhub_proto::{State, wire};
use fastrand::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tonic::Code;

const ACCOUNTS: usize = 8;
const EACH: i64 = 100;
const TRANSFERS: usize = 70;

fn account(i: usize) -> String {
    // Both prefixes have a share: one Apply may go over both.
    format!("{}{i}", if i.is_multiple_of(2) { "tenant_config_" } else { "param_config_" })
}

fn amount(value: &[u8]) -> i64 {
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

/// The invariant: nothing is lost or made by a transfer.
fn check(state: &State) {
    let sum: i64 = state.iter().map(|entry| amount(entry.value())).sum();
    assert_eq!((state.len(), sum), (ACCOUNTS, ACCOUNTS as i64 * EACH), "half of a transfer");
}

/// Moves an amount between random accounts, as the versions that were read
/// allow; returns whether another transfer came in between.
async fn transfer(caller: &Caller, random: &mut Rng) -> bool {
    let mut accounts: Vec<_> = (0..ACCOUNTS).collect();
    random.shuffle(&mut accounts);
    accounts.truncate(random.usize(2..5));
    let keys: Vec<_> = accounts.into_iter().map(account).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let found = caller.batch_get("", &keys).await.unwrap();
    let moved = random.i64(1..50);
    let mut changes = Vec::new();
    for (i, entry) in found.entries.iter().enumerate() {
        let share = if i == 0 { -moved * (keys.len() as i64 - 1) } else { moved };
        let value = (amount(&entry.value) + share).to_string();
        changes.push(wire::Change { expected_version: Some(entry.version), ..put("", &entry.key, &value) });
    }
    match caller.apply(changes).await {
        Ok(_) => false,
        Err(status) => {
            assert_eq!(status.code(), Code::Aborted, "{status}");
            true
        }
    }
}

async fn write(caller: Caller, mut random: Rng) -> usize {
    let (mut done, mut collisions) = (0, 0);
    while done < TRANSFERS {
        if transfer(&caller, &mut random).await { collisions += 1 } else { done += 1 }
    }
    collisions
}

/// Follows from the start (`lags` is false), or comes and goes, now from
/// nothing and now from where it was.
async fn watch(caller: Caller, mut random: Rng, lags: bool, done: Arc<AtomicBool>) -> usize {
    let (mut commits, mut state) = (0, State::default());
    while !done.load(Ordering::SeqCst) {
        let from_nothing = state.is_empty() || random.bool();
        let cursor = if from_nothing { Vec::new() } else { state.digest().to_bytes().to_vec() };
        let mut stream = caller.subscribe("cart", &cursor).await.unwrap();
        stream = if from_nothing { stream } else { stream.resuming(state) };
        let mut left = if lags { random.usize(1..20) } else { usize::MAX };
        while left > 0 && !done.load(Ordering::SeqCst) {
            left -= 1;
            match stream.event().await {
                Event::Commit(_) => {
                    check(&stream.state);
                    commits += 1;
                }
                Event::End(status) => panic!("the stream ended: {status}"),
                _ => {}
            }
        }
        state = stream.state.clone();
    }
    commits
}

/// Snapshots and reads of several keys are of one moment too.
async fn read(caller: Caller, done: Arc<AtomicBool>) {
    let keys: Vec<_> = (0..ACCOUNTS).map(account).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    while !done.load(Ordering::SeqCst) {
        check(&caller.snapshot("", &[]).await.unwrap().0);
        let found = caller.batch_get("cart", &keys).await.unwrap();
        let entries = found.entries.into_iter().map(|e| Arc::new(confhub_proto::Entry::try_from(e).unwrap()));
        check(&entries.collect());
        check(&crate::support::view_of(&caller.list().await, "", &[]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_ever_sees_half_of_an_apply() {
    let mut random = Rng::with_seed(seed());
    let hub =
        Hub::start_with(|settings| settings.times.heartbeat = std::time::Duration::from_millis(50)).await;
    let opening = (0..ACCOUNTS).map(|i| put("", &account(i), &EACH.to_string())).collect();
    hub.caller("acme").await.apply(opening).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let mut watchers = tokio::task::JoinSet::new();
    for i in 0..8 {
        let caller = hub.caller("acme").await;
        watchers.spawn(watch(caller, random.fork(), i % 2 == 0, Arc::clone(&done)));
    }
    let reader = tokio::spawn(read(hub.caller("acme").await, Arc::clone(&done)));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        writers.spawn(write(hub.caller("acme").await, random.fork()));
    }
    let collisions: usize = soon("the writers", writers.join_all()).await.into_iter().sum();
    done.store(true, Ordering::SeqCst);
    let commits: usize = soon("the watchers", watchers.join_all()).await.into_iter().sum();
    soon("the reader", reader).await.unwrap();
    assert!(collisions > 0 && commits > TRANSFERS, "{collisions} collisions, {commits} commits seen");
}

#[tokio::test]
async fn a_reader_that_lags_gets_whole_applies_merged() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let group = |value: u32| (0..50).map(|i| put("", &account(i), &value.to_string())).collect::<Vec<_>>();
    writer.apply(group(0)).await.unwrap();
    let mut lagging = writer.subscribe("", b"").await.unwrap();
    lagging.until_current().await;
    for value in 1..=40 {
        writer.apply(group(value)).await.unwrap();
    }
    while lagging.text(&account(0)).as_deref() != Some("40") {
        let Event::Commit(_) = lagging.event().await else { continue };
        let first = lagging.text(&account(0));
        assert!((1..50).all(|i| lagging.text(&account(i)) == first), "keys of two writes");
    }
}

#[tokio::test]
async fn one_bad_change_and_nothing_is_changed() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.apply(vec![put("", "tenant_config_a", "1"), put("", "tenant_config_b", "1")]).await.unwrap();
    let mut stream = writer.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    let before = writer.list().await;
    let good = || put("", "tenant_config_a", "2");
    let stale = wire::Change { expected_version: Some(7), ..put("", "tenant_config_b", "2") };
    let long = wire::Change {
        action: Some(wire::change::Action::Put(text(&"x".repeat(70_000)))),
        ..put("", "tenant_config_b", "")
    };
    let nothing = wire::Change { action: None, ..put("", "tenant_config_b", "") };
    let bad = [
        (stale, Code::Aborted),
        (delete("", "tenant_config_never"), Code::NotFound),
        (delete("cart", "tenant_config_a"), Code::NotFound),
        (put("", "other_a", "2"), Code::InvalidArgument),
        (put("a/b", "tenant_config_b", "2"), Code::InvalidArgument),
        (long, Code::InvalidArgument),
        (nothing, Code::InvalidArgument),
        (good(), Code::InvalidArgument),
    ];
    for (bad, code) in bad {
        for changes in [vec![good(), bad.clone()], vec![bad, good()]] {
            let status = writer.apply(changes).await.unwrap_err();
            assert_eq!(status.code(), code, "{status}");
            assert_eq!(writer.list().await, before);
        }
    }
    assert_eq!(writer.put("tenant_config_c", "1").await.unwrap(), 1);
    stream.until("the next good write", |state| state.len() == 3).await;
    assert_eq!(stream.updates, 2, "the first state and the one good write");
}

#[tokio::test]
async fn a_wrong_expected_version_names_both() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let key = "tenant_config_a";
    let put = |expected| writer.put_for("", key, "x", Some(expected));
    let names = |status: tonic::Status, actual: &str, expected: &str| {
        assert_eq!(status.code(), Code::Aborted);
        assert!(status.message().contains(&format!("version {actual}")), "{status}");
        assert!(status.message().contains(&format!("expected version {expected}")), "{status}");
    };
    names(put(1).await.unwrap_err(), "0", "1");
    assert_eq!(put(0).await.unwrap(), 1);
    names(put(0).await.unwrap_err(), "1", "0");
    assert_eq!(put(1).await.unwrap(), 2);
    names(put(1).await.unwrap_err(), "2", "1");

    let delete = |expected_version| {
        let request = wire::DeleteRequest { key: key.into(), service: String::new(), expected_version };
        let request = writer.request(request);
        let mut admin = writer.admin.clone();
        async move { admin.delete(request).await }
    };
    names(delete(Some(1)).await.unwrap_err(), "2", "1");
    assert_eq!(delete(Some(2)).await.unwrap().into_inner().version, 3);
    names(put(3).await.unwrap_err(), "0", "3");
    assert_eq!(put(0).await.unwrap(), 4, "0 asks that there is no entry");
    let request = wire::RollbackRequest {
        key: key.into(),
        service: String::new(),
        to_version: 1,
        expected_version: Some(1),
    };
    names(writer.admin.clone().rollback(writer.request(request)).await.unwrap_err(), "4", "1");
}

#[tokio::test]
async fn of_many_that_expect_the_same_version_one_wins() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let mut writers = tokio::task::JoinSet::new();
    for i in 0..20 {
        let writer = writer.clone();
        writers.spawn(async move { writer.put_for("", "tenant_config_a", &i.to_string(), Some(0)).await });
    }
    let outcomes = soon("the writers", writers.join_all()).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let codes = outcomes.into_iter().filter_map(Result::err).map(|status| status.code());
    assert_eq!(codes.filter(|code| *code == Code::Aborted).count(), 19);
}
