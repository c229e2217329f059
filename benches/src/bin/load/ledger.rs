//! What every stream has received, and whether that was right.
//!
//! All streams of a tenant get the same bytes, so a frame is parsed and its
//! entries are hashed once; each stream then compares bytes. That makes a full
//! check of every delivery cheaper than its way through the socket.

use crate::report::Round;
use bytes::Bytes;
use confhub_benches::Result;
use confhub_proto::frame::FrameError;
use confhub_proto::{Digest, Entry, wire};
use hdrhistogram::Histogram;
use prost::Message as _;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;
use wire::frame::Kind;

/// Frames that are remembered: streams of a tenant are at most this far apart
/// before a frame is parsed again.
const REMEMBERED: usize = 8;

/// What all streams count together.
pub(crate) struct Totals {
    /// All times are counted from here.
    pub(crate) epoch: Instant,
    /// Streams that know that they are current.
    pub(crate) current: usize,
    /// Versions received, each by each stream.
    pub(crate) deliveries: u64,
    /// Versions that a stream did not see since a newer one came in their place.
    pub(crate) superseded: u64,
    /// Versions received again.
    pub(crate) repeats: u64,
    /// Versions older than what the stream had.
    pub(crate) backwards: u64,
    /// Commits whose digest was not the stream's.
    pub(crate) diverged: u64,
    /// Whole states, beyond the first of each stream.
    pub(crate) resets: u64,
    /// Streams that ended, or brought what is no frame.
    pub(crate) broken: u64,
    /// From when a write was due to its receipt, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Totals {
    pub(crate) fn new() -> Result<Rc<RefCell<Self>>> {
        Ok(Rc::new(RefCell::new(Self {
            epoch: Instant::now(),
            current: 0,
            deliveries: 0,
            superseded: 0,
            repeats: 0,
            backwards: 0,
            diverged: 0,
            resets: 0,
            broken: 0,
            latency: Round::latencies()?,
        })))
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn at(&self, nanos: u64) -> Instant {
        self.epoch + Duration::from_nanos(nanos)
    }

    pub(crate) fn received(&mut self, due: u64) {
        let latency = self.now().saturating_sub(due);
        self.latency.saturating_record(latency);
    }
}

/// A tenant, as its streams share it.
pub(crate) struct Tenant {
    /// Where each key stands among those that are written.
    slots: HashMap<String, usize>,
    recent: RefCell<VecDeque<Rc<Parsed>>>,
    totals: Rc<RefCell<Totals>>,
}

/// A frame, and what it means.
struct Parsed {
    bytes: Bytes,
    kind: Meaning,
}

enum Meaning {
    Update {
        reset: bool,
        puts: Vec<Put>,
        commit: Option<Digest>,
    },
    Heartbeat(Digest),
    Welcome,
    /// Nothing that a stream of this load should bring.
    Unexpected,
}

struct Put {
    slot: usize,
    version: u64,
    digest: Digest,
    /// When the write was due, in nanoseconds since the epoch of the totals.
    due: Option<u64>,
}

impl Tenant {
    pub(crate) fn new(keys: impl Iterator<Item = String>, totals: &Rc<RefCell<Totals>>) -> Self {
        let slots = keys.enumerate().map(|(slot, key)| (key, slot)).collect();
        Self { slots, recent: RefCell::default(), totals: Rc::clone(totals) }
    }

    /// What `bytes` mean, worked out once for all streams.
    fn parse(&self, bytes: Bytes) -> Rc<Parsed> {
        let mut recent = self.recent.borrow_mut();
        if let Some(known) = recent.iter().find(|known| known.bytes == bytes) {
            return Rc::clone(known);
        }
        let kind = self.meaning(bytes.clone()).unwrap_or(Meaning::Unexpected);
        let parsed = Rc::new(Parsed { bytes, kind });
        recent.truncate(REMEMBERED - 1);
        recent.push_front(Rc::clone(&parsed));
        parsed
    }

