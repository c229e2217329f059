//! What is played: who writes, who dies, who waits for what.

use super::listener::{Listener, Seen, reach};
use super::{Back, Bare, Faults, Together};
use crate::account::Account;
use crate::fill::{Shelf, Store};
use crate::hubs::{Hub, Hubs};
use crate::measure::settings;
use crate::roaming::Reach;
use crate::subscriber::{Subscriber, digest};
use crate::writer::Writer;
use confhub_benches::Result;
use confhub_proto::State;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const TENANT: &str = "shop";

/// Keys in each store, written in turn.
const KEYS: usize = 100;

/// Longest wait for all to have everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(2);

/// Who writes, and what was written.
pub(super) struct Scene {
    writer: Writer,
    /// With the store that each key is in, the two in turn.
    keys: Vec<(Store, String)>,
    values: HashMap<String, String>,
    written: usize,
    pub(super) token: String,
    pub(super) faults: Faults,
}

impl Scene {
    pub(super) async fn new(account: &Account, hubs: &Hubs) -> Result<Self> {
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

    pub(super) async fn together(
        &mut self,
        hubs: &[Hub],
        groups: &[Vec<Listener>],
        changes: usize,
    ) -> Result<Together> {
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
    pub(super) async fn at_rest(
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
    pub(super) async fn under_way(
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
