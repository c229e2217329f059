//! A crew on simulated time.

use super::*;
use crate::fanout::Topic;
use crate::source::Address;
use crate::tenant::View;
use confhub_proto::{Content, Entry, Key, ServiceName, State};
use std::collections::HashSet;
use std::time::{Duration, SystemTime};
use tokio::time::advance;

const T: SystemTime = SystemTime::UNIX_EPOCH;

struct World {
    crew: Arc<Crew>,
    view: View,
    topic: Arc<Topic>,
    version: u64,
}

impl World {
    fn new(most: usize) -> Self {
        let crew = Arc::new(Crew::new(Reporters::default(), most));
        let view = View::new(Some(ServiceName::new("cart").unwrap()), Vec::new());
        Self { crew, view, topic: Arc::new(Topic::new(State::default(), T)), version: 0 }
    }

    fn join(&self, id: u8) -> Option<Membership> {
        let about =
            About { name: format!("i{id}"), version: String::new(), sdk: String::new(), address: None };
        self.crew.join(Some(InstanceId([id; ID_BYTES])), about, &self.view, &self.topic, T)
    }

    /// Publishes the next version of the one key, so many seconds after the beginning.
    fn publish(&mut self, seconds: u64) -> Digest {
        self.version += 1;
        let content = Content { value: "v".into(), content_type: "t".into(), secret: false };
        let entry = Entry::new(key(), None, content, self.version, T);
        let state = State::from_iter([Arc::new(entry)]);
        let digest = state.digest();
        self.topic.publish(state, Box::new([key()]), T + Duration::from_secs(seconds));
        digest
    }

    fn report(&self, id: u8, cursor: Digest) -> Result<(), Unknown> {
        self.tell(id, Report { cursor: Some(cursor), problems: Arc::default(), refused: "".into() })
    }

    fn tell(&self, id: u8, report: Report) -> Result<(), Unknown> {
        self.crew.report(InstanceId([id; ID_BYTES]), report, T, |_| true)
    }

    fn mark(&self) -> Mark {
        let address = Address { service: None, key: key() };
        Mark::new(vec![address], [(self.view.clone(), Arc::clone(&self.topic))].into_iter())
    }

    /// Names of those that have not applied what is marked, and of those that refused it.
    fn lacking(&self, mark: &Mark) -> (Vec<String>, Vec<String>) {
        let verdict = self.crew.verdict(mark, &HashSet::new(), |_| true);
        let names = |rows: Vec<Row>| {
            let mut names: Vec<_> = rows.into_iter().map(|row| row.about.name.clone()).collect();
            names.sort();
            names
        };
        (names(verdict.pending), names(verdict.refused))
    }
}

fn key() -> Key {
    Key::new("tenant_config_a").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_change_is_everywhere_once_all_have_reported_it_or_what_came_after() {
    let mut world = World::new(10);
    let first = world.publish(1);
    let (_a, _b) = (world.join(1), world.join(2));
    world.report(1, first).unwrap();
    world.report(2, first).unwrap();
    let second = world.publish(2);
    let mark = world.mark();
    let third = world.publish(3);
    assert_eq!(world.lacking(&mark).0, ["i1", "i2"]);
    world.report(1, second).unwrap();
    assert_eq!(world.lacking(&mark).0, ["i2"]);
    world.report(2, third).unwrap();
    assert!(world.lacking(&mark).0.is_empty());
    let unknown = Digest::default();
    world.report(2, unknown).unwrap();
    assert_eq!(world.lacking(&mark).0, ["i2"], "a state that nobody knows is not after anything");
    assert_eq!(world.lacking(&Mark::unread(vec![Address { service: None, key: key() }])).0, ["i1", "i2"]);
    let elsewhere = Address { service: Some(ServiceName::new("ad").unwrap()), key: key() };
    assert!(world.lacking(&Mark::unread(vec![elsewhere])).0.is_empty(), "it is not for them");
}

#[tokio::test(start_paused = true)]
async fn rows_tell_how_far_behind_an_instance_is_and_since_when() {
    let mut world = World::new(10);
    let first = world.publish(1);
    let _a = world.join(1);
    let row = || world.crew.rows(|_| true).remove(0);
    assert_eq!((row().changes_behind, row().report.is_none()), (None, true));
    world.report(1, first).unwrap();
    assert_eq!((row().changes_behind, row().behind_since), (Some(0), None));
    world.publish(7);
    world.publish(9);
    let row = world.crew.rows(|_| true).remove(0);
    assert_eq!((row.changes_behind, row.behind_since), (Some(2), Some(T + Duration::from_secs(7))));
}

#[tokio::test(start_paused = true)]
async fn one_who_leaves_is_waited_for_a_moment_and_then_gone() {
    let mut world = World::new(10);
    world.publish(1);
    let mark = world.mark();
    drop(world.join(1));
    assert_eq!(world.lacking(&mark).0, ["i1"]);
    assert!(world.crew.rows(|_| true)[0].away);
    advance(GRACE).await;
    assert!(world.lacking(&mark).0.is_empty() && world.crew.rows(|_| true).is_empty());
    // It is the same one that comes back within that time, or moves.
    let first = world.join(1);
    let second = world.join(1);
    drop(first);
    assert_eq!((world.crew.count(), world.crew.rows(|_| true).len()), (1, 1));
    drop(second);
    assert_eq!(world.crew.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_settles_it_and_is_over_with_the_next_report() {
    let mut world = World::new(10);
    let first = world.publish(1);
    let _a = world.join(1);
    world.report(1, first).unwrap();
    let second = world.publish(2);
    let mark = world.mark();
    let refusal = Report { cursor: Some(first), problems: Arc::default(), refused: "too large".into() };
    world.tell(1, refusal).unwrap();
    assert_eq!(world.lacking(&mark), (vec![], vec!["i1".to_owned()]));
    let problem = |key: &str| Problem { key: key.to_owned(), reason: "no number".to_owned() };
    let with =
        |key: &str| Report { cursor: Some(second), problems: [problem(key)].into(), refused: "".into() };
    world.tell(1, with("tenant_config_a")).unwrap();
    assert_eq!(world.lacking(&mark).1, ["i1"]);
    world.tell(1, with("tenant_config_other")).unwrap();
    assert_eq!(world.lacking(&mark), (vec![], vec![]), "that is not what was waited for");
}

#[tokio::test(start_paused = true)]
async fn nobody_speaks_for_an_instance_of_another_view_or_one_that_is_not_there() {
    let mut world = World::new(2);
    let digest = world.publish(1);
    assert_eq!(world.report(1, digest), Err(Unknown));
    let _a = world.join(1);
    let id = InstanceId([1; ID_BYTES]);
    let report = Report { cursor: Some(digest), problems: Arc::default(), refused: "".into() };
    assert_eq!(world.crew.report(id, report, T, |service| service.is_none()), Err(Unknown));
    // The id is in use in another view: whoever claims it is somebody else.
    let other = View::new(None, Vec::new());
    let about = About { name: "thief".to_owned(), version: String::new(), sdk: String::new(), address: None };
    let thief = world.crew.join(Some(id), about, &other, &world.topic, T);
    assert_eq!(world.crew.rows(|_| true).len(), 2);
    assert_eq!(world.crew.rows(|service| service.is_some())[0].about.name, "i1");
    assert!(world.join(3).is_none(), "there are as many as there may be");
    drop(thief);
    assert!(world.join(3).is_some());
}
