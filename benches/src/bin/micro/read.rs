//! Reads: of a key through the client, through a snapshot that is kept, and
//! through a handle, beside a plain map.

use crate::harness::{Case, Harness};
use confhub_benches::Result;
use confhub_benches::input::Setting;
use confhub_client::Client;
use confhub_proto::Entry;
use serde_json::Value;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

/// Reads in one round of one case.
const READS: u32 = 50_000;

/// Returns the case of a read and the case of a held handle.
pub(crate) fn measure(
    harness: &mut Harness,
    client: &Client,
    settings: &[Setting],
    rng: &mut fastrand::Rng,
) -> Result<(Case, Case)> {
    // Copies, so that no map is asked with the very string that it holds.
    let keys: Vec<String> =
        (0..READS).map(|_| settings[rng.usize(..settings.len())].key.as_str().to_owned()).collect();
    let snapshot = client.snapshot();
    let plain: HashMap<String, Arc<Entry>> =
        snapshot.iter().map(|entry| (entry.key().as_str().to_owned(), Arc::clone(entry))).collect();
    // The fastest that a plain map can be: with the hash that the SDK uses.
    let fast: HashMap<&str, &Arc<Entry>, foldhash::fast::RandomState> =
        snapshot.iter().map(|entry| (entry.key().as_str(), entry)).collect();
    let typed = client.typed::<Value>(settings[0].key.as_str())?;

    let cases = harness.measure(vec![
        ("plain HashMap::get", READS, Box::new(|| each(&keys, |key| plain.get(key)))),
        ("the same, and Arc::clone", READS, Box::new(|| each(&keys, |key| plain.get(key).cloned()))),
        (
            "the same with foldhash in place of std's hash",
            READS,
            Box::new(|| each(&keys, |key| fast.get(key))),
        ),
        ("Client::get", READS, Box::new(|| each(&keys, |key| client.get(key)))),
        ("State::get of a snapshot taken before", READS, Box::new(|| each(&keys, |key| snapshot.get(key)))),
        ("Typed::load", READS, Box::new(|| each(&keys, |_| typed.load()))),
    ]);
    Ok((cases[3], cases[5]))
}

/// Reads every key, in a loop of its own for each way of reading.
fn each<'a, T>(keys: &'a [String], read: impl Fn(&'a str) -> T) {
    for key in keys {
        black_box(read(key));
    }
}
