//! Updates: one key of many, made visible to all readers at once, beside
//! clone-and-swap of a plain map; and the digest beside a plain insert.

use crate::harness::{Case, Harness};
use arc_swap::ArcSwap;
use confhub_benches::Result;
use confhub_benches::input::Setting;
use confhub_proto::frame::{self, Assembler};
use confhub_proto::{Content, Digest, Entry, Key, State, Update, limits, wire};
use prost::Message as _;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::SystemTime;

/// Updates in one round of a case that shares what does not change.
const UPDATES: u32 = 2_000;

/// Updates in one round of a case that copies everything.
const CLONES: u32 = 20;

/// Returns the case of an update.
pub(crate) fn measure(harness: &mut Harness, settings: &[Setting], rng: &mut fastrand::Rng) -> Result<Case> {
    let entries: Vec<_> = settings.iter().map(|setting| setting.entry(1)).collect();
    let changed: Vec<_> = (0..UPDATES).map(|_| settings[rng.usize(..settings.len())].entry(2)).collect();
    let state: State = entries.iter().cloned().collect();
    let updates: Vec<_> = changed.iter().map(|entry| update(&state, entry)).collect();
    let frames: Vec<_> = updates.iter().map(|update| frame::split(update)[0].encode_to_vec()).collect();

    let plain: Map = entries.iter().map(|entry| (entry.key().clone(), Arc::clone(entry))).collect();
    let few = changed.iter().take(usize::try_from(CLONES)?);
    let swapped = ArcSwap::from_pointee(plain.clone());
    let published = ArcSwap::from_pointee(state.clone());
    let decoded = ArcSwap::from_pointee(state.clone());
    let cases = harness.measure(vec![
        (
            "clone a plain HashMap, insert, swap",
            CLONES,
            Box::new(|| few.clone().for_each(|e| copy(&swapped, e))),
        ),
        (
            "State::commit, swap",
            UPDATES,
            Box::new(|| {
                updates.iter().for_each(|update| published.store(Arc::new(published.load().commit(update))))
            }),
        ),
        (
            "decode a frame, check it, State::commit, compare digests, swap",
            UPDATES,
            Box::new(|| frames.iter().for_each(|frame| receive(&decoded, frame))),
        ),
    ]);
    digests(harness, &changed, plain);
    Ok(cases[1])
}

type Map = HashMap<Key, Arc<Entry>>;

/// The update that changes one entry.
fn update(state: &State, entry: &Arc<Entry>) -> Update {
    let mut next = state.clone();
    next.put(Arc::clone(entry));
    Update::difference([entry.key()], &next, SystemTime::UNIX_EPOCH)
}

fn copy(map: &ArcSwap<Map>, entry: &Arc<Entry>) {
    let mut next = Map::clone(&map.load());
    next.insert(entry.key().clone(), Arc::clone(entry));
    map.store(Arc::new(next));
}

/// What a client does with a frame; one that it cannot read is passed over,
/// which the benchmark's own frames never are.
fn receive(state: &ArcSwap<State>, frame: &[u8]) {
    let kind = wire::Frame::decode(frame).ok().and_then(|frame| frame.kind);
    let Some(wire::frame::Kind::Update(part)) = kind else { return };
    let Ok(Some(update)) = Assembler::new(limits::FRAME_BYTES).push(part) else { return };
    let next = state.load().commit(&update);
    black_box(next.digest() == update.commit.cursor);
    state.store(Arc::new(next));
}

/// The digest of a changed entry and its place in the sum, beside the insert
/// that a map without digests would do.
fn digests(harness: &mut Harness, changed: &[Arc<Entry>], plain: Map) {
    let plain = RefCell::new(plain);
    let insert = |entry: &Arc<Entry>| {
        black_box(plain.borrow_mut().insert(entry.key().clone(), Arc::clone(entry)));
    };
    let hash = |old: &Arc<Entry>| {
        let content = Content {
            value: old.value().clone(),
            content_type: Content::JSON.into(),
            secret: old.is_secret(),
        };
        black_box(Entry::new(old.key().clone(), None, content, old.version() + 1, old.modified()))
    };
    let sum = RefCell::new(Digest::default());
    let add = |entry: &Arc<Entry>| {
        let mut sum = sum.borrow_mut();
        *sum -= black_box(entry.digest());
        *sum += black_box(entry.digest());
    };
    harness.measure(vec![
        ("plain HashMap::insert of a changed entry", UPDATES, Box::new(|| changed.iter().for_each(insert))),
        (
            "hash a changed entry (Entry::new)",
            UPDATES,
            Box::new(|| changed.iter().for_each(|e| drop(hash(e)))),
        ),
        ("move the digest of a state (one - and one +)", UPDATES, Box::new(|| changed.iter().for_each(add))),
    ]);
    black_box(*sum.borrow());
}

#[cfg(test)]
mod tests {
    use super::*;
    use confhub_benches::input;

    #[test]
    fn what_is_measured_is_what_a_client_does() {
        let settings = input::settings(100).unwrap();
        let state: State = settings.iter().map(|setting| setting.entry(1)).collect();
        let update = update(&state, &settings[7].entry(2));
        let cursor = update.commit.cursor;
        let shared = ArcSwap::from_pointee(state);
        receive(&shared, &frame::split(&update)[0].encode_to_vec());
        assert_eq!(shared.load().digest(), cursor);
        assert_eq!(shared.load().get(settings[7].key.as_str()).unwrap().version(), 2);
    }
}