    fn meaning(&self, bytes: Bytes) -> Result<Meaning> {
        let digest = |cursor: &[u8]| Ok::<_, FrameError>(Digest::from_wire(cursor)?.unwrap_or_default());
        Ok(match wire::Frame::decode(bytes)?.kind {
            Some(Kind::Update(part)) => {
                let puts = part.puts.into_iter().map(|entry| self.put(entry)).collect::<Result<_>>()?;
                let commit = part.commit.map(|commit| digest(&commit.cursor)).transpose()?;
                Meaning::Update { reset: part.reset, puts, commit }
            }
            Some(Kind::Heartbeat(heartbeat)) => Meaning::Heartbeat(digest(&heartbeat.cursor)?),
            Some(Kind::Welcome(_)) => Meaning::Welcome,
            Some(Kind::Goodbye(_)) | None => Meaning::Unexpected,
        })
    }

    fn put(&self, entry: wire::Entry) -> Result<Put> {
        let slot = *self.slots.get(&entry.key).ok_or("a key that nobody has written")?;
        let entry = Entry::try_from(entry)?;
        let due = crate::publish::due(entry.value());
        Ok(Put { slot, version: entry.version(), digest: entry.digest(), due })
    }
}

/// One stream: what it has.
pub(crate) struct Reader {
    tenant: Rc<Tenant>,
    /// Version and digest of each key.
    have: Vec<(u64, Digest)>,
    digest: Digest,
    /// Parts of an update whose commit is still to come.
    parts: Vec<Rc<Parsed>>,
    filled: bool,
    current: bool,
}

impl Reader {
    pub(crate) fn new(tenant: &Rc<Tenant>) -> Self {
        let have = vec![(0, Digest::default()); tenant.slots.len()];
        let tenant = Rc::clone(tenant);
        Self { tenant, have, digest: Digest::default(), parts: Vec::new(), filled: false, current: false }
    }

    /// The digest of what the stream has, of its own reckoning.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// Versions that the stream lacks to be where the writes have led.
    pub(crate) fn lacks(&self, written: &[u64]) -> u64 {
        self.have.iter().zip(written).map(|((have, _), written)| written.saturating_sub(*have)).sum()
    }

    /// Takes a frame in.
    pub(crate) fn take(&mut self, bytes: Bytes) {
        let parsed = self.tenant.parse(bytes);
        match &parsed.kind {
            Meaning::Welcome => {}
            Meaning::Heartbeat(digest) => self.heartbeat(*digest),
            Meaning::Unexpected => self.tenant.totals.borrow_mut().broken += 1,
            Meaning::Update { commit, .. } => {
                let commit = *commit;
                self.parts.push(parsed);
                if let Some(commit) = commit {
                    self.commit(commit);
                }
            }
        }
    }

    fn heartbeat(&mut self, digest: Digest) {
        let mut totals = self.tenant.totals.borrow_mut();
        if digest != self.digest {
            totals.diverged += 1;
        } else if !self.current {
            self.current = true;
            totals.current += 1;
        }
    }

    fn commit(&mut self, commit: Digest) {
        let tenant = Rc::clone(&self.tenant);
        let mut totals = tenant.totals.borrow_mut();
        for part in std::mem::take(&mut self.parts) {
            let Meaning::Update { reset, puts, .. } = &part.kind else { continue };
            let first = *reset && !self.filled;
            if *reset {
                totals.resets += u64::from(self.filled);
                self.filled = true;
                self.digest = Digest::default();
                self.have.iter_mut().for_each(|(_, digest)| *digest = Digest::default());
            }
            puts.iter().for_each(|put| self.put(put, first, &mut totals));
        }
        if self.digest != commit {
            totals.diverged += 1;
        }
    }

    fn put(&mut self, put: &Put, first: bool, totals: &mut Totals) {
        let (version, digest) = &mut self.have[put.slot];
        match put.version.checked_sub(*version) {
            None => totals.backwards += 1,
            Some(0) => totals.repeats += 1,
            // What was there before the load is no delivery.
            Some(_) if first => {}
            Some(newer) => {
                totals.deliveries += 1;
                totals.superseded += newer - 1;
                if let Some(due) = put.due {
                    totals.received(due);
                }
            }
        }
        self.digest -= *digest;
        self.digest += put.digest;
        (*version, *digest) = (put.version, put.digest);
    }
}

#[cfg(test)]
mod tests;
