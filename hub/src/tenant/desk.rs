//! What an owner knows of its reads of one backend.
//!
//! A reading of more than a few keys may take long, and one of a few keys goes on
//! beside it where reads cost. Each kind fails, and is tried again, by itself.

use super::pending::Job;
use crate::backend::{Nature, Position};
use crate::source::Address;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;

/// Wait after the first failed read, before jitter. It doubles with every further one.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// Longest wait after a failed read: a store that is well again is read within
/// moments, and one that is down is not asked by every tenant every second.
const RETRY_MAX: Duration = Duration::from_secs(8);

/// The owner's reads of one backend.
pub(super) struct Desk {
    /// How far the backend had come when it was last read.
    pub(super) position: Position,
    /// It has been read as a whole.
    pub(super) loaded: bool,
    /// When the last reading of the whole began.
    pub(super) swept: Option<Instant>,
    pub(super) next_sweep: Instant,
    /// Keys that are in this store and belong to another, as far as they were named.
    pub(super) strangers: HashSet<Address>,
    wide: Hand,
    listed: Hand,
}

/// One kind of reading.
#[derive(Default)]
struct Hand {
    busy: bool,
    /// What readings of the other kind have changed since this one began.
    touched: HashSet<Address>,
    /// When to try again what failed, and after what wait.
    retry: Option<(Instant, Duration)>,
}

impl Desk {
    pub(super) fn new(next_sweep: Instant) -> Self {
        Self {
            position: Position::default(),
            loaded: false,
            swept: None,
            next_sweep,
            strangers: HashSet::new(),
            wide: Hand::default(),
            listed: Hand::default(),
        }
    }

    /// Whether a wide reading and one of a few keys may be under way as well as
    /// what is; where reads cost nothing, they go one after another.
    pub(super) fn free(&self, nature: Nature) -> (bool, bool) {
        if nature.metered {
            return (!self.wide.busy, !self.listed.busy && self.loaded);
        }
        let free = !self.wide.busy && !self.listed.busy;
        (free, free)
    }

    /// The same for now: what failed waits for its time.
    pub(super) fn ready(&self, nature: Nature) -> (bool, bool) {
        let (wide, listed) = self.free(nature);
        let now = Instant::now();
        (wide && self.wide.rested(now), listed && self.listed.rested(now))
    }

    /// Not before these moments may a wide reading, or one of a few keys, begin.
    pub(super) fn retries(&self) -> (Option<Instant>, Option<Instant>) {
        (self.wide.retry.map(|(at, _)| at), self.listed.retry.map(|(at, _)| at))
    }

    pub(super) fn begin(&mut self, job: &Job) {
        self.hand(job).0.busy = true;
    }

    /// The reading is over: what was touched while it was under way.
    pub(super) fn end(&mut self, job: &Job) -> HashSet<Address> {
        let (hand, _) = self.hand(job);
        hand.busy = false;
        std::mem::take(&mut hand.touched)
    }

    /// Tells a reading of the other kind that is under way what this one changed.
    pub(super) fn touch<'a>(&mut self, job: &Job, changed: impl Iterator<Item = &'a Address>) {
        let (_, other) = self.hand(job);
        if other.busy {
            other.touched.extend(changed.cloned());
        }
    }

    /// Plans another attempt; `jitter` spreads those of many tenants.
    pub(super) fn failed(&mut self, job: &Job, jitter: impl Fn(Duration) -> Duration) {
        let (hand, _) = self.hand(job);
        let wait = hand.retry.map_or(RETRY, |(_, wait)| RETRY_MAX.min(wait * 2));
        hand.retry = Some((Instant::now() + jitter(wait), wait));
    }

    pub(super) fn recovered(&mut self, job: &Job) {
        self.hand(job).0.retry = None;
    }

    /// Whether the last reading of either kind failed.
    pub(super) fn is_failing(&self) -> bool {
        self.wide.retry.is_some() || self.listed.retry.is_some()
    }

    /// The hand of a job's kind, and the other.
    fn hand(&mut self, job: &Job) -> (&mut Hand, &mut Hand) {
        match job.what.is_wide() {
            true => (&mut self.wide, &mut self.listed),
            false => (&mut self.listed, &mut self.wide),
        }
    }
}

impl Hand {
    fn rested(&self, now: Instant) -> bool {
        self.retry.is_none_or(|(at, _)| at <= now)
    }
}
