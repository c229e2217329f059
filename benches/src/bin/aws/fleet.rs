//! Several hubs on one topic, and the death of two.

use crate::account::{Account, Emulator};
use crate::args::{FleetArgs, Place};
use crate::fill::{Shelf, Store};
use crate::hubs::{Hub, Hubs};
use crate::measure::{percentile, settings};
use crate::report::Report;
use crate::roaming::{Reach, Roaming};
use crate::subscriber::{Subscriber, digest};
use crate::writer::Writer;
use confhub_benches::Result;
use confhub_client::{ChangeStream, Client};
use confhub_proto::State;
use serde::Serialize;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

const TENANT: &str = "shop";

/// Keys in each store, written in turn.
const KEYS: usize = 100;

/// Longest wait for all to have everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(2);

/// What clients got while all hubs lived.
#[derive(Debug, Serialize)]
struct Together {
    changes: usize,
    clients: usize,
    /// Versions that clients saw, each by each, and those that a newer one came for.
    delivered: u64,
    superseded: u64,
    writing_s: f64,
    /// From the last write's return until every client had everything.
    settled_ms: f64,
}

/// What clients got that came back to another hub.
#[derive(Debug, Serialize)]
struct Back {
    /// Changes went on meanwhile.
    under_way: bool,
    clients: usize,
    /// What a client lacked, of those that were at rest.
    lacked: usize,
    /// Entries that changed in all of them together.
    entries: u64,
    resets: u64,
    /// Until a client had everything: from the moment at which it could reach
    /// another hub, or, under way, from the last write's return.
    p50_ms: f64,
    last_ms: f64,
}

/// The same for a bare stream, of which every byte is seen.
#[derive(Debug, Serialize)]
struct Bare {
    lacked: usize,
    entries: usize,
    resets: usize,
    bytes: usize,
    current_ms: f64,
}

/// What must be 0.
#[derive(Debug, Default, Serialize)]
struct Faults {
    /// Keys that did not have their last value at a client.
    lost: u64,
    backwards: u64,
    unequal: u64,
    healed: u64,
    /// Entries that came to who had them, and whole states.
    needless: u64,
    resets: u64,
}

/// All of it.
#[derive(Serialize)]
pub(crate) struct Fleet {
    hubs: usize,
    together: Together,
    at_rest: Back,
    bare: Bare,
    under_way: Back,
    faults: Faults,
}

/// A client, and what it has seen.
struct Listener {
    client: Client,
    seen: Rc<RefCell<Seen>>,
    reach: watch::Sender<Reach>,
}

/// What a client was told since it was last looked.
#[derive(Debug, Default)]
struct Seen {
    versions: HashMap<String, u64>,
    delivered: u64,
    superseded: u64,
    backwards: u64,
    resets: u64,
}

/// Who writes, and what was written.
struct Scene {
    writer: Writer,
    /// With the store that each key is in, the two in turn.
    keys: Vec<(Store, String)>,
    values: HashMap<String, String>,
    written: usize,
    token: String,
    faults: Faults,
}

/// Plays all of it.
pub(crate) async fn run(place: &Place, args: &FleetArgs) -> Result<Fleet> {
    let mut emulator = Emulator::start(place)?;
    let account = emulator.account().await?;
    let mut folder = Hubs::new(place)?;
    let mut scene = Scene::new(&account, &folder).await?;
    let mut hubs = Vec::new();
    for _ in 0..args.hubs {
        hubs.push(folder.start(&account, &[]).await?);
    }
    let urls: Vec<_> = hubs.iter().map(Hub::url).collect();
    let mut groups = Vec::new();
    for hub in &hubs {
        groups.push(listeners(hub, &urls, &scene.token, args.clients).await?);
    }
    let changes = usize::try_from(args.changes)?;
    eprintln!("{} changes", args.changes);
    let together = scene.together(&hubs, &groups, changes).await?;
    let missed = usize::try_from(args.missed)?;
    eprintln!("a hub is killed");
    let (at_rest, bare) = scene.at_rest(&mut hubs, &groups, missed).await?;
    eprintln!("a hub is killed, and changes go on");
    let under_way = scene.under_way(&mut hubs, &groups, changes).await?;
    let mut faults = scene.faults;
    faults.healed = groups.iter().flatten().map(|listener| listener.client.stats().healed).sum();
    Ok(Fleet { hubs: urls.len(), together, at_rest, bare, under_way, faults })
}

/// Clients that belong to a hub, and know of all.
async fn listeners(hub: &Hub, urls: &[String], token: &str, count: u32) -> Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for _ in 0..count {
        let (reach, seen_reach) = watch::channel(Reach::Home);
        let dialer = Roaming { home: hub.grpc, reach: seen_reach };
        let builder = urls.iter().fold(Client::builder(), |builder, url| builder.endpoint(url));
        let client = builder.token(token).dialer(dialer).connect().await?;
        let seen = Rc::new(RefCell::new(Seen::default()));
        tokio::task::spawn_local(watch_over(client.clone(), client.changes(), Rc::clone(&seen)));
        listeners.push(Listener { client, seen, reach });
    }
    Ok(listeners)
}

