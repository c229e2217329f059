use super::*;
use crate::Closed;
use crate::store::{Lease, Store};

fn table() -> Table {
    let second = Duration::from_secs(1);
    let budget = Budget::new(1_000);
    Table::new(Rules { max_tenants: 2, idle: second * 60, remember: second * 5, budget })
}

fn tenant(name: impl std::fmt::Display) -> TenantId {
    TenantId::new(&name.to_string()).unwrap()
}

/// A client that nothing happens to, and its store.
fn client() -> (Client, Arc<Store>) {
    let store = Arc::new(Store::new(Vec::new(), Budget::unlimited().share(), Default::default()));
    let lease = Lease { store: Arc::clone(&store), stop: watch::Sender::new(false) };
    (Client::new(Arc::new(lease)), store)
}

fn open(table: &mut Table, name: &str, now: Instant) -> Arc<Store> {
    let (client, store) = client();
    let turn = table.begin(tenant(name)).unwrap();
    drop(table.finish(&turn.tenant, turn.id, Ok(client), now).unwrap());
    store
}

fn denied() -> Error {
    Closed::Denied("no".into()).into()
}

#[test]
fn failures_are_remembered_for_a_while_and_are_bounded() {
    let (mut table, began) = (table(), Instant::now());
    for i in 0..limits::POOL_FAILURES + 10 {
        let now = began + Duration::from_millis(i as u64);
        let turn = table.begin(tenant(i)).unwrap();
        assert!(table.finish(&turn.tenant, turn.id, Err(Unopened::Failed(denied())), now).is_err());
    }
    let now = began + Duration::from_secs(4);
    assert_eq!(table.stats(now).failed, limits::POOL_FAILURES);
    assert!(matches!(table.look("9", now), Ok(Look::Absent)), "the oldest are forgotten");
    match table.look("10", now) {
        Err(TenantError::Failed { retry_after, .. }) => assert_eq!(retry_after, Duration::from_millis(1_010)),
        _ => panic!("remembered"),
    }
    let later = now + Duration::from_secs(60);
    assert!(matches!(table.look("10", later), Ok(Look::Absent)));
    table.tidy(later);
    assert!(table.failed.is_empty() && table.members.is_empty());
}

#[test]
fn idle_begins_when_the_last_handle_is_gone() {
    let (mut table, began) = (table(), Instant::now());
    open(&mut table, "a", began);
    let Ok(Look::Here(handle)) = table.look("a", began) else { panic!("it is there") };
    let minutes = |count: u64| began + Duration::from_secs(60 * count);
    table.tidy(minutes(10));
    drop(handle);
    table.tidy(minutes(10) + Duration::from_secs(59));
    assert_eq!(table.stats(minutes(11)).tenants, 1);
    table.tidy(minutes(11));
    assert_eq!((table.stats(minutes(11)).tenants, table.stats(minutes(11)).dropped_idle), (0, 1));
}

#[test]
fn a_client_that_has_ended_is_not_handed_out() {
    let (mut table, now) = (table(), Instant::now());
    let (a, b) = (open(&mut table, "a", now), open(&mut table, "b", now));
    a.close(Closed::Revoked);
    b.close(Closed::Revoked);
    let error = |found: Result<Look, TenantError>| found.map(|_| ()).unwrap_err();
    assert_eq!(error(table.look("a", now)).closed(), Some(&Closed::Revoked));
    table.tidy(now);
    assert_eq!(error(table.look("b", now)).closed(), Some(&Closed::Revoked));
    assert_eq!((table.stats(now).failed, table.stats(now).tenants), (2, 0));
}

#[test]
fn a_turn_that_was_given_up_or_taken_away_changes_nothing() {
    let (mut table, now) = (table(), Instant::now());
    let first = table.begin(tenant("a")).unwrap();
    assert!(matches!(table.look("a", now), Ok(Look::Wait(_))));
    assert!(table.remove("a").is_none());
    let second = table.begin(tenant("a")).unwrap();
    let late = table.finish(&first.tenant, first.id, Ok(client().0), now);
    assert!(matches!(late, Err(TenantError::Removed)));
    table.abandon(&first.tenant, first.id);
    assert_eq!(table.stats(now).opening, 1, "the second turn goes on");
    table.abandon(&second.tenant, second.id);
    assert_eq!(table.stats(now).opening, 0);
    // Tenants that are being opened have places too, which nobody takes.
    let _turns = (table.begin(tenant("a")).unwrap(), table.begin(tenant("b")).unwrap());
    assert!(matches!(table.begin(tenant("c")), Err(TenantError::Full { limit: 2, .. })));
    assert!(table.close().is_empty());
    assert!(matches!(table.look("a", now), Err(TenantError::Closed)));
}
