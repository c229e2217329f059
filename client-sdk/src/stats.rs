//! Counters of one client, for its program's own metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a client has done since it was built. All of them count upwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Updates applied, resets included.
    pub updates: u64,
    /// Updates that replaced the whole state.
    pub resets: u64,
    /// Entries that these updates put or removed. What they only repeated is not
    /// counted.
    pub entries: u64,
    /// Versions that this client never had, since the hub sent a later one of the
    /// same entry in their place: it merges what is written while a client is slow or
    /// away. With [`entries`](Self::entries) they are all that was written, as far as
    /// versions count writes. Those of secrets do not, and are left out.
    pub superseded: u64,
    /// Attempts to open a stream.
    pub attempts: u64,
    /// Streams opened after the first one, `moves` included.
    pub reconnects: u64,
    /// Streams that took over from one that was about to end, while it was still
    /// open: the client was ready all along.
    pub moves: u64,
    /// Streams that were to take over and did not. The old one was then read to
    /// its end, and followed by an ordinary reconnect.
    pub failed_moves: u64,
    /// Times that the state differed from the hub's and was asked for anew.
    pub healed: u64,
    /// Updates that a reader of changes ([`ChangeStream`](crate::ChangeStream),
    /// [`Watch`](crate::Watch)) got together with an earlier one, because it had not
    /// read that one yet. The client itself had each of them.
    pub merged: u64,
    /// Values that a typed handle could not parse, and so kept the last good one.
    pub rejected_values: u64,
    /// States written to disk.
    pub disk_writes: u64,
    /// States that could not be written to disk.
    pub disk_errors: u64,
}

/// The same, while it is being counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) updates: Counter,
    pub(crate) resets: Counter,
    pub(crate) entries: Counter,
    pub(crate) superseded: Counter,
    pub(crate) attempts: Counter,
    pub(crate) streams: Counter,
    pub(crate) moves: Counter,
    pub(crate) failed_moves: Counter,
    pub(crate) healed: Counter,
    pub(crate) merged: Counter,
    pub(crate) rejected_values: Counter,
    pub(crate) disk_writes: Counter,
    pub(crate) disk_errors: Counter,
}

/// One of them.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn read(&self) -> Stats {
        Stats {
            updates: self.updates.get(),
            resets: self.resets.get(),
            entries: self.entries.get(),
            superseded: self.superseded.get(),
            attempts: self.attempts.get(),
            reconnects: self.streams.get().saturating_sub(1),
            moves: self.moves.get(),
            failed_moves: self.failed_moves.get(),
            healed: self.healed.get(),
            merged: self.merged.get(),
            rejected_values: self.rejected_values.get(),
            disk_writes: self.disk_writes.get(),
            disk_errors: self.disk_errors.get(),
        }
    }
}
