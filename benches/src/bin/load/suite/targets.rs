//! The figures that are to be reached, and whether they are.

use super::{BASE, BURST, FLOOD, Results, SIZES};
use crate::args::ShapeName::{self, Deep, Middle, Wide};
use crate::peer::Side;
use crate::plan::Case;
use crate::session::{Figures, Round};
use confhub_benches::summary::Summary;

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Figure {
    /// CPU time of the server, each delivery.
    Cpu,
    /// From due to receipt, 99 of 100 streams.
    P99,
    /// From due to receipt, the last stream.
    Last,
    /// Memory for each connection with its streams, in kB.
    WholeKb,
    /// Memory for each stream beside its connection, in kB.
    StreamKb,
    /// Memory that a stream has come to take, in kB.
    GrownKb,
}

impl Figure {
    pub(super) fn of(self, round: &Round, figures: &Figures) -> f64 {
        match self {
            Self::Cpu => figures.cpu_us,
            Self::P99 => figures.p99_ms,
            Self::Last => figures.last_ms,
            Self::WholeKb => round.opening.whole_kb,
            Self::StreamKb => round.opening.stream_kb,
            Self::GrownKb => figures.grown_kb,
        }
    }
}

/// The most that a figure of the hub may be, or its ratio to another.
pub(super) struct Target {
    pub(super) what: &'static str,
    pub(super) shape: ShapeName,
    figure: Figure,
    case: Case,
    to: Option<(Side, Case)>,
    pub(super) bar: f64,
    /// What would be better still.
    pub(super) stretch: Option<f64>,
}

/// A ratio of the hub to another side in the same case.
const fn beside(
    what: &'static str,
    shape: ShapeName,
    figure: Figure,
    side: Side,
    bar: f64,
    stretch: Option<f64>,
) -> Target {
    Target { what, shape, figure, case: BASE, to: Some((side, BASE)), bar, stretch }
}

/// A ratio of the hub's CPU time in another case to that in the usual one.
const fn within(what: &'static str, shape: ShapeName, case: Case, bar: f64) -> Target {
    Target { what, shape, figure: Figure::Cpu, case, to: Some((Side::Hub, BASE)), bar, stretch: None }
}

/// A figure of the hub as it is.
const fn at_most(
    what: &'static str,
    shape: ShapeName,
    figure: Figure,
    case: Case,
    bar: f64,
    stretch: Option<f64>,
) -> Target {
    Target { what, shape, figure, case, to: None, bar, stretch }
}

const CPU: &str = "CPU a delivery, hub / floor";
const LARGER: &str = "CPU a delivery, 300 B / 200 B";
const MERGED: &str = "CPU a change, burst of 16 / single";
const ETCD: &str = "CPU a delivery, hub / etcd";
const ETCD_SHARED: &str = "CPU a delivery, hub / etcd with a shared stream";
const NATS: &str = "CPU a delivery, hub / NATS core";

/// All of them.
pub(super) const TARGETS: [Target; 21] = [
    beside(CPU, Wide, Figure::Cpu, Side::Floor, 1.45, Some(1.3)),
    beside(CPU, Middle, Figure::Cpu, Side::Floor, 2.8, Some(1.7)),
    beside(CPU, Deep, Figure::Cpu, Side::Floor, 8.0, Some(4.0)),
    within(LARGER, Wide, SIZES[0], 1.3),
    within(LARGER, Middle, SIZES[0], 1.3),
    within(LARGER, Deep, SIZES[0], 1.3),
    within(MERGED, Wide, BURST, 0.5),
    within(MERGED, Middle, BURST, 0.5),
    within(MERGED, Deep, BURST, 0.5),
    beside("write to receipt p99, hub / floor", Wide, Figure::P99, Side::Floor, 1.6, None),
    beside(ETCD, Wide, Figure::Cpu, Side::Etcd, 0.55, Some(0.45)),
    beside(ETCD_SHARED, Middle, Figure::Cpu, Side::EtcdShared, 0.55, Some(0.4)),
    beside(ETCD_SHARED, Deep, Figure::Cpu, Side::EtcdShared, 0.4, Some(0.2)),
    beside("memory a connection, hub / etcd", Wide, Figure::WholeKb, Side::Etcd, 0.25, Some(0.2)),
    beside("write to the last stream, hub / etcd", Wide, Figure::Last, Side::Etcd, 0.6, Some(0.45)),
    beside(NATS, Wide, Figure::Cpu, Side::Nats, 1.0, Some(0.85)),
    beside(NATS, Deep, Figure::Cpu, Side::Nats, 3.0, Some(1.5)),
    at_most("memory a connection with one stream, kB", Wide, Figure::WholeKb, BASE, 24.0, None),
    at_most("memory an added stream, kB", Middle, Figure::StreamKb, BASE, 4.0, Some(2.0)),
    at_most("memory an added stream, kB", Deep, Figure::StreamKb, BASE, 4.0, Some(2.0)),
    at_most("memory more after a burst of 64, a stream, kB", Wide, Figure::GrownKb, FLOOD, 1.0, None),
];

impl Target {
    /// What was measured, by round; `None` if it was not.
    pub(super) fn measured(&self, results: &Results) -> Option<Summary> {
        let all = |side, case| results.all(side, self.shape, case, |round, case| self.figure.of(round, case));
        let hub = all(Side::Hub, self.case);
        match self.to {
            None => Summary::of(hub),
            Some((side, case)) => Summary::ratio(&hub, &all(side, case)),
        }
    }

    /// In a word.
    pub(super) fn verdict(&self, median: f64) -> &'static str {
        match self.stretch {
            Some(stretch) if median <= stretch => "beyond",
            _ if median <= self.bar => "reached",
            _ => "MISSED",
        }
    }
}
