//! Any entries, changes and updates.

use confhub_proto::{Content, Digest, Entry, Key, ServiceName, State, Update};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Few enough that changes meet.
const KEYS: usize = 12;

/// Keys with the same beginnings and of different lengths.
pub fn key() -> impl Strategy<Value = Key> {
    (0..KEYS).prop_map(|i| Key::new(&format!("tenant_config_{}", "a".repeat(i))).unwrap())
}

/// Its value has any size; what is in it makes no difference to anyone.
pub fn content(longest: usize) -> impl Strategy<Value = Content> {
    let content_type = prop_oneof![Just(Content::TEXT), Just(Content::JSON), Just("x")];
    ((any::<u8>(), 0..longest).prop_map(|(byte, length)| vec![byte; length]), content_type, any::<bool>())
        .prop_map(|(value, content_type, secret)| Content {
            value: value.into(),
            content_type: content_type.into(),
            secret,
        })
}

fn service() -> impl Strategy<Value = Option<ServiceName>> {
    prop_oneof![Just(None), Just(Some(ServiceName::new("cart").unwrap()))]
}

pub fn entry(longest: usize) -> impl Strategy<Value = Arc<Entry>> {
    let modified = (0..4_000_000_000_u64, 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanos)| SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos));
    (key(), service(), content(longest), any::<u64>(), modified).prop_map(
        |(key, service, content, version, modified)| {
            Arc::new(Entry::new(key, service, content, version, modified))
        },
    )
}

/// One change of a state.
#[derive(Debug, Clone)]
pub enum Change {
    Put(Arc<Entry>),
    Remove(Key),
}

impl Change {
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(entry) => entry.key(),
            Self::Remove(key) => key,
        }
    }

    pub fn make(&self, state: &mut State) {
        match self {
            Self::Put(entry) => drop(state.put(Arc::clone(entry))),
            Self::Remove(key) => drop(state.remove(key.as_str())),
        }
    }
}

pub fn change() -> impl Strategy<Value = Change> {
    prop_oneof![3 => entry(20).prop_map(Change::Put), 1 => key().prop_map(Change::Remove)]
}

pub fn state() -> impl Strategy<Value = State> {
    vec(entry(20), 0..20).prop_map(State::from_iter)
}

/// A run of states, and what led from each to the next.
pub fn revisions() -> impl Strategy<Value = Vec<(State, Vec<Key>)>> {
    (state(), vec(vec(change(), 1..6), 1..20)).prop_map(|(first, steps)| {
        let mut state = first.clone();
        let mut revisions = vec![(first, Vec::new())];
        for step in steps {
            step.iter().for_each(|change| change.make(&mut state));
            revisions.push((state.clone(), step.iter().map(|change| change.key().clone()).collect()));
        }
        revisions
    })
}

/// A time in the range of the wire's calendar.
pub fn hub_time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123_456_789)
}

/// An update of up to some megabytes.
pub fn update(puts: usize, longest: usize) -> impl Strategy<Value = Update> {
    let removes = vec(key(), 0..4);
    (any::<bool>(), vec(entry(longest), 0..puts), removes).prop_map(|(reset, puts, removes)| {
        let cursor = puts.iter().cloned().collect::<State>().digest();
        let commit = confhub_proto::Commit { cursor, hub_time: hub_time() };
        Update { reset, puts, removes, commit }
    })
}

/// The digest that a set of entries must have, added up one by one.
pub fn digest_of(state: &State) -> Digest {
    let mut digest = Digest::default();
    state.iter().for_each(|entry| digest += entry.digest());
    digest
}
