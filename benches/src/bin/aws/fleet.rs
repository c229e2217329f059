//! Several hubs on one topic, and the death of two.

mod listener;
mod scene;

use crate::account::Emulator;
use crate::args::{FleetArgs, Place};
use crate::hubs::{Hub, Hubs};
use crate::measure::percentile;
use crate::report::Report;
use confhub_benches::Result;
use listener::{Listener, Seen, listeners};
use scene::Scene;
use serde::Serialize;

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
