//! What the streams have received, and whether that was right.
//!
//! Each stream knows which version of each key it has. A version that comes in
//! place of the next one has superseded those between; whether that is a merge
//! or a loss is a promise of the peer.

use crate::stamp::Stamp;
use confhub_benches::Result;
use confhub_benches::latency::Latencies;
use confhub_proto::Digest;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What all streams count together.
pub(crate) struct Totals {
    /// All times are counted from here.
    epoch: Instant,
    /// Streams that know that they are current.
    pub(crate) current: usize,
    pub(crate) faults: Faults,
    /// Versions received, each by each stream, since [`Totals::begin`].
    pub(crate) deliveries: u64,
    /// Versions that a stream did not see since a newer one came in their place,
    /// since [`Totals::begin`].
    pub(crate) superseded: u64,
    /// Entries received, each by each stream, whether they were new or not, since the
    /// beginning.
    pub(crate) entries: u64,
    /// What brought them, in bytes as [`crate::plan::Case::bytes`] has them.
    pub(crate) bytes: u64,
    /// From when a write was due to its receipt, since [`Totals::begin`].
    pub(crate) latency: Latencies,
    /// The longest since [`Totals::expect`].
    pub(crate) last: Duration,
    /// Versions that are still to come.
    missing: u64,
    complete: Rc<Notify>,
}

/// What must be 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Faults {
    /// Versions that a stream should have and has not.
    pub(crate) lost: u64,
    /// Versions received again.
    pub(crate) repeats: u64,
    /// Versions older than what the stream had.
    pub(crate) backwards: u64,
    /// Commits whose digest was not the stream's.
    pub(crate) diverged: u64,
    /// Streams whose digest at the end is not the hub's.
    pub(crate) unequal: u64,
    /// Whole states, beyond the first of each stream.
    pub(crate) resets: u64,
    /// Streams that ended, or brought what they should not.
    pub(crate) broken: u64,
    /// Writes that were not acknowledged.
    pub(crate) refused: u64,
}

impl Faults {
    /// Each with its name.
    pub(crate) fn named(&self) -> [(&'static str, u64); 8] {
        [
            ("lost", self.lost),
            ("received twice", self.repeats),
            ("out of order", self.backwards),
            ("commits with another digest", self.diverged),
            ("streams with another digest at the end", self.unequal),
            ("resets", self.resets),
            ("streams that broke", self.broken),
            ("writes refused", self.refused),
        ]
    }

    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Totals {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            epoch: Instant::now(),
            current: 0,
            faults: Faults::default(),
            deliveries: 0,
            superseded: 0,
            entries: 0,
            bytes: 0,
            latency: Latencies::new()?,
            last: Duration::ZERO,
            missing: 0,
            complete: Rc::default(),
        })
    }

    /// Time since the epoch, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Counts anew.
    pub(crate) fn begin(&mut self) -> Result<()> {
        (self.deliveries, self.superseded, self.bytes) = (0, 0, 0);
        self.latency = Latencies::new()?;
        Ok(())
    }

    /// A burst begins, which leads to so many deliveries.
    pub(crate) fn expect(&mut self, deliveries: usize) {
        self.missing += deliveries as u64;
        self.last = Duration::ZERO;
    }

    /// Rings once nothing is missing any more.
    pub(crate) fn complete(&self) -> Rc<Notify> {
        Rc::clone(&self.complete)
    }

    /// What did not come in time, and is not waited for any longer.
    pub(crate) fn give_up(&mut self) -> u64 {
        std::mem::take(&mut self.missing)
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// A stream that had version `have` of a key gets version `got`.
    pub(crate) fn received(&mut self, have: &mut u64, got: u64, due: Option<u64>) {
        let newer = match got.checked_sub(*have) {
            None => return self.faults.backwards += 1,
            Some(0) => return self.faults.repeats += 1,
            Some(newer) => newer,
        };
        *have = got;
        self.deliveries += 1;
        self.superseded += newer - 1;
        if let Some(due) = due {
            let took = Duration::from_nanos(self.now().saturating_sub(due));
            self.latency.record(took);
            self.last = self.last.max(took);
        }
        let was_missing = self.missing > 0;
        self.missing = self.missing.saturating_sub(newer);
        if was_missing && self.missing == 0 {
            self.complete.notify_one();
        }
    }
}

/// A stream, as it stands at the end.
pub(crate) trait Held {
    /// Versions that the stream lacks to be where the writes have led.
    fn lacks(&self, written: &[u64]) -> u64;

    /// The digest of what the stream has, of its own reckoning, if its peer has any.
    fn digest(&self) -> Option<Digest>;
}

/// Versions that `have` is behind `written`.
pub(crate) fn behind(have: impl Iterator<Item = u64>, written: &[u64]) -> u64 {
    have.zip(written).map(|(have, written)| written.saturating_sub(have)).sum()
}

/// A stream of a peer that has versions, and no digest.
pub(crate) struct Versions {
    have: Vec<u64>,
}

impl Versions {
    pub(crate) fn new(keys: usize) -> Self {
        Self { have: vec![0; keys] }
    }

    /// Takes a value in: one of this load, at the version that its stamp or, where
    /// there is one, the peer says.
    pub(crate) fn take(&mut self, value: &[u8], version: Option<u64>, totals: &mut Totals) {
        let stamp = Stamp::read(value);
        let Some((stamp, have)) = stamp.and_then(|stamp| Some((stamp, self.have.get_mut(stamp.slot)?)))
        else {
            totals.faults.broken += 1;
            return;
        };
        if version.is_some_and(|version| version != stamp.version) {
            totals.faults.backwards += 1;
        }
        totals.received(have, stamp.version, Some(stamp.due));
    }
}

impl Held for Versions {
    fn lacks(&self, written: &[u64]) -> u64 {
        behind(self.have.iter().copied(), written)
    }

    fn digest(&self) -> Option<Digest> {
        None
    }
}

/// A stream that its follower and the end of the round share.
pub(crate) type Shared<T> = Rc<RefCell<T>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn value(slot: usize, version: u64) -> bytes::Bytes {
        Stamp { due: 0, slot, version }.value(64)
    }

    #[test]
    fn gaps_repeats_and_steps_back_are_noticed() {
        let mut totals = Totals::new().unwrap();
        let mut stream = Versions::new(2);
        totals.expect(4);
        stream.take(&value(0, 1), None, &mut totals);
        stream.take(&value(0, 3), Some(3), &mut totals);
        assert_eq!((totals.deliveries, totals.superseded, totals.is_complete()), (2, 1, false));
        assert!(totals.faults.is_none());
        stream.take(&value(0, 3), None, &mut totals);
        stream.take(&value(0, 2), None, &mut totals);
        stream.take(&value(2, 1), None, &mut totals);
        stream.take(b"something else", None, &mut totals);
        let faults = Faults { repeats: 1, backwards: 1, broken: 2, ..Faults::default() };
        assert_eq!(totals.faults, faults);
        assert_eq!(stream.lacks(&[4, 2]), 3);
        stream.take(&value(1, 1), None, &mut totals);
        assert!(totals.is_complete());
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_the_last_delivery() {
        let mut totals = Totals::new().unwrap();
        let complete = totals.complete();
        totals.expect(2);
        totals.received(&mut 0, 1, Some(0));
        assert_eq!(totals.latency.count(), 1);
        totals.received(&mut 0, 1, None);
        complete.notified().await;
        assert!(totals.is_complete());
        totals.expect(3);
        assert_eq!(totals.give_up(), 3);
    }
}
