//! Two hubs on one store.

use super::super::{About, ID_BYTES, Report};
use super::*;
use crate::admission::Policy;
use crate::backend::embedded::{Bounds, Embedded};
use crate::backend::{Backend, Router};
use crate::clock::system_clock;
use crate::config::{LimitSettings, TimeSettings};
use crate::metrics::{DriftCause, Metrics};
use crate::source::{Applied, Feed, Sink};
use confhub_proto::{Digest, Key, Prefix};
use tokio::time::{interval, timeout};

/// Hands hints to all hubs, as the events of a store do.
struct All(Vec<Box<dyn Sink>>);

impl Sink for All {
    fn hint(&self, hint: Hint) -> Applied {
        for sink in &self.0 {
            drop(sink.hint(hint.clone()));
        }
        Applied::default()
    }

    fn lost(&self) {}
}

struct World {
    store: Arc<dyn Backend>,
    hubs: Vec<(Tenants, Everywhere)>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(hubs: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (feed, clock) = (Feed::default(), system_clock());
        let bounds = Bounds { tenant_entries: 1_000, tenant_bytes: 1_000_000 };
        let store = Embedded::open(folder.path(), bounds, clock.clone(), feed.clone()).unwrap();
        let store: Arc<dyn Backend> = Arc::new(store);
        let (mut all, mut sinks) = (Vec::new(), Vec::new());
        for _ in 0..hubs {
            let (limits, times) = (LimitSettings::default(), TimeSettings::default());
            let metrics = Arc::new(Metrics::new("test"));
            let policy = Policy { admit_unknown: true, operators: None };
            let admission = Admission::new(
                Arc::clone(&store),
                policy,
                limits.clone(),
                times.clone(),
                clock.clone(),
                Arc::clone(&metrics),
            );
            let router = Router::new(vec![(Prefix::new("tenant_config_").unwrap(), Arc::clone(&store))]);
            let cause = Box::new(|_: &'static str, _| DriftCause::HintLost);
            let tenants = Tenants::new(router, limits, times, clock.clone(), metrics, cause);
            sinks.push(Box::new(admission.before(tenants.clone())) as Box<dyn Sink>);
            let everywhere = Everywhere::of(admission, tenants.clone(), clock.clone(), true);
            tokio::spawn(everywhere.clone().keep());
            all.push((tenants, everywhere));
        }
        feed.connect(All(sinks));
        Self { store, hubs: all, _folder: folder }
    }

    /// Has an instance listen to a hub.
    async fn join(&self, hub: usize, id: u8, service: &str) -> Listener {
        let view = View::new(Some(ServiceName::new(service).unwrap()), Vec::new());
        let mut listener = self.hubs[hub].0.follow(&tenant(), view.clone(), None).await.unwrap();
        let about =
            About { name: format!("i{id}"), version: String::new(), sdk: String::new(), address: None };
        assert!(listener.enlist(Some(InstanceId([id; ID_BYTES])), about, &view, system_clock()()));
        listener
    }

    /// Has it report the state with this version, once it has that.
    async fn report(&self, hub: usize, id: u8, listener: &mut Listener, version: u64) -> Digest {
        let has =
            |state: &State| state.get("tenant_config_a").is_some_and(|entry| entry.version() == version);
        let reached = async {
            loop {
                let state = poll_fn(|cx| listener.subscriber.poll_state(cx)).await.unwrap();
                if has(&state) {
                    return state.digest();
                }
            }
        };
        let cursor = timeout(Duration::from_secs(60), reached).await.unwrap();
        let report = Report { cursor: Some(cursor), problems: Arc::default(), refused: "".into() };
        let crew = self.hubs[hub].0.crew(&tenant()).unwrap();
        crew.report(InstanceId([id; ID_BYTES]), report, system_clock()(), |_| true).unwrap();
        cursor
    }

    async fn put(&self, value: &str) -> (Address, u64) {
        let address = Address { service: None, key: Key::new("tenant_config_a").unwrap() };
        let content = Content::new(value.to_owned().into(), Content::TEXT, false, 100).unwrap();
        let change = Change { address: address.clone(), action: Action::Put(content), expected: None };
        let versions = self.store.apply(&tenant(), "test", vec![change]).await.unwrap();
        (address, versions[0])
    }

    /// Waits until a hub names these.
    async fn until(&self, hub: usize, what: &str, wanted: impl Fn(&[Row]) -> bool) {
        let mut tick = interval(Duration::from_millis(10));
        let reached = async {
            while !wanted(&self.hubs[hub].1.rows(&tenant(), |_| true)) {
                tick.tick().await;
            }
        };
        timeout(Duration::from_secs(60), reached).await.unwrap_or_else(|_| panic!("waited for {what}"));
    }
}

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn names(rows: &[Row]) -> Vec<String> {
    let mut names: Vec<_> = rows.iter().map(|row| row.about.name.clone()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_hub_knows_the_instances_of_the_other_and_where_they_stand() {
    let world = World::new(2);
    let first = world.put("1").await;
    let (mut here, mut there) = (world.join(0, 1, "cart").await, world.join(1, 2, "ad").await);
    world.report(0, 1, &mut here, 1).await;
    world.report(1, 2, &mut there, 1).await;
    for hub in [0, 1] {
        world.until(hub, "both", |rows| names(rows) == ["i1", "i2"]).await;
        world.until(hub, "both reports", |rows| rows.iter().all(|row| row.report.is_some())).await;
    }
    let (_, everywhere) = &world.hubs[0];
    let marked = everywhere.mark(&tenant(), &[first]).await.unwrap();
    let verdict = everywhere.verdict(&tenant(), &marked, |_| true).unwrap();
    assert!(verdict.is_settled() && verdict.instances == 2, "{verdict:?}");

    let second = world.put("2").await;
    let marked = everywhere.mark(&tenant(), &[second]).await.unwrap();
    let lacking = || names(&everywhere.verdict(&tenant(), &marked, |_| true).unwrap().pending);
    assert_eq!(lacking(), ["i1", "i2"]);
    let ad = |service: Option<&ServiceName>| service.is_some_and(|service| service.as_str() == "ad");
    assert_eq!(names(&everywhere.verdict(&tenant(), &marked, ad).unwrap().pending), ["i2"]);
    world.report(0, 1, &mut here, 2).await;
    assert_eq!(lacking(), ["i2"]);
    let cursor = world.report(1, 2, &mut there, 2).await;
    let has = |row: &Row| row.report.as_ref().is_some_and(|(report, _)| report.cursor == Some(cursor));
    let has = |rows: &[Row]| rows.iter().any(|row| row.about.name == "i2" && has(row));
    world.until(0, "the report of the other", |rows| has(rows)).await;
    assert!(lacking().is_empty());
    assert!(everywhere.rows(&tenant(), ad)[0].changes_behind == Some(0), "its view is followed here");

    // It moves to this hub: it is one all the same.
    let moved = world.join(0, 2, "ad").await;
    assert_eq!(names(&everywhere.rows(&tenant(), |_| true)), ["i1", "i2"]);
    drop((moved, there));
    world.until(0, "it to be gone", |rows| names(rows) == ["i1"]).await;
}

#[tokio::test]
async fn a_hub_with_a_store_of_its_own_writes_nothing() {
    let world = World::new(1);
    let (tenants, _) = &world.hubs[0];
    let admission = world.hubs[0].1.0.admission.clone();
    let alone = Everywhere::new(admission, tenants.clone(), system_clock());
    assert!(!alone.0.shared);
    let ended = timeout(Duration::from_millis(20), alone.keep()).await;
    assert!(ended.is_err(), "it never ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_shows_no_sign_of_life_is_not_believed() {
    let world = World::new(1);
    let (_, everywhere) = &world.hubs[0];
    let mut here = world.join(0, 1, "cart").await;
    let (_, version) = world.put("1").await;
    world.report(0, 1, &mut here, version).await;
    // What a hub has left behind that is there no more.
    let listed = Listed {
        id: InstanceId([9; ID_BYTES]),
        about: Arc::new(About {
            name: "ghost".to_owned(),
            version: String::new(),
            sdk: String::new(),
            address: None,
        }),
        view: View::new(None, Vec::new()),
        connected_at: system_clock()(),
        away: false,
        report: None,
    };
    let left = Record { at_ms: 5, instances: vec![Told::from(&listed)] };
    let address = record::address("0000", Some(&tenant())).unwrap();
    assert!(everywhere.change(address, Action::Put(content(&left).unwrap())).await);
    world.until(0, "the ghost", |rows| names(rows) == ["ghost", "i1"]).await;
    let silent_for = |time: Duration| {
        let heard = Instant::now().checked_sub(time).unwrap();
        locked(&everywhere.0.signs).insert("0000".to_owned(), (5, heard));
    };
    silent_for(GONE);
    assert_eq!(names(&everywhere.rows(&tenant(), |_| true)), ["i1"]);
    silent_for(REMOVED);
    everywhere.live().await;
    let mut tick = interval(Duration::from_millis(10));
    let removed = async {
        while locked(&everywhere.0.signs).contains_key("0000") {
            tick.tick().await;
        }
    };
    timeout(Duration::from_secs(60), removed).await.unwrap();
}
