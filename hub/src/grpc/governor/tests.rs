use super::super::pace::DEBT;
use super::*;

fn governor() -> Governor {
    Governor::new(&LimitSettings {
        calls_per_tenant: 100,
        bulk_reads_per_tenant: 3,
        calls_per_second: 10,
        bulk_bytes_per_second: 1_000,
        opens_per_second: 10,
        ..LimitSettings::default()
    })
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn places_are_each_tenants_own_and_come_back() {
    let (governor, acme) = (governor(), tenant("acme"));
    let held: Vec<_> = (0..3).map(|_| governor.admit(&acme, Kind::Bulk).ok().unwrap()).collect();
    let refused = governor.admit(&acme, Kind::Bulk).err().unwrap();
    assert_eq!((refused.limit, refused.most), ("limits.bulk-reads-per-tenant", 3));
    assert!(governor.admit(&acme, Kind::Call).is_ok(), "single calls have places of their own");
    assert!(governor.admit(&tenant("globex"), Kind::Bulk).is_ok());
    drop(held);
    assert!(governor.admit(&acme, Kind::Bulk).is_ok());
}

#[tokio::test(start_paused = true)]
async fn calls_over_the_pace_wait_for_their_turn_and_those_that_would_wait_long_are_refused() {
    let (governor, acme) = (governor(), tenant("acme"));
    let call = || governor.admit(&acme, Kind::Call);
    let all: Vec<_> = (0..BURST_CALLS + 50).map(|_| call().ok().unwrap()).collect();
    assert!(all[..BURST_CALLS].iter().all(|share| share.wait.is_zero()));
    assert_eq!([all[BURST_CALLS].wait, all[BURST_CALLS + 49].wait], [millis(100), PATIENCE]);
    let refused = call().err().unwrap();
    assert_eq!((refused.limit, refused.delay), ("limits.calls-per-second", PATIENCE + millis(100)));
    assert!(governor.admit(&tenant("globex"), Kind::Call).ok().unwrap().wait.is_zero());
    tokio::time::advance(millis(100)).await;
    let (share, began) = (call().ok().unwrap(), Instant::now());
    share.turn().await;
    assert_eq!(began.elapsed(), PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn reads_of_a_whole_tenant_wait_for_what_those_before_have_cost() {
    let (governor, acme) = (governor(), tenant("acme"));
    let read = || governor.admit(&acme, Kind::Bulk).ok().unwrap();
    let (first, began) = (read(), Instant::now());
    let turn = first.read().await.ok().unwrap();
    assert!(began.elapsed().is_zero());
    // A second's worth is there, and two more are owed.
    first.charge(Cost::Read(2_000));
    first.charge(Cost::Shared(1_000 * SHARED_COST));
    drop(turn);
    drop(read().read().await.ok().unwrap());
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    assert!(governor.admit(&acme, Kind::Call).ok().unwrap().wait.is_zero(), "the pace is of its own");
    first.charge(Cost::Read(usize::MAX));
    first.charge(Cost::Read(usize::MAX));
    let refused = read().paid().await.err().unwrap();
    assert_eq!((refused.limit, refused.delay), ("limits.bulk-bytes-per-second", DEBT));
    tokio::time::advance(DEBT - PATIENCE).await;
    assert!(read().paid().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn reads_of_a_whole_store_are_made_one_at_a_time_and_waited_for_within_a_bound() {
    let (governor, acme) = (governor(), tenant("acme"));
    let shares: Vec<_> = (0..2).map(|_| governor.admit(&acme, Kind::Bulk).ok().unwrap()).collect();
    let first = shares[0].read().await.ok().unwrap();
    let mut second = Box::pin(shares[1].read());
    assert!(timeout(millis(10), &mut second).await.is_err());
    assert!(
        timeout(millis(10), governor.admit(&tenant("globex"), Kind::Bulk).ok().unwrap().read()).await.is_ok()
    );
    drop(first);
    let second = second.await.ok().unwrap();
    let refused = shares[0].read().await.err().unwrap();
    assert_eq!((refused.limit, refused.delay), ("limits.bulk-bytes-per-second", PLACE));
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn large_single_calls_count_by_their_size() {
    let (governor, acme) = (governor(), tenant("acme"));
    let call = governor.admit(&acme, Kind::Call).ok().unwrap();
    call.charge(Cost::Read(10 * CALL_BYTES));
    call.charge(Cost::Changes(10 * CALL_CHANGES));
    let next = governor.admit(&acme, Kind::Call).ok().unwrap();
    assert_eq!(next.wait, millis(100 * (1 + 20 + 1 - BURST_CALLS as u64)));
}

/// Whoever has stolen a token cannot keep its owner from revoking it.
#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_at_its_limits_can_say_who_is_let_in() {
    let (governor, acme) = (governor(), tenant("acme"));
    let _all: Vec<_> = std::iter::from_fn(|| governor.admit(&acme, Kind::Call).ok()).collect();
    assert!(governor.admit(&acme, Kind::Access).ok().unwrap().wait.is_zero());
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_wait_gives_its_turn_back() {
    let (governor, acme) = (governor(), tenant("acme"));
    let call = || governor.admit(&acme, Kind::Call).ok().unwrap();
    let all: Vec<_> = (0..BURST_CALLS + 1).map(|_| call()).collect();
    assert_eq!(all[BURST_CALLS].wait, millis(100));
    drop(all);
    assert_eq!(call().wait, millis(100), "and not later");
}

#[tokio::test(start_paused = true)]
async fn streams_count_when_they_end_soon() {
    let (governor, acme) = (governor(), tenant("acme"));
    let open = || governor.admit(&acme, Kind::Open).ok().unwrap();
    let all: Vec<_> = (0..100).map(|_| open()).collect();
    assert!(all.iter().all(|share| share.wait.is_zero()), "all may come at once");
    tokio::time::advance(SHORT_STREAM).await;
    drop(all);
    open().excuse();
    let last = open();
    assert!(last.owes.load(Ordering::Relaxed), "those that have stayed, or that the hub ends, cost nothing");
    drop(last);
    let waiting: Vec<_> = (0..19).map(|_| open()).collect();
    assert!(waiting[..9].iter().all(|share| share.wait.is_zero()));
    assert_eq!([waiting[9].wait, waiting[18].wait], [millis(100), PATIENCE_TO_OPEN]);
    let refused = governor.admit(&acme, Kind::Open).err().unwrap();
    assert_eq!((refused.limit, refused.delay), ("limits.opens-per-second", millis(1_100)));
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_took_to_begin_counts_if_its_client_leaves_soon() {
    let (governor, acme) = (governor(), tenant("acme"));
    let open = || {
        let share = governor.admit(&acme, Kind::Open).ok().unwrap();
        share.owe(Cost::Read(30 * CALL_BYTES));
        share
    };
    let (stays, excused) = (open(), open());
    excused.excuse();
    drop(excused);
    tokio::time::advance(SHORT_STREAM).await;
    drop(stays);
    let leaves = open();
    assert!(leaves.wait.is_zero(), "one that stays, or that the hub ends, counts for nothing");
    drop(leaves);
    let refused = governor.admit(&acme, Kind::Open).err().unwrap();
    assert!(refused.delay >= millis(2_000), "{:?}", refused.delay);
}

#[tokio::test(start_paused = true)]
async fn tenants_that_have_rested_are_forgotten_and_those_with_calls_are_not() {
    let governor = governor();
    let held = governor.admit(&tenant("held"), Kind::Call).ok().unwrap();
    for i in 0..10 * LOOK_AT {
        drop(governor.admit(&tenant(&format!("t{i}")), Kind::Call).ok().unwrap());
        tokio::time::advance(Duration::from_millis(200)).await;
    }
    let remembered = governor.0.lock().of.len();
    assert!(remembered <= LOOK_AT + 1, "{remembered}");
    assert!(governor.0.lock().of.contains_key(&tenant("held")));
    drop(held);
}
