//! What the demo measured.

use serde::{Serialize, Serializer};
use std::time::Duration;

/// The last line.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    services: usize,
    entries: usize,
    writes: usize,
    deliveries: usize,
    #[serde(serialize_with = "rounded")]
    p50_ms: f64,
    #[serde(serialize_with = "rounded")]
    max_ms: f64,
    restart_updates: u64,
}

impl Figures {
    /// Of deliveries in `services`, each timed from the sending of its write.
    pub(super) fn new(services: usize, entries: usize, times: &[Duration], restart_updates: u64) -> Self {
        let mut times = times.to_vec();
        times.sort_unstable();
        Self {
            services,
            entries,
            writes: times.len().checked_div(services).unwrap_or_default(),
            deliveries: times.len(),
            p50_ms: milliseconds(times.get(times.len() / 2).copied().unwrap_or_default()),
            max_ms: milliseconds(times.last().copied().unwrap_or_default()),
            restart_updates,
        }
    }

    /// As one line of `name=value`.
    pub(super) fn line(&self) -> String {
        let Self { services, entries, writes, deliveries, p50_ms, max_ms, restart_updates } = self;
        format!(
            "services={services} entries={entries} writes={writes} deliveries={deliveries} \
             p50_ms={p50_ms:.2} max_ms={max_ms:.2} restart_updates={restart_updates}"
        )
    }
}

/// To a microsecond: more digits would say nothing.
fn rounded<S: Serializer>(milliseconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((milliseconds * 1_000.0).round() / 1_000.0)
}

/// A time in milliseconds.
pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_what_was_measured() {
        let times: Vec<_> = (1..=6).rev().map(Duration::from_millis).collect();
        let line = Figures::new(3, 80, &times, 0).line();
        assert_eq!(
            line,
            "services=3 entries=80 writes=2 deliveries=6 p50_ms=4.00 max_ms=6.00 restart_updates=0"
        );
        assert!(Figures::new(0, 0, &[], 0).line().contains("p50_ms=0.00"));
    }
}
