//! The figures of all rounds, for people and for programs.

use crate::args::Plan;
use crate::ledger::Totals;
use confhub_benches::Result;
use confhub_benches::summary::Summary;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// Longest latency that is told apart: longer than anybody waits here.
const LONGEST_NANOS: u64 = 600_000_000_000;

/// The figures of one round of one side.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Round {
    pub(crate) deliveries: u64,
    /// Versions that a stream should have and has not.
    pub(crate) lost: u64,
    pub(crate) superseded: u64,
    pub(crate) repeats: u64,
    pub(crate) backwards: u64,
    pub(crate) diverged: u64,
    pub(crate) resets: u64,
    pub(crate) broken: u64,
    pub(crate) refused: u64,
    /// Streams whose digest at the end is not the hub's.
    pub(crate) unequal: u64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    /// Median from when a write was due to its acknowledgement.
    pub(crate) acknowledged_us: Option<f64>,
    cpu_us: f64,
    own_cpu_us: f64,
    /// Share of one core that the server used.
    busy: f64,
    deliveries_per_second: f64,
    pub(crate) connection_kb: f64,
    pub(crate) stream_kb: f64,
}

impl Round {
    /// What the totals of a round say, and the CPU time that the server and
    /// this process used meanwhile.
    pub(crate) fn new(totals: &Totals, lasted: Duration, cpu: Duration, own: Duration) -> Self {
        let deliveries = totals.deliveries;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / float(deliveries.max(1));
        Self {
            deliveries,
            lost: 0,
            superseded: totals.superseded,
            repeats: totals.repeats,
            backwards: totals.backwards,
            diverged: totals.diverged,
            resets: totals.resets,
            broken: totals.broken,
            refused: 0,
            unequal: 0,
            p50_us: Self::micros(&totals.latency, 50.0),
            p99_us: Self::micros(&totals.latency, 99.0),
            p999_us: Self::micros(&totals.latency, 99.9),
            max_us: Self::micros(&totals.latency, 100.0),
            acknowledged_us: None,
            cpu_us: each(cpu),
            own_cpu_us: each(own),
            busy: cpu.as_secs_f64() / lasted.as_secs_f64(),
            deliveries_per_second: float(deliveries) / lasted.as_secs_f64(),
            connection_kb: 0.0,
            stream_kb: 0.0,
        }
    }

    /// An empty histogram of nanoseconds.
    pub(crate) fn latencies() -> Result<Histogram<u64>> {
        Ok(Histogram::new_with_max(LONGEST_NANOS, 3)?)
    }

    /// A percentile of nanoseconds, in microseconds.
    pub(crate) fn micros(histogram: &Histogram<u64>, percentile: f64) -> f64 {
        float(histogram.value_at_percentile(percentile)) / 1e3
    }

    /// What must be 0, with its name.
    fn faults(&self) -> [(&'static str, u64); 7] {
        [
            ("lost", self.lost),
            ("out of order", self.backwards),
            ("commits with another digest", self.diverged),
            ("streams with another digest at the end", self.unequal),
            ("resets", self.resets),
            ("streams that broke", self.broken),
            ("writes refused", self.refused),
        ]
    }
}

/// All rounds of both sides.
#[derive(Serialize)]
pub(crate) struct Report {
    streams: usize,
    connections: usize,
    tenants: usize,
    writes_per_second: u32,
    writes: usize,
    frame_bytes: usize,
    pub(crate) hub: Vec<Round>,
    pub(crate) floor: Vec<Round>,
}

impl Report {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            streams: plan.streams(),
            connections: plan.connections,
            tenants: plan.tenants,
            writes_per_second: plan.rate,
            writes: plan.writes,
            frame_bytes: plan.frame_bytes,
            hub: Vec::new(),
            floor: Vec::new(),
        }
    }

    /// Whether every promise was kept in every round.
    pub(crate) fn is_whole(&self) -> bool {
        self.hub.iter().chain(&self.floor).flat_map(Round::faults).all(|(_, count)| count == 0)
    }

    pub(crate) fn print(&self, as_json: bool) -> Result<()> {
        if as_json {
            println!("{}", serde_json::to_string_pretty(self)?);
            return Ok(());
        }
        println!(
            "{} streams, {} connections, {} tenants, {} writes/s, {} writes a round, {} bytes a delivery on the wire",
            self.streams,
            self.connections,
            self.tenants,
            self.writes_per_second,
            self.writes,
            self.frame_bytes
        );
        println!("{:<36} {:>28} {:>28} {:>24}", "median (least .. greatest)", "hub", "floor", "hub / floor");
        self.row("CPU a delivery, us", |round| round.cpu_us, true);
        self.row("  of the load itself, us", |round| round.own_cpu_us, false);
        self.row("busy, share of a core", |round| round.busy, false);
        self.row("deliveries a second", |round| round.deliveries_per_second, false);
        self.row("write to receipt p50, us", |round| round.p50_us, true);
        self.row("write to receipt p99, us", |round| round.p99_us, true);
        self.row("write to receipt p99.9, us", |round| round.p999_us, true);
        self.row("write to receipt, last, us", |round| round.max_us, true);
        self.row(
            "write to acknowledgement p50, us",
            |round| round.acknowledged_us.unwrap_or(f64::NAN),
            false,
        );
        self.row("memory a connection, kB", |round| round.connection_kb, false);
        self.row("memory a stream beyond that, kB", |round| round.stream_kb, false);
        let sum = |of: fn(&Round) -> u64| self.hub.iter().map(of).sum::<u64>();
        println!(
            "hub, all rounds: {} deliveries, {} merged into a newer version, {} received twice",
            sum(|round| round.deliveries),
            sum(|round| round.superseded),
            sum(|round| round.repeats)
        );
        let mut faults = Round::faults(&self.hub[0]);
        for (index, (_, count)) in faults.iter_mut().enumerate() {
            *count = self.hub.iter().chain(&self.floor).map(|round| round.faults()[index].1).sum();
        }
        let faults: Vec<_> = faults.iter().map(|(name, count)| format!("{count} {name}")).collect();
        println!("{}: {}", if self.is_whole() { "ok" } else { "BROKEN" }, faults.join(", "));
        Ok(())
    }

    fn row(&self, name: &str, of: impl Fn(&Round) -> f64, compare: bool) {
        let all = |rounds: &[Round]| rounds.iter().map(&of).collect::<Vec<_>>();
        let (hub, floor) = (all(&self.hub), all(&self.floor));
        let show = |summary: Option<Summary>| {
            summary.filter(|summary| !summary.median.is_nan()).map_or_else(String::new, |s| s.to_string())
        };
        let ratio = if compare { show(Summary::ratio(&hub, &floor)) } else { String::new() };
        println!("{name:<36} {:>28} {:>28} {ratio:>24}", show(Summary::of(hub)), show(Summary::of(floor)));
    }
}

/// A count as a figure; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn float(count: u64) -> f64 {
    count as f64
}

/// The same for sizes.
pub(crate) fn count(size: usize) -> f64 {
    float(size as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_of_any_length_are_told_apart() {
        let mut latencies = Round::latencies().unwrap();
        for micros in [1_u64, 1_000, 1_000_000, 60_000_000] {
            latencies.saturating_record(micros * 1_000);
            let longest = Round::micros(&latencies, 100.0);
            assert!((longest / float(micros) - 1.0).abs() < 0.01, "{longest} of {micros}");
        }
    }
}
