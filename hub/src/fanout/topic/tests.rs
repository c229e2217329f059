use super::*;
use crate::fanout::Subscriber;
use crate::limits::RING_REVISIONS;
use confhub_proto::{Content, Entry};
use futures_util::task::noop_waker_ref;
use std::task::Context;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn entry(key: &Key, version: u64, bytes: usize) -> Arc<Entry> {
    let content = Content { value: vec![b'x'; bytes].into(), content_type: "t".into(), secret: false };
    Arc::new(Entry::new(key.clone(), None, content, version, NOW))
}

fn key(i: usize) -> Key {
    Key::new(&format!("tenant_config_{i}")).unwrap()
}

fn publish(topic: &Topic, key: Key, version: u64, bytes: usize) {
    let put = Update {
        reset: false,
        puts: vec![entry(&key, version, bytes)],
        ..Update::reset(&State::default(), NOW)
    };
    topic.publish(topic.state().commit(&put), [key].into(), NOW);
}

/// A topic whose keys have changed in turn so many times, and the cursor of each state.
fn topic(states: usize, keys: usize, bytes: usize) -> (Topic, Vec<Cursor>) {
    let topic = Topic::new(State::default(), NOW);
    let mut cursors = vec![topic.state().digest()];
    for i in 0..states {
        publish(&topic, key(i % keys), i as u64 + 1, bytes);
        cursors.push(topic.state().digest());
    }
    (topic, cursors)
}

/// What somebody gets who comes back with `cursor`: its bytes.
fn comes_back(topic: &Topic, cursor: Option<Cursor>) -> usize {
    let (place, from) = topic.join(cursor);
    topic.leave(&place);
    match topic.pull(from) {
        Pull::Step(frame, _) => frame.len(),
        Pull::Behind(frames, _) => frames.size(),
        Pull::Current(_) => 0,
        Pull::Ended(end) => panic!("{end:?}"),
    }
}

#[test]
fn however_many_come_back_each_difference_is_encoded_once() {
    let (topic, cursors) = topic(500, 8, 100);
    assert_eq!(topic.encodings.get(), 0);
    for _ in 0..3 {
        assert!(cursors[..500].iter().all(|cursor| comes_back(&topic, Some(*cursor)) > 0));
        assert_eq!(comes_back(&topic, cursors.last().copied()), 0);
    }
    assert_eq!(topic.encodings.get(), 500);
}

#[test]
fn what_is_kept_is_bounded_and_what_is_not_is_shared_while_it_is_sent() {
    // Each is small enough to be kept, and all together are not.
    let (topic, cursors) = topic(300, 300, 300);
    for cursor in &cursors {
        comes_back(&topic, Some(*cursor));
    }
    let past = locked(&topic.past);
    let kept = past.encoded.values().filter(|encoded| matches!(encoded, Encoded::Kept(_))).count();
    assert!(past.kept <= KEPT_IN_ALL && kept < past.encoded.len() && kept > 50, "{kept}, {}", past.kept);
    drop(past);
    let (_, from) = topic.join(Some(cursors[1]));
    let before = topic.encodings.get();
    let held: Vec<_> = (0..3).map(|_| topic.pull(from)).collect();
    assert!(topic.encodings.get() <= before + 1 && held.len() == 3);
    topic.publish(topic.state(), [key(0)].into(), NOW);
    assert!(locked(&topic.past).encoded.is_empty());
    assert_eq!(locked(&topic.past).kept, 0);
}

#[test]
fn those_who_stand_where_nobody_remembers_get_one_snapshot_together() {
    let (topic, cursors) = topic(RING_REVISIONS + 100, 8, 1);
    assert!(!topic.knows(cursors[0]) && topic.knows(cursors[100]));
    let before = topic.encodings.get();
    // They stood there before, and have not read since.
    for from in (0..100).map(Some).chain([None]) {
        let Pull::Behind(frames, _) = topic.pull(from) else { panic!("it is behind") };
        assert!(frames.size() > 0);
    }
    assert_eq!(topic.encodings.get(), before + 1);
}

#[test]
fn a_step_leads_a_member_of_a_group_to_the_present_and_anything_else_is_asked_for() {
    struct Nobody;
    impl GroupWaker for Nobody {
        fn wake(&self, _: u64) {}
    }
    let (topic, cursors) = topic(1, 1, 100);
    let topic = Arc::new(topic);
    let cx = &mut Context::from_waker(noop_waker_ref());
    let mut subscriber = Subscriber::new(Arc::clone(&topic), cursors.last().copied());
    subscriber.join_group(Arc::new(Nobody), 1);
    assert!(subscriber.step().is_none() && subscriber.poll_next(cx).is_pending());
    for version in 2..5 {
        publish(&topic, key(0), version, 100);
        assert!(subscriber.step().is_some() && subscriber.step().is_none());
    }
    assert!(subscriber.poll_next(cx).is_pending());
    assert_eq!(subscriber.cursor(), topic.state().digest());
    // Two steps behind, from nothing, and at the end.
    publish(&topic, key(0), 5, 100);
    publish(&topic, key(0), 6, 100);
    assert!(subscriber.step().is_none() && subscriber.poll_next(cx).is_ready());
    assert!(Subscriber::new(Arc::clone(&topic), None).step().is_none());
    publish(&topic, key(0), 7, 100);
    topic.end(End::Drain);
    assert!(subscriber.step().is_none() && subscriber.poll_next(cx).is_ready());
}
