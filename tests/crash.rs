//! A write that was acknowledged survives kill -9 of the hub.
//!
//! Writers write without a pause while the process is killed at a random
//! moment, again and again. After each restart the store is compared with what
//! the writers were told, and a subscriber comes back with its old cursor.

use crate::support::{Caller, Event, HubProcess, Stream, put, seed, soon};
use confhub_proto::State;
use fastrand::Rng;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

const KILLS: usize = 100;
const WRITERS: usize = 4;
/// Keys of each writer, beside the two that it only writes together.
const KEYS: usize = 5;

/// What a writer knows of one key.
#[derive(Default, Clone, PartialEq, Debug)]
struct Known {
    version: u64,
    value: String,
}

/// What one writer was told, and what it asked for and was not told about.
struct Writer {
    name: usize,
    rng: Rng,
    count: usize,
    acknowledged: HashMap<String, Known>,
    /// The write that was cut off: it may have been made whole, or not at all.
    in_doubt: HashMap<String, Known>,
}

#[tokio::test]
async fn no_acknowledged_write_is_lost_in_a_hundred_kills() {
    let mut rng = Rng::with_seed(seed());
    let folder = tempfile::tempdir().unwrap();
    let mut writers: Vec<_> = (0..WRITERS).map(|name| Writer::new(name, rng.fork())).collect();
    let mut known = State::default();
    let (mut cut_off, mut survived) = (0, 0);
    for kill in 0..=KILLS {
        let hub = HubProcess::start(folder.path()).await;
        let caller = hub.caller("acme").await;
        let cursor = known.digest().to_bytes();
        let mut stream = caller.subscribe("", &cursor).await.unwrap().resuming(known.clone());
        stream.until_current().await;
        never_back(&known, &stream.state);
        for writer in &mut writers {
            cut_off += usize::from(!writer.in_doubt.is_empty());
            survived += usize::from(writer.compare(&stream.state));
        }
        if kill == KILLS {
            break;
        }
        // The moment of the kill is random, so that it falls anywhere in a write.
        let (least, after) = (rng.usize(0..40), Duration::from_micros(rng.u64(0..4_000)));
        (writers, known) = write_until_killed(hub, caller, stream, writers, least, after).await;
    }
    println!("{cut_off} writes were cut off, {survived} of them survived");
    assert!(cut_off > KILLS, "the kills fell between the writes, not into them");
}

/// Kills the hub once `least` writes are acknowledged and `after` has passed.
async fn write_until_killed(
    hub: HubProcess,
    caller: Caller,
    mut stream: Stream,
    writers: Vec<Writer>,
    least: usize,
    after: Duration,
) -> (Vec<Writer>, State) {
    let progress = Arc::new((AtomicUsize::new(0), Notify::new()));
    let mut tasks = JoinSet::new();
    for mut writer in writers {
        let (caller, progress) = (caller.clone(), Arc::clone(&progress));
        tasks.spawn(async move {
            while writer.write(&caller).await {
                progress.0.fetch_add(1, Ordering::SeqCst);
                progress.1.notify_one();
            }
            writer
        });
    }
    let following = tokio::spawn(async move {
        while !matches!(stream.event().await, Event::End(_)) {}
        stream.state
    });
    soon("writes to be acknowledged", async {
        while progress.0.load(Ordering::SeqCst) < least {
            progress.1.notified().await;
        }
    })
    .await;
    tokio::time::sleep(after).await;
    hub.kill().await;
    let mut writers = tasks.join_all().await;
    writers.sort_unstable_by_key(|writer| writer.name);
    (writers, following.await.unwrap())
}

impl Writer {
    fn new(name: usize, rng: Rng) -> Self {
        Self { name, rng, count: 0, acknowledged: HashMap::new(), in_doubt: HashMap::new() }
    }

    /// Writes one key, or two at once; false: the hub is gone.
    async fn write(&mut self, caller: &Caller) -> bool {
        self.count += 1;
        let value = format!("{} of {}", self.count, self.name);
        let (name, pair) = (self.name, self.rng.u8(0..3) == 0);
        let keys = match pair {
            true => vec![format!("tenant_config_w{name}_left"), format!("param_config_w{name}_right")],
            false => vec![format!("tenant_config_w{name}_{}", self.rng.usize(0..KEYS))],
        };
        let next = |key: &String| {
            let version = self.acknowledged.get(key).map_or(0, |known| known.version) + 1;
            (key.clone(), Known { version, value: value.clone() })
        };
        self.in_doubt = keys.iter().map(next).collect();
        let written = match pair {
            true => caller.apply(keys.iter().map(|key| put("", key, &value)).collect()).await,
            false => caller.put(&keys[0], &value).await.map(|version| vec![version]),
        };
        let Ok(versions) = written else { return false };
        for (key, version) in keys.iter().zip(versions) {
            assert_eq!(self.in_doubt[key].version, version, "{key}");
        }
        self.acknowledged.extend(self.in_doubt.drain());
        true
    }

    /// Compares the state after a restart with what this writer knows; true: the
    /// write that was cut off was made.
    fn compare(&mut self, state: &State) -> bool {
        let found = |key: &str| {
            state.get(key).map_or_else(Known::default, |entry| Known {
                version: entry.version(),
                value: String::from_utf8(entry.value().to_vec()).unwrap(),
            })
        };
        let in_doubt = std::mem::take(&mut self.in_doubt);
        let made: Vec<_> = in_doubt.iter().map(|(key, written)| found(key) == *written).collect();
        let survived = made.iter().any(|made| *made);
        assert!(made.iter().all(|made| *made == survived), "half of {in_doubt:?} was made");
        if survived {
            self.acknowledged.extend(in_doubt);
        }
        for (key, known) in &self.acknowledged {
            assert_eq!(found(key), *known, "`{key}`, which was acknowledged");
        }
        survived
    }
}

/// What a subscriber has seen is not undone by a crash.
fn never_back(before: &State, after: &State) {
    for old in before.iter() {
        let new = after.get(old.key().as_str()).unwrap_or_else(|| panic!("{old:?} is gone"));
        assert!(new.version() >= old.version(), "{old:?}, then {new:?}");
    }
}
