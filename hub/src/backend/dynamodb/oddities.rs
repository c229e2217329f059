//! Rows that no hub has written as they are: counted each time, and told once.

use super::KIND;
use crate::metrics::{BackendLabel, Metrics};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows that are remembered as told, some 200 bytes each; odd ones beyond are
/// counted, and no longer told apart.
const TOLD: usize = 10_000;

/// Most characters of a sort key that a warning repeats.
const SHOWN_CHARS: usize = 300;

/// What was told, for as long as it lasts.
pub(super) struct Oddities {
    metrics: Arc<Metrics>,
    told: Mutex<HashSet<(String, String)>>,
    /// How many there are in `told`, so that good rows need not ask.
    count: AtomicUsize,
}

impl Oddities {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        // From the first scrape on, so that a rate sees the first odd row.
        let _ = metrics.odd_rows.get_or_create(&BackendLabel { backend: KIND });
        Self { metrics, told: Mutex::default(), count: AtomicUsize::new(0) }
    }

    /// A row is odd. `remarks` say how, and never what its value is.
    pub(super) fn note(&self, pk: &str, sk: &str, remarks: &str) {
        self.metrics.odd_rows.get_or_create(&BackendLabel { backend: KIND }).inc();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let full = told.len() >= TOLD;
        if full || !told.insert((pk.to_owned(), sk.to_owned())) {
            return;
        }
        self.count.store(told.len(), Ordering::Relaxed);
        drop(told);
        let shown: String = sk.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
        tracing::warn!(partition = pk, row = shown, remarks, "a row of the table is not as a hub writes it");
    }

    /// A row is as it should be.
    pub(super) fn fine(&self, pk: &str, sk: &str) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.remove(&(pk.to_owned(), sk.to_owned()));
        self.count.store(told.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten_when_it_is_over() {
        let oddities = Oddities::new(Arc::new(Metrics::new("test")));
        for n in 0..TOLD + 5 {
            oddities.note("p", &n.to_string(), "it is odd");
        }
        assert_eq!(oddities.told.lock().unwrap().len(), TOLD);
        oddities.fine("p", "0");
        assert_eq!(oddities.count.load(Ordering::Relaxed), TOLD - 1);
        let text = oddities.metrics.text();
        assert!(text.contains("confhub_odd_rows_total{backend=\"dynamodb\"} 10005"), "{text}");
    }
}
