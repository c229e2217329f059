//! What stands where entries should be and cannot be read as one.

use crate::metrics::{BackendLabel, Metrics};
use prometheus_client::metrics::counter::Counter;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Names that are remembered to be warned of once: a root that somebody else
/// fills with foreign names stays a bounded number of lines.
const NAMES: usize = 1_000;

/// The names that were warned of. One for each backend.
#[derive(Debug)]
pub struct OddNames {
    backend: &'static str,
    seen: Mutex<HashSet<String>>,
    /// How often one was read.
    count: Counter,
}

impl OddNames {
    /// None yet.
    #[must_use]
    pub fn new(backend: &'static str, metrics: &Metrics) -> Self {
        let count = metrics.odd_rows.get_or_create(&BackendLabel { backend }).clone();
        Self { backend, seen: Mutex::default(), count }
    }

    /// Counts that `name` was passed over, and says so and why the first time.
    pub fn passed_over(&self, name: &str, reason: &str) {
        self.count.inc();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= NAMES || seen.contains(name) {
            return;
        }
        seen.insert(name.to_owned());
        let last = seen.len() == NAMES;
        drop(seen);
        let backend = self.backend;
        tracing::warn!(backend, name, reason, "passed over what is no entry");
        if last {
            tracing::warn!(backend, names = NAMES, "too many names are no entries to tell them all");
        }
    }
}
