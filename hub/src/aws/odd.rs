//! What stands where entries should be and cannot be read as one.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Names that are remembered to be warned of once: a root that somebody else
/// fills with foreign names stays a bounded number of lines.
const NAMES: usize = 1_000;

/// The names that were warned of. One for each backend.
#[derive(Debug)]
pub struct OddNames {
    kind: &'static str,
    seen: Mutex<HashSet<String>>,
}

impl OddNames {
    /// None yet.
    #[must_use]
    pub fn new(kind: &'static str) -> Self {
        Self { kind, seen: Mutex::default() }
    }

    /// Warns of `name` the first time, and says why it is passed over.
    pub fn warn(&self, name: &str, reason: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= NAMES || seen.contains(name) {
            return;
        }
        seen.insert(name.to_owned());
        let last = seen.len() == NAMES;
        drop(seen);
        let kind = self.kind;
        tracing::warn!(backend = kind, name, reason, "passed over what is no entry");
        if last {
            tracing::warn!(backend = kind, names = NAMES, "passes over too many names to tell them all");
        }
    }
}