/// Says which hubs clients reach from now on.
fn reach(listeners: &[&Listener], reach: Reach) {
    for listener in listeners {
        listener.reach.send_replace(reach);
    }
}

/// Takes note of what a client is told.
async fn watch_over(client: Client, mut changes: ChangeStream, seen: Rc<RefCell<Seen>>) {
    for entry in client.snapshot().iter() {
        seen.borrow_mut().versions.insert(entry.key().to_string(), entry.version());
    }
    while let Some(changed) = changes.next().await {
        let mut seen = seen.borrow_mut();
        seen.resets += u64::from(changed.reset);
        for key in changed.keys {
            let version = client.get(key.as_str()).map_or(0, |entry| entry.version());
            let before = seen.versions.insert(key.to_string(), version).unwrap_or_default();
            match version.checked_sub(before) {
                None => seen.backwards += 1,
                // A later commit has brought it already.
                Some(0) => {}
                Some(newer) => {
                    seen.delivered += 1;
                    seen.superseded += newer - 1;
                }
            }
        }
    }
}

impl Scene {
    async fn new(account: &Account, hubs: &Hubs) -> Result<Self> {
        let (mut keys, mut values) = (Vec::new(), HashMap::new());
        for number in 0..KEYS {
            for store in [Store::DynamoDb, Store::Ssm] {
                let setting = settings(store.prefix(), number + 1)?.swap_remove(number);
                values.insert(setting.key.to_string(), String::from_utf8(setting.value.to_vec())?);
                keys.push((store, setting.key.to_string()));
            }
        }
        for store in [Store::DynamoDb, Store::Ssm] {
            Shelf::new(account, TENANT, store)?.fill(&settings(store.prefix(), KEYS)?).await?;
        }
        let (writer, token) = (Writer::start(account, TENANT)?, hubs.token(TENANT)?);
        Ok(Self { writer, keys, values, written: 0, token, faults: Faults::default() })
    }

    /// Writes so many changes, one after the other.
    async fn write(&mut self, changes: usize) -> Result<()> {
        for _ in 0..changes {
            let (store, key) = &self.keys[self.written % self.keys.len()];
            self.written += 1;
            let value = format!("\"change {}\"", self.written);
            self.writer.write(*store, key, &value).await?;
            self.values.insert(key.clone(), value);
        }
        Ok(())
    }

    /// How many keys do not have their last value.
    fn lacks(&self, listener: &Listener) -> u64 {
        let snapshot = listener.client.snapshot();
        let is_there = |(key, value): &(&String, &String)| {
            snapshot.get(key).is_some_and(|entry| entry.value() == value.as_bytes())
        };
        (self.values.len() - self.values.iter().filter(is_there).count()) as u64
    }

    /// Waits until every client has everything, and returns for each how long it
    /// took, in milliseconds. Whatever it lacks in the end is lost.
    async fn settle(&mut self, listeners: &[&Listener], since: Instant) -> Result<Vec<f64>> {
        let mut took = vec![None; listeners.len()];
        while took.iter().any(Option::is_none) && since.elapsed() < PATIENCE {
            for (listener, took) in listeners.iter().zip(&mut took).filter(|(_, took)| took.is_none()) {
                *took = (self.lacks(listener) == 0).then(|| since.elapsed().as_secs_f64() * 1e3);
            }
            sleep(LOOK).await;
        }
        self.faults.lost += listeners.iter().map(|listener| self.lacks(listener)).sum::<u64>();
        Ok(took.into_iter().flatten().collect())
    }

    /// Compares every client with a hub, and takes what they have seen.
    async fn compare(&mut self, hub: &Hub, listeners: &[&Listener]) -> Result<Seen> {
        let digest = digest(hub.channel().await?, &self.token).await?;
        let mut total = Seen::default();
        for listener in listeners {
            self.faults.unequal += u64::from(listener.client.cursor() != digest);
            let mut seen = listener.seen.borrow_mut();
            total.delivered += std::mem::take(&mut seen.delivered);
            total.superseded += std::mem::take(&mut seen.superseded);
            total.resets += std::mem::take(&mut seen.resets);
            self.faults.backwards += std::mem::take(&mut seen.backwards);
        }
        Ok(total)
    }

    async fn together(&mut self, hubs: &[Hub], groups: &[Vec<Listener>], changes: usize) -> Result<Together> {
        let all: Vec<_> = groups.iter().flatten().collect();
        let began = Instant::now();
        self.write(changes).await?;
        let (writing_s, returned) = (began.elapsed().as_secs_f64(), Instant::now());
        let took = self.settle(&all, returned).await?;
        let mut sum = Seen::default();
        for (hub, group) in hubs.iter().zip(groups) {
            let seen = self.compare(hub, &group.iter().collect::<Vec<_>>()).await?;
            (sum.delivered, sum.superseded) =
                (sum.delivered + seen.delivered, sum.superseded + seen.superseded);
        }
        let settled_ms = took.iter().copied().fold(0.0, f64::max);
        let (delivered, superseded) = (sum.delivered, sum.superseded);
        Ok(Together { changes, clients: all.len(), delivered, superseded, writing_s, settled_ms })
    }

