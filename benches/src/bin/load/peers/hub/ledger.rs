//! What a stream of the hub has received.
//!
//! All streams of a tenant get the same bytes, so a frame is parsed and its
//! entries are hashed once; each stream then compares bytes. That makes a full
//! check of every delivery cheaper than its way through the socket.

use crate::fleet::Fleet;
use crate::ledger::{Held, Totals, behind};
use crate::stamp::Stamp;
use bytes::Bytes;
use confhub_benches::Result;
use confhub_benches::messages::PREFIX;
use confhub_proto::frame::FrameError;
use confhub_proto::{Digest, Entry, wire};
use prost::Message as _;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use wire::frame::Kind;

/// Frames that are remembered: streams of a tenant are at most this far apart
/// before a frame is parsed again.
const REMEMBERED: usize = 8;

/// A tenant, as its streams share it.
pub(crate) struct Tenant {
    /// Where each key stands among those that are written.
    slots: Rc<HashMap<String, usize>>,
    recent: RefCell<VecDeque<Rc<Parsed>>>,
    fleet: Rc<Fleet>,
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
    pub(crate) fn new(slots: &Rc<HashMap<String, usize>>, fleet: &Rc<Fleet>) -> Self {
        Self { slots: Rc::clone(slots), recent: RefCell::default(), fleet: Rc::clone(fleet) }
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
        let due = Stamp::read(entry.value()).map(|stamp| stamp.due);
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

/// Where a stream stands, so that another one can go on from there.
#[derive(Clone)]
pub(crate) struct Place {
    have: Vec<(u64, Digest)>,
    pub(crate) digest: Digest,
}

impl Held for Reader {
    fn lacks(&self, written: &[u64]) -> u64 {
        behind(self.have.iter().map(|(version, _)| *version), written)
    }

    fn digest(&self) -> Option<Digest> {
        Some(self.digest)
    }
}

impl Reader {
    pub(crate) fn new(tenant: &Rc<Tenant>) -> Self {
        let have = vec![(0, Digest::default()); tenant.slots.len()];
        let tenant = Rc::clone(tenant);
        Self { tenant, have, digest: Digest::default(), parts: Vec::new(), filled: false, current: false }
    }

    /// A stream that goes on where another one has left.
    pub(crate) fn from(tenant: &Rc<Tenant>, place: Place) -> Self {
        Self { have: place.have, digest: place.digest, filled: true, ..Self::new(tenant) }
    }

    /// Where it stands.
    pub(crate) fn place(&self) -> Place {
        Place { have: self.have.clone(), digest: self.digest }
    }

    /// Whether it was told that it has everything.
    pub(crate) fn is_current(&self) -> bool {
        self.current
    }

    /// Takes a frame in.
    pub(crate) fn take(&mut self, bytes: Bytes) {
        self.tenant.fleet.totals.borrow_mut().bytes += (PREFIX + bytes.len()) as u64;
        let parsed = self.tenant.parse(bytes);
        match &parsed.kind {
            Meaning::Welcome => {}
            Meaning::Heartbeat(digest) => self.heartbeat(*digest),
            Meaning::Unexpected => self.tenant.fleet.totals.borrow_mut().faults.broken += 1,
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
        let mut totals = self.tenant.fleet.totals.borrow_mut();
        if digest != self.digest {
            totals.faults.diverged += 1;
        } else if !self.current {
            self.current = true;
            totals.current += 1;
        }
    }

    fn commit(&mut self, commit: Digest) {
        let tenant = Rc::clone(&self.tenant);
        let mut totals = tenant.fleet.totals.borrow_mut();
        for part in std::mem::take(&mut self.parts) {
            let Meaning::Update { reset, puts, .. } = &part.kind else { continue };
            let first = *reset && !self.filled;
            totals.entries += puts.len() as u64;
            if *reset {
                totals.faults.resets += u64::from(self.filled);
                self.filled = true;
                self.digest = Digest::default();
                self.have.iter_mut().for_each(|(_, digest)| *digest = Digest::default());
            }
            puts.iter().for_each(|put| self.put(put, first, &mut totals));
        }
        if self.digest != commit {
            totals.faults.diverged += 1;
        }
    }

    fn put(&mut self, put: &Put, first: bool, totals: &mut Totals) {
        let (version, digest) = &mut self.have[put.slot];
        if first {
            // What was there before the load is no delivery.
            *version = put.version;
        } else {
            totals.received(version, put.version, put.due);
        }
        self.digest -= *digest;
        self.digest += put.digest;
        *digest = put.digest;
    }
}