    /// The first hub is killed; its clients come back when they lack something.
    async fn at_rest(
        &mut self,
        hubs: &mut Vec<Hub>,
        groups: &[Vec<Listener>],
        missed: usize,
    ) -> Result<(Back, Bare)> {
        let orphans: Vec<_> = groups[0].iter().collect();
        let mut bare = Subscriber::open(hubs[0].channel().await?, &self.token, State::default()).await?;
        bare.until_current().await?;
        reach(&orphans, Reach::Nobody);
        drop(hubs.remove(0));
        self.write(missed).await?;
        let others: Vec<_> = groups[1..].iter().flatten().collect();
        self.settle(&others, Instant::now()).await?;
        self.compare(&hubs[0], &others).await?;

        let since = Instant::now();
        let mut resumed = Subscriber::open(hubs[0].channel().await?, &self.token, bare.state).await?;
        resumed.until_current().await?;
        let bare = Bare {
            lacked: missed,
            entries: resumed.tally.entries,
            resets: resumed.tally.resets,
            bytes: resumed.tally.bytes,
            current_ms: since.elapsed().as_secs_f64() * 1e3,
        };
        let since = Instant::now();
        reach(&orphans, Reach::Anybody);
        let took = self.settle(&orphans, since).await?;
        let seen = self.compare(&hubs[0], &orphans).await?;
        let expected = (missed * orphans.len()) as u64;
        self.faults.needless += seen.delivered.saturating_sub(expected);
        self.faults.needless += bare.entries.saturating_sub(missed) as u64;
        self.faults.resets += seen.resets + bare.resets as u64;
        Ok((Back::new(false, &orphans, missed, &seen, &took)?, bare))
    }

    /// The next one is killed while changes go on.
    async fn under_way(
        &mut self,
        hubs: &mut Vec<Hub>,
        groups: &[Vec<Listener>],
        changes: usize,
    ) -> Result<Back> {
        let orphans: Vec<_> = groups[1].iter().collect();
        // Those of the first hub may be on this one as well.
        let all: Vec<_> = groups.iter().flatten().collect();
        reach(&all, Reach::Anybody);
        self.write(changes / 2).await?;
        drop(hubs.remove(0));
        self.write(changes - changes / 2).await?;
        let took = self.settle(&all, Instant::now()).await?;
        let seen = self.compare(&hubs[0], &orphans).await?;
        let rest: Vec<_> = groups[..1].iter().chain(&groups[2..]).flatten().collect();
        self.compare(&hubs[0], &rest).await?;
        Back::new(true, &orphans, 0, &seen, &took)
    }
}

impl Back {
    fn new(under_way: bool, clients: &[&Listener], lacked: usize, seen: &Seen, took: &[f64]) -> Result<Self> {
        Ok(Self {
            under_way,
            clients: clients.len(),
            lacked,
            entries: seen.delivered,
            resets: seen.resets,
            p50_ms: percentile(took, 50)?,
            last_ms: percentile(took, 100)?,
        })
    }
}

impl Report for Fleet {
    fn print(&self) {
        let Together { changes, clients, delivered, superseded, writing_s, settled_ms } = &self.together;
        println!(
            "{} hubs, {clients} clients: {changes} changes in {writing_s:.1} s, {delivered} deliveries and \
             {superseded} merged into a newer version, all settled {settled_ms:.0} ms after the last write",
            self.hubs
        );
        let Bare { lacked, entries, resets, bytes, current_ms } = &self.bare;
        println!(
            "a hub killed at rest; a bare stream that lacks {lacked} entries resumes on another: {entries} \
             entries, {resets} resets, {bytes} bytes, current after {current_ms:.1} ms"
        );
        let Back { clients, lacked, entries, resets, p50_ms, last_ms, .. } = &self.at_rest;
        println!(
            "the same with {clients} SDK clients that lack {lacked} each: {entries} entries, {resets} resets, \
             current after {p50_ms:.0} ms (half), {last_ms:.0} ms (all)"
        );
        let Back { clients, entries, resets, last_ms, .. } = &self.under_way;
        println!(
            "a hub with {clients} SDK clients killed while changes go on: {entries} entries, {resets} resets, \
             everybody settled {last_ms:.0} ms after the last write"
        );
    }

    fn faults(&self) -> Vec<(&'static str, u64)> {
        let Faults { lost, backwards, unequal, healed, needless, resets } = &self.faults;
        vec![
            ("lost", *lost),
            ("out of order", *backwards),
            ("digests unequal at the end", *unequal),
            ("states that healed", *healed),
            ("entries sent to who had them", *needless),
            ("resets after a death at rest", *resets),
        ]
    }
}
